"""Gates that hold answers back, and the signal they are made of."""

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.lowlevel


class Signal:
    """An event that any thread may set and that tasks of any event loop, asyncio's or trio's, may await."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = False
        self._wakers: list[Callable[[], object]] = []

    @property
    def is_set(self) -> bool:
        """Whether it has been set."""
        return self._set

    def set(self) -> None:
        """Wake every waiter, present and future."""
        with self._lock:
            self._set = True
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            with suppress(RuntimeError):  # the waiter's loop has ended
                wake()

    async def wait(self) -> None:
        """Return once it is set."""
        event = anyio.Event()
        wake = _waker(event)
        with self._lock:
            if self._set:
                event.set()
            else:
                self._wakers.append(wake)
        try:
            await event.wait()
        finally:
            with self._lock, suppress(ValueError):
                self._wakers.remove(wake)


def _waker(event: anyio.Event) -> Callable[[], object]:
    # anyio.from_thread would block the setter, who may run on the waiter's own loop.
    native: Any = anyio.lowlevel.current_token().native_token
    soon = getattr(native, "run_sync_soon", None) or native.call_soon_threadsafe
    return lambda: soon(event.set)


class Gate:
    """Holds the answers of one resource (or of all) until it is released; the requests are processed.

    As a context manager it is released at the end of the block.
    """

    def __init__(self, resource: str | None) -> None:
        self.resource = resource
        self._lock = threading.Lock()
        self._opened = Signal()
        self._caught = 0
        self._thresholds: list[tuple[int, Signal]] = []

    def __repr__(self) -> str:
        state = "released" if self.is_released else "holding"
        return f"<Gate {self.resource or 'every resource'}: {state}, {self._caught} arrived>"

    @property
    def is_released(self) -> bool:
        """Whether it lets answers through."""
        return self._opened.is_set

    @property
    def caught(self) -> int:
        """How many requests have met it, those released included."""
        return self._caught

    def release(self) -> None:
        """Let the held answers go, and all that follow."""
        self._opened.set()

    async def arrived(self, count: int = 1) -> None:
        """Return once `count` requests have met the gate. Callable from any event loop and thread."""
        reached = Signal()
        with self._lock:
            if self._caught >= count:
                reached.set()
            else:
                self._thresholds.append((count, reached))
        await reached.wait()

    def catch(self) -> None:
        """Count one more request that has met the gate."""
        with self._lock:
            self._caught += 1
            due = [signal for count, signal in self._thresholds if count <= self._caught]
            self._thresholds = [each for each in self._thresholds if each[0] > self._caught]
        for signal in due:
            signal.set()

    async def passed(self) -> None:
        """Return once the gate is released."""
        await self._opened.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
