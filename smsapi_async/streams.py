"""What the streams share: reading the iterables of callers, and the tasks of a stream."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, TypeVar, cast

import anyio
from anyio.lowlevel import checkpoint

from smsapi_async.errors import StreamLeftElsewhere
from smsapi_async.eventloop import running_asyncio_task
from smsapi_async.privacy import sealed_async

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

_Item = TypeVar("_Item")

# An iterable that never suspends would block the event loop. `read_all` therefore lets other tasks run after
# this number of items, and earlier if the items have taken more than this number of seconds.
_LONGEST_ITEMS = 100
_LONGEST_SECONDS = 0.002
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
    run = _UninterruptedRun()
    for item in items:
        await process(item)
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
    items: AsyncIterable[_Item], process: Callable[[_Item], Awaitable[None]]
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
                await process(cast("_Item", item))
                if run.is_long():
                    await run.end()
        finally:
            if isinstance(iterator, AsyncGenerator):
                # We call `aclose` because a partly read generator would otherwise stay open until the garbage
                # collection, or for ever (PEP 525). With the shield, `aclose` finishes even if the task is
                # cancelled.
                scope.shield = True
                await iterator.aclose()


def is_from_iterable(error: BaseException) -> bool:
    """Return whether the iterable of the caller raised an exception, and nobody cancelled the running task.

    An iterable of the caller may wait for a task of its own, and that task may be cancelled. The iterable
    then raises `asyncio.CancelledError`, although nobody cancelled the task that reads the iterable.
    """
    if isinstance(error, Exception):
        return True
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or not isinstance(error, asyncio.CancelledError):
        return False
    # trio never raises `asyncio.CancelledError`, so on trio the error comes from the iterable.
    task = running_asyncio_task()
    return task is None or not task.cancelling()


class StreamTasks:
    """The tasks of a stream. They run from the beginning to the end of the ``async with`` block.

    Args:
        at_the_end: a function that is called when the last task has ended.
    """

    def __init__(self, at_the_end: Callable[[], None] = lambda: None) -> None:
        self._at_the_end = at_the_end
        self._group: TaskGroup | None = None
        self._owner = 0
        self._running = 0
        self._scopes: set[anyio.CancelScope] = set()
        self._is_ending = False
        self._ended: anyio.Event

    @property
    def are_started(self) -> bool:
        """Whether `enter` was called."""
        return self._group is not None

    async def enter(self, *functions: Callable[[], Awaitable[None]]) -> None:
        """Start a task for each function."""
        self._owner = anyio.get_current_task().id
        self._ended = anyio.Event()
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._running = len(functions)
        for function in functions:
            self._group.start_soon(self._run, function)

    async def _run(self, function: Callable[[], Awaitable[None]]) -> None:
        try:
            with anyio.CancelScope() as scope:
                self._scopes.add(scope)
                if self._is_ending:
                    scope.cancel()
                try:
                    await function()
                finally:
                    self._scopes.remove(scope)
        finally:
            self._running -= 1
            if not self._running:
                self._at_the_end()
                self._ended.set()

    async def leave(self) -> None:
        """Cancel the tasks, and wait for their end.

        Raises:
            StreamLeftElsewhere: if another task than the running task called `enter`.
        """
        assert self._group is not None  # noqa: S101 - a type checker needs this assertion
        self._is_ending = True
        if anyio.get_current_task().id == self._owner:
            self._group.cancel_scope.cancel()
            # If we passed the exception of the `async with` block to the task group, the task group would
            # raise an ExceptionGroup.
            await self._group.__aexit__(None, None, None)
            return
        # Only the task that entered a task group can leave the task group, so each task is cancelled alone.
        for scope in self._scopes:
            scope.cancel()
        with anyio.CancelScope(shield=True):
            await self._ended.wait()
        raise StreamLeftElsewhere
