"""The states of messages that `keep` removed, in little memory."""

from array import array
from bisect import bisect_left
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

from smsapi_async.sandbox.gateway_clock import LATEST
from smsapi_async.sandbox.journeys import MEMORY, Step, Timeline

_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000
_ZERO = datetime.min.replace(tzinfo=UTC)
_LAST = (LATEST - _ZERO) // _MICROSECOND
_MEMORY = MEMORY // _MICROSECOND
# `Archive.forget` does nothing as long as fewer segments have been added since its last run.
_ADDED_BEFORE_FORGETTING = 10_000

_Shape: TypeAlias = tuple[tuple[Step, ...], Decimal]


class Archive:
    """The segments of removed messages. One segment takes 32 bytes.

    Sms/State and Sms/Statistics still need the states of removed messages. When a message is older than 48
    hours and final, Sms/State no longer needs the states, and the archive stores only their number for each
    second of acceptance. The archive is not thread-safe.
    """

    def __init__(self) -> None:
        # One item for each segment, in the order of the acceptance. The times are microseconds since
        # the year 1.
        self._places = array("q")
        self._accepted = array("q")
        self._begins = array("q")
        self._shapes = array("q")
        self._known: list[_Shape] = []
        self._index: dict[_Shape, int] = {}
        # The number of segments by the second of the acceptance and the final state.
        self._counts: Counter[tuple[int, int]] = Counter()
        self._added = 0

    def __len__(self) -> int:
        return len(self._places)

    def add(self, place: int, line: Timeline, price: Decimal) -> None:
        """Store a segment.

        Args:
            place: a number that is greater than the number of each stored segment.
            line: the states of the segment.
            price: the price of the segment.
        """
        shape = line.steps, price
        if shape not in self._index:
            self._index[shape] = len(self._known)
            self._known.append(shape)
        self._places.append(place)
        self._accepted.append(_microseconds(line.accepted_at))
        self._begins.append(_microseconds(line.begins_at))
        self._shapes.append(self._index[shape])
        self._added += 1

    def find(self, place: int) -> tuple[Timeline, Decimal] | None:
        """Return the states and the price of a segment, or None if the archive does not have the segment."""
        position = bisect_left(self._places, place)
        if position == len(self._places) or self._places[position] != place:
            return None
        steps, price = self._known[self._shapes[position]]
        line = Timeline(_moment(self._accepted[position]), _moment(self._begins[position]), steps)
        return line, price

    def states_within(self, since: datetime, until: datetime, now: datetime) -> Counter[int]:
        """Count the segments by their state at the time `now`.

        Args:
            since: the first second of the acceptance.
            until: the last second of the acceptance.
            now: the time at which the segments have the counted states.
        """
        first, last = (_microseconds(each) // _SECOND for each in (since, until))
        states: Counter[int] = Counter()
        for (second, state), number in self._counts.items():
            if first <= second <= last:
                states[state] += number
        moment, steps = _microseconds(now), self._steps()
        for accepted, begins, shape in zip(self._accepted, self._begins, self._shapes, strict=True):
            if first <= accepted // _SECOND <= last:
                states[_state(steps[shape], accepted, begins, moment)] += 1
        return states

    def forget(self, now: datetime) -> None:
        """Store only the number of the segments that are final and older than 48 hours."""
        if self._added < _ADDED_BEFORE_FORGETTING:
            return
        self._added = 0
        moment, steps, position = _microseconds(now), self._steps(), 0
        for accepted, begins, shape in zip(self._accepted, self._begins, self._shapes, strict=True):
            *_, (from_begin, delay, state) = steps[shape]
            end = (begins if from_begin else accepted) + delay
            if moment - begins <= _MEMORY or end > moment:
                break
            self._counts[accepted // _SECOND, state] += 1
            position += 1
        for column in (self._places, self._accepted, self._begins, self._shapes):
            del column[:position]

    def _steps(self) -> list[list[tuple[bool, int, int]]]:
        return [
            [(from_begin, delay // _MICROSECOND, state) for from_begin, delay, state in steps]
            for steps, _ in self._known
        ]


def _state(steps: list[tuple[bool, int, int]], accepted: int, begins: int, moment: int) -> int:
    for from_begin, delay, state in reversed(steps):
        if min((begins if from_begin else accepted) + delay, _LAST) <= moment:
            return state
    return steps[0][2]


def _microseconds(moment: datetime) -> int:
    return (moment - _ZERO) // _MICROSECOND


def _moment(microseconds: int) -> datetime:
    return _ZERO + microseconds * _MICROSECOND
