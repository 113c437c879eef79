"""Tests that the programs on the migration page run, and that its statements about older clients are true."""

import gc
import inspect
import os
import re
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta, timezone
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import pytest

from smsapi_async import (
    AsyncSmsClient,
    Phase,
    RetryPolicy,
    SegmentIdsUnattributed,
    Timeouts,
    ValidationError,
)
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan
from smsapi_async.sandbox.tables import RESOURCES
from tests.client.tools import RawServer, client_for, json_answer, read_request
from tests.migration.older_clients import (
    NUMBER,
    TEXT,
    DevinoClient,
    Send,
    VendorCalls,
    devino_client,
    devino_send,
    has_opener,
    vendor_send,
)

PAGE = Path(__file__).parents[2] / ".github" / "MIGRATION.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
PRICE = Decimal("3.20")


def _table(heading: str) -> list[list[str]]:
    """Return the rows of the table below a heading, without its head."""
    section = PAGE.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


FAULTS = _table("What a broken connection does")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve a gateway behind a fault proxy that passes everything on."""
    with run_sandbox(faults=FaultPlan(), price=PRICE) as running:
        yield running


def _new_send(sandbox: Sandbox) -> Send:
    """Return a function that sends a message with this package, after a login."""

    async def send() -> object:
        # A login of a busy machine may take more time than the timeout, so it gets many attempts.
        retry = RetryPolicy(attempts=20, initial=0.001, maximum=0.001)
        async with client_for(sandbox, timeouts=Timeouts(read=0.3), retry=retry) as sms:
            return (await sms.send(NUMBER, TEXT)).segment_ids

    return lambda: anyio.run(send)


CLIENTS: dict[str, Callable[[Sandbox], Send]] = {
    "sw-python-sms-devino": devino_send,
    "vendor": vendor_send,
    "smsapi-async": _new_send,
}


def _break(sandbox: Sandbox, fault: str) -> None:
    """Let the next request to send a message meet a fault of the table."""
    assert sandbox.proxy is not None
    if fault == "connection refused":
        sandbox.proxy.refuse_connections(True)
    elif fault.startswith("code "):
        sandbox.refuse_next("Sms/Send", int(fault.split()[1]))
    else:
        sandbox.proxy.plan = FaultPlan.script([Fault(fault)], resource="Sms/Send")


class _Call:
    """One send in a thread, because the older clients wait without end for some responses.

    Attributes:
        seen: what the caller of the send saw, in the words of the table.
    """

    def __init__(self, send: Send) -> None:
        self.seen = "waits without end"
        self.thread = threading.Thread(target=self._run, args=[send])
        self.thread.start()

    def _run(self, send: Send) -> None:
        try:
            send()
        except Exception as error:  # noqa: BLE001 - the table contains the class
            self.seen = f"`{type(error).__name__}`"
            # The system decides which subclass of `OSError` a broken connection has.
            if type(error).__module__ == "builtins" and isinstance(error, OSError):
                self.seen = "`OSError`"
        else:
            self.seen = "result"


def _billed(sandbox: Sandbox, fault: str) -> int:
    """Return how many messages the gateway has accepted, after it has read all requests of the send."""
    proxy = sandbox.proxy
    assert proxy is not None
    if fault in set(Fault):
        # The proxy may pass the request on after the caller has given up. The older clients write `sms/send`.
        while not any(entry.resource.casefold() == "sms/send" for entry in proxy.history):
            time.sleep(0.01)
        while Fault(fault).reaches_gateway and not sandbox.account.messages:
            time.sleep(0.01)
    return len(sandbox.account.messages)


# The opener of the vendor's example does not close its connections.
UNCLOSED = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize(
    "client", [pytest.param(name, marks=UNCLOSED if name == "vendor" else []) for name in CLIENTS]
)
@pytest.mark.parametrize("row", FAULTS, ids=[row[0].strip("`") for row in FAULTS])
def test_a_broken_connection_has_the_effect_in_the_table(row: list[str], client: str) -> None:
    """The caller sees what the table says, and the gateway bills as many messages as the table says."""
    if client == "vendor" and not has_opener():
        pytest.skip("this Python has no FancyURLopener")
    expected = row[1 + list(CLIENTS).index(client)]
    fault = row[0].strip("`")
    with run_sandbox(faults=FaultPlan()) as sandbox:
        send = CLIENTS[client](sandbox)
        _break(sandbox, fault)
        call = _Call(send)
        # A caller that waits is let go by the end of the sandbox.
        call.thread.join(0.5 if expected.startswith("waits") else None)
        seen, billed = call.seen, _billed(sandbox, fault)
    call.thread.join()
    assert f"{seen}, {billed}" == expected
    del send, call
    gc.collect()  # the warnings about connections that are not closed belong to this test


def test_each_link_of_the_page_is_valid() -> None:
    """Each link on the page leads to a file of the repository."""
    links = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text())
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_each_program_of_the_page_runs(number: int, tmp_path: Path) -> None:
    """Each Python program on the page runs with the account in the environment, and sends its messages."""
    if "smsapi_async.blocking" in PROGRAMS[number] and find_spec("smsapi_async.blocking") is None:
        pytest.skip("this version has no blocking client")
    with run_sandbox(speed=20) as sandbox:
        account = {
            "SMSAPI_LOGIN": sandbox.login,
            "SMSAPI_PASSWORD": sandbox.password,
            "SMSAPI_BASE_URL": sandbox.base_url,
            "SMSAPI_SOURCE_ADDRESS": "ACME",
        }
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAMS[number]],
            env={**os.environ, **account},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout
        assert sandbox.account.messages


def test_each_call_of_the_table_exists() -> None:
    """Each method in the table "Call by call" is a method of its client, with the parameters of the table."""
    rows = _table("Call by call")
    for client, column, owner in ((AsyncSmsClient, 3, "sms"), (DevinoClient, 1, "client")):
        calls = re.findall(rf"\b{owner}\.(\w+)\(([^)]*)\)", " ".join(row[column] for row in rows))
        assert len(calls) >= 4
        for method, arguments in calls:
            names = re.findall(r"(\w+)=", arguments)
            assert {*names} <= {*inspect.signature(getattr(client, method)).parameters}
    assert {row[0].strip("`").casefold() for row in rows} < RESOURCES.keys()


def _raised(call: Callable[[], object]) -> Exception:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - the caller checks the class
        return error
    raise AssertionError("no error was raised")


def test_the_session_is_not_renewed(sandbox: Sandbox) -> None:
    """After 120 minutes each call of the older client fails, and its error has no text."""
    client = devino_client(sandbox)
    sandbox.advance(minutes=121)
    for _ in range(2):
        error = _raised(lambda: client.send_one("ACME", NUMBER, TEXT))
        assert (type(error).__name__, str(error)) == ("DevinoException", "")

    async def send() -> None:
        async with client_for(sandbox) as sms:
            await sms.balance()
            sandbox.advance(minutes=121)
            await sms.send(NUMBER, TEXT)

    anyio.run(send)
    assert len(sandbox.account.messages) == 1


def test_the_password_is_in_the_traceback_of_a_failed_login(sandbox: Sandbox) -> None:
    """A log of the older client shows the password after a login without a connection, and ours does not."""
    assert sandbox.proxy is not None
    sandbox.proxy.refuse_connections(True)

    async def send() -> None:
        async with client_for(sandbox, retry=RetryPolicy(attempts=1)) as sms:
            await sms.send(NUMBER, TEXT)

    older = _raised(DevinoClient(sandbox.login, sandbox.password, url=sandbox.base_url).get_balance)
    ours = _raised(lambda: anyio.run(send))
    assert f"password={sandbox.password}" in "".join(traceback.format_exception(older))
    assert sandbox.password not in "".join(traceback.format_exception(ours))


def test_values_have_other_types(sandbox: Sandbox) -> None:
    """The balance is a `float` and a price is not exact in the older client; here both are `Decimal`."""
    client = devino_client(sandbox)
    (segment_id,) = client.send_one("ACME", NUMBER, TEXT).sms_ids
    sandbox.advance(seconds=10)
    older = client.get_state(segment_id)
    assert isinstance(client.get_balance(), float)
    assert str(older.price).startswith("3.20000000000000017763")
    assert (older.code, older.result_dt.tzinfo) == (0, None)

    async def read() -> None:
        async with client_for(sandbox) as sms:
            state = await sms.state(segment_id)
            assert state.price == Decimal("3.2")
            assert isinstance(await sms.balance(), Decimal)
            assert (state.state, state.phase) == (0, Phase.DELIVERED)
            assert state.reported_date is not None
            assert state.reported_date.utcoffset() == timedelta(0)

    anyio.run(read)


@pytest.mark.skipif(not has_opener(), reason="this Python has no FancyURLopener")
def test_the_date_of_a_send(sandbox: Sandbox) -> None:
    """The date of the vendor's example is in GMT+03:00; this package refuses a date without a time zone."""
    aware = (
        (sandbox.now() + timedelta(days=1)).astimezone(timezone(timedelta(hours=3))).replace(microsecond=0)
    )
    VendorCalls(sandbox).send(aware.replace(tzinfo=None).isoformat())

    async def send() -> None:
        async with client_for(sandbox) as sms:
            with pytest.raises(ValidationError, match="send_date"):
                await sms.send(NUMBER, TEXT, send_date=aware.replace(tzinfo=None))
            await sms.send(NUMBER, TEXT, send_date=aware)

    anyio.run(send)
    assert [message.send_date for message in sandbox.account.messages] == [aware] * 2


def test_a_number_with_the_trunk_prefix(sandbox: Sandbox) -> None:
    """The gateway of the contract refuses 89031234567 with code 6; this package sends it as 79031234567."""
    client = devino_client(sandbox)
    error: Any = _raised(lambda: client.send_one("ACME", "89031234567", TEXT))
    assert error.error.code == 6

    async def send() -> None:
        async with client_for(sandbox) as sms:
            with pytest.raises(ValidationError, match="destination_address"):
                await sms.send("9031234567x", TEXT)
            await sms.send("89031234567", TEXT)

    anyio.run(send)
    assert [message.destination_address for message in sandbox.account.messages] == ["79031234567"]


def test_ids_of_a_bulk_that_cannot_be_divided(sandbox: Sandbox) -> None:
    """If three ids belong to two messages, the older client returns nothing, and this package all ids."""
    session = "0" * 36

    def serve(connection: Any) -> None:
        while head := read_request(connection):
            connection.sendall(
                json_answer(b'["1","2","3"]' if b"sendbulk" in head.lower() else b'"%s"' % session.encode())
            )

    with RawServer(serve) as server:
        url = f"http://127.0.0.1:{server.port}/rest"

        assert (
            DevinoClient("login", "password", url=url).send_bulk("ACME", [NUMBER, "79161234567"], TEXT) == []
        )

        async def send() -> None:
            async with client_for(sandbox, base_url=url) as sms:
                await sms.send_bulk([NUMBER, "79161234567"], TEXT)

        error = _raised(lambda: anyio.run(send))
        assert isinstance(error, SegmentIdsUnattributed)
        assert error.segment_ids == ("1", "2", "3")
