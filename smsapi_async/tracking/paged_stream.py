"""The stream of deliveries for the messages of a store, which keeps only some messages in memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from anyio.streams.memory import MemoryObjectSendStream

from smsapi_async.clock import Clock
from smsapi_async.tracking.delivery import Delivery
from smsapi_async.tracking.stream import ReadState, Tracking
from smsapi_async.tracking.tracker import StateRequest
from smsapi_async.tracking.visits import Visit, VisitStore, VisitTracker

MESSAGES_HELD: Final = 1000
"""The maximum number of messages in memory, beside those that the consumer has not taken."""

# The seconds between two pages: at least the first number, and at most the second. Another process may have
# sent new messages meanwhile.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0


class PagedTracking(Tracking):
    """The stream that `AsyncSmsClient.track` returns for a PostgreSQL ledger.

    The stream works as `Tracking`, with these differences: the ledger keeps the time of the next request of
    each message, so at most 1,000 messages are in memory. The stream also follows the messages that other
    processes send meanwhile, and ends when no message is under way.

    Args:
        store: the store of the messages.
        tracker: the tracker, which only this stream uses.
        read_state: an async function that requests the state of one segment.
        clock: the clock for the schedule and the deadline.
        workers: the maximum number of requests in flight.
        check_usable: the same as for `Tracking`.
    """

    def __init__(
        self,
        store: VisitStore,
        tracker: VisitTracker,
        read_state: ReadState,
        *,
        clock: Clock,
        workers: int,
        check_usable: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__((), tracker, read_state, clock=clock, workers=workers, check_usable=check_usable)
        self._store = store
        self._visits = tracker
        tracker.on_end = self._note
        # The ids of the messages whose visits are not recorded yet.
        self._held: set[int] = set()
        # The time of the next page. None means that the next page waits until messages are recorded.
        self._next_page: float | None = 0.0

    def _note(self, visit: Visit) -> None:
        self._queue.put(visit)

    async def _read(self) -> None:
        """Read nothing, because `_dispatch` reads the pages."""

    async def _dispatch(self, asks: MemoryObjectSendStream[StateRequest]) -> None:
        try:
            while not self._all_read:
                await self._load_page()
                now = self._timer.now()
                self._tracker.expired(now)
                self._start_requests(asks, now)
                times = [at for at in (self._next_time(), self._next_page) if at is not None]
                if not self._all_read:
                    await self._timer.wait_until(min(times, default=None))
        except Exception as error:  # noqa: BLE001 - any error of the store
            self._end_with(error)

    async def _load_page(self) -> None:
        now = self._timer.now()
        if self._next_page is None or now < self._next_page:
            return
        limit = MESSAGES_HELD - len(self._held)
        page = await self._store.due_messages(
            datetime.fromtimestamp(now, UTC),
            limit=limit,
            without=self._held,
            first_wait=self._visits.first_wait,
        )
        now = self._timer.now()
        for message in page.messages:
            self._held.add(message.id)
            self._visits.visit(message, now)
        self._plan_page(now, page.next_at, is_full=len(page.messages) >= limit)

    def _plan_page(self, now: float, next_at: datetime | None, *, is_full: bool) -> None:
        if is_full:
            self._next_page = None
        elif next_at is None and not self._held:
            self._all_read = True
        else:
            soon = now + _LONGEST_PAUSE if next_at is None else next_at.timestamp()
            self._next_page = min(max(soon, now + _SHORTEST_PAUSE), now + _LONGEST_PAUSE)

    @staticmethod
    def _deliveries_in(batch: list[Visit]) -> list[Delivery]:
        return [delivery for visit in batch for delivery in visit.deliveries]

    async def _record(self, visits: list[Visit]) -> None:
        if not visits:
            return
        await self._store.record_visits(visits)
        self._held.difference_update([visit.id for visit in visits])
        if not self._held or (self._next_page is None and len(self._held) <= MESSAGES_HELD // 2):
            # The stream ends at once after the last message, and a full page leaves room for the next page.
            self._next_page = 0.0
            self._timer.wake()
