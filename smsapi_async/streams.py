"""Reads the iterables that callers pass to `send_many` and `track`."""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from typing import TypeVar, cast

import anyio
from anyio.lowlevel import checkpoint

_Item = TypeVar("_Item")

# An iterable that never suspends would block the event loop. So `read_all` lets other tasks run each time it
# has read this number of items.
_ITEMS_BEFORE_A_CHECKPOINT = 100
_END = object()


async def read_all(
    items: Iterable[_Item] | AsyncIterable[_Item], process: Callable[[_Item], Awaitable[None]]
) -> None:
    """Read all items of an iterable or async iterable.

    An async generator is always closed when this function ends, even after an error or a cancellation.

    Args:
        items: the iterable to read.
        process: called with each item, and awaited before the next item is read.

    Raises:
        Exception: any exception of the iterable or of `process`.
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
    # The generator may open cancel scopes. These scopes must be inside the scope that later shields `aclose`,
    # because cancel scopes must end in the reverse order of their beginning.
    with anyio.CancelScope() as scope:
        # This function must close the iterator and not `items`, because these can be different objects: if
        # the method `__aiter__` of `items` is an async generator function, `aiter` returns a new generator.
        iterator = aiter(items)
        try:
            # `async for` would call `__aiter__` a second time, and some iterators do not allow a second call.
            while (item := await anext(iterator, _END)) is not _END:
                await process(cast("_Item", item))
                if count % _ITEMS_BEFORE_A_CHECKPOINT == 0:
                    await checkpoint()
                count += 1
        finally:
            if isinstance(iterator, AsyncGenerator):
                # If this function did not call `aclose`, a partly read generator would stay open until the
                # garbage collection, or for ever (PEP 525). The shield makes sure that `aclose` finishes even
                # if the task is cancelled.
                scope.shield = True
                await iterator.aclose()
