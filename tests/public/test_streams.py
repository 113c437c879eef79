"""A stream closes the async generator of the caller at the end of the `async with` block."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from smsapi_async import AsyncSmsClient, Message, Receipt, StreamNotEntered, ValidationError
from smsapi_async.sandbox import run_sandbox
from smsapi_async.streams import read_all
from tests.client.tools import client_for

pytestmark = pytest.mark.anyio


class Endless:
    """An endless async iterable that sets `is_closed` when its generator is closed."""

    def __init__(self, item: Callable[[int], object]) -> None:
        self.item = item
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[object]:
        try:
            for index in count():
                yield self.item(index)
                await anyio.lowlevel.checkpoint()
        finally:
            self.is_closed = True


def _message(index: int) -> Message:
    return Message(f"7903{index:07}", "hello")


def _receipt(index: int) -> Receipt:
    return Receipt(_message(index), (f"no such segment {index}",), datetime.now(UTC))


Open = Callable[[AsyncSmsClient, Any], AbstractAsyncContextManager[AsyncIterator[Any]]]
STREAMS: dict[str, tuple[Open, Callable[[int], object]]] = {
    "send_many": (lambda sms, items: sms.send_many(items), _message),
    "track": (lambda sms, items: sms.track(items), _receipt),
}


@pytest.mark.parametrize("how", ["break", "error", "cancel"])
@pytest.mark.parametrize("is_generator", [True, False])
@pytest.mark.parametrize("name", STREAMS)
async def test_a_generator_is_closed(name: str, is_generator: bool, how: str, anyio_backend: str) -> None:
    """The async generator of the caller is closed when the block of the stream ends.

    The block may end normally, with an error or with a cancellation.
    """
    enter, item = STREAMS[name]
    items = Endless(item)
    async with run_sandbox() as sandbox, client_for(sandbox) as sms:
        with anyio.CancelScope() as scope, suppress(LookupError):
            async with enter(sms, aiter(items) if is_generator else items):
                # The sleep lets the stream request an item, because Python runs the `finally` of a generator
                # only after a first item was requested.
                await anyio.sleep(0.05)
                if how == "error":
                    raise LookupError
                if how == "cancel":
                    scope.cancel()
                    await anyio.sleep(1)
        assert items.is_closed


@pytest.mark.parametrize("name", STREAMS)
async def test_a_generator_that_never_suspends_leaves_others_their_turn(
    name: str, anyio_backend: str
) -> None:
    """An async generator that never waits does not stop the other tasks of the event loop."""
    enter, item = STREAMS[name]

    turns = 0
    turns_at = []
    is_read = anyio.Event()

    async def source() -> AsyncIterator[object]:
        for index in range(1_000):
            turns_at.append(turns)
            yield item(index)
        is_read.set()

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with run_sandbox() as sandbox, client_for(sandbox) as sms, anyio.create_task_group() as group:
        group.start_soon(count_turns)
        async with enter(sms, source()):
            await is_read.wait()
        group.cancel_scope.cancel()
    assert turns_at[-1] - turns_at[0] >= 5


class Late:
    """A clock that shows one more second at each reading, as if each item took a second."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1
        return self.seconds


async def _turns_during(read: Callable[[], Awaitable[object]]) -> int:
    """Return the number of turns that another task of the event loop got while `read` ran."""
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as group:
        group.start_soon(count_turns)
        await anyio.lowlevel.checkpoint()
        before = turns
        await read()
        after = turns
        group.cancel_scope.cancel()
    return after - before


async def _asynchronously(items: list[int]) -> AsyncIterator[int]:
    for item in items:
        yield item


@pytest.mark.parametrize("kind", ["list", "generator", "async generator"])
@pytest.mark.parametrize("is_slow", [False, True])
async def test_every_reader_leaves_others_their_turn(
    kind: str, is_slow: bool, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other tasks run after at most 100 items, and after each item that takes long."""
    monkeypatch.setattr("smsapi_async.streams.monotonic", Late() if is_slow else lambda: 0.0)
    numbers = list(range(1_000))
    source: Any = {
        "list": numbers,
        "generator": (number for number in numbers),
        "async generator": _asynchronously(numbers),
    }[kind]
    read: list[int] = []

    async def process(number: int) -> None:
        read.append(number)

    turns = await _turns_during(lambda: read_all(source, process))
    assert read == numbers
    assert turns >= (900 if is_slow else 9)


async def test_many_recipients_leave_others_their_turn(anyio_backend: str) -> None:
    """`send_bulk` lets other tasks run while it checks many addresses, and names the wrong address."""
    numbers = [*(f"7903{index:07}" for index in range(5_000)), "wrong"]

    async def send() -> None:
        with pytest.raises(ValidationError, match=r"destination_addresses\[5000\]"):
            await sms.send_bulk(numbers, "text")

    async with run_sandbox() as sandbox, client_for(sandbox) as sms:
        assert await _turns_during(send) >= 49
        assert not sandbox.account.arrivals


@pytest.mark.parametrize("name", ["send_many", "track", "watch_incoming"])
async def test_one_error_for_all_streams(name: str, anyio_backend: str) -> None:
    """A stream that is iterated outside its block, or entered twice, raises `StreamNotEntered`."""
    async with run_sandbox() as sandbox, client_for(sandbox) as sms:
        streams: dict[str, Callable[[], Any]] = {
            "send_many": lambda: sms.send_many([]),
            "track": lambda: sms.track([]),
            "watch_incoming": sms.watch_incoming,
        }
        stream = streams[name]()
        with pytest.raises(StreamNotEntered):
            await anext(stream)
        async with stream:
            pass
        with pytest.raises(StreamNotEntered):
            await stream.__aenter__()


class Once:
    """Items from an iterator that has only `__anext__`, as some libraries return."""

    def __init__(self, items: list[object]) -> None:
        self.items = items

    def __aiter__(self) -> Any:
        return _Next(self.items)


class _Next:
    def __init__(self, items: list[object]) -> None:
        self.items = items

    async def __anext__(self) -> object:
        if not self.items:
            raise StopAsyncIteration
        return self.items.pop()


async def test_an_iterator_with_the_least_is_read(anyio_backend: str) -> None:
    """`send_many` sends all messages of an async iterator that has no method `__aiter__`."""
    async with run_sandbox() as sandbox, client_for(sandbox) as sms:
        async with sms.send_many(Once([_message(index) for index in range(3)])) as outcomes:
            assert len([outcome async for outcome in outcomes]) == 3
        assert len(sandbox.account.messages) == 3


@pytest.mark.parametrize("name", STREAMS)
async def test_a_generator_may_have_a_scope_of_its_own(name: str, anyio_backend: str) -> None:
    """A generator that limits its own time with a cancel scope can be left early."""
    enter, item = STREAMS[name]

    async def source() -> AsyncIterator[object]:
        with anyio.fail_after(60):
            for index in count():
                yield item(index)
                await anyio.lowlevel.checkpoint()

    async with run_sandbox() as sandbox, client_for(sandbox) as sms, enter(sms, source()):
        await anyio.sleep(0.05)
