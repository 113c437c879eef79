"""The decisions of tracking: which segment state to request, and when. The module does no I/O.

All times are seconds since the epoch. Each tracked message has one entry in the heap `_deadlines`. The heap
`_requests` has one entry for each segment with a planned request. While a request is in flight, its segment
has no entry in `_requests`.
"""

import random
from datetime import UTC, datetime
from heapq import heapify, heappop, heappush

import attrs

from smsapi_async.models import Receipt, SegmentState
from smsapi_async.schedule import Schedule
from smsapi_async.states import Phase, State
from smsapi_async.tracking.delivery import Delivery, phase_of
from smsapi_async.tracking.moments import (
    CLOCK_MARGIN,
    MEMORY,
    all_segments_from,
    beginning,
    corrected,
    milestones,
)

# Time in seconds between the last request for a message and its deadline, so that the response arrives before
# the deadline.
_LAST_LOOK = 5.0
# Maximum time in seconds from the call of `add` to the deadline, for a message whose original deadline has
# already passed. The tracker requests its states at once. Shortly before the new deadline, the tracker makes
# another request for each segment whose state can still change.
_LATE_START = 60.0
# Minimum time in seconds from the call of `add`, before a first state 255 counts as the end of the 48 hours.
# The age of a message depends on our clock, which may have jumped, and a new message also has state 255.
_CONFIRMATION = _LATE_START / 2
# Maximum time in seconds after which a failed request is planned again, even if the schedule has a longer
# wait. A pause of all requests can delay the failed request further.
_LONGEST_RETRY = 30.0
# Shortest wait in seconds before a retry. Near a deadline, each retry waits half of the remaining time, so
# without `_SHORTEST_RETRY` the number of retries would be infinite.
_SHORTEST_RETRY = 0.05
# Longest pause in seconds after failed requests. The first failure outside a pause starts a new pause, which
# is twice as long as the previous pause.
_LONGEST_PAUSE = 60.0
# The heap `_deadlines` keeps the entries of finished messages (stale entries). The heap is rebuilt when its
# stale entries outnumber the other entries by more than `_STALE_ENTRIES`.
_STALE_ENTRIES = 1000

States = tuple[SegmentState | None, ...]


@attrs.define(eq=False, weakref_slot=False)
class TrackedMessage:
    """A message whose states the tracker still requests, or requested until its tracking ended.

    Attributes:
        serial: the number of the message in the order of the calls of `Tracker.add`. Heap entries with the
            same time are ordered by `serial`.
        receipt: the receipt, which contains the message and its segment ids.
        added_at: the time of the call of `Tracker.add`.
        age_starts_at: the time from which the schedule computes the age of the message.
        due: the latest time at which the gateway starts to send the message. The 48 hours for which the
            gateway keeps a state start at `due`.
        deadline: the time at which tracking of the message ends, even if the message is not final.
        states: the last known state of each segment, or None if no state is known.
        open: a bit mask of the segments that still need requests. `open` is 0 when tracking of the message
            has ended.
        asks_each_segment: whether each open segment has its own requests. If False, the tracker requests the
            state of one segment of the message only.
    """

    serial: int
    receipt: Receipt
    added_at: float
    age_starts_at: float
    due: float
    deadline: float
    states: States
    open: int
    asks_each_segment: bool = False

    def is_open(self, index: int) -> bool:
        """Return whether the segment with this index still needs requests."""
        return bool(self.open >> index & 1)


@attrs.frozen(eq=False)
class StateRequest:
    """A request for the state of one segment, which the caller of `Tracker.due` must make now."""

    tracked: TrackedMessage
    index: int

    @property
    def segment_id(self) -> str:
        """The id of the segment whose state is requested."""
        return self.tracked.receipt.segment_ids[self.index]


class Tracker:
    """Decides which state requests to make for many messages.

    `due` returns the next `StateRequest`. When this request ends, pass the `StateRequest` to exactly one of
    `responded`, `failed` or `refused`.

    Args:
        schedule: the schedule, which computes the waits between the requests for one message.
        deadline: the time in seconds, from the moment when the gateway starts to send a message, after which
            tracking ends even if the message is not final.
        timeout: the time in seconds, from the call of `add`, after which tracking ends even before the
            deadline. The last delivery then has ``is_final`` False. None means no timeout.
        chance: the random generator for the jitter. None means a new generator.
    """

    def __init__(
        self,
        schedule: Schedule,
        deadline: float,
        *,
        timeout: float | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self.schedule = schedule
        self.length = deadline
        self._timeout = timeout
        # The last request for a message is made 5 seconds before its tracking ends. If the deadline or the
        # timeout is shorter than 50 seconds, the last request is made after 90 % of that duration.
        self._last_look = min(_LAST_LOOK, min(deadline, timeout or deadline) / 10)
        self._chance = random.Random() if chance is None else chance  # noqa: S311 - jitter is no secret
        self._requests: list[tuple[float, int, int, TrackedMessage]] = []
        self._deadlines: list[tuple[float, int, TrackedMessage]] = []
        self._serial = 0
        self._under_way = 0
        self._failures = 0
        self._paused_until = 0.0
        self._ahead = 0.0
        self._learned_at = -_LONGEST_PAUSE

    def __len__(self) -> int:
        """Return the number of messages whose tracking has not ended."""
        return self._under_way

    def add(self, receipt: Receipt, now: float, states: States = ()) -> Delivery | None:
        """Start to track a message.

        Args:
            receipt: the receipt of the message, with its segment ids.
            now: the current time in seconds since the epoch.
            states: the states of the segments from an earlier run. The tracker makes no requests for segments
                with a final state.

        Returns:
            The last delivery if no request is needed, for example because every segment is final. None if
            tracking has started.

        Raises:
            ValidationError: if a date of the receipt is invalid.
        """
        tracked = self._new(receipt, now, states)
        if not tracked.open or phase_of(tracked.states, tracked.open, at_the_end=False) is Phase.FAILED:
            return self._finish(tracked, now)
        heappush(self._deadlines, (tracked.deadline, tracked.serial, tracked))
        self._push_first(tracked, max(self._first_request(tracked, now), now))
        return None

    def due(self, now: float) -> StateRequest | None:
        """Return the next state request that must be made now, or None."""
        if now < self._paused_until:
            return None
        while self._requests and self._requests[0][0] <= now:
            _, _, index, tracked = heappop(self._requests)
            if not tracked.is_open(index):
                continue
            last_look = tracked.deadline - self._last_look
            if not tracked.asks_each_segment and now >= all_segments_from(tracked.due, last_look):
                self._ask_the_others(tracked, index, now)
            return StateRequest(tracked, index)
        return None

    def expired(self, now: float) -> Delivery | None:
        """Return the last delivery of one message that has reached its deadline or timeout, or None.

        Call `expired` again until it returns None.
        """
        while self._deadlines and self._deadlines[0][0] <= now:
            deadline, _, tracked = heappop(self._deadlines)
            if tracked.open and deadline == tracked.deadline:
                timed_out = self._timeout is not None and tracked.deadline < tracked.due + self.length
                return self._finish(tracked, now, is_final=not timed_out)
        return None

    def responded(self, ask: StateRequest, state: SegmentState, now: float) -> Delivery | None:
        """Process the response to a state request.

        Args:
            ask: the state request that `due` returned.
            state: the state in the response.
            now: the current time in seconds since the epoch.

        Returns:
            A delivery if the response changes the message, or None. A response that arrives after the last
            delivery of the message changes nothing.
        """
        self._failures = 0
        tracked, index = ask.tracked, ask.index
        if not tracked.is_open(index):
            return None
        self._correct(tracked, state, now)
        previous = tracked.states[index]
        known: SegmentState | None = state
        is_settled = state.is_final
        if state.state == State.NOT_IN_DATABASE:
            # State 255 does not say whether the segment was delivered, so it must not replace the last known
            # state of the segment.
            wait = min(_CONFIRMATION, self.length / 2)
            is_confirmed = previous is not None or now >= tracked.added_at + wait
            is_settled = is_confirmed and now >= tracked.due + MEMORY
            known = state if is_settled and previous is None else previous
        if known is not previous:
            tracked.states = (*tracked.states[:index], known, *tracked.states[index + 1 :])
        if not is_settled:
            self._plan(tracked, index, now)
        elif (last := self._end_requests(tracked, index, now)) is not None:
            return last
        return self._delivery(tracked, now) if _differs(previous, known) else None

    def learn(self, gateway_time: float, now: float) -> None:
        """Process the time on the clock of the gateway, and correct the dates of all tracked messages.

        A difference of less than 10 minutes to the last known difference changes nothing.

        Args:
            gateway_time: the time of a response on the clock of the gateway, in seconds since the epoch.
            now: the current time in seconds since the epoch.
        """
        ahead = gateway_time - now
        # Several servers of the gateway may have different clocks. Each correction processes all messages, so
        # two corrections have at least one minute between them.
        if abs(ahead - self._ahead) < CLOCK_MARGIN or now < self._learned_at + _LONGEST_PAUSE:
            return
        self._ahead, self._learned_at = ahead, now
        messages = [entry[2] for entry in self._deadlines if _is_current(entry)]
        for tracked in messages:
            begins, tracked.due = self._dates(tracked.receipt, tracked.states, tracked.added_at)
            tracked.age_starts_at = begins
            tracked.deadline = max(self._deadline(tracked.due, tracked.added_at), now)
        self._deadlines = [(tracked.deadline, tracked.serial, tracked) for tracked in messages]
        heapify(self._deadlines)
        self._requests = [
            (min(at, self._first_after(tracked, now)), serial, index, tracked)
            for at, serial, index, tracked in self._requests
        ]
        heapify(self._requests)

    def failed(self, ask: StateRequest, now: float, *, retry_after: float | None = None) -> None:
        """Process the failure of a state request: plan the request again, and pause all requests.

        The tracker makes the failed request again after at most 30 seconds, or after the pause if the pause
        is longer. The pause applies to all requests of all messages. The pause lasts 1 second after the first
        failure, then 2, 4, 8 and so on up to 60 seconds. After a response, the next pause lasts 1 second
        again. Shortly before the deadline of a message, the tracker may not repeat a failed request.

        Args:
            ask: the state request that failed.
            now: the current time in seconds since the epoch.
            retry_after: the seconds of the ``Retry-After`` header of the response. None means that the
                response has no such header.
        """
        # Requests that are in flight at the same time often fail for the same reason, so only the first
        # failure counts. A failure during a pause makes the pause longer only if the gateway asks for a
        # longer wait.
        if now >= self._paused_until:
            self._failures += 1
            pause = min(2.0 ** min(self._failures - 1, 10), _LONGEST_PAUSE)
            self._paused_until = now + max(pause, retry_after or 0.0)
        elif retry_after is not None:
            self._paused_until = max(self._paused_until, now + retry_after)
        tracked = ask.tracked
        wait = self.schedule.wait(max(0.0, now - tracked.age_starts_at), self._chance)
        # The wait before a retry is at most half of the remaining time, so that another request is possible
        # before the deadline.
        wait = min(wait, _LONGEST_RETRY, (tracked.deadline - now) / 2)
        if tracked.is_open(ask.index) and wait > _SHORTEST_RETRY:
            self._push(tracked, ask.index, now + wait)

    def refused(self, ask: StateRequest, now: float) -> None:
        """Process a refused state request, if the refusal concerns only its segment.

        The tracker makes the refused request again at the next time of the schedule. All other requests
        continue without a pause.

        Args:
            ask: the state request that the gateway refused.
            now: the current time in seconds since the epoch.
        """
        self._failures = 0
        if ask.tracked.is_open(ask.index):
            self._plan(ask.tracked, ask.index, now)

    def next_time(self) -> float | None:
        """Return the time at which `due` or `expired` next returns a value, or None if no value follows."""
        while self._requests and not self._requests[0][3].is_open(self._requests[0][2]):
            heappop(self._requests)
        deadline = self.next_deadline()
        if not self._requests or deadline is None:
            return deadline
        return min(max(self._requests[0][0], self._paused_until), deadline)

    def next_deadline(self) -> float | None:
        """Return the time at which `expired` next returns a value, or None if no value follows."""
        while self._deadlines and not _is_current(self._deadlines[0]):
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def _new(self, receipt: Receipt, added_at: float, states: States) -> TrackedMessage:
        begins, due = self._dates(receipt, states, added_at)
        segments = len(receipt.segment_ids)
        known = states or (None,) * segments
        opened = sum(1 << index for index, state in enumerate(known) if state is None or not state.is_final)
        deadline = self._deadline(due, added_at)
        tracked = TrackedMessage(self._serial, receipt, added_at, begins, due, deadline, known, opened)
        # If an earlier run has received a final state for one segment, each other segment needs its own
        # requests.
        tracked.asks_each_segment = opened != (1 << segments) - 1
        self._serial += 1
        self._under_way += 1
        return tracked

    def _first_request(self, tracked: TrackedMessage, now: float) -> float:
        at = tracked.age_starts_at + self.schedule.wait(0, self._chance)
        return self._not_beyond_a_milestone(tracked, at, now)

    def _push_first(self, tracked: TrackedMessage, at: float) -> None:
        for index in range(len(tracked.states)):
            if tracked.is_open(index):
                self._push(tracked, index, at)
                if not tracked.asks_each_segment:
                    break

    def _dates(self, receipt: Receipt, states: States, now: float) -> tuple[float, float]:
        begins, due = beginning(receipt, now, self._ahead)
        return corrected(begins, states, now, self._ahead), corrected(due, states, now, self._ahead)

    def _deadline(self, due: float, added_at: float) -> float:
        deadline = due + self.length
        if deadline <= added_at:
            # The original deadline has already passed, for example because the program did not run for
            # several days. The new deadline gives the tracker time for the last requests.
            deadline = added_at + min(_LATE_START, self.length)
        return deadline if self._timeout is None else min(deadline, added_at + self._timeout)

    def _correct(self, tracked: TrackedMessage, state: SegmentState, now: float) -> None:
        """Correct the dates of a message if the gateway created the message later than our clock says."""
        due = corrected(tracked.due, (state,), now, self._ahead)
        if due == tracked.due:
            return
        tracked.due = tracked.age_starts_at = due
        deadline = self._deadline(due, tracked.added_at)
        if deadline > tracked.deadline:
            # The heap keeps the entry with the old deadline, which `_is_current` recognizes.
            tracked.deadline = deadline
            heappush(self._deadlines, (deadline, tracked.serial, tracked))

    def _push(self, tracked: TrackedMessage, index: int, at: float) -> None:
        heappush(self._requests, (at, tracked.serial, index, tracked))

    def _plan(self, tracked: TrackedMessage, index: int, now: float) -> None:
        if now < tracked.deadline - self._last_look:
            wait = self.schedule.wait(max(0.0, now - tracked.age_starts_at), self._chance)
            self._push(tracked, index, self._not_beyond_a_milestone(tracked, now + wait, now))

    def _first_after(self, tracked: TrackedMessage, now: float) -> float:
        wait = self.schedule.wait(max(0.0, now - tracked.age_starts_at), self._chance)
        return max(now, tracked.age_starts_at) + wait

    def _not_beyond_a_milestone(self, tracked: TrackedMessage, at: float, now: float) -> float:
        last_look = tracked.deadline - self._last_look
        ahead = milestones(tracked.receipt.message, tracked.due, last_look)
        return min([at, *(milestone for milestone in ahead if milestone > now)])

    def _end_requests(self, tracked: TrackedMessage, index: int, now: float) -> Delivery | None:
        """End the requests for a segment; return the last delivery if tracking of the whole message ends."""
        tracked.open &= ~(1 << index)
        if not tracked.open or phase_of(tracked.states, tracked.open, at_the_end=False) is Phase.FAILED:
            return self._finish(tracked, now)
        if not tracked.asks_each_segment:
            tracked.age_starts_at = now
            self._ask_the_others(tracked, index, now)
        return None

    def _ask_the_others(self, tracked: TrackedMessage, index: int, now: float) -> None:
        tracked.asks_each_segment = True
        for other in range(len(tracked.states)):
            if other != index and tracked.is_open(other):
                self._push(tracked, other, now)

    def _finish(self, tracked: TrackedMessage, now: float, *, is_final: bool = True) -> Delivery:
        # We compute the delivery before we set `open` to 0, because its phase depends on `open`.
        delivery = self._delivery(tracked, now, at_the_end=True, is_final=is_final)
        self._forget(tracked)
        return delivery

    def _forget(self, tracked: TrackedMessage) -> None:
        tracked.open = 0
        self._under_way -= 1
        if len(self._deadlines) > 2 * self._under_way + _STALE_ENTRIES:
            # More than half of the heap entries belong to finished messages, and the rebuild removes them. On
            # average, the rebuilds therefore need a constant time per finished message.
            self._deadlines = [entry for entry in self._deadlines if _is_current(entry)]
            heapify(self._deadlines)

    @staticmethod
    def _delivery(
        tracked: TrackedMessage, now: float, *, at_the_end: bool = False, is_final: bool = False
    ) -> Delivery:
        phase = phase_of(tracked.states, tracked.open, at_the_end=at_the_end)
        return Delivery(tracked.receipt, phase, tracked.states, is_final, datetime.fromtimestamp(now, UTC))


def _is_current(entry: tuple[float, int, TrackedMessage]) -> bool:
    """Return whether an entry of the heap `_deadlines` is the deadline of a message that is not finished."""
    return bool(entry[2].open) and entry[0] == entry[2].deadline


def _differs(previous: SegmentState | None, state: SegmentState | None) -> bool:
    if previous is None or state is None:
        return previous is not state
    return (previous.state, previous.price) != (state.state, state.price)
