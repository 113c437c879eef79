"""What this package needs of an event loop beyond AnyIO: the loop of asyncio, and calls from threads."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import anyio

if TYPE_CHECKING:
    import asyncio


class Event(Protocol):
    """An event that tasks wait for: `asyncio.Event` or `anyio.Event`."""

    def set(self) -> object:
        """Wake all tasks that wait."""

    async def wait(self) -> object:
        """Wait until `set` is called."""


def running_asyncio_task() -> asyncio.Task[Any] | None:
    """Return the current task of asyncio; None if asyncio does not run the current task.

    If trio runs in guest mode on asyncio, the result is None, because no asyncio task is current.
    """
    # If no module has imported asyncio, no event loop of asyncio can be running.
    asyncio = sys.modules.get("asyncio")
    try:
        return None if asyncio is None else asyncio.current_task()
    except RuntimeError:
        return None


def running_asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop of the current task of asyncio; None if asyncio does not run the current task."""
    task = running_asyncio_task()
    return None if task is None else task.get_loop()


def caller_from_threads() -> Callable[[Callable[[], None]], object]:
    """Return a function with which a thread calls a function soon in the running event loop.

    The returned function does not wait, unlike `anyio.from_thread.run_sync`. After the end of the event loop,
    it raises a RuntimeError.
    """
    loop = running_asyncio_loop()
    if loop is not None:
        return loop.call_soon_threadsafe
    run_sync_soon = sys.modules["trio"].lowlevel.current_trio_token().run_sync_soon

    def post(function: Callable[[], None]) -> None:
        try:
            run_sync_soon(function)
        except OSError:
            # At its end, trio closes a socket before it refuses calls with a RuntimeError.
            raise RuntimeError("the event loop has ended") from None

    return post


def event_type() -> Callable[[], Event]:
    """Return the class of events for the running event loop.

    Each new `anyio.Event` looks for the running event loop, which takes longer than the rest of its work.
    """
    is_asyncio = running_asyncio_loop() is not None
    found: Callable[[], Event] = sys.modules["asyncio"].Event if is_asyncio else anyio.Event
    return found
