"""How the streams of this package read what a caller gives them."""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from typing import TypeVar

import anyio
from anyio.lowlevel import checkpoint

_Item = TypeVar("_Item")

# Reading an iterable that never suspends would hold the event loop; other tasks run after so many items.
_ITEMS_BEFORE_A_CHECKPOINT = 100


async def read_all(
    items: Iterable[_Item] | AsyncIterable[_Item], take_in: Callable[[_Item], Awaitable[None]]
) -> None:
    """Read an iterable or async iterable to its end.

    An async generator is closed when this function ends, however it ends: also after a cancellation.

    Args:
        items: what to read.
        take_in: awaited with each item before the next one is read.

    Raises:
        Exception: whatever the iterable or `take_in` raises.
    """
    if isinstance(items, AsyncIterable):
        await _read_asynchronously(items, take_in)
        return
    for count, item in enumerate(items):
        await take_in(item)
        if count % _ITEMS_BEFORE_A_CHECKPOINT == 0:
            await checkpoint()


async def _read_asynchronously(
    items: AsyncIterable[_Item], take_in: Callable[[_Item], Awaitable[None]]
) -> None:
    count = 0
    # Not `items` itself is closed: its `__aiter__` may be a generator function.
    iterator = aiter(items)
    try:
        async for item in iterator:
            await take_in(item)
            if count % _ITEMS_BEFORE_A_CHECKPOINT == 0:
                await checkpoint()
            count += 1
    finally:
        if isinstance(iterator, AsyncGenerator):
            # Otherwise the garbage collector closes a half-read generator later, or nobody does (PEP 525).
            with anyio.CancelScope(shield=True):
                await iterator.aclose()
