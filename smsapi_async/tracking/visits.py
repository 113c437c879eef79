"""Tracking of more messages than fit in memory. A store keeps the time of the next request of each message.

A visit of a message begins when its next request is due, and ends when the responses have arrived. Between
two visits, the message is only in the store. The module does no I/O.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from heapq import heappush
from typing import Protocol, Self

import attrs

from smsapi_async.models import Receipt, SegmentState
from smsapi_async.schedule import Schedule
from smsapi_async.states import Phase
from smsapi_async.tracking.delivery import Delivery, phase_of
from smsapi_async.tracking.tracker import StateRequest, TrackedMessage, Tracker

# The latest time that a store can contain: the beginning of the year 9999.
_LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
# The longest time, in seconds, for which a message whose deadline has passed waits for the gateway.
_LONGEST_LATE_VISIT = 48 * 3600.0


@attrs.frozen
class DueMessage:
    """A message whose next request is due.

    Attributes:
        id: the id of the message in the store.
        item: the last recorded delivery; the receipt if no delivery was recorded.
        followed_since: the time at which a follower first found the message.
        planned_at: the time for which the request was planned.
    """

    id: int
    item: Receipt | Delivery
    followed_since: datetime
    planned_at: datetime


@attrs.frozen
class DuePage:
    """One page of messages whose next requests are due.

    Attributes:
        messages: the messages, in the order of their planned times.
        next_at: the earliest time after now at which a request of another message is due, or at which the
            store may have more messages; None if there is none.
    """

    messages: Sequence[DueMessage]
    next_at: datetime | None


@attrs.frozen
class Visit:
    """The result of a visit.

    Attributes:
        id: the id of the message in the store.
        deliveries: the new deliveries of the message in order; empty if nothing has changed.
        next_at: the time of the next request; None after the last delivery.
    """

    id: int
    deliveries: tuple[Delivery, ...]
    next_at: datetime | None


class VisitStore(Protocol):
    """A store of messages under way, for example a ledger in a database."""

    async def due_messages(
        self, now: datetime, *, limit: int, without: Collection[int], first_wait: float
    ) -> DuePage:
        """Return messages whose next requests are due, with the earliest planned times first.

        Args:
            now: the current time.
            limit: the maximum number of messages.
            without: the ids of messages to leave out.
            first_wait: the seconds from the acceptance of a message to its first request.
        """

    async def record_visits(self, visits: Sequence[Visit]) -> None:
        """Record the last delivery and the time of the next request for each visited message."""


@attrs.define(eq=False)
class _OpenVisit:
    """A visit that has not ended.

    Attributes:
        message: the visited message.
        late: the visited message if its deadline had passed when the visit began, else None.
        has_failed: whether a request of the visit got no usable response.
        requests: the number of requests that are to be made now, or are in flight.
        next_at: the earliest time of a later request.
        deliveries: the new deliveries.
    """

    message: DueMessage
    late: TrackedMessage | None = None
    has_failed: bool = False
    requests: int = 0
    next_at: float = math.inf
    deliveries: list[Delivery] = attrs.field(factory=list)


class VisitTracker(Tracker):
    """A tracker that forgets a message when no request of the message is due now.

    Call `visit` for each due message. When a visit ends, the tracker passes the result to `on_end`. The
    methods `responded` and `expired` return None, because the result contains the deliveries.

    Args:
        schedule: the schedule, which computes the waits between the requests for one message.
        deadline: the same as for `Tracker`.
        chance: the random generator for the jitter. None means a new generator.

    Attributes:
        on_end: a function that is called with each ended visit.
    """

    def __init__(self, schedule: Schedule, deadline: float, *, chance: random.Random | None = None) -> None:
        super().__init__(schedule, deadline, chance=chance)
        self.on_end: Callable[[Visit], None] = lambda _: None
        # The open visit of each message, by the serial number of the message.
        self._open_visits: dict[int, _OpenVisit] = {}
        self._now = 0.0

    @classmethod
    def like(cls, tracker: Tracker) -> Self:
        """Return a new tracker with the schedule and the deadline of another tracker."""
        return cls(tracker.schedule, tracker.length)

    @property
    def first_wait(self) -> float:
        """The seconds from the acceptance of a message to its first request."""
        return self.schedule.wait(0, self._chance)

    def visit(self, message: DueMessage, now: float) -> None:
        """Begin the visit of a message, which must not be visited already."""
        self._now = now
        item = message.item
        receipt, states = (item.receipt, item.states) if isinstance(item, Delivery) else (item, ())
        since = min(message.followed_since.timestamp(), now)
        tracked = self._new(receipt, since, states)
        self._open_visits[tracked.serial] = visit = _OpenVisit(message)
        if not tracked.open or phase_of(tracked.states, tracked.open, at_the_end=False) is Phase.FAILED:
            self._finish(tracked, now)
            return
        if tracked.asks_each_segment and isinstance(item, Delivery):
            # The age of the other segments began when a segment became final.
            tracked.age_starts_at = max(tracked.age_starts_at, item.updated_at.timestamp())
        self._check_deadline(tracked, visit, now)
        if not tracked.open:
            return
        heappush(self._deadlines, (tracked.deadline, tracked.serial, tracked))
        begins = self._first_request(tracked, now) if now < tracked.age_starts_at else now
        self._push_first(tracked, begins)
        self._end_without_requests(tracked, visit, now)

    def due(self, now: float) -> StateRequest | None:
        """Return the next state request that must be made now, or None."""
        self._now = now
        return super().due(now)

    def expired(self, now: float) -> Delivery | None:
        """End the visits of all messages that have reached their deadlines."""
        self._now = now
        while super().expired(now) is not None:
            pass
        return None

    def responded(self, ask: StateRequest, state: SegmentState, now: float) -> Delivery | None:
        """Process the response to a state request."""
        visit = self._begin_step(ask, now)
        delivery = super().responded(ask, state, now)
        if visit is not None:
            if delivery is not None and not delivery.is_final:
                visit.deliveries.append(delivery)
            self._end_without_requests(ask.tracked, visit, now)
        return None

    def learn(self, gateway_time: float, now: float) -> None:
        """Process the time on the clock of the gateway, and correct the dates of all visited messages."""
        before = self._learned_at
        super().learn(gateway_time, now)
        if self._learned_at == before:
            return
        for visit in self._open_visits.values():
            if visit.late is not None:
                visit.late.deadline = now + _LONGEST_LATE_VISIT
                heappush(self._deadlines, (visit.late.deadline, visit.late.serial, visit.late))

    def failed(self, ask: StateRequest, now: float, *, retry_after: float | None = None) -> None:
        """Process the failure of a state request. The visit ends, and the next visit makes the request."""
        visit = self._begin_step(ask, now)
        super().failed(ask, now, retry_after=retry_after)
        if visit is not None:
            visit.has_failed = True
            self._end_without_requests(ask.tracked, visit, now)

    def refused(self, ask: StateRequest, now: float) -> None:
        """Process a refused state request, if the refusal concerns only its segment."""
        visit = self._begin_step(ask, now)
        super().refused(ask, now)
        if visit is not None:
            self._end_without_requests(ask.tracked, visit, now)

    def _begin_step(self, ask: StateRequest, now: float) -> _OpenVisit | None:
        self._now = now
        visit = self._open_visits.get(ask.tracked.serial)
        if visit is not None:
            visit.requests -= 1
        return visit

    def _check_deadline(self, tracked: TrackedMessage, visit: _OpenVisit, now: float) -> None:
        if now < tracked.deadline:
            return
        if visit.message.planned_at.timestamp() > tracked.deadline - self._last_look / 2:
            self._finish(tracked, now)
            return
        # The last request was not made in time, for example because no follower ran for several days. The
        # tracker requests the state of each segment once more, and then finishes the message.
        visit.late = tracked
        tracked.asks_each_segment = True
        tracked.deadline = now + _LONGEST_LATE_VISIT

    def _push(self, tracked: TrackedMessage, index: int, at: float) -> None:
        visit = self._open_visits[tracked.serial]
        if at <= self._now:
            visit.requests += 1
            super()._push(tracked, index, at)
        else:
            visit.next_at = min(visit.next_at, at)

    def _end_without_requests(self, tracked: TrackedMessage, visit: _OpenVisit, now: float) -> None:
        if not tracked.open or visit.requests:
            return
        if visit.late is not None and visit.has_failed:
            # The message stays due. Failures pause all requests, so the next request follows later.
            next_at = visit.message.planned_at.timestamp()
        elif visit.late is not None or (
            math.isinf(visit.next_at) and now >= tracked.deadline - self._last_look
        ):
            # The last requests have got their responses.
            self._finish(tracked, now)
            return
        else:
            next_at = min(visit.next_at, tracked.deadline)
        self._forget(tracked)
        self._end(tracked, datetime.fromtimestamp(min(next_at, _LATEST), UTC))

    def _finish(self, tracked: TrackedMessage, now: float, *, is_final: bool = True) -> Delivery:
        delivery = super()._finish(tracked, now, is_final=is_final)
        self._open_visits[tracked.serial].deliveries.append(delivery)
        self._end(tracked, None)
        return delivery

    def _end(self, tracked: TrackedMessage, next_at: datetime | None) -> None:
        visit = self._open_visits.pop(tracked.serial)
        self.on_end(Visit(visit.message.id, tuple(visit.deliveries), next_at))
