"""What this package needs of an event loop beyond AnyIO: the loop of asyncio, and calls from threads."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio

if TYPE_CHECKING:
    import asyncio


_Value = TypeVar("_Value")


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
    except (RuntimeError, AttributeError):
        # The module has no such function yet if another thread imports asyncio at this moment.
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


async def in_thread(function: Callable[[], _Value]) -> _Value:
    """Run a function in a thread of its own, and return the result.

    Unlike `anyio.to_thread.run_sync`, this function imports no module, so that the thread can import the
    backend of AnyIO. A cancellation is raised after the function has ended.
    """
    loop = running_asyncio_loop()
    if loop is None:
        trio = sys.modules["trio"]
        result: _Value = await trio.to_thread.run_sync(function, limiter=trio.CapacityLimiter(1))
        # trio does not raise a cancellation that came while the thread ran.
        await trio.lowlevel.checkpoint_if_cancelled()
        return result
    asyncio = sys.modules["asyncio"]
    future = loop.create_future()

    def run() -> None:
        # The task first ends its turn. Otherwise the event loop would wait for the GIL in the middle of it.
        time.sleep(0.0005)
        try:
            value, error = function(), None
        except BaseException as caught:  # noqa: BLE001 - the event loop raises the exception again
            value, error = None, caught
        # If the event loop has ended, nobody waits for the result.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_finish, future, value, error)

    try:
        threading.Thread(target=run, name="smsapi_async imports").start()
    except RuntimeError:
        # This system has no threads, or no thread is left.
        return function()
    cancelled = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        future.exception()
        raise cancelled
    value: _Value = future.result()
    return value


def _finish(future: asyncio.Future[Any], value: object, error: BaseException | None) -> None:
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
