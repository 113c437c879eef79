"""The clock of the sandbox. The clock is frozen or running, and a test can move the clock forward."""

import time
from datetime import UTC, datetime, timedelta

# A time between `EARLIEST` and `LATEST` stays in the range of `datetime` when the offset of a time zone is
# added.
EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, tzinfo=UTC)


class GatewayClock:
    """The clock of one sandbox. All times are aware, in UTC.

    Args:
        start: the aware datetime at which the clock is frozen until `advance` moves it. If `start` is None,
            the clock runs from the current time.
        speed: the seconds that a running clock advances in one real second.

    Raises:
        ValueError: if `start` is a naive datetime.
    """

    def __init__(self, start: datetime | None, speed: float) -> None:
        if start is not None and start.tzinfo is None:
            raise ValueError(
                "`start` is naive; pass an aware datetime, for example datetime(2026, 1, 1, tzinfo=UTC)"
            )
        self._running = start is None
        self._origin = datetime.now(UTC) if start is None else start.astimezone(UTC)
        # Measure the elapsed time with the monotonic clock, because the system time may go back.
        self._started = time.monotonic()
        self._speed = speed

    def now(self) -> datetime:
        """Return the current time of the sandbox, aware, in UTC."""
        if not self._running:
            return self._origin
        return self._origin + timedelta(seconds=(time.monotonic() - self._started) * self._speed)

    def real_seconds_until(self, moment: datetime) -> float | None:
        """Return the real seconds until a time on this clock, at least 0; None if the clock is frozen."""
        remaining = (moment - self.now()).total_seconds()
        if remaining <= 0:
            return 0.0
        return remaining / self._speed if self._running and self._speed > 0 else None

    def advance(self, by: timedelta) -> None:
        """Move the clock forward.

        Raises:
            ValueError: if `by` is negative.
        """
        if by < timedelta(0):
            raise ValueError("the clock only moves forward; pass a step that is not negative")
        self._origin += by


def later(moment: datetime, by: timedelta) -> datetime:
    """Return `moment + by`, limited to the range from `EARLIEST` to `LATEST`."""
    try:
        return min(max(moment + by, EARLIEST), LATEST)
    except OverflowError:
        return LATEST if by > timedelta(0) else EARLIEST
