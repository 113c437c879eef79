"""Tests of observers that misbehave. No observer changes what becomes of a message."""

import asyncio
import functools
import logging
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from smsapi_async import Accepted, AsyncSmsClient, Message, ValidationError
from smsapi_async.ledger import Ledger
from smsapi_async.observers import Event, LedgerClaim, LoginMade, RequestBegun, RequestEnded
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.client.tools import client_for
from tests.observers.tools import Collected

pytestmark = pytest.mark.anyio
NUMBER = "79031234567"
SECRET = "the text of the exception"


@pytest.fixture
async def sandbox(anyio_backend: str) -> AsyncIterator[Sandbox]:
    """Serve a sandbox on a socket during the test."""
    async with run_sandbox() as running:
        yield running


class Raises:
    """An observer that raises an exception at the events of some classes.

    Attributes:
        calls: how often the observer was called.
    """

    def __init__(self, error: BaseException, *kinds: type[Event]) -> None:
        self._error = error
        self._kinds = kinds
        self.calls = 0

    def __call__(self, event: Event) -> None:
        self.calls += 1
        if not self._kinds or isinstance(event, self._kinds):
            raise self._error


@pytest.mark.parametrize(
    "error",
    [ValueError(SECRET), asyncio.CancelledError(SECRET), GeneratorExit(SECRET), RecursionError(SECRET)],
)
@pytest.mark.parametrize("kind", [LoginMade, RequestBegun, RequestEnded, LedgerClaim])
async def test_an_observer_that_raises(
    sandbox: Sandbox,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    error: BaseException,
    kind: type[Event],
) -> None:
    """The send gets its receipt. One warning names the observer, the class of the exception and the place."""
    bad, seen = Raises(error, kind), Collected()
    async with (
        client_for(sandbox, observers=[bad, seen]) as sms,
        Ledger.sqlite(tmp_path / "run.db") as ledger,
    ):
        for _ in range(2):
            await sms.send(NUMBER, "hello", key="one", ledger=ledger)
        await sms.send(NUMBER, "hello", key="two", ledger=ledger)
        assert (await ledger.summary()).accepted == 2
    assert len(sandbox.account.messages) == 2
    # The observer is not called again, and the other observer gets all events.
    assert bad.calls == next(index for index, event in enumerate(seen.events, 1) if isinstance(event, kind))
    assert len([*seen.pairs()]) == 2
    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    text = record.getMessage()
    assert f"{__name__}.Raises raised {type(error).__name__} at {__file__}:" in text
    assert SECRET not in caplog.text


async def test_an_observer_that_raises_in_a_batch(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """If an observer raises at each event, a batch sends each message once, and logs one warning."""
    bad = Raises(ValueError(SECRET))
    messages = [Message(f"7903123456{index}", f"hello {index}") for index in range(5)]
    async with (
        client_for(sandbox, observers=[bad]) as sms,
        sms.send_many(messages) as outcomes,
    ):
        assert [type(outcome) async for outcome in outcomes] == [Accepted] * 5
    assert len(sandbox.account.messages) == 5
    assert bad.calls == 1
    assert len(caplog.records) == 1


async def test_a_log_handler_that_raises(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a log handler raises an exception at the warning about an observer, the send gets its receipt."""

    def handle(record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            raise OSError

    handler = logging.Handler()
    monkeypatch.setattr(handler, "handle", handle)
    monkeypatch.setattr(logging.getLogger("smsapi_async"), "handlers", [handler])
    async with client_for(sandbox, observers=[Raises(ValueError(), RequestEnded)]) as sms:
        receipt = await sms.send(NUMBER, "hello")
    assert [message.segment_ids for message in sandbox.account.messages] == [receipt.segment_ids]


async def test_an_observer_that_is_there_twice(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """If the client has an observer twice and the observer raises an exception, there is one warning."""
    bad = Raises(ValueError())
    async with client_for(sandbox, observers=[bad, bad]) as sms:
        await sms.send(NUMBER, "hello")
    assert len(caplog.records) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("kind", [RequestBegun, RequestEnded, LedgerClaim])
async def test_an_interrupted_observer(
    sandbox: Sandbox, tmp_path: Path, error: type[BaseException], kind: type[Event]
) -> None:
    """An interrupt in an observer ends the send. The ledger knows whether the message may have been sent."""
    seen = Collected()
    async with (
        client_for(sandbox, observers=[Raises(error(), kind), seen]) as sms,
        Ledger.sqlite(tmp_path / "run.db") as ledger,
    ):
        with pytest.raises(error):
            await sms.send(NUMBER, "hello", key="one", ledger=ledger)
        summary = await ledger.summary()
        assert (summary.sending, summary.unknown) == (0, 1 if kind is RequestEnded else 0)
        assert summary.pending == (0 if kind is RequestEnded else 1)
    # Each request that has begun has an end, also for an interrupted observer.
    assert len([*seen.pairs()]) == (0 if kind is LedgerClaim else 1)
    assert len(sandbox.account.messages) == (1 if kind is RequestEnded else 0)


def _one(event: Event) -> None:
    """Do nothing."""


def _two(event: Event, extra: int = 1) -> None:
    """Do nothing."""


async def _asynchronous(event: Event) -> None:
    """Do nothing."""


def _generator(event: Event) -> Any:
    yield event


async def _async_generator(event: Event) -> Any:
    yield event


class _Asynchronous:
    async def __call__(self, event: Event) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    "observers",
    [
        [],
        (),
        None,
        {_one},
        (_one,),
        iter([_one]),
        [_one, _one],
        [[].append],
        [functools.partial(_one)],
        [_two],
        [print],
        [sys.stdout.write],
    ],
    ids=lambda given: type(given).__name__,
)
def test_observers_that_are_accepted(observers: Any) -> None:
    """Any iterable of plain callables with one parameter is accepted."""
    AsyncSmsClient("login", "password", observers=observers)


@pytest.mark.parametrize(
    ("observers", "parameter"),
    [
        (_one, "observers"),
        (Collected(), "observers"),
        (5, "observers"),
        ("print", "observers"),
        ([5], "observers[0]"),
        ([_one, None], "observers[1]"),
        (["print"], "observers[0]"),
        ([Collected], "observers[0]"),
        ([_asynchronous], "observers[0]"),
        ([functools.partial(_asynchronous)], "observers[0]"),
        ([_Asynchronous()], "observers[0]"),
        ([_generator], "observers[0]"),
        ([_async_generator], "observers[0]"),
        ([lambda: None], "observers[0]"),
        ([lambda event, other: (event, other)], "observers[0]"),
    ],
)
def test_observers_that_are_refused(observers: Any, parameter: str) -> None:
    """What cannot be called with one event is refused at once. The error names the observer."""
    with pytest.raises(ValidationError) as caught:
        AsyncSmsClient("login", "password", observers=observers)
    assert caught.value.parameter == parameter


async def test_an_observer_may_use_the_client(sandbox: Sandbox) -> None:
    """An observer may read `stats`, and may start tasks with calls of the client."""
    found: list[Any] = []
    start: Callable[[], object] = lambda: None  # noqa: E731

    def observer(event: Event) -> None:
        if isinstance(event, RequestEnded):
            found.append(sms.stats)
            if event.resource == "Sms/Send":
                start()

    async with client_for(sandbox, observers=[observer]) as sms, anyio.create_task_group() as group:
        start = lambda: group.start_soon(sms.balance)  # noqa: E731
        await sms.send(NUMBER, "hello")
    assert len(found) == 2
