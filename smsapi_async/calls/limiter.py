"""Limits the requests in flight, so that no request waits in the connection pool."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType

import anyio

from smsapi_async.clock import Clock


class Limiter:
    """Limits the number of requests in flight and the rate of requests.

    A call needs a slot for each request. Calls get their slots in the order of arrival.

    Args:
        concurrency: the number of requests that may be in flight at the same time.
        requests_per_second: the number of requests that may begin in a second, evenly spaced; None means
            no limit.
        clock: provides the current time and the waits.
    """

    def __init__(self, concurrency: int, requests_per_second: float | None, clock: Clock) -> None:
        self.concurrency = concurrency
        self._slots = anyio.Semaphore(concurrency, fast_acquire=True)
        self._background = anyio.Lock(fast_acquire=True)
        self._interval = None if requests_per_second is None else 1 / requests_per_second
        self._pacing = anyio.Lock(fast_acquire=True)
        self._clock = clock
        self._next = 0.0

    async def __aenter__(self) -> None:
        await self._slots.acquire()
        if self._interval is not None:
            try:
                await self._pace(self._interval)
            except BaseException:
                # We release the slot here, because Python does not call `__aexit__` if `__aenter__` raises an
                # exception.
                self._slots.release()
                raise

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._slots.release()

    @asynccontextmanager
    async def background(self) -> AsyncIterator[None]:
        """Return a context manager that holds a slot for a call with low priority.

        Only one background call at a time is in the queue for slots; the other background calls wait.
        Therefore a new call with normal priority waits for at most one background call in the queue.
        """
        async with self._background:
            await self.__aenter__()
        try:
            yield
        finally:
            self._slots.release()

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
