"""A queue between the tasks of a batch, which suspends a task only if the task must wait."""

from collections import deque
from typing import Generic, TypeVar

import anyio

_Item = TypeVar("_Item")


class BoundedQueue(Generic[_Item]):
    """A queue with a limited number of items, between tasks of one event loop.

    A memory stream of AnyIO suspends the sender and the receiver for each item. These waits cost more CPU
    time than the rest of a batch. This queue suspends a task only if the queue is full or empty.

    Args:
        limit: the number of items from which on `wait_for_room` waits.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[_Item] = deque()
        self._takers: deque[anyio.Event] = deque()
        self._putters: deque[anyio.Event] = deque()
        self._closed = False

    def close(self) -> None:
        """Let no task wait any more. `take` still returns the items that are in the queue."""
        self._closed = True
        for waiting in (self._takers, self._putters):
            while waiting:
                _wake_one(waiting)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def has_room(self) -> bool:
        """Whether `wait_for_room` does not wait."""
        return len(self._items) < self._limit or self._closed

    def pop(self) -> _Item:
        """Remove and return the first item, without a wait. The queue must not be empty."""
        item = self._items.popleft()
        # A task that waits for room goes on when half of the queue is empty, and then adds several items. If
        # the task went on at once, it would wait again after each item.
        if self._putters and len(self._items) <= self._limit // 2:
            _wake_one(self._putters)
        return item

    def add(self, item: _Item) -> None:
        """Add an item, even if the queue is full. Call `wait_for_room` before you add another item."""
        self._items.append(item)
        _wake_one(self._takers)

    async def wait_for_room(self) -> None:
        """Wait until the queue contains fewer items than the limit, or is closed."""
        while not self.has_room:
            await _wait_in(self._putters)
        # Several tasks can wait for room, and one call of `take` wakes at most one of these tasks.
        _wake_one(self._putters)

    async def take(self) -> _Item | None:
        """Wait for an item, and remove the item from the queue. Return None if the queue is closed and empty.

        A cancelled call removes no item.
        """
        while not self._items:
            if self._closed:
                return None
            await _wait_in(self._takers)
        return self.pop()


def _wake_one(waiting: deque[anyio.Event]) -> None:
    if waiting:
        waiting.popleft().set()


async def _wait_in(waiting: deque[anyio.Event]) -> None:
    event = anyio.Event()
    waiting.append(event)
    try:
        await event.wait()
    except BaseException:
        if event.is_set():
            # This task was woken and cancelled at once, so another task must take its turn.
            _wake_one(waiting)
        else:
            waiting.remove(event)
        raise
