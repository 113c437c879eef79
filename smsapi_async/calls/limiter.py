"""The limiter in front of the connection pool: nothing ever queues inside the pool."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType

import anyio

from smsapi_async.clock import Clock


class Limiter:
    """Lets a bounded number of requests be in flight, first come, first served, and paces them.

    Args:
        concurrency: requests in flight at once.
        requests_per_second: how many may begin in a second, evenly spaced; None means any number.
        clock: the time.
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
        """A slot for a call that lets others go first: of such calls only one at a time stands in line."""
        async with self._background:
            await self.__aenter__()
        try:
            yield
        finally:
            self._slots.release()

    async def _pace(self, interval: float) -> None:
        """A token bucket of one. One call at a time waits for the token, and takes none if it gives up."""
        async with self._pacing:
            now = self._clock.monotonic()
            begin = max(now, self._next)
            if begin > now:
                await self._clock.sleep(begin - now)
            self._next = begin + interval
