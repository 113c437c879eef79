"""The clock of a sandbox in the form that a client accepts."""

import math
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import RLock

import anyio
import anyio.lowlevel

from smsapi_async.sandbox.gate import Signal
from smsapi_async.sandbox.gateway_clock import GatewayClock

# No sleep is longer, because `timedelta` has a limit.
_LONGEST_SLEEP = timedelta(days=365 * 10_000)
# While the clock stands still, a sleep of N seconds moves the clock after N * `_QUIET_SHARE` real seconds
# without a request, within these limits. A client may sleep until a time in two days, and interrupt the sleep
# when the response to a request arrives. The clock must not pass the two days during the request. The wait
# before a shorter sleep has a lower limit, because a client polls every 30 minutes for two days.
_QUIET_SHARE = 0.0004
_SHORTEST_QUIET = 0.002
_LONGEST_QUIET_OF_A_POLL = 0.03
_LONGEST_POLL = 2000.0
_LONGEST_QUIET = 0.25
# The clock stands still for at most this number of real seconds because of a request without a response. The
# client may have given up the request earlier, for example after a timeout.
_LONGEST_DELAY = 5.0
# The same for a sleep of more than `_LONGEST_POLL` seconds, which usually ends when a response arrives. The
# number exceeds the time after which a client gives up a request by default, 120 seconds.
_LONGEST_HANG = 150.0


class SandboxClock:
    """The clock of a sandbox, for `AsyncSmsClient(clock=sandbox.clock)`.

    While the clock of the sandbox runs, `sleep` waits in real time, at the speed of the clock. While the
    clock stands still, `sleep` moves the clock forward, so a client that waits for a delivery takes nearly no
    real time. If several tasks sleep, the clock moves to the earliest end of a sleep and no further. Before
    the clock moves, `sleep` waits some real milliseconds in which no request arrives and no response is
    written: 2 ms for a sleep of 5 seconds, 30 ms for a sleep of 30 minutes, and at most 250 ms.
    A request without a response, for example because of `Sandbox.latency`, `Sandbox.hold` or the faulty line,
    prolongs the wait by at most 5 seconds; before a sleep of more than 2,000 seconds, by at most 150 seconds.
    Tasks of several threads and event loops (asyncio and trio) may sleep at the same time.

    Args:
        lock: the lock of the sandbox.
        clock: the clock of the sandbox.
        move: a function that moves the clock of the sandbox forward.
    """

    def __init__(self, lock: RLock, clock: GatewayClock, move: Callable[[timedelta], object]) -> None:
        self._lock = lock
        self._clock = clock
        self._move = move
        self._changed = Signal()
        # The ends of all sleeps, as values of `GatewayClock.elapsed`.
        self._ends: list[timedelta] = []
        # The real time of the latest request, response, or move of the clock; or of a delayed response.
        self._active_at = time.monotonic()
        # The real times at which the requests without a response began.
        self._open: dict[object, float] = {}

    def now(self) -> datetime:
        """Return the current time of the sandbox, aware, in UTC."""
        with self._lock:
            return self._clock.now()

    def monotonic(self) -> float:
        """Return the seconds that have passed on the clock. The value never decreases, also after a reset."""
        with self._lock:
            return self._clock.elapsed().total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Wait until a number of seconds has passed on the clock of the sandbox.

        Args:
            seconds: the seconds to wait; 0 or less lets other tasks run once.
        """
        await anyio.lowlevel.checkpoint()
        if not seconds > 0:
            return
        with self._lock:
            end = self._clock.elapsed() + _at_least(seconds)
            self._ends.append(end)
        longest = _LONGEST_QUIET if seconds > _LONGEST_POLL else _LONGEST_QUIET_OF_A_POLL
        quiet = min(max(seconds * _QUIET_SHARE, _SHORTEST_QUIET), longest)
        began = time.monotonic()
        try:
            # All tasks that are ready run first, so that the sleeps that they begin count, too.
            await anyio.lowlevel.checkpoint()
            while (waiting := self._step(end, began, quiet)) is not None:
                real_seconds, changed = waiting
                with anyio.move_on_after(real_seconds):
                    await changed.wait()
        finally:
            with self._lock:
                self._ends.remove(end)
                if self._ends:
                    # The end of another sleep may be the earliest end now.
                    self.changed()

    def touch(self, delay: float = 0.0) -> None:
        """Record that a request arrived, or that a response is written. Only the sandbox calls `touch`.

        Args:
            delay: the real seconds after which the response to the request is written.
        """
        with self._lock:
            self._active_at = max(self._active_at, time.monotonic() + min(delay, _LONGEST_DELAY))

    def request_opened(self) -> Callable[[], None]:
        """Record that a client waits for the response to a request. Only the sandbox calls this method.

        Returns:
            A function that records the end of the wait. Further calls of this function have no effect.
        """
        key = object()
        with self._lock:
            self._open[key] = time.monotonic()

        def end() -> None:
            with self._lock:
                if self._open.pop(key, None) is not None:
                    self.touch()
                    if not self._open and self._ends:
                        self.changed()

        return end

    def changed(self) -> None:
        """Look again which sleeps are over, because the clock was changed. Only the sandbox calls this."""
        with self._lock:
            self.touch()
            signal, self._changed = self._changed, Signal()
        signal.set()

    def _step(self, end: timedelta, began: float, quiet: float) -> tuple[float, Signal] | None:
        """Return how long a sleep must wait, and what interrupts the wait; None if the sleep is over."""
        with self._lock:
            left = end - self._clock.elapsed()
            if left <= timedelta(0):
                return None
            real_seconds = self._clock.real_seconds(left)
            if real_seconds is not None:
                return real_seconds, self._changed
            if end > min(self._ends):
                return math.inf, self._changed
            noise = max(began, self._active_until(left)) + quiet - time.monotonic()
            if noise <= 0:
                self._move(left)
                return None
            return noise, self._changed

    def _active_until(self, left: timedelta) -> float:
        """Return the real time until which the clock must stand still, except for the quiet time."""
        longest = _LONGEST_HANG if left.total_seconds() > _LONGEST_POLL else _LONGEST_DELAY
        # The dictionary has the order of the beginnings, so the last request is the latest one.
        last = next(reversed(self._open.values()), -math.inf)
        return max(self._active_at, last + longest)


def _at_least(seconds: float) -> timedelta:
    # Round up to whole microseconds. If the result were shorter than `seconds`, a client that sleeps until a
    # time could wake before this time, and sleep again without an end.
    if seconds >= _LONGEST_SLEEP.total_seconds():
        return _LONGEST_SLEEP
    return timedelta(microseconds=math.ceil(seconds * 1_000_000))
