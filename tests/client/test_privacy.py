"""Nothing private is in a log record, an exception or a repr, whatever happens."""

import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from smsapi_async import AsyncSmsClient, RetryPolicy, SmsApiError, Timeouts
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan, run_fault_proxy
from tests.client.tools import RawServer, client_for, read_request

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse+battery"
TEXT = "Ваш код 4711-0815, никому не говорите"
NUMBER = "79031234567"
START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
async def sandbox(anyio_backend: str) -> AsyncIterator[Sandbox]:
    """A gateway whose password needs encoding in a URL."""
    async with run_sandbox(password=PASSWORD) as running:
        yield running


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """Every record of every logger at DEBUG."""
    seen: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    root = logging.getLogger()
    handler, level = Keep(level=0), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield seen
    root.removeHandler(handler)
    root.setLevel(level)


def _calls(sms: AsyncSmsClient) -> list[Callable[[], Awaitable[Any]]]:
    return [
        sms.balance,
        lambda: sms.send(NUMBER, TEXT),
        lambda: sms.send_by_time_zone(NUMBER, TEXT, send_date=datetime(2030, 1, 1)),  # noqa: DTZ001
        lambda: sms.send_bulk([NUMBER, "+" + NUMBER], TEXT),
        lambda: sms.state("579700854169272358"),
        lambda: sms.incoming(since=START),
        lambda: sms.statistics(START, START),
    ]


async def _run(sms: AsyncSmsClient) -> list[str]:
    """Every text that a call of each resource, or its error, shows."""
    shown = [repr(sms)]
    for call in _calls(sms):
        try:
            shown.append(repr(await call()))
        except SmsApiError as error:
            shown += [str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))]
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
        *filter(None, sessions),
    }
    texts = shown + [record.getMessage() + repr(record.args) for record in records]
    for secret in secrets:
        assert not [text for text in texts if secret in text]


async def test_success_shows_nothing(sandbox: Sandbox, records: list[logging.LogRecord]) -> None:
    """With DEBUG for every logger, calls that succeed leave nothing private behind."""
    sandbox.receive(NUMBER, TEXT, destination_address="79160000000", at=START)
    async with client_for(sandbox) as sms:
        shown = await _run(sms)
    assert any(record.name == "smsapi_async" for record in records)
    _assert_private(shown, records, sandbox)


async def test_a_callers_own_client_shows_nothing(sandbox: Sandbox, records: list[logging.LogRecord]) -> None:
    """The same holds for an httpx client and a transport of the caller's."""
    async with httpx.AsyncClient() as client, client_for(sandbox, client=client) as sms:
        shown = await _run(sms)
    async with client_for(sandbox, transport=httpx.AsyncHTTPTransport()) as sms:
        shown += await _run(sms)
    assert any(record.name == "httpx" for record in records)
    _assert_private(shown, records, sandbox)


async def test_refusals_that_repeat_what_was_sent_show_nothing(
    sandbox: Sandbox, records: list[logging.LogRecord]
) -> None:
    """A gateway that quotes the number, the text or the session in its error is not quoted in turn."""
    async with client_for(sandbox) as sms:
        await sms.balance()
        session_id = sandbox.account.arrivals[-1].target.partition("SessionID=")[2]
        for code in (2, 6, 8):
            for resource in ("User/Balance", "Sms/Send", "Sms/SendByTimeZone", "Sms/SendBulk", "Sms/State"):
                text = TEXT if "Send" in resource else ""
                sandbox.refuse_next(resource, code, desc=f"{NUMBER}: {text} ({session_id})")
        shown = [text for _ in range(3) for text in await _run(sms)]
    _assert_private(shown, records, sandbox)


async def test_wrong_password_shows_nothing(sandbox: Sandbox, records: list[logging.LogRecord]) -> None:
    """A refused login shows neither the password nor the message that waited for it."""
    async with client_for(sandbox, password=PASSWORD[::-1]) as sms:
        shown = await _run(sms)
    assert sandbox.account.sessions == 0
    assert not [text for text in shown if PASSWORD[::-1] in text]
    _assert_private(shown, records, sandbox)


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.PASS])
async def test_broken_exchanges_show_nothing(
    sandbox: Sandbox, records: list[logging.LogRecord], fault: Fault
) -> None:
    """Whatever breaks, and whatever a redirect repeats, nothing private is shown."""
    port = int(sandbox.base_url.rsplit(":", 1)[1].split("/")[0])
    options: dict[str, Any] = {
        "timeouts": Timeouts(connect=0.2, read=0.2),
        "retry": RetryPolicy(attempts=2, initial=0.001),
    }
    async with (
        run_fault_proxy("127.0.0.1", port, FaultPlan.script([])) as proxy,
        client_for(sandbox, base_url=proxy.base_url, **options) as sms,
    ):
        await sms.balance()
        proxy.plan = FaultPlan.script([fault] * 100)
        shown = await _run(sms)
    _assert_private(shown, records, sandbox)


async def test_a_server_that_answers_with_the_request_shows_nothing(
    sandbox: Sandbox, records: list[logging.LogRecord]
) -> None:
    """A server that sends the request back as its own headers leaks nothing into errors or logs."""

    def serve(connection: Any) -> None:
        request = read_request(connection)
        line = request.split(b"\r\n")[0]
        connection.sendall(
            b"HTTP/1.1 200 " + line + b"\r\nX-Echo" + line + b" " + request.rsplit(b"\r\n")[-1]
        )

    with RawServer(serve) as server:
        url = f"http://127.0.0.1:{server.port}/rest"
        async with client_for(sandbox, base_url=url) as sms:
            shown = await _run(sms)
    _assert_private(shown, records, sandbox)


async def test_a_tunnel_shows_the_proxy_nothing(sandbox: Sandbox) -> None:
    """The CONNECT to a proxy names the gateway and carries nothing of the request."""
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
        )
        async with sms:
            with pytest.raises(SmsApiError):
                await sms.balance()
    assert all(line.startswith(b"CONNECT gateway.invalid:443 HTTP/1.1\r\n") for line in heard)
    assert heard
    assert not [line for line in heard if b"horse" in line or b"login" in line]
