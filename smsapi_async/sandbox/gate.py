"""Gates that hold responses, and the thread-safe event that the gates use."""

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.lowlevel

from smsapi_async.sandbox.steady import steady_repr


class Signal:
    """An event for several threads and event loops.

    Any thread may set the signal. Tasks of any event loop (asyncio or trio) may wait for the signal. A signal
    cannot be reset.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = False
        self._wakers: list[Callable[[], object]] = []

    @property
    def is_set(self) -> bool:
        """Whether the signal is set."""
        return self._set

    def set(self) -> None:
        """Set the signal. All waiting tasks continue, and later calls of `wait` return at once."""
        with self._lock:
            self._set = True
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            with suppress(RuntimeError, OSError):  # the event loop of the waiting task may have ended
                wake()

    async def wait(self) -> None:
        """Wait until the signal is set."""
        event = anyio.Event()
        wake = waker(event)
        with self._lock:
            if self._set:
                event.set()
            else:
                self._wakers.append(wake)
        try:
            await event.wait()
        finally:
            # `set` removes all wakers (functions that wake a waiting task) from the list. Only a task that
            # was cancelled before `set` still has its waker in the list.
            with self._lock, suppress(ValueError):
                self._wakers.remove(wake)


def waker(event: anyio.Event) -> Callable[[], object]:
    """Return a function that sets an event of the running event loop. Any thread may call the function."""
    # `anyio.from_thread` blocks the calling thread until the event loop has run the function. With
    # `anyio.from_thread`, a call of `set` in the thread of the same event loop would never return.
    # `run_sync_soon` of a trio token and `call_soon_threadsafe` of an asyncio event loop do not block.
    native: Any = anyio.lowlevel.current_token().native_token
    soon = getattr(native, "run_sync_soon", None) or native.call_soon_threadsafe
    return lambda: soon(event.set)


@steady_repr
class Gate:
    """Holds the responses of one resource, or of all resources, until the gate is released.

    The sandbox processes the requests at once; only the responses wait. In a `with` statement, the gate is
    released at the end of the block. `Sandbox.hold` creates a gate.

    Args:
        resource: the canonical name of the resource whose responses are held; None means all resources.
        on_change: a function that the gate calls, in any thread, after each change of its numbers.

    Attributes:
        resource: the canonical name of the resource whose responses are held; None means all resources.
    """

    def __init__(self, resource: str | None, on_change: Callable[[], object] = lambda: None) -> None:
        self.resource = resource
        self._on_change = on_change
        self._lock = threading.Lock()
        self._opened = Signal()
        self._caught = 0
        self._held = 0
        self._thresholds: list[tuple[int, Signal]] = []

    def __repr__(self) -> str:
        state = "released" if self.is_released else "holding"
        return f"<Gate {self.resource or 'every resource'}: {state}, {self._caught} arrived>"

    @property
    def is_released(self) -> bool:
        """Whether the gate is released. A released gate holds no response."""
        return self._opened.is_set

    @property
    def caught(self) -> int:
        """The number of requests that reached the gate. `release` does not change this number."""
        return self._caught

    @property
    def held(self) -> int:
        """The number of requests whose responses the gate holds now."""
        return self._held

    def release(self) -> None:
        """Let the sandbox send the held responses. The gate holds no further response."""
        with self._lock:
            was_released = self._opened.is_set
            self._opened.set()
        if not was_released:
            self._on_change()

    async def arrived(self, count: int = 1) -> None:
        """Wait until `count` requests have reached the gate.

        A task of any event loop in any thread may call `arrived`.

        Args:
            count: the number of requests, counted from the creation of the gate.
        """
        reached = Signal()
        with self._lock:
            if self._caught >= count:
                reached.set()
            else:
                self._thresholds.append((count, reached))
        await reached.wait()

    def catch(self) -> None:
        """Count one more request that reached the gate. Only the sandbox calls this method."""
        with self._lock:
            self._caught += 1
            self._held += 1
            due = [signal for count, signal in self._thresholds if count <= self._caught]
            self._thresholds = [each for each in self._thresholds if each[0] > self._caught]
        for signal in due:
            signal.set()
        self._on_change()

    async def passed(self) -> None:
        """Wait until the gate is released. Only the sandbox calls this method."""
        await self._opened.wait()

    def let_go(self) -> None:
        """Count one held request less. Only the sandbox calls this method, once for each `catch`."""
        with self._lock:
            self._held -= 1
        self._on_change()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
