"""A caller's async generator is closed by whatever read it, however the reading ends."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from smsapi_async import AsyncSmsClient, Message, Receipt, StreamNotEntered
from smsapi_async.sandbox import run_sandbox
from tests.client.tools import client_for

pytestmark = pytest.mark.anyio


class Endless:
    """Items without end; `aiter` makes a generator, which notes here when it is closed."""

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
    return Message(f"7903{index:07}", f"text {index}")


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
    """After a break, an error or a cancellation within the block, the generator has run its `finally`."""
    enter, item = STREAMS[name]
    items = Endless(item)
    async with run_sandbox() as sandbox, client_for(sandbox) as sms:
        with anyio.CancelScope() as scope, suppress(LookupError):
            async with enter(sms, aiter(items) if is_generator else items):
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
    """A source that gives items without a pause does not hold the event loop."""
    enter, item = STREAMS[name]

    async def source() -> AsyncIterator[object]:
        for index in range(2_000):
            yield item(index)

    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with run_sandbox() as sandbox, client_for(sandbox) as sms, anyio.create_task_group() as group:
        group.start_soon(count_turns)
        async with enter(sms, source()):
            await anyio.sleep(0.05)
        group.cancel_scope.cancel()
    assert turns > 10


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
