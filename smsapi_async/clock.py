"""The clock that the client uses. Tests and simulations can pass another clock to the client."""

import sys
import time
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol

import anyio


class Clock(Protocol):
    """The methods that the client needs from a clock."""

    def now(self) -> datetime:
        """Return the current time as an aware `datetime` in UTC."""

    def monotonic(self) -> float:
        """Return the seconds on a clock that never goes backwards, to measure durations."""

    async def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds. Other tasks of the event loop run meanwhile."""


class SystemClock:
    """The clock of the operating system, which the client uses by default."""

    def now(self) -> datetime:
        """Return the current time as an aware `datetime` in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the seconds on a clock that never goes backwards, to measure durations."""
        return monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds. Other tasks of the event loop run meanwhile."""
        await anyio.sleep(seconds)


def time_since_boot() -> float:
    """Return the seconds since the start of the computer, including the time for which it was suspended."""
    # On Linux, `time.monotonic` does not count the time of a suspension.
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is None and sys.platform == "darwin":
        clock = time.CLOCK_MONOTONIC
    return monotonic() if clock is None else time.clock_gettime(clock)
