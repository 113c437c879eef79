"""Limits the requests in flight, so that no request waits in the connection pool."""

from __future__ import annotations

import enum
import math
from functools import cached_property

import anyio

from smsapi_async.calls.waiting_line import WaitingLine
from smsapi_async.clock import Clock
from smsapi_async.pace import Pace

# Number of waiting calls from which on the limiter is crowded.
_CROWD = 100


class Priority(enum.Enum):
    """The priority of a call in the line for a slot of the `Limiter`."""

    READ = enum.auto()
    """Reads and sends get slots in turn: a read waits for at most one of the sends that wait."""
    SEND = enum.auto()
    """Sends get their slots in the order of arrival."""
    BACKGROUND = enum.auto()
    """Only one background call at a time waits in the line of the sends; the others wait for this call.
    Therefore a new send waits for at most one background call."""


class Limiter:
    """Limits the number of requests in flight and the rate of requests.

    A call needs a slot for each request.

    Args:
        concurrency: the number of requests that may be in flight at the same time.
        requests_per_second: the number of requests that may begin in a second, evenly spaced; None means
            no limit.
        clock: provides the current time and the waits.
        pace: allows each request after `acquire`; None means no further limit.

    Attributes:
        has_pace: whether `wait_for_pace` must be called before each request.
    """

    def __init__(
        self,
        concurrency: int,
        requests_per_second: float | None,
        clock: Clock,
        pace: Pace | None = None,
    ) -> None:
        self.concurrency = concurrency
        self._free = concurrency
        self._sends = WaitingLine(self.release)
        self._reads = WaitingLine(self.release)
        self._is_turn_of_read = True
        self._interval = None if requests_per_second is None else 1 / requests_per_second
        self._pace_of_caller = pace
        self.has_pace = pace is not None
        # The cancel scope of each call that waits for its time to begin.
        self._paced: set[anyio.CancelScope] = set()
        self._clock = clock
        self._next = 0.0
        self._is_closed = False

    # A client can be created without an event loop, so the locks are created when they are needed.
    @cached_property
    def _background(self) -> anyio.Lock:
        return anyio.Lock(fast_acquire=True)

    @cached_property
    def _pacing(self) -> anyio.Lock:
        return anyio.Lock(fast_acquire=True)

    @property
    def is_crowded(self) -> bool:
        """Whether so many calls wait that a new call does not get its slot soon."""
        return len(self._sends) + len(self._reads) >= _CROWD

    async def acquire(self, priority: Priority, seconds: float | None = None) -> bool:
        """Wait until the call may begin its request. The caller must call `release` after the request.

        Args:
            priority: the priority of the call.
            seconds: maximum time to wait; None means no limit. A background call has no limit.

        Returns:
            Whether the call has a slot. False means that `seconds` have passed, or the limiter was closed.
        """
        if priority is Priority.BACKGROUND:
            async with self._background:
                return await self._take_slot(self._sends, None)
        line = self._reads if priority is Priority.READ else self._sends
        if self._interval is None and not self._free:
            # `_take_slot` would do the same. Each further coroutine of thousands of waiting calls costs time
            # in the garbage collector.
            return await line.wait(seconds)
        return await self._take_slot(line, seconds)

    async def _take_slot(self, line: WaitingLine, seconds: float | None) -> bool:
        if self._is_closed:
            return False
        end = math.inf if seconds is None else anyio.current_time() + seconds
        if self._free:
            # A slot is free only if no call waits, because `release` gives the slot to a waiting call.
            self._free -= 1
        elif not await line.wait(seconds):
            return False
        if self._interval is None:
            return True
        has_begun = False
        with anyio.CancelScope(deadline=end) as scope:
            self._paced.add(scope)
            try:
                await self._pace(self._interval)
                has_begun = True
            finally:
                self._paced.remove(scope)
                if not has_begun:
                    self.release()
        return has_begun

    async def wait_for_pace(self) -> None:
        """Wait until the pace allows a request, or until the limiter is closed.

        The caller must call this method immediately before the request. If the caller waited for something
        else in between, for example for a login, then many allowed requests would begin at the same time.
        """
        if self._pace_of_caller is None or self._is_closed:
            return
        with anyio.CancelScope() as scope:
            self._paced.add(scope)
            try:
                await self._pace_of_caller.wait()
            finally:
                self._paced.remove(scope)

    def close(self) -> None:
        """End the wait of all calls. These calls, and later calls that must wait, get no slot."""
        self._is_closed = True
        self._reads.close()
        self._sends.close()
        for scope in self._paced:
            scope.cancel()

    def release(self) -> None:
        """Give the slot of a call back, or to the next call that waits."""
        if self._reads and (self._is_turn_of_read or not self._sends):
            self._is_turn_of_read = False
            self._reads.call_first()
        elif self._sends:
            self._is_turn_of_read = True
            self._sends.call_first()
        else:
            self._free += 1

    async def _pace(self, interval: float) -> None:
        """Wait until the next request may begin.

        The function works as a token bucket with one token: only one call at a time waits for its time to
        begin. If the waiting call is cancelled, the next call takes its place.
        """
        async with self._pacing:
            now = self._clock.monotonic()
            begin = max(now, self._next)
            if begin > now:
                await self._clock.sleep(begin - now)
            self._next = begin + interval
