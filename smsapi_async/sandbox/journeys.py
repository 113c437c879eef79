"""How a segment moves from acceptance to its final state."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import TypeAlias

import attrs

from smsapi_async.sandbox.account import AcceptedMessage
from smsapi_async.sandbox.gateway_clock import later
from smsapi_async.sandbox.tables import EXPIRED, FINAL_STATES, QUEUED, SENT, UNKNOWN

Journey: TypeAlias = Sequence[tuple[timedelta, int]]
"""Steps of (time after the sending began, state), in order; before the first, the state is 255."""

JourneyRule: TypeAlias = Callable[[AcceptedMessage, int], Journey]
"""Chooses the journey of one segment, given its message and its index."""

MEMORY = timedelta(hours=48)
DEFAULT_VALIDITY = timedelta(hours=48)

_SECOND = timedelta(seconds=1)
_UNSEEN = (timedelta(0), UNKNOWN)
_QUEUED = (_SECOND, QUEUED)
_SENT = (2 * _SECOND, SENT)

_FINAL_STATE_BY_ENDING = {
    "910": 10,
    "911": 11,
    "941": 41,
    "942": 42,
    "946": 46,
    "947": 47,
    "948": 48,
    "969": 69,
    "997": -97,
    "998": -98,
    "999": 99,
}
_JOURNEY_BY_ENDING: dict[str, Journey] = {
    "955": [_UNSEEN],
    "902": [_UNSEEN, _QUEUED],
    "901": [_UNSEEN, _QUEUED, _SENT],
    **{
        ending: [_UNSEEN, _QUEUED, _SENT, (5 * _SECOND, state)]
        for ending, state in _FINAL_STATE_BY_ENDING.items()
    },
}
_DELIVERED: Journey = [_UNSEEN, _QUEUED, _SENT, (5 * _SECOND, 0)]


def default_journey(message: AcceptedMessage, segment_index: int) -> Journey:  # noqa: ARG001 - a JourneyRule
    """The journey by the last three digits of the number; see the package's table."""
    return _JOURNEY_BY_ENDING.get(message.destination_address[-3:], _DELIVERED)


@attrs.frozen
class Timeline:
    """The states of one segment with the moments they begin at."""

    changes: tuple[tuple[datetime, int], ...]
    begins_at: datetime

    def until(self, now: datetime) -> tuple[tuple[datetime, int], ...]:
        """The changes so far; never empty."""
        return self.changes[: max(1, bisect_right(self.changes, now, key=itemgetter(0)))]

    def state(self, now: datetime) -> int:
        """The state at a moment."""
        return self.until(now)[-1][1]

    def is_forgotten(self, now: datetime) -> bool:
        """Whether the message is older than 48 hours, counted from when it was due."""
        return now - self.begins_at > MEMORY


def timeline(journey: Journey, accepted_at: datetime, begins_at: datetime, validity: timedelta) -> Timeline:
    """Lay a journey out in time.

    Until a scheduled message is due it is queued, once the database has it. A segment that is not final when
    its validity ends expires then, unless it stays unknown.
    """
    changes = [(accepted_at, UNKNOWN)]
    seen_after = next((after for after, state in journey if state != UNKNOWN), None)
    if seen_after is None:
        return Timeline(tuple(changes), begins_at)
    if begins_at > accepted_at:
        changes.append((later(accepted_at, seen_after), QUEUED))
    changes += [(later(begins_at, after), state) for after, state in journey if after >= seen_after]
    expires_at = later(begins_at, validity)
    in_time = [change for change in changes if change[0] < expires_at]
    if in_time[-1][1] not in FINAL_STATES:
        changes = [*in_time, (expires_at, EXPIRED)]
    return Timeline(tuple(changes), begins_at)
