"""Tests that no log record, no exception and no repr contains private data.

The private data are the password, the session id, the numbers, the texts and the segment ids. Each test runs
with both versions of the interface: in version 2, each request contains the password.
"""

import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from smsapi_async import AsyncSmsClient, RetryPolicy, SmsApiError, Timeouts
from smsapi_async.sandbox import Dialect, Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan, FaultProxy
from tests.client.tools import RawServer, client_of_version, logged_in_store, read_request

pytestmark = [pytest.mark.anyio, pytest.mark.over_httpx2("trio-httpx2")]

PASSWORD = "correct horse+battery"
TEXT = "Ваш код 4711-0815, никому не говорите"
NUMBER = "79031234567"
NINE = datetime(2030, 1, 1, 9, 0)  # noqa: DTZ001
START = datetime(2026, 3, 1, tzinfo=UTC)
ONCE = RetryPolicy(attempts=1)
TWICE = RetryPolicy(attempts=2, initial=0.001)
HANGING = {Fault.HANG_AFTER_READ, Fault.HANG_AFTER_PASS, Fault.ACCEPT_THEN_SILENCE}


@pytest.fixture
async def sandbox(transport: str, api_version: int) -> AsyncIterator[Sandbox]:
    """Serve a sandbox whose account has a password with characters that must be encoded in a URL.

    Only the gateway of a client of version 2 has version 2.
    """
    dialect = Dialect(id_style="number") if api_version == 1 else Dialect.LATEST
    async with run_sandbox(password=PASSWORD, dialect=dialect) as running:
        yield running


def _calls(sms: AsyncSmsClient) -> list[Callable[[], Awaitable[Any]]]:
    return [
        sms.balance,
        lambda: sms.send(NUMBER, TEXT),
        lambda: sms.send_by_time_zone(NUMBER, TEXT, send_date=NINE),
        lambda: sms.send_bulk([NUMBER, "+" + NUMBER], TEXT),
        lambda: sms.send_bulk([NUMBER], TEXT, send_date=NINE, by_time_zone=True),
        lambda: sms.state(f"SAR-GW01+{NUMBER}-5f3b1972-2-1"),
        lambda: sms.incoming(since=START),
        lambda: sms.statistics(START, START),
    ]


async def _run(sms: AsyncSmsClient) -> list[str]:
    """Call each resource of the gateway once; return the reprs of the results and the texts of the errors."""
    shown = [repr(sms)]
    for call in _calls(sms):
        try:
            shown.append(repr(await call()))
        except SmsApiError as error:
            # A late response can cause `SegmentIdsUnattributed`, which hands the ids to the caller.
            attributes = {name: value for name, value in vars(error).items() if name != "segment_ids"}
            shown += [str(error), repr(error), repr(attributes), "".join(traceback.format_exception(error))]
            assert error.__cause__ is None
            assert error.__context__ is None
    return shown


def _assert_private(shown: list[str], records: list[logging.LogRecord], sandbox: Sandbox) -> None:
    sessions = [
        arrival.target.partition("SessionID=")[2].partition("&")[0]
        for arrival in sandbox.account.arrivals
        if "SessionID=" in arrival.target
    ]
    secrets = {
        PASSWORD,
        "correct+horse%2Bbattery",
        "correct horse",
        TEXT,
        "4711-0815",
        NUMBER,
        "5f3b1972",
        *filter(None, sessions),
        *(each for message in sandbox.account.messages for each in message.segment_ids),
    }
    texts = shown + [record.getMessage() + repr(record.args) for record in records]
    for secret in secrets:
        assert not [text for text in texts if secret in text]


async def test_success_shows_nothing(sandbox: Sandbox, records: list[logging.LogRecord]) -> None:
    """Successful calls show no private data in results and log records, even at the log level DEBUG."""
    sandbox.receive(NUMBER, text=TEXT, destination_address="79160000000", at=START)
    async with client_of_version(sandbox) as sms:
        shown = await _run(sms)
    assert any(record.name == "smsapi_async" for record in records)
    _assert_private(shown, records, sandbox)


@pytest.mark.parametrize("library", ["httpx", "httpx2"], indirect=True)
async def test_a_callers_own_client_shows_nothing(
    sandbox: Sandbox, records: list[logging.LogRecord], library: Any
) -> None:
    """Calls through an HTTP client or a transport of the caller show no private data in results and logs."""
    async with library.AsyncClient() as client, client_of_version(sandbox, client=client) as sms:
        shown = await _run(sms)
    async with client_of_version(sandbox, transport=library.AsyncHTTPTransport()) as sms:
        shown += await _run(sms)
    assert any(record.name == library.__name__ for record in records)
    _assert_private(shown, records, sandbox)


async def test_refusals_that_repeat_what_was_sent_show_nothing(
    sandbox: Sandbox, records: list[logging.LogRecord]
) -> None:
    """If an error body of the gateway repeats private data, the client's exception does not show the data."""
    async with client_of_version(sandbox) as sms:
        await sms.balance()
        session_id = sandbox.account.arrivals[-1].target.partition("SessionID=")[2] or PASSWORD
        for code in (2, 6, 8):
            for resource in ("User/Balance", "Sms/Send", "Sms/SendByTimeZone", "Sms/SendBulk", "Sms/State"):
                text = TEXT if "Send" in resource else ""
                sandbox.refuse_next(resource, code, desc=f"{NUMBER}: {text} ({session_id})")
        shown = [text for _ in range(3) for text in await _run(sms)]
    _assert_private(shown, records, sandbox)


async def test_wrong_password_shows_nothing(sandbox: Sandbox, records: list[logging.LogRecord]) -> None:
    """If the gateway refuses the login, the exception and the log records do not show the password.

    The exception and the log records also show neither the phone number nor the text of the message.
    """
    async with client_of_version(sandbox, password=PASSWORD[::-1]) as sms:
        shown = await _run(sms)
    assert sandbox.account.sessions == 0
    assert not [text for text in shown if PASSWORD[::-1] in text]
    _assert_private(shown, records, sandbox)


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.PASS])
async def test_broken_exchanges_show_nothing(
    sandbox: Sandbox, proxy: FaultProxy, records: list[logging.LogRecord], fault: Fault
) -> None:
    """If an exchange breaks, the exceptions and the log records show no private data."""
    # Set a short read timeout only for a hanging exchange, because no other exchange lasts until its timeout.
    timeouts = Timeouts(read=0.02) if fault in HANGING else Timeouts()
    options = {"timeouts": timeouts, "retry": TWICE, "session_store": await logged_in_store(sandbox)}
    proxy.plan = FaultPlan.script([fault] * 100)
    async with client_of_version(sandbox, base_url=proxy.base_url, **options) as sms:
        shown = await _run(sms)
    assert proxy.history
    _assert_private(shown, records, sandbox)


async def test_a_server_that_answers_with_the_request_shows_nothing(
    sandbox: Sandbox, records: list[logging.LogRecord]
) -> None:
    """If a server repeats the request in its response, no exception and no log record shows the request."""

    def serve(connection: Any) -> None:
        request = read_request(connection)
        line = request.split(b"\r\n")[0]
        connection.sendall(
            b"HTTP/1.1 200 " + line + b"\r\nX-Echo" + line + b" " + request.rsplit(b"\r\n")[-1]
        )

    with RawServer(serve) as server:
        url = f"http://127.0.0.1:{server.port}/rest"
        async with client_of_version(sandbox, base_url=url, retry=TWICE) as sms:
            shown = await _run(sms)
    _assert_private(shown, records, sandbox)


@pytest.mark.sms_real
async def test_a_tunnel_shows_the_proxy_nothing(sandbox: Sandbox) -> None:
    """The CONNECT request to a proxy contains the host of the gateway, but no part of the API request."""
    heard: list[bytes] = []

    def serve(connection: Any) -> None:
        heard.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

    with RawServer(serve) as server:
        sms = AsyncSmsClient(
            "login",
            PASSWORD,
            base_url="https://gateway.invalid/rest",
            proxy=f"http://127.0.0.1:{server.port}",
            retry=ONCE,
        )
        async with sms:
            with pytest.raises(SmsApiError):
                await sms.balance()
    assert all(line.startswith(b"CONNECT gateway.invalid:443 HTTP/1.1\r\n") for line in heard)
    assert heard
    assert not [line for line in heard if b"horse" in line or b"login" in line]
