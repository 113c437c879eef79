"""Limits how many messages are in the requests in flight."""

from collections import deque

import anyio


class InFlightLimit:
    """A number of places for messages. A request takes a place for each of its messages.

    Requests get their places in the order in which they ask, so that small requests do not delay a large
    request for ever.

    Args:
        limit: the number of places.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: deque[tuple[int, anyio.Event]] = deque()

    async def acquire(self, count: int) -> None:
        """Wait until there are enough places, and take the places. A cancelled call takes no places."""
        if not self._waiting and self._free >= count:
            self._free -= count
            return
        turn = (count, anyio.Event())
        self._waiting.append(turn)
        try:
            await turn[1].wait()
        except BaseException:
            if turn[1].is_set():
                self.release(count)
            else:
                self._waiting.remove(turn)
                self._wake()
            raise

    def release(self, count: int) -> None:
        """Give places back."""
        self._free += count
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            count, event = self._waiting.popleft()
            self._free -= count
            event.set()
