"""The gateway's clock: frozen at a moment, or running, and moved by hand."""

import time
from datetime import UTC, datetime, timedelta

# Moments beyond these cannot be shifted by a time zone without leaving the range of `datetime`.
EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, tzinfo=UTC)


class GatewayClock:
    """Aware UTC time that moves with `advance`, and by itself unless `start` is given."""

    def __init__(self, start: datetime | None, speed: float) -> None:
        if start is not None and start.tzinfo is None:
            raise ValueError(
                "start is naive; pass an aware datetime, such as datetime(2026, 1, 1, tzinfo=UTC)"
            )
        self._running = start is None
        self._origin = datetime.now(UTC) if start is None else start.astimezone(UTC)
        self._started = time.monotonic()
        self._speed = speed

    def now(self) -> datetime:
        """The present moment of the gateway."""
        if not self._running:
            return self._origin
        return self._origin + timedelta(seconds=(time.monotonic() - self._started) * self._speed)

    def advance(self, by: timedelta) -> None:
        """Move forward; a negative step is refused with ValueError."""
        if by < timedelta(0):
            raise ValueError("the clock only moves forward; pass a step that is not negative")
        self._origin += by


def later(moment: datetime, by: timedelta) -> datetime:
    """`moment + by`, held inside the range that can be computed with."""
    try:
        return min(max(moment + by, EARLIEST), LATEST)
    except OverflowError:
        return LATEST if by > timedelta(0) else EARLIEST
