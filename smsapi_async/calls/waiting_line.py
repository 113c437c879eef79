"""A line in which tasks wait for their turn, in the order of arrival."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import anyio
import attrs

from smsapi_async.eventloop import running_asyncio_loop

if TYPE_CHECKING:
    import asyncio

# Number of waits whose time has passed and that end in one iteration of the event loop. If thousands of waits
# ended in one iteration, no other task could run until the last of these waits has ended.
_ENDS_IN_ONE_ITERATION = 100


class _Turn(Protocol):
    """What a waiting task waits for. Its result says whether the task has got its turn."""

    def done(self) -> bool:
        """Whether there is a result, or the wait was cancelled."""

    def set_result(self, result: bool, /) -> None:
        """Wake the waiting task."""


@attrs.define(eq=False)
class _TrioTurn:
    """The same as a future of asyncio, for the event loop of trio."""

    event: anyio.Event = attrs.field(factory=lambda: anyio.Event())  # noqa: PLW0108 - see `_Login`
    result: bool = False

    def done(self) -> bool:
        return self.event.is_set()

    def set_result(self, result: bool, /) -> None:
        self.result = result
        self.event.set()


class WaitingLine:
    """A line in which tasks wait for their turn, in the order of arrival.

    Args:
        give_back: a function that is called if a task has got its turn and is cancelled before it runs. The
            function must give the turn to another task.
    """

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        # An `OrderedDict` removes an item in the middle in constant time, also if thousands of tasks wait.
        self._turns: OrderedDict[_Turn, None] = OrderedDict()
        self._expired: deque[_Turn] = deque()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._turns)

    def call_first(self) -> None:
        """Give the turn to the first task of the line. At least one task must wait."""
        while self._turns:
            turn, _ = self._turns.popitem(last=False)
            # The turn of a task that was cancelled and has not run since is done.
            if not turn.done():
                turn.set_result(True)
                return
        self._give_back()

    def close(self) -> None:
        """End all waits. The tasks do not get their turn, and later calls of `wait` return at once."""
        self._is_closed = True
        while self._turns:
            turn, _ = self._turns.popitem(last=False)
            if not turn.done():
                turn.set_result(False)

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait until the task gets its turn.

        Args:
            seconds: maximum time to wait, or None.

        Returns:
            Whether the task has got its turn. False means that `seconds` have passed, or the line was closed.
        """
        if self._is_closed:
            return False
        loop = running_asyncio_loop()
        if loop is None:
            return await self._wait_on_trio(seconds)
        # One cancel scope for each waiting task would end all waits in one iteration of the event loop, if
        # their time passes at the same moment. 20,000 waits then blocked the event loop for one second. The
        # future is awaited in this function, because each further object of a waiting task costs time in the
        # garbage collector.
        turn: asyncio.Future[bool] = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, self._expire, turn, loop)
        self._turns[turn] = None
        try:
            return await turn
        except BaseException:
            self._turns.pop(turn, None)
            if turn.done() and not turn.cancelled() and turn.result():
                self._give_back()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    async def _wait_on_trio(self, seconds: float | None) -> bool:
        turn = _TrioTurn()
        self._turns[turn] = None
        try:
            with anyio.move_on_after(math.inf if seconds is None else seconds):
                await turn.event.wait()
        except BaseException:
            if turn.result:
                self._give_back()
            raise
        finally:
            self._turns.pop(turn, None)
        return turn.result

    def _expire(self, turn: _Turn, loop: asyncio.AbstractEventLoop) -> None:
        self._expired.append(turn)
        if len(self._expired) == 1:
            loop.call_soon(self._end_expired, loop)

    def _end_expired(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(min(len(self._expired), _ENDS_IN_ONE_ITERATION)):
            turn = self._expired.popleft()
            if not turn.done():
                self._turns.pop(turn, None)
                turn.set_result(False)
        if self._expired:
            loop.call_soon(self._end_expired, loop)
