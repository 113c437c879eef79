"""Spreads calls that begin at the same time over several iterations of the event loop."""

from time import perf_counter

from anyio.lowlevel import checkpoint

from smsapi_async.calls.waiting_line import WaitingLine

# Maximum number of calls that go on in one iteration of the event loop.
_CALLS_IN_ONE_ITERATION = 100


class Spreader:
    """Spreads calls that begin at the same time over several iterations of the event loop.

    If a program starts thousands of calls at once, asyncio runs all of them up to their first wait before any
    other task runs. The calls therefore wait here before they do any work, and go on in groups. The last call
    of a group that goes on wakes the next group, so the calls go on in the order of arrival.
    """

    def __init__(self) -> None:
        self._line = WaitingLine(self._go_on)
        # Number of calls of the current group that have not gone on yet.
        self._group = 0

    def __len__(self) -> int:
        return len(self._line) + self._group

    async def wait(self) -> float:
        """Wait for a later iteration of the event loop. Return the time of the wait in seconds."""
        began = perf_counter()
        if self._group:
            await self._line.wait()
            self._go_on()
        else:
            self._group = 1
            try:
                await checkpoint()
            finally:
                self._go_on()
        return perf_counter() - began

    def _go_on(self) -> None:
        self._group -= 1
        if self._group == 0:
            while self._line and self._group < _CALLS_IN_ONE_ITERATION:
                self._line.call_first()
                self._group += 1
