"""What the tasks of a stream of deliveries wait on: the one timer, and the deliveries not yet given out."""

from collections import deque

import anyio
import attrs

from smsapi_async.clock import Clock
from smsapi_async.tracking.delivery import Delivery

_CHANGES_HELD = 500


@attrs.define(eq=False)
class Timer:
    """Waits for a moment, or to be woken."""

    clock: Clock
    _offset: float = attrs.field(init=False)
    _scope: anyio.CancelScope | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._offset = self.clock.now().timestamp() - self.clock.monotonic()

    def now(self) -> float:
        """Seconds since the epoch that never go back, whatever is done to the wall clock."""
        return self._offset + self.clock.monotonic()

    async def wait_until(self, moment: float | None) -> None:
        """Wait until a moment, or without end, unless woken."""
        with anyio.CancelScope() as self._scope:
            if moment is None:
                await anyio.sleep_forever()
            else:
                await self.clock.sleep(max(0.0, moment - self.now()))
        self._scope = None

    def wake(self) -> None:
        """End the wait that is going on, if there is one."""
        if self._scope is not None:
            self._scope.cancel()


@attrs.define(eq=False)
class Changes:
    """Deliveries that were noticed and are not recorded yet; none is lost by a cancellation."""

    _noticed: deque[Delivery] = attrs.field(factory=deque, init=False)
    _filled: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _emptied: anyio.Event = attrs.field(factory=anyio.Event, init=False)
    _ended: bool = attrs.field(init=False, default=False)

    def put(self, delivery: Delivery) -> None:
        """Take a delivery in, at once."""
        self._noticed.append(delivery)
        self._filled.set()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._filled.set()

    async def room(self) -> None:
        """Wait until the consumer has kept up."""
        while len(self._noticed) >= _CHANGES_HELD:
            self._emptied = anyio.Event()
            await self._emptied.wait()

    async def next_batch(self) -> list[Delivery]:
        """What there is, as soon as there is something; empty at the end. It stays here until `drop`."""
        while not self._noticed and not self._ended:
            self._filled = anyio.Event()
            await self._filled.wait()
        return self.rest()

    def rest(self) -> list[Delivery]:
        """What there is now."""
        return list(self._noticed)

    def drop(self, count: int) -> None:
        """The oldest have been recorded."""
        for _ in range(count):
            self._noticed.popleft()
        self._emptied.set()
