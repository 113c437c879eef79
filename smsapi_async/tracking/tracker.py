"""Which segment to ask about and when, decided without I/O: plain values in, plain values out.

Moments are seconds since the epoch. A message under way has an entry in the heap of deadlines, and one in
the heap of requests to come for each segment that is asked about by itself and not at this moment.
"""

import random
from datetime import UTC, datetime
from heapq import heapify, heappop, heappush

import attrs

from smsapi_async.models import Receipt, SegmentState
from smsapi_async.states import Phase, State
from smsapi_async.tracking.delivery import Delivery, phase_of
from smsapi_async.tracking.moments import MEMORY, beginning, everything_is_seen_from, milestones
from smsapi_async.tracking.schedule import Schedule

_LAST_LOOK = 5.0
_LATE_START = 60.0
_LONGEST_RETRY = 30.0
_SHORTEST_RETRY = 0.05
_LONGEST_PAUSE = 60.0
_STALE_ENTRIES = 1000

_States = tuple[SegmentState | None, ...]


@attrs.define(eq=False, weakref_slot=False)
class _TrackedMessage:
    """One message under way.

    Attributes:
        serial: orders entries of the same moment.
        receipt: the message and its segment ids.
        begins: the moment from which the schedule counts.
        due: when at the latest the gateway begins to send; its memory counts from there.
        deadline: when the message is reported as it stands.
        states: what is known of each segment.
        open: a bit for each segment to be asked about; 0 once the message is finished.
        alone: whether each open segment is asked about by itself.
    """

    serial: int
    receipt: Receipt
    begins: float
    due: float
    deadline: float
    states: _States
    open: int
    alone: bool = False

    def is_open(self, index: int) -> bool:
        """Whether a segment is to be asked about."""
        return bool(self.open >> index & 1)


@attrs.frozen(eq=False)
class StateRequest:
    """A request to be made now."""

    followed: _TrackedMessage
    index: int

    @property
    def segment_id(self) -> str:
        """The segment to ask about."""
        return self.followed.receipt.segment_ids[self.index]


class Tracker:
    """Follows messages. Every `StateRequest` it gives is to be returned to `answered`, `failed` or `refused`.

    Args:
        schedule: how long to wait between two requests about a message.
        deadline: seconds after which a message is reported as it stands.
        timeout: seconds from `add` after which it is reported already, though not as final.
        chance: the source of the jitter.
    """

    def __init__(
        self,
        schedule: Schedule,
        deadline: float,
        *,
        timeout: float | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._schedule = schedule
        self._length = deadline
        self._timeout = timeout
        self._last_look = min(_LAST_LOOK, min(deadline, timeout or deadline) / 10)
        self._chance = random.Random() if chance is None else chance  # noqa: S311 - jitter, not secrecy
        self._asks: list[tuple[float, int, int, _TrackedMessage]] = []
        self._deadlines: list[tuple[float, int, _TrackedMessage]] = []
        self._serial = 0
        self._under_way = 0
        self._failures = 0
        self._paused_until = 0.0

    def __len__(self) -> int:
        """How many messages are under way."""
        return self._under_way

    def add(self, receipt: Receipt, now: float, states: _States = ()) -> Delivery | None:
        """Follow a message from now on.

        Args:
            receipt: the message and its segment ids.
            now: the present moment.
            states: what an earlier run knew of each segment; those that were final are not asked about.

        Returns:
            The last delivery, where there is nothing to ask about.
        """
        begins, due = beginning(receipt)
        deadline = self._deadline(due, now)
        segments = len(receipt.segment_ids)
        known = states or (None,) * segments
        opened = sum(1 << index for index, state in enumerate(known) if state is None or not state.is_final)
        followed = _TrackedMessage(self._serial, receipt, begins, due, deadline, known, opened)
        self._serial += 1
        self._under_way += 1
        if not opened or phase_of(known, opened, at_the_end=False) is Phase.FAILED:
            return self._finish(followed, now)
        heappush(self._deadlines, (deadline, followed.serial, followed))
        followed.alone = opened != (1 << segments) - 1
        first = self._not_beyond_a_milestone(followed, begins + self._schedule.wait(0, self._chance), now)
        for index in range(segments):
            if followed.is_open(index):
                self._push(followed, index, max(first, now))
                if not followed.alone:
                    break
        return None

    def due(self, now: float) -> StateRequest | None:
        """The next request to be made, if one is due."""
        if now < self._paused_until:
            return None
        while self._asks and self._asks[0][0] <= now:
            _, _, index, followed = heappop(self._asks)
            if not followed.is_open(index):
                continue
            last_look = followed.deadline - self._last_look
            if not followed.alone and now >= everything_is_seen_from(followed.due, last_look):
                self._ask_the_others(followed, index, now)
            return StateRequest(followed, index)
        return None

    def expired(self, now: float) -> Delivery | None:
        """The next message whose deadline has come, as it stands."""
        while self._deadlines and self._deadlines[0][0] <= now:
            followed = heappop(self._deadlines)[2]
            if followed.open:
                timed_out = self._timeout is not None and followed.deadline < followed.due + self._length
                return self._finish(followed, now, is_final=not timed_out)
        return None

    def answered(self, ask: StateRequest, state: SegmentState, now: float) -> Delivery | None:
        """Take in an answer.

        Returns:
            The message, if that changed it. An answer that comes after its last delivery changes nothing.
        """
        self._failures = 0
        followed, index = ask.followed, ask.index
        if not followed.is_open(index):
            return None
        previous = followed.states[index]
        known: SegmentState | None = state
        is_settled = state.is_final
        if state.state == State.NOT_IN_DATABASE:
            # It tells nothing: what was known before is kept, so that an answer out of order does no harm.
            is_settled = now >= followed.due + MEMORY
            known = state if is_settled and previous is None else previous
        if known is not previous:
            followed.states = (*followed.states[:index], known, *followed.states[index + 1 :])
        if not is_settled:
            self._plan(followed, index, now)
        elif (last := self._settle(followed, index, now)) is not None:
            return last
        return self._delivery(followed, now) if _differs(previous, known) else None

    def failed(self, ask: StateRequest, now: float, *, retry_after: float | None = None) -> None:
        """A request got no answer: it is made again later, and all others pause for a moment.

        Args:
            ask: the request.
            now: the present moment.
            retry_after: seconds that the gateway asked to wait.
        """
        if now >= self._paused_until:
            self._failures += 1
            pause = min(2.0 ** min(self._failures - 1, 10), _LONGEST_PAUSE)
            self._paused_until = now + max(pause, retry_after or 0.0)
        elif retry_after is not None:
            self._paused_until = max(self._paused_until, now + retry_after)
        followed = ask.followed
        wait = self._schedule.wait(max(0.0, now - followed.begins), self._chance)
        wait = min(wait, _LONGEST_RETRY, (followed.deadline - now) / 2)
        if followed.is_open(ask.index) and wait > _SHORTEST_RETRY:
            self._push(followed, ask.index, now + wait)

    def refused(self, ask: StateRequest, now: float) -> None:
        """The gateway refused to tell about this segment: it is asked about again on schedule."""
        self._failures = 0
        if ask.followed.is_open(ask.index):
            self._plan(ask.followed, ask.index, now)

    def next_time(self) -> float | None:
        """When `due` or `expired` next has something to give; None if never."""
        while self._asks and not self._asks[0][3].is_open(self._asks[0][2]):
            heappop(self._asks)
        deadline = self.next_deadline()
        if not self._asks or deadline is None:
            return deadline
        return min(max(self._asks[0][0], self._paused_until), deadline)

    def next_deadline(self) -> float | None:
        """When `expired` next has something to give; None if never."""
        while self._deadlines and not self._deadlines[0][2].open:
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def _deadline(self, due: float, now: float) -> float:
        deadline = due + self._length
        if deadline <= now:
            # Long past: there is still time for one look.
            deadline = now + min(_LATE_START, self._length)
        return deadline if self._timeout is None else min(deadline, now + self._timeout)

    def _push(self, followed: _TrackedMessage, index: int, at: float) -> None:
        heappush(self._asks, (at, followed.serial, index, followed))

    def _plan(self, followed: _TrackedMessage, index: int, now: float) -> None:
        if now < followed.deadline - self._last_look:
            wait = self._schedule.wait(max(0.0, now - followed.begins), self._chance)
            self._push(followed, index, self._not_beyond_a_milestone(followed, now + wait, now))

    def _not_beyond_a_milestone(self, followed: _TrackedMessage, at: float, now: float) -> float:
        last_look = followed.deadline - self._last_look
        ahead = milestones(followed.receipt.message, followed.due, last_look)
        return min([at, *(milestone for milestone in ahead if milestone > now)])

    def _settle(self, followed: _TrackedMessage, index: int, now: float) -> Delivery | None:
        """Nothing more is to be learnt about a segment; the last delivery, if that finishes the message."""
        followed.open &= ~(1 << index)
        if not followed.open or phase_of(followed.states, followed.open, at_the_end=False) is Phase.FAILED:
            return self._finish(followed, now)
        if not followed.alone:
            followed.begins = now
            self._ask_the_others(followed, index, now)
        return None

    def _ask_the_others(self, followed: _TrackedMessage, index: int, now: float) -> None:
        followed.alone = True
        for other in range(len(followed.states)):
            if other != index and followed.is_open(other):
                self._push(followed, other, now)

    def _finish(self, followed: _TrackedMessage, now: float, *, is_final: bool = True) -> Delivery:
        delivery = self._delivery(followed, now, at_the_end=True, is_final=is_final)
        followed.open = 0
        self._under_way -= 1
        if len(self._deadlines) > 2 * self._under_way + _STALE_ENTRIES:
            # Each rebuilding follows at least as many finished messages as it looks at.
            self._deadlines = [entry for entry in self._deadlines if entry[2].open]
            heapify(self._deadlines)
        return delivery

    @staticmethod
    def _delivery(
        followed: _TrackedMessage, now: float, *, at_the_end: bool = False, is_final: bool = False
    ) -> Delivery:
        phase = phase_of(followed.states, followed.open, at_the_end=at_the_end)
        return Delivery(followed.receipt, phase, followed.states, is_final, datetime.fromtimestamp(now, UTC))


def _differs(previous: SegmentState | None, state: SegmentState | None) -> bool:
    if previous is None or state is None:
        return previous is not state
    return (previous.state, previous.price) != (state.state, state.price)
