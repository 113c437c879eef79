"""The clock of the client. Tests and simulations can use another clock."""

from datetime import UTC, datetime
from time import monotonic
from typing import Protocol

import anyio


class Clock(Protocol):
    """The functions of a clock that the client uses."""

    def now(self) -> datetime:
        """Return the current time as an aware `datetime` in UTC."""

    def monotonic(self) -> float:
        """Return the time in seconds on a clock that never goes backwards."""

    async def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds without blocking the event loop."""


class SystemClock:
    """The clock of the operating system."""

    def now(self) -> datetime:
        """Return the current time as an aware `datetime` in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the time in seconds on a clock that never goes backwards."""
        return monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds without blocking the event loop."""
        await anyio.sleep(seconds)
