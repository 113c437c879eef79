"""The methods with which a test controls the clock of a sandbox."""

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import RLock

from smsapi_async.sandbox.client_clock import SandboxClock
from smsapi_async.sandbox.feed import Feed
from smsapi_async.sandbox.gateway_clock import GatewayClock


class ClockControl:
    """The part of `Sandbox` that controls the clock.

    Args:
        lock: the lock of the sandbox.
        clock: the clock of the sandbox.
        feed: the feed that gets an event for each change of the clock.
    """

    def __init__(self, lock: RLock, clock: GatewayClock, feed: Feed) -> None:
        self._lock = lock
        self._clock = clock
        self.feed = feed
        self.clock = SandboxClock(lock, clock, self.advance)

    def now(self) -> datetime:
        """Return the current time of the sandbox, aware, in UTC."""
        with self._lock:
            return self._clock.now()

    def advance(self, by: timedelta | None = None, /, **units: float) -> None:
        """Move the clock forward. The states of segments and the expiry of sessions depend on the clock.

        Args:
            by: the time by which the clock moves forward; None means that `units` define the time.
            units: the keyword arguments of `timedelta`, for example `hours=2`.

        Raises:
            ValueError: if the time to move forward is negative.
        """
        step = timedelta(**units) if by is None else by
        self._change_clock(lambda: self._clock.advance(step))

    def pause(self) -> None:
        """Freeze the clock at the current time. `run` lets the clock run again."""
        self._change_clock(self._clock.pause)

    def run(self, speed: float | None = None) -> None:
        """Let the clock run from its current time, also a clock that was frozen with `start`.

        Args:
            speed: the seconds that the clock advances in one real second; None means the last speed.

        Raises:
            ValueError: if `speed` is negative or not a finite number.
        """
        self._change_clock(lambda: self._clock.run(speed))

    @property
    def running(self) -> bool:
        """Whether the clock runs. False means that only `advance`, and `clock.sleep`, move the clock."""
        with self._lock:
            return self._clock.is_running

    @property
    def speed(self) -> float:
        """The seconds that a running clock advances in one real second, which a test may set.

        Raises:
            ValueError: if a new value is negative or not a finite number.
        """
        with self._lock:
            return self._clock.speed

    @speed.setter
    def speed(self, value: float) -> None:
        self._change_clock(lambda: self._clock.set_speed(value))

    def _change_clock(self, change: Callable[[], object]) -> None:
        with self._lock:
            change()
            self.feed.append("clock")
            self.clock.changed()
        self._clock_changed()

    def _clock_changed(self) -> None:
        """Do what a change of the clock makes due."""
