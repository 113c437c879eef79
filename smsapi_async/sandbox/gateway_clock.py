"""The clock of the sandbox. The clock is frozen or running, and a test can move the clock forward."""

import math
import time
from datetime import UTC, datetime, timedelta

# A time between `EARLIEST` and `LATEST` stays in the range of `datetime` when the offset of a time zone is
# added.
EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, tzinfo=UTC)


class GatewayClock:
    """The clock of one sandbox. All times are aware, in UTC.

    The clock is not thread-safe: `Sandbox` holds a lock during every call.

    Args:
        start: the aware datetime at which the clock is frozen until `advance` moves it. If `start` is None,
            the clock runs from the current time.
        speed: the seconds that a running clock advances in one real second.

    Attributes:
        is_running: whether the clock runs. A running clock with the speed 0 stands still, too.

    Raises:
        ValueError: if `start` is a naive datetime, or `speed` is negative or not a finite number.
    """

    def __init__(self, start: datetime | None, speed: float) -> None:
        if start is not None and start.tzinfo is None:
            raise ValueError(
                "`start` is naive; pass an aware datetime, for example datetime(2026, 1, 1, tzinfo=UTC)"
            )
        self._at_start = start, checked_speed(speed)
        self.is_running = start is None
        self._origin = datetime.now(UTC) if start is None else start.astimezone(UTC)
        # The time that has passed on this clock until `_started`. It counts further after `reset`.
        self._elapsed = timedelta(0)
        # Measure the elapsed time with the monotonic clock, because the system time may go back.
        self._started = time.monotonic()
        self._speed = speed

    @property
    def speed(self) -> float:
        """The seconds that the clock advances in one real second while it runs."""
        return self._speed

    def now(self) -> datetime:
        """Return the current time of the sandbox, aware, in UTC."""
        return later(self._origin, self._since_start()) if self.is_running else self._origin

    def elapsed(self) -> timedelta:
        """Return the time that has passed on this clock. This time never decreases, also after `reset`."""
        return self._elapsed + self._since_start()

    def real_seconds_until(self, moment: datetime) -> float | None:
        """Return the real seconds until a time on this clock, at least 0; None if the clock stands still."""
        return self.real_seconds(moment - self.now())

    def real_seconds(self, left: timedelta) -> float | None:
        """Return the real seconds in which `left` passes, at least 0; None if the clock stands still."""
        remaining = left.total_seconds()
        if remaining <= 0:
            return 0.0
        return remaining / self._speed if self.is_running and self._speed > 0 else None

    def advance(self, by: timedelta) -> None:
        """Move the clock forward, at most to the end of the calendar.

        Raises:
            ValueError: if `by` is negative.
        """
        if by < timedelta(0):
            raise ValueError("the clock only moves forward; pass a step that is not negative")
        self._move(by)

    def pause(self) -> None:
        """Freeze the clock at the current time."""
        self._settle()
        self.is_running = False

    def run(self, speed: float | None = None) -> None:
        """Let the clock run from the current time. None means the speed of the clock.

        Raises:
            ValueError: if `speed` is negative or not a finite number.
        """
        self.set_speed(self._speed if speed is None else speed)
        self.is_running = True

    def set_speed(self, speed: float) -> None:
        """Change the speed from now on. A frozen clock stays frozen.

        Raises:
            ValueError: if `speed` is negative or not a finite number.
        """
        checked = checked_speed(speed)
        self._settle()
        self._speed = checked

    def reset(self) -> None:
        """Set the clock to its start: frozen at `start`, or running from the current time."""
        start, speed = self._at_start
        self._settle()
        self._origin = datetime.now(UTC) if start is None else start.astimezone(UTC)
        self._speed = speed
        self.is_running = start is None

    def _since_start(self) -> timedelta:
        if not self.is_running:
            return timedelta(0)
        try:
            return timedelta(seconds=(time.monotonic() - self._started) * self._speed)
        except OverflowError:
            return LATEST - EARLIEST

    def _settle(self) -> None:
        """Add the time since `_started` to the clock, and set `_started` to the current time."""
        self._move(self._since_start())
        self._started = time.monotonic()

    def _move(self, by: timedelta) -> None:
        self._origin = later(self._origin, by)
        self._elapsed = min(self._elapsed, LATEST - EARLIEST) + min(by, LATEST - EARLIEST)


def checked_speed(speed: float) -> float:
    """Return `speed`.

    Raises:
        ValueError: if `speed` is negative or not a finite number.
    """
    if not (math.isfinite(speed) and speed >= 0):
        raise ValueError("speed must be a finite number and at least 0")
    return speed


def later(moment: datetime, by: timedelta) -> datetime:
    """Return `moment + by`, limited to the range from `EARLIEST` to `LATEST`."""
    try:
        return min(max(moment + by, EARLIEST), LATEST)
    except OverflowError:
        return LATEST if by > timedelta(0) else EARLIEST
