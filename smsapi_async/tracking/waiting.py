"""The timer and the queue of deliveries for which the tasks of `Tracking` wait."""

from collections import deque
from typing import Generic, TypeVar

import anyio
import attrs

from smsapi_async.clock import Clock
from smsapi_async.privacy import steady_repr

_Item = TypeVar("_Item")

# Number of queued deliveries at which the producers wait for the consumer, so that the memory use stays
# bounded.
_CHANGES_HELD = 500


@steady_repr
@attrs.define(eq=False)
class Timer:
    """A timer for one waiting task. Other tasks can end the wait early with `wake`.

    Only one task at a time may call `wait_until`.
    """

    clock: Clock
    _offset: float = attrs.field(init=False)
    _scope: anyio.CancelScope | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._offset = self.clock.now().timestamp() - self.clock.monotonic()

    def now(self) -> float:
        """Return the current time in seconds since the epoch.

        The returned time never goes back. The timer reads the wall clock once and then counts with the
        monotonic clock, so a later change of the wall clock has no effect.
        """
        return self._offset + self.clock.monotonic()

    async def wait_until(self, moment: float | None) -> None:
        """Wait until a time, or until another task calls `wake`.

        Args:
            moment: the time in seconds since the epoch. None means to wait until `wake` is called.
        """
        with anyio.CancelScope() as self._scope:
            if moment is None:
                await anyio.sleep_forever()
            else:
                await self.clock.sleep(max(0.0, moment - self.now()))
        self._scope = None

    def wake(self) -> None:
        """End the current `wait_until`. If no task waits, `wake` does nothing."""
        if self._scope is not None:
            self._scope.cancel()


@attrs.define(eq=False)
class DeliveryQueue(Generic[_Item]):
    """A queue of deliveries that are not recorded in the ledger yet.

    A delivery stays in the queue until it is recorded, so that a cancellation during the recording loses no
    delivery.
    """

    _noticed: deque[_Item] = attrs.field(factory=deque, init=False)
    _filled: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _emptied: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _ended: bool = attrs.field(init=False, default=False)

    def put(self, delivery: _Item) -> None:
        """Add a delivery to the queue without waiting."""
        self._noticed.append(delivery)
        self._filled.set()

    def end(self) -> None:
        """Mark the end of the queue: no further delivery follows."""
        self._ended = True
        self._filled.set()

    async def room(self) -> None:
        """Wait until the queue has room for another delivery."""
        while len(self._noticed) >= _CHANGES_HELD:
            self._emptied = anyio.Event()
            await self._emptied.wait()

    async def next_batch(self) -> list[_Item]:
        """Wait for at least one delivery, then return all queued deliveries.

        The deliveries stay in the queue until `drop` removes them. The list is empty if `end` was called and
        the queue is empty.
        """
        while not self._noticed and not self._ended:
            self._filled = anyio.Event()
            await self._filled.wait()
        return self.rest()

    def rest(self) -> list[_Item]:
        """Return all queued deliveries without waiting."""
        return list(self._noticed)

    def drop(self, count: int) -> None:
        """Remove the oldest deliveries from the queue after they were recorded.

        Args:
            count: the number of deliveries to remove.
        """
        for _ in range(count):
            self._noticed.popleft()
        self._emptied.set()
