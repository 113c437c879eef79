"""Tests of `smsapi_async.blocking.SmsClient`: the client for threads."""

import asyncio
import contextvars
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio

from smsapi_async import (
    Accepted,
    AsyncSmsClient,
    BatchHalted,
    ClientClosed,
    InvalidOperation,
    Message,
    NotSent,
    OutcomeUnknown,
    Phase,
    SmsApiError,
    ValidationError,
    WrongEventLoop,
)
from smsapi_async.blocking import CalledInEventLoop, SmsClient
from smsapi_async.ledger import Ledger, RequestAnswer, Summary
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan

NUMBER, TEXT = "79031234567", "The code is 4711"
PATIENCE = 20


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve a sandbox."""
    with run_sandbox() as running:
        yield running


def client_of(sandbox: Sandbox, **options: Any) -> SmsClient:
    """Return a client of a sandbox."""
    return SmsClient(
        sandbox.login, sandbox.password, base_url=sandbox.base_url, source_address="ACME", **options
    )


def logins(sandbox: Sandbox) -> int:
    """Return the number of logins that the sandbox got."""
    return sum(arrival.resource == "User/SessionId" for arrival in sandbox.account.arrivals)


def test_stats(sandbox: Sandbox) -> None:
    """`stats` counts the calls of all threads, also before the first call and after the end."""
    with client_of(sandbox) as sms:
        assert (sms.stats.logins, sms.stats.by_outcome) == (0, {})
        with ThreadPoolExecutor(2) as threads:
            assert len([*threads.map(lambda text: sms.send(NUMBER, text), ("one", "two"))]) == 2
    assert (sms.stats.logins, sms.stats.by_outcome) == (1, {"accepted": 2})


def test_every_method_of_the_async_client() -> None:
    """Each public method of `AsyncSmsClient` has a blocking method with the same docstring."""
    names = {name for name in vars(AsyncSmsClient) if not name.startswith("_")} - {"aclose"}
    assert names <= {*dir(SmsClient)}
    for name in names - {"from_env"}:
        assert getattr(SmsClient, name).__doc__ == getattr(AsyncSmsClient, name).__doc__


def test_the_methods(sandbox: Sandbox) -> None:
    """Each method returns the result of the method of the async client."""
    sandbox.receive(NUMBER, text="yes")
    with client_of(sandbox, clock=sandbox.clock) as sms:
        receipt = sms.send(NUMBER, TEXT)
        day = receipt.accepted_at + timedelta(days=1)
        assert sms.send_by_time_zone(NUMBER, TEXT, send_date=day.replace(tzinfo=None)).segment_ids
        assert len(sms.send_bulk([NUMBER, "79161234567"], TEXT)) == 2
        assert sms.balance() == sandbox.balance
        assert sms.state(receipt.segment_ids[0]).segment_id == receipt.segment_ids[0]
        assert [message.text for message in sms.incoming()] == ["yes"]
        assert sms.statistics(receipt.accepted_at, day).total == 4
        sandbox.advance(minutes=1)
        assert sms.wait_delivered(receipt).phase is Phase.DELIVERED
        with sms.track([receipt]) as deliveries:
            assert [delivery.phase for delivery in deliveries] == [Phase.DELIVERED]
        with sms.watch_incoming(since=receipt.accepted_at - timedelta(minutes=1)) as incoming:
            assert next(incoming).text == "yes"
        assert (sms.stats.logins, sms.stats.by_outcome["accepted"]) == (1, 3)
    assert logins(sandbox) == 1


def test_from_env(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client reads the same environment variables as the async client."""
    monkeypatch.setenv("SMSAPI_LOGIN", sandbox.login)
    monkeypatch.setenv("SMSAPI_PASSWORD", sandbox.password)
    monkeypatch.setenv("SMSAPI_BASE_URL", sandbox.base_url)
    with SmsClient.from_env(source_address="Shop") as sms:
        sms.send(NUMBER, TEXT)
    assert [message.source_address for message in sandbox.account.messages] == ["Shop"]
    monkeypatch.delenv("SMSAPI_PASSWORD")
    with pytest.raises(ValidationError, match="SMSAPI_PASSWORD"):
        SmsClient.from_env()


def test_threads_share_one_login(sandbox: Sandbox) -> None:
    """Twenty threads of a WSGI server make one login and use at most `concurrency` connections."""
    with client_of(sandbox, concurrency=4) as sms, ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda index: sms.send(f"790312345{index:02}", TEXT), range(60)))
    assert logins(sandbox) == 1
    assert len({message.destination_address for message in sandbox.account.messages}) == 60


def test_clicks_in_threads(sandbox: Sandbox, tmp_path: Path) -> None:
    """Twenty clicks in twenty threads with one key send one message, and the ledger needs no `async with`."""
    ledger = Ledger.sqlite(tmp_path / "codes.db")
    start = threading.Barrier(20)

    def click(_: int) -> object:
        start.wait(PATIENCE)
        return sms.send(NUMBER, TEXT, key="login 17", ledger=ledger)

    with client_of(sandbox) as sms, ThreadPoolExecutor(20) as threads:
        receipts = list(threads.map(click, range(20)))
        assert sms.call(ledger.summary) == Summary(accepted=1, segments=1)
    assert receipts == receipts[:1] * 20
    assert len(sandbox.account.messages) == 1


def test_a_ledger_of_two_clients(sandbox: Sandbox, tmp_path: Path) -> None:
    """A ledger closes with its client, and the next client opens the same object again."""
    ledger = Ledger.sqlite(tmp_path / "codes.db")
    for _ in range(2):
        with client_of(sandbox) as sms:
            assert sms.open(ledger) is sms.open(ledger)
            sms.send(NUMBER, TEXT, key="login 17", ledger=ledger)
    assert len(sandbox.account.messages) == 1


def test_a_batch(sandbox: Sandbox, tmp_path: Path) -> None:
    """A batch in a `for` loop has one outcome for each message, and continues after a `break`."""
    messages = [Message(f"790312{index:05}", TEXT) for index in range(300)]
    ledger = Ledger.sqlite(tmp_path / "run.db")
    with client_of(sandbox) as sms:
        with sms.send_many(messages, ledger=ledger, recipients_per_request=20) as outcomes:
            assert isinstance(next(outcomes), Accepted)
        with sms.send_many(iter(messages), ledger=ledger) as outcomes:
            assert len(list(outcomes)) == 300
    assert len(sandbox.account.messages) == 300


def test_a_batch_that_halts(sandbox: Sandbox) -> None:
    """The error at the end of a batch reaches the `for` loop of the thread."""
    sandbox.balance = 3
    with (
        client_of(sandbox) as sms,
        pytest.raises(BatchHalted) as caught,
        sms.send_many([Message(NUMBER, str(index)) for index in range(9)]) as outcomes,
    ):
        for _ in outcomes:
            pass
    assert caught.value.cause.code == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("send", "expected"),
    [
        (lambda sms: sms.send("79031234806", TEXT), InvalidOperation),
        (lambda sms: sms.send("8", TEXT), ValidationError),
        (lambda sms: sms.send(NUMBER, ""), ValidationError),
        (lambda sms: sms.send(NUMBER, TEXT, key="without a ledger"), ValidationError),
        (lambda sms: sms.send_many([], grace=-1).__enter__(), ValidationError),
        (lambda sms: sms.close(grace=-1), ValidationError),
    ],
)
def test_errors_come_unchanged(
    send: Callable[[SmsClient], object], expected: type[SmsApiError], sandbox: Sandbox
) -> None:
    """A thread gets the error of the async client, and the client can be used afterwards."""
    with client_of(sandbox) as sms:
        with pytest.raises(expected):
            send(sms)
        assert sms.balance() == sandbox.balance


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (FaultPlan.script([Fault.RESET_AFTER_PASS], resource="Sms/Send"), OutcomeUnknown),
        (FaultPlan.script([Fault.REFUSE] * 99), NotSent),
    ],
)
def test_a_broken_connection(plan: FaultPlan, expected: type[SmsApiError]) -> None:
    """A thread learns whether its message may have been sent, and no traceback shows a number or a text."""
    with run_sandbox(faults=plan) as sandbox, client_of(sandbox) as sms:
        with pytest.raises(expected) as caught:
            sms.send(NUMBER, TEXT, timeout=5)
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        # The frame of this test contains the number and the text, too.
        shown = "".join("".join(told.format()).partition("blocking.py")[1:])
    assert "blocking.py" in shown
    for private in (NUMBER, NUMBER[1:], TEXT, "4711", sandbox.password):
        assert private not in shown
        assert private not in repr(sms)


@pytest.mark.parametrize("run", [asyncio.run, trio.run, anyio.run])
def test_a_call_on_an_event_loop(run: Any, sandbox: Sandbox) -> None:
    """A call in a coroutine raises an error that names the async client, and makes no request."""
    sms = client_of(sandbox)

    async def main() -> None:
        for call in (lambda: sms.send(NUMBER, TEXT), sms.balance, sms.close, sms.__enter__):
            with pytest.raises(CalledInEventLoop, match="AsyncSmsClient"):
                call()

    run(main() if run is asyncio.run else main)
    assert issubclass(CalledInEventLoop, WrongEventLoop)
    assert not sandbox.account.arrivals
    sms.close()


def test_a_call_in_a_callback(sandbox: Sandbox) -> None:
    """A call in a callback of asyncio, which no task runs, raises the same error."""
    errors: list[Exception] = []

    def call() -> None:
        try:
            sms.balance()
        except CalledInEventLoop as error:
            errors.append(error)

    async def main() -> None:
        asyncio.get_running_loop().call_soon(call)
        await asyncio.sleep(0)

    with client_of(sandbox) as sms:
        asyncio.run(main())
    assert len(errors) == 1
    assert not sandbox.account.arrivals


def test_a_call_in_a_worker_thread(sandbox: Sandbox) -> None:
    """A synchronous view of an ASGI application, which runs in a thread, uses the client."""

    async def main() -> None:
        await asyncio.to_thread(sms.send, NUMBER, TEXT)
        await anyio.to_thread.run_sync(sms.send, NUMBER, TEXT)

    with client_of(sandbox) as sms:
        asyncio.run(main())
    assert len(sandbox.account.messages) == 2


def test_the_context_is_carried(sandbox: Sandbox) -> None:
    """A context variable of the thread, for example the span of a trace, is set during the call."""
    variable = contextvars.ContextVar("variable", default="none")

    async def read() -> str:
        return variable.get()

    with client_of(sandbox) as sms:
        variable.set("span")
        assert sms.call(read) == "span"


def test_after_the_end(sandbox: Sandbox) -> None:
    """A closed client raises `ClientClosed`, also for a ledger and for a stream, and closes twice."""
    with client_of(sandbox) as sms:
        sms.balance()
    sms.close()
    calls: list[Callable[[], object]] = [
        sms.balance,
        sms.__enter__,
        lambda: sms.open(Ledger.sqlite("never.db")),
        lambda: sms.send_many([]).__enter__(),
    ]
    for call in calls:
        with pytest.raises(ClientClosed):
            call()
    assert "closed" in repr(sms)


def test_the_end_of_a_client_that_was_not_used(sandbox: Sandbox) -> None:
    """A client without a call has no thread."""
    before = threading.active_count()
    sms = client_of(sandbox)
    sms.close()
    assert threading.active_count() == before
    with pytest.raises(ClientClosed):
        sms.balance()


def test_the_end_during_calls(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If a thread closes the client, the sends and the streams of other threads end with an error each."""
    ended: list[type[BaseException]] = []
    waiting = threading.Semaphore(0)
    ledger = Ledger.sqlite(tmp_path / "run.db")
    settle = ledger.settle
    sms = client_of(sandbox)

    async def settle_slowly(token: str, answer: RequestAnswer) -> None:
        await anyio.sleep(0.1)
        await settle(token, answer)

    def send() -> None:
        try:
            sms.send(NUMBER, TEXT, key="1", ledger=ledger)
        except SmsApiError as error:
            ended.append(type(error))

    def watch() -> None:
        try:
            with sms.watch_incoming() as incoming:
                waiting.release()
                next(incoming)
        except SmsApiError as error:
            ended.append(type(error))

    monkeypatch.setattr(ledger, "settle", settle_slowly)
    with sandbox.hold("Sms/Send") as gate:
        threads = [threading.Thread(target=target) for target in (send, watch)]
        for thread in threads:
            thread.start()
        anyio.run(gate.arrived)
        assert waiting.acquire(timeout=PATIENCE)
        sms.close()
        for thread in threads:
            thread.join(PATIENCE)
    assert sorted(ended, key=str) == [ClientClosed, OutcomeUnknown]
    with client_of(sandbox) as sms:
        # The ledger was closed after the send, so the ledger has the outcome of the send.
        assert sms.call(sms.open(ledger).summary) == Summary(unknown=1)
    assert not caplog.messages


def _run(sandbox: Sandbox, script: str, *arguments: str) -> None:
    """Run a script, which must print nothing, with the environment variables of an account of the sandbox."""
    environment = {
        "SMSAPI_LOGIN": sandbox.login,
        "SMSAPI_PASSWORD": sandbox.password,
        "SMSAPI_BASE_URL": sandbox.base_url,
        "SMSAPI_SOURCE_ADDRESS": "ACME",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-W", "error", "-c", script, *arguments]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


_FORGOTTEN = """
import sys
from smsapi_async.blocking import SmsClient
from smsapi_async.ledger import Ledger

sms = SmsClient.from_env()
sms.send("79031234567", "text", key="1", ledger=Ledger.sqlite(sys.argv[1]))
"""


def test_a_program_that_closes_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """A program that does not close its client ends at once, without a warning, and with a closed ledger."""
    ledger = tmp_path / "run.db"
    _run(sandbox, _FORGOTTEN, str(ledger))
    assert [message.text for message in sandbox.account.messages] == ["text"]
    assert not ledger.with_name("run.db-wal").exists()


_TOO_MANY_FILES = """
import errno, resource, sys
import anyio
from smsapi_async.blocking import SmsClient

sms = SmsClient.from_env()
anyio.run(anyio.sleep, 0)
# asyncio cannot close the event loop that it could not create, and reports this.
sys.unraisablehook = lambda _: None
usual, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
try:
    sms.balance()
except OSError as error:
    assert error.errno == errno.EMFILE
else:
    raise AssertionError
resource.setrlimit(resource.RLIMIT_NOFILE, (usual, hard))
sms.balance()
"""


def test_too_many_open_files(sandbox: Sandbox) -> None:
    """If no event loop can start, the call raises the error of the system, and a later call works."""
    pytest.importorskip("resource")
    _run(sandbox, _TOO_MANY_FILES)
    assert logins(sandbox) == 1
