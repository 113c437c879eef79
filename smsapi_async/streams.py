"""Reads the iterables that callers pass to `send_many` and `track`."""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from typing import TypeVar, cast

import anyio
from anyio.lowlevel import checkpoint

from smsapi_async.privacy import sealed_async

_Item = TypeVar("_Item")

# Each time `read_all` has read this number of items, it lets other tasks run, because an iterable that never
# suspends would block the event loop.
_ITEMS_BEFORE_A_CHECKPOINT = 100
_END = object()


@sealed_async
async def read_all(
    items: Iterable[_Item] | AsyncIterable[_Item], process: Callable[[_Item], Awaitable[None]]
) -> None:
    """Read all items of an iterable or async iterable.

    An async generator is always closed when `read_all` ends, even after an error or a cancellation.

    Args:
        items: the iterable or async iterable to read.
        process: an async function that is called with each item, and awaited before the next item is read.

    Raises:
        Exception: if the iterable or `process` raises an exception. The exception is raised unchanged.
    """
    if isinstance(items, AsyncIterable):
        await _read_asynchronously(items, process)
        return
    for count, item in enumerate(items):
        await process(item)
        if count % _ITEMS_BEFORE_A_CHECKPOINT == 0:
            await checkpoint()


async def _read_asynchronously(
    items: AsyncIterable[_Item], process: Callable[[_Item], Awaitable[None]]
) -> None:
    count = 0
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
                await process(cast("_Item", item))
                if count % _ITEMS_BEFORE_A_CHECKPOINT == 0:
                    await checkpoint()
                count += 1
        finally:
            if isinstance(iterator, AsyncGenerator):
                # We call `aclose` because a partly read generator would otherwise stay open until the garbage
                # collection, or for ever (PEP 525). With the shield, `aclose` finishes even if the task is
                # cancelled.
                scope.shield = True
                await iterator.aclose()
