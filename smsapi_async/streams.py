"""Reads the iterables that callers pass to `send_many`, `track` and `send_bulk`."""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from time import monotonic
from typing import TypeVar, cast

import anyio
from anyio.lowlevel import checkpoint

from smsapi_async.privacy import sealed_async

_Item = TypeVar("_Item")

# An iterable that never suspends would block the event loop. `read_all` therefore lets other tasks run after
# this number of items, and earlier if the items have taken more than this number of seconds.
_LONGEST_ITEMS = 100
_LONGEST_SECONDS = 0.002
_END = object()


@sealed_async
async def read_all(
    items: Iterable[_Item] | AsyncIterable[_Item], process: Callable[[_Item], Awaitable[None] | None]
) -> None:
    """Read all items of an iterable or async iterable.

    An async generator is always closed when `read_all` ends, even after an error or a cancellation.

    Args:
        items: the iterable or async iterable to read.
        process: a function that is called with each item. The result is awaited before the next item is read,
            unless the result is None. The result None saves the time of a coroutine for each item.

    Raises:
        Exception: if the iterable or `process` raises an exception. The exception is raised unchanged.
    """
    if isinstance(items, AsyncIterable):
        await _read_asynchronously(items, process)
        return
    run = _UninterruptedRun()
    for item in items:
        if (waiting := process(item)) is not None:
            await waiting
        if run.is_long():
            await run.end()


class _UninterruptedRun:
    """The time for which a task runs without letting other tasks run."""

    def __init__(self) -> None:
        # The run of the first item ends at once, so that even a short iterable lets other tasks run.
        self._items = _LONGEST_ITEMS
        self._begin = monotonic()

    def is_long(self) -> bool:
        """Return whether other tasks must run now. Call this method after each item."""
        self._items += 1
        return self._items > _LONGEST_ITEMS or monotonic() - self._begin > _LONGEST_SECONDS

    async def end(self) -> None:
        """Let other tasks run, and begin another run."""
        await checkpoint()
        self._items, self._begin = 0, monotonic()


async def _read_asynchronously(
    items: AsyncIterable[_Item], process: Callable[[_Item], Awaitable[None] | None]
) -> None:
    run = _UninterruptedRun()
    # The scope that later shields `aclose` is opened first, because the caller's generator may also open
    # cancel scopes, and cancel scopes must end in the reverse order of their beginning.
    with anyio.CancelScope() as scope:
        # This function must close the iterator and not `items`, because the two can be different objects. If
        # the method `__aiter__` of `items` is an async generator function, `aiter` returns a new generator.
        iterator = aiter(items)
        try:
            # We do not use `async for`, because it would call `__aiter__` a second time, and some iterators
            # do not allow a second call.
            while (item := await anext(iterator, _END)) is not _END:
                if (waiting := process(cast("_Item", item))) is not None:
                    await waiting
                if run.is_long():
                    await run.end()
        finally:
            if isinstance(iterator, AsyncGenerator):
                # We call `aclose` because a partly read generator would otherwise stay open until the garbage
                # collection, or for ever (PEP 525). With the shield, `aclose` finishes even if the task is
                # cancelled.
                scope.shield = True
                await iterator.aclose()
