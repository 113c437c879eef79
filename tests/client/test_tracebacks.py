"""Tests that a traceback with local variables shows no private data in the frames of this package."""

import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import pytest
from rich.pretty import pretty_repr

import smsapi_async
from smsapi_async import (
    AsyncSmsClient,
    Batch,
    Delivery,
    Inbox,
    InvalidCredentials,
    MemorySessionStore,
    Message,
    Phase,
    Receipt,
    RetryPolicy,
    Schedule,
    SegmentIdsUnattributed,
    Session,
    SmsApiError,
    SystemClock,
    Tracking,
    ValidationError,
)
from smsapi_async.ledger import Ledger, RequestAnswer, Resolution
from smsapi_async.sandbox import Dialect, Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan, FaultProxy
from tests.client.tools import RawServer, client_of_version, json_answer, logged_in_store, read_request, until

pytestmark = [pytest.mark.anyio, pytest.mark.over_httpx2("asyncio-httpx2")]

PASSWORD = "correct horse+battery"
TEXT = "Ваш код 4711-0815, никому не говорите"
NUMBER = "79169876543"
SEGMENT_ID = f"SAR-GW01+{NUMBER}-5f3b1972-2-1"
NINE = datetime(2030, 1, 1, 9, 0)  # noqa: DTZ001
START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ONCE = RetryPolicy(attempts=1)
PACKAGE = os.path.dirname(smsapi_async.__file__)
RECEIPT = Receipt(Message(NUMBER, TEXT), (SEGMENT_ID,), START)

Call = Callable[[AsyncSmsClient], Awaitable[object]]


async def _send_many(sms: AsyncSmsClient, ledger: Ledger | None = None) -> list[object]:
    messages = [Message(NUMBER, TEXT, key=f"order {NUMBER}"), Message(NUMBER, TEXT + "!")]
    messages += [Message(NUMBER, TEXT, send_date=NINE, by_time_zone=True, key=f"{NUMBER} {i}") for i in "12"]
    async with sms.send_many(messages, ledger=ledger, grace=0) as outcomes:
        return [outcome async for outcome in outcomes]


async def _track(sms: AsyncSmsClient) -> object:
    async with sms.track([RECEIPT]) as deliveries:
        return await anext(deliveries)


async def _entered(made: Batch | Inbox | Tracking | AsyncSmsClient) -> None:
    """Fail the test if an object with a wrong setting was made."""
    raise AssertionError(made)


async def _first(stream: Tracking) -> object:
    async with stream:
        return await anext(stream)


CALLS: dict[str, Call] = {
    "balance": lambda sms: sms.balance(),
    "send": lambda sms: sms.send(NUMBER, TEXT),
    "send_by_time_zone": lambda sms: sms.send_by_time_zone(NUMBER, TEXT, send_date=NINE),
    "send_bulk": lambda sms: sms.send_bulk([NUMBER, "+" + NUMBER], TEXT),
    "local bulk": lambda sms: sms.send_bulk([NUMBER], TEXT, send_date=NINE, by_time_zone=True),
    "send_many": _send_many,
    "state": lambda sms: sms.state(SEGMENT_ID),
    "track": _track,
    "wait_delivered": lambda sms: sms.wait_delivered(RECEIPT),
    "incoming": lambda sms: sms.incoming(since=START),
    "statistics": lambda sms: sms.statistics(START, START),
}
"""Each public call that makes a request."""

BAD_CALLS: dict[str, Call] = {
    "number": lambda sms: sms.send("+7 (916) 987-65-43", TEXT),
    "a digit short": lambda sms: sms.send("7916987654", TEXT),
    "text": lambda sms: sms.send(NUMBER, TEXT * 100),
    "surrogate": lambda sms: sms.send(NUMBER, TEXT + "\ud800"),
    "source": lambda sms: sms.send(NUMBER, TEXT, source_address=NUMBER + NUMBER),
    "date": lambda sms: sms.send(NUMBER, TEXT, send_date=datetime(2030, 1, 1)),  # noqa: DTZ001
    "validity": lambda sms: sms.send(NUMBER, TEXT, validity=-1),
    "timeout": lambda sms: sms.send(NUMBER, TEXT, timeout=-1),
    "local date": lambda sms: sms.send_by_time_zone(NUMBER, TEXT, send_date=START),
    "numbers": lambda sms: sms.send_bulk([NUMBER, "7916987654"], TEXT),
    "a number alone": lambda sms: sms.send_bulk(NUMBER, TEXT),
    "bulk text": lambda sms: sms.send_bulk([NUMBER], TEXT * 100),
    "local bulk date": lambda sms: sms.send_bulk([NUMBER], TEXT, send_date=START, by_time_zone=True),
    "bulk date": lambda sms: sms.send_bulk([NUMBER], TEXT, send_date=datetime(2030, 1, 1)),  # noqa: DTZ001
    "segment id": lambda sms: sms.state(SEGMENT_ID + "\ud800"),
    "messages": lambda sms: _entered(sms.send_many([(NUMBER, TEXT)], grace=-1)),  # type: ignore[list-item]
    "receipts": lambda sms: _entered(sms.track([SEGMENT_ID], deadline=-1)),  # type: ignore[list-item]
    "an item": lambda sms: _first(sms.track([SEGMENT_ID])),  # type: ignore[list-item]
    "receipt": lambda sms: sms.wait_delivered(SEGMENT_ID),  # type: ignore[arg-type]
    "wait": lambda sms: sms.wait_delivered(RECEIPT, timeout=-1),
}


MISPLACED: dict[str, Call] = {
    "text as timeout": lambda sms: sms.send(NUMBER, TEXT, timeout=TEXT),  # type: ignore[arg-type]
    "number as date": lambda sms: sms.send(NUMBER, TEXT, send_date=NUMBER),  # type: ignore[arg-type]
    "number as grace": lambda sms: _entered(sms.send_many([], grace=NUMBER)),  # type: ignore[arg-type]
    "number as interval": lambda sms: _entered(sms.watch_incoming(every=NUMBER)),  # type: ignore[arg-type]
    "text as validity": lambda sms: sms.send(NUMBER, TEXT, validity=TEXT),  # type: ignore[arg-type]
    "number as concurrency": lambda _: _entered(AsyncSmsClient("login", PASSWORD, concurrency=NUMBER)),  # type: ignore[arg-type]
}


def _chain(error: BaseException | None) -> list[BaseException]:
    """Return an exception with its causes, its contexts and the members of its groups."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and each not in found:
            found.append(each)
            waiting += [each.__cause__, each.__context__]
            waiting += each.exceptions if isinstance(each, BaseExceptionGroup) else []
    return found


def _locals(frames: Iterable[tuple[FrameType, int]]) -> list[str]:
    """Return each local variable of the package's frames, and of the HTTP libraries' frames, as a text.

    The standard library shows the `repr`. rich and structlog cut long values and look into attrs objects.
    """
    texts = []
    for frame, line in frames:
        file = frame.f_code.co_filename
        is_ours = file.startswith(PACKAGE) and f"{os.sep}sandbox{os.sep}" not in file
        if is_ours or re.search(r"site-packages/(httpx|httpcore|h11)/", file):
            for name, value in frame.f_locals.items():
                cut = pretty_repr(value, max_string=60, max_length=20)
                texts.append(f"{file}:{line} {frame.f_code.co_name} {name}={value!r} {cut}")
    return texts


def _shown(error: BaseException, *, with_attributes: bool) -> list[str]:
    """Return the texts of an exception that a program may write to a log."""
    texts = []
    for each in _chain(error):
        traceback.TracebackException.from_exception(each, capture_locals=True)
        texts += _locals(traceback.walk_tb(each.__traceback__))
        texts += [str(each), repr(each), repr(vars(each)) if with_attributes else ""]
    return texts


def _secrets(sandbox: Sandbox | None) -> set[str]:
    account = None if sandbox is None else sandbox.account
    targets = [] if account is None else [arrival.target for arrival in account.arrivals]
    sessions = {target.partition("SessionID=")[2].partition("&")[0] for target in targets} - {""}
    ids = [] if account is None else [each for message in account.messages for each in message.segment_ids]
    return {PASSWORD, "correct+horse", TEXT, "4711-0815", NUMBER, NUMBER[1:], "5f3b1972", *sessions, *ids}


def assert_private(
    error: BaseException, sandbox: Sandbox | None = None, *, with_attributes: bool = True
) -> None:
    """Assert that a traceback of the error contains no private value."""
    shown = _shown(error, with_attributes=with_attributes)
    leaks = [(secret, text) for text in shown for secret in _secrets(sandbox) if secret in text]
    assert not leaks


@pytest.fixture
async def sandbox(transport: str, api_version: int) -> AsyncIterator[Sandbox]:
    """Serve a sandbox whose account has a password with characters that must be encoded in a URL.

    Only the gateway of a client of version 2 has version 2.
    """
    dialect = Dialect.CONTRACT if api_version == 1 else Dialect.LATEST
    async with run_sandbox(password=PASSWORD, dialect=dialect) as running:
        yield running


async def _failure(call: Call, sms: AsyncSmsClient) -> BaseException | None:
    try:
        await call(sms)
    except SmsApiError as error:
        return error
    return None


@pytest.mark.parametrize("api_version", [1])
@pytest.mark.parametrize("name", BAD_CALLS)
async def test_bad_input(sandbox: Sandbox, name: str) -> None:
    """The traceback of a wrong parameter does not show the number and the text in the library's frames."""
    async with client_of_version(sandbox) as sms:
        error = await _failure(BAD_CALLS[name], sms)
    assert error is not None
    assert_private(error, sandbox)


@pytest.mark.parametrize("api_version", [1])
@pytest.mark.parametrize("name", MISPLACED)
async def test_misplaced_values(sandbox: Sandbox, name: str) -> None:
    """The error of a call that confuses two parameters does not show the text or the number."""
    async with client_of_version(sandbox) as sms:
        error = await _failure(MISPLACED[name], sms)
    shown = f"{error} {error!r} {vars(error)} {Message(NUMBER, TEXT, send_date=NUMBER, validity=TEXT)!r}"  # type: ignore[arg-type]
    assert isinstance(error, ValidationError)
    assert not [secret for secret in _secrets(sandbox) if secret in shown]


async def test_a_closed_client(sandbox: Sandbox) -> None:
    """The traceback of a call of a closed client does not show the number and the text."""
    sms = client_of_version(sandbox)
    await sms.aclose()
    for call in CALLS.values():
        error = await _failure(call, sms)
        assert error is not None
        assert_private(error)


@pytest.mark.parametrize("code", [1, 2, 4, 5, 6, 7, 8, 9])
async def test_refusals(sandbox: Sandbox, code: int) -> None:
    """The traceback of a refusal does not show what was sent, also if the gateway repeats it."""
    text = f"{NUMBER} {TEXT} {PASSWORD}"
    descriptions = {"User/Balance": PASSWORD, "Sms/State": f"{SEGMENT_ID} {PASSWORD}"}
    async with client_of_version(sandbox, retry=ONCE) as sms:
        for name, call in CALLS.items():
            if name in {"track", "wait_delivered"} and code not in {4, 5, 7}:
                continue
            for resource in ("User/Balance", "Sms/Send", "Sms/SendByTimeZone", "Sms/SendBulk", "Sms/State"):
                sandbox.refuse_next(resource, code, desc=descriptions.get(resource, text))
            error = await _failure(call, sms)
            if error is not None:
                assert_private(error, sandbox)


async def test_not_sent(sandbox: Sandbox) -> None:
    """The traceback of a call that reached no server does not show what it wanted to send."""
    with RawServer(lambda _: None) as server:
        server.refuse()
        url = f"http://127.0.0.1:{server.port}/rest"
        store = await logged_in_store(sandbox)
        for options in ({}, {"session_store": store}):
            async with client_of_version(sandbox, base_url=url, retry=ONCE, **options) as sms:
                for name in CALLS.keys() - {"track", "wait_delivered"}:
                    error = await _failure(CALLS[name], sms)
                    assert error is not None
                    assert_private(error, sandbox)


@pytest.mark.parametrize(
    "fault", [Fault.TRUNCATE_AFTER_PASS, Fault.ERROR_500, Fault.GARBAGE, Fault.RESET_AFTER_READ]
)
async def test_unknown(sandbox: Sandbox, proxy: FaultProxy, fault: Fault) -> None:
    """The traceback of a broken exchange does not show what was sent."""
    proxy.plan = FaultPlan.script([fault] * 100)
    store = await logged_in_store(sandbox)
    async with client_of_version(sandbox, base_url=proxy.base_url, retry=ONCE, session_store=store) as sms:
        for name in CALLS.keys() - {"track", "wait_delivered", "send_many"}:
            error = await _failure(CALLS[name], sms)
            assert error is not None
            assert_private(error, sandbox)


async def _cancelled(call: Call, sms: AsyncSmsClient, is_reached: Callable[[], object]) -> BaseException:
    """Cancel a call when the server has its request, and return the exception of the cancellation."""
    caught: list[BaseException] = []

    async def run() -> None:
        try:
            await call(sms)
        except BaseException as error:
            caught.append(error)
            raise

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await until(is_reached)
        group.cancel_scope.cancel()
    return caught[0]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("is_logged_in", [True, False])
async def test_cancelled(sandbox: Sandbox, name: str, is_logged_in: bool) -> None:
    """The traceback of a cancelled call does not show what was sent, neither during the login."""
    heard: list[bytes] = []

    def serve(connection: Any) -> None:
        heard.append(read_request(connection))
        connection.recv(1)

    options: dict[str, Any] = {"session_store": await logged_in_store(sandbox)} if is_logged_in else {}
    with RawServer(serve) as server:
        url = f"http://127.0.0.1:{server.port}/rest"
        async with client_of_version(sandbox, base_url=url, retry=ONCE, **options) as sms:
            error = await _cancelled(CALLS[name], sms, lambda: heard)
            assert_private(error, sandbox)


@pytest.mark.parametrize("library", ["httpx", "httpx2"], indirect=True)
@pytest.mark.parametrize("name", ["send", "balance"])
async def test_cancelled_in_the_callers_client(sandbox: Sandbox, name: str, library: Any) -> None:
    """The frames of an HTTP client of the caller do not show the request of a cancelled call."""
    heard: list[bytes] = []

    def serve(connection: Any) -> None:
        heard.append(read_request(connection))
        connection.recv(1)

    store = await logged_in_store(sandbox)
    with RawServer(serve) as server:
        url = f"http://127.0.0.1:{server.port}/rest"
        async with (
            library.AsyncClient() as client,
            client_of_version(sandbox, base_url=url, retry=ONCE, session_store=store, client=client) as sms,
        ):
            error = await _cancelled(CALLS[name], sms, lambda: heard)
    assert_private(error, sandbox)
    # The `repr` of a request is masked, but some programs also show its attributes.
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    kept = [frame for frame in frames if frame.f_globals["__name__"].startswith(("httpx", "httpcore"))]
    assert kept
    assert not any(frame.f_locals for frame in kept)


@pytest.mark.parametrize("name", CALLS)
async def test_cancelled_behind_another_call(sandbox: Sandbox, name: str) -> None:
    """The traceback of a call that is cancelled behind the first request or the login shows nothing."""
    polls = count()
    with sandbox.hold() as gate:
        async with client_of_version(sandbox, concurrency=2) as sms, anyio.create_task_group() as group:
            group.start_soon(_failure, CALLS["balance"], sms)
            await gate.arrived()
            error = await _cancelled(CALLS[name], sms, lambda: next(polls) > 10)
            gate.release()
    assert sandbox.account.count("Sms/Send") == 0
    assert_private(error, sandbox)


async def test_cancelled_during_the_write(sandbox: Sandbox) -> None:
    """The traceback of a send that is cancelled during its write does not show the request."""
    heard: list[bytes] = []
    ended = threading.Event()

    def serve(connection: Any) -> None:
        heard.append(connection.recv(1))
        ended.wait(10)

    numbers = [NUMBER] * 500_000
    store = await logged_in_store(sandbox)
    with RawServer(serve) as server:
        url = f"http://127.0.0.1:{server.port}/rest"
        async with client_of_version(sandbox, base_url=url, retry=ONCE, session_store=store) as sms:
            error = await _cancelled(lambda sms: sms.send_bulk(numbers, TEXT), sms, lambda: heard)
            ended.set()
    assert_private(error, sandbox)


@pytest.mark.parametrize("name", ["send", "send_by_time_zone", "send_bulk"])
async def test_timeouts(sandbox: Sandbox, name: str) -> None:
    """The traceback of a timeout does not show what was sent."""
    calls: dict[str, Call] = {
        "send": lambda sms: sms.send(NUMBER, TEXT, timeout=0.01),
        "send_by_time_zone": lambda sms: sms.send_by_time_zone(
            NUMBER,
            TEXT,
            send_date=datetime(2030, 1, 1),  # noqa: DTZ001
            timeout=0.01,
        ),
        "send_bulk": lambda sms: sms.send_bulk([NUMBER], TEXT, timeout=0.01),
    }
    gate = sandbox.hold()
    try:
        async with client_of_version(sandbox, retry=ONCE) as sms:
            error = await _failure(calls[name], sms)
    finally:
        gate.release()
    assert error is not None
    assert_private(error, sandbox)


@pytest.mark.parametrize(
    "options",
    [
        {"password": PASSWORD + "\ud800"},
        {"source_address": NUMBER + NUMBER},
        {"concurrency": 0},
        {"proxy": f"http://proxy:{PASSWORD.replace(' ', '')}@"},
        {"base_url": "https://login:correct+horse@gateway.invalid"},
        {"base_url": "http://gateway.invalid"},
        {"transport": "other"},
        {"login_cool_down": 5},
    ],
)
def test_the_constructor(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The traceback of a wrong setting does not show the password in the library's frames."""
    monkeypatch.setenv("SMSAPI_PASSWORD", PASSWORD)
    for build in (AsyncSmsClient, AsyncSmsClient.from_env):
        with pytest.raises(SmsApiError) as caught:
            build(**{"login": "login", "password": PASSWORD, **options})
        assert_private(caught.value)
    del options["password" if "password" in options else next(iter(options))]
    with pytest.raises(SmsApiError) as caught:
        AsyncSmsClient.from_env(login="", concurrency=0, **options)
    assert_private(caught.value)


def test_other_functions() -> None:
    """The traceback of a function without a client shows no text, and no number."""
    with pytest.raises(SmsApiError) as caught:
        smsapi_async.segment(TEXT + "\ud800")
    assert_private(caught.value)


async def test_ids_that_cannot_be_divided(sandbox: Sandbox) -> None:
    """The traceback of a bulk whose segment ids cannot be divided shows no number and no segment id."""
    body = json.dumps([SEGMENT_ID] * 3).encode()

    def serve(connection: Any) -> None:
        read_request(connection)
        connection.sendall(json_answer(body))

    store = await logged_in_store(sandbox)
    with RawServer(serve) as server:
        url = f"http://127.0.0.1:{server.port}/rest"
        async with client_of_version(sandbox, base_url=url, session_store=store) as sms:
            with pytest.raises(SegmentIdsUnattributed) as caught:
                await sms.send_bulk([NUMBER, "79161002030"], TEXT)
    assert caught.value.segment_ids == (SEGMENT_ID,) * 3
    assert_private(caught.value, sandbox, with_attributes=False)


@pytest.mark.parametrize("library", ["httpx", "httpx2"], indirect=True)
async def test_an_unexpected_error_of_the_callers_transport(sandbox: Sandbox, library: Any) -> None:
    """If the caller's transport raises an unexpected error, the library's frames do not show the request."""

    class Broken(library.AsyncHTTPTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            raise LookupError(request.method)

    store = await logged_in_store(sandbox)
    async with client_of_version(sandbox, transport=Broken(), session_store=store) as sms:
        for name in CALLS.keys() - {"send_many", "track", "wait_delivered", "statistics"}:
            with pytest.raises(LookupError) as caught:
                await CALLS[name](sms)
            assert_private(caught.value, sandbox)
            lines = traceback.format_exception(caught.value)
            assert any("handle_async_request" in line for line in lines), "the lines of the traceback stay"


@pytest.mark.parametrize("is_open", [True, False])
async def test_ledgers(sandbox: Sandbox, tmp_path: Path, is_open: bool) -> None:
    """The traceback of a ledger that cannot be written shows no number, no text and no segment id."""
    path = tmp_path / "run.db"
    async with Ledger.sqlite(path):
        pass
    ledger = Ledger.sqlite(path, read_only=True)
    key = f"order {NUMBER}"
    message = Message(NUMBER, TEXT, key=key)
    answer = RequestAnswer(state="accepted", at=START, segment_ids=(SEGMENT_ID,), reason=TEXT)
    receipt = Receipt(message, (SEGMENT_ID,), START)
    delivery = Delivery(receipt, Phase.ENROUTE, (None,), False, START)
    async with AsyncExitStack() as stack:
        if is_open:
            await stack.enter_async_context(ledger)
        sms = await stack.enter_async_context(client_of_version(sandbox))
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: _send_many(sms, ledger),
            lambda: sms.send(NUMBER, TEXT, key=key, ledger=ledger),
            lambda: ledger.claim(NUMBER, [(key, message)]),
            lambda: ledger.settle(NUMBER, answer),
            lambda: ledger.release(NUMBER),
            lambda: ledger.record_pending([(key, message)]),
            lambda: ledger.resolve(key, sent=True, segment_ids=[SEGMENT_ID]),
            lambda: ledger.resolve_many([Resolution(key, sent=True, segment_ids=(SEGMENT_ID,))]),
            lambda: ledger.record([delivery]),
        ]
        for call in calls:
            with pytest.raises(SmsApiError) as caught:
                await call()
            assert_private(caught.value, sandbox)


class _Watcher(SystemClock, logging.Handler, MemorySessionStore):
    """Reads the local variables of the running frames at each call of a clock, a log and a session store."""

    def __init__(self, sandbox: Sandbox) -> None:
        logging.Handler.__init__(self, 0)
        MemorySessionStore.__init__(self)
        self.sandbox = sandbox
        self.calls: set[str] = set()
        self.leaks: set[str] = set()
        self.is_looking = False

    def look(self, call: str) -> None:
        self.calls.add(call)
        if not self.is_looking:
            return
        secrets = _secrets(self.sandbox)
        for text in _locals(traceback.walk_stack(sys._getframe(1))):
            # A running frame of an HTTP library must hold the bytes that it writes.
            if text.startswith(PACKAGE) and any(secret in text for secret in secrets):
                self.leaks.add(text)

    def now(self) -> datetime:
        self.look("now")
        return super().now()

    def monotonic(self) -> float:
        self.look("monotonic")
        return super().monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        self.look("log" if record.name == "smsapi_async" else record.name)

    async def load(self) -> Session | None:
        self.look("load")
        return await super().load()

    async def save(self, session: Session) -> None:
        self.look("save")
        await super().save(session)


async def test_running_frames(sandbox: Sandbox) -> None:
    """A program that logs the local variables of the running frames shows no private data."""
    watcher = _Watcher(sandbox)
    logger = logging.getLogger("smsapi_async")
    logger.addHandler(watcher)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        async with client_of_version(sandbox, clock=watcher, session_store=watcher) as sms:
            # The constructor calls the clock once, and its frame must hold the password at that time.
            watcher.is_looking = True
            for name in CALLS.keys() - {"track", "wait_delivered"}:
                await _failure(CALLS[name], sms)
            receipt = await sms.send(NUMBER, TEXT)
            await sms.state(receipt.segment_ids[0])
            async with sms.track([receipt], schedule=Schedule(first=0.01)) as deliveries:
                await anext(deliveries)
    finally:
        logger.removeHandler(watcher)
        logger.setLevel(level)
    stores = set() if sandbox.dialect.version_2 else {"load", "save"}
    assert watcher.calls == {"now", "monotonic", "log", *stores}
    assert not watcher.leaks


async def test_a_refused_login(sandbox: Sandbox) -> None:
    """The traceback of a refused login does not show the password, also where the gateway repeats it."""
    wrong = PASSWORD + "!"
    async with client_of_version(sandbox, password=wrong) as sms:
        sandbox.refuse_next(
            "Sms/In" if sandbox.dialect.version_2 else "user/sessionid", 4, desc=f"no {wrong}"
        )
        async with sms.watch_incoming(since=sandbox.now()) as messages:
            with pytest.raises(InvalidCredentials) as caught:
                await anext(messages)
        assert_private(caught.value, sandbox)
        for call in CALLS.values():
            error = await _failure(call, sms)
            if error is not None:
                assert_private(error, sandbox)


@pytest.mark.parametrize("api_version", [1])
async def test_a_log_line_cannot_be_forged(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """A description of the gateway stays on one line of the log, without control characters."""
    sandbox.receive(NUMBER, text=TEXT, at=sandbox.now())
    sandbox.refuse_next("Sms/In", 8, desc="offline\r\nroot: all is well\x1b[2J\x9b31m\u202e\u2028", times=4)
    async with (
        client_of_version(sandbox) as sms,
        sms.watch_incoming(since=sandbox.now() - DAY, every=0.01) as inbox,
    ):
        await anext(inbox)
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "offline" in line
    assert line.isprintable()
