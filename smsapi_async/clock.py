"""Time as a part that can be replaced: tests and simulations bring their own."""

from datetime import UTC, datetime
from time import monotonic
from typing import Protocol

import anyio


class Clock(Protocol):
    """What the client asks of time."""

    def now(self) -> datetime:
        """The wall-clock time, aware, UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """The wall-clock time, aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait without blocking the event loop."""
        await anyio.sleep(seconds)
