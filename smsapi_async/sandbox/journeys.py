"""The states of a segment, from the acceptance to the final state."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Self, TypeAlias

import attrs

from smsapi_async.sandbox.account import AcceptedMessage
from smsapi_async.sandbox.gateway_clock import later
from smsapi_async.sandbox.tables import EXPIRED, FINAL_STATES, QUEUED, SENT, UNKNOWN

Journey: TypeAlias = Sequence[tuple[timedelta, int]]
"""The steps of one segment in their order. Each step is a pair (delay, state).

The delay counts from the send date of the message. If the message has no send date in the future, the delay
counts from the acceptance. Before the first step the state is 255 (not yet in the database). If the send date
of the message is in the future, the segment is queued (-2) until the send date.
"""

JourneyRule: TypeAlias = Callable[[AcceptedMessage, int], Journey]
"""A function that returns the journey of one segment.

The arguments of the function are the message and the index of the segment in the message, from 0.
"""

# Sms/State returns 255 for a message that is older than 48 hours (contract, "States").
MEMORY = timedelta(hours=48)
# The contract does not define the default validity; the vendor's SOAP document defines 2880 minutes.
DEFAULT_VALIDITY = timedelta(hours=48)

_SECOND = timedelta(seconds=1)
_UNSEEN = (timedelta(0), UNKNOWN)
_QUEUED = (_SECOND, QUEUED)
_SENT = (2 * _SECOND, SENT)

_LAST_STATE_BY_ENDING = {
    "903": -3,
    "908": 8,
    "910": 10,
    "911": 11,
    "920": -20,
    "930": -30,
    "940": -40,
    "941": 41,
    "942": 42,
    "946": 46,
    "947": 47,
    "948": 48,
    "969": 69,
    "991": -100,
    "992": -200,
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
        for ending, state in _LAST_STATE_BY_ENDING.items()
    },
}
_DELIVERED: Journey = [_UNSEEN, _QUEUED, _SENT, (5 * _SECOND, 0)]


def default_journey(message: AcceptedMessage, segment_index: int) -> Journey:  # noqa: ARG001 - a JourneyRule
    """Return the journey for the last three digits of the destination address.

    The docstring of `smsapi_async.sandbox` has the table of number endings.

    Args:
        message: the message to which the segment belongs.
        segment_index: the index of the segment, from 0. All segments of a message have the same journey.
    """
    return _JOURNEY_BY_ENDING.get(message.destination_address[-3:], _DELIVERED)


Step: TypeAlias = tuple[bool, timedelta, int]
"""One step of a timeline: whether the delay counts from `begins_at`, the delay, and the state.

Otherwise the delay counts from `accepted_at`.
"""


@attrs.frozen
class Timeline:
    """The states of one segment, with the time at which each state begins.

    Attributes:
        accepted_at: the time of the acceptance, aware, in UTC.
        begins_at: the later of the send date and the time of the acceptance, aware, in UTC.
        steps: the steps in the order of time. Segments with the same steps share one tuple.
    """

    accepted_at: datetime
    begins_at: datetime
    steps: tuple[Step, ...]

    @property
    def changes(self) -> tuple[tuple[datetime, int], ...]:
        """Pairs (time, state) in the order of time. The times are aware datetimes in UTC."""
        return tuple((self._at(step), step[2]) for step in self.steps)

    def until(self, now: datetime) -> tuple[tuple[datetime, int], ...]:
        """Return the state changes up to and including the time `now`, but at least the first change."""
        changes = self.changes
        return changes[: max(1, bisect_right(changes, now, key=itemgetter(0)))]

    def state(self, now: datetime) -> int:
        """Return the state at the time `now`."""
        return next((step[2] for step in reversed(self.steps) if self._at(step) <= now), self.steps[0][2])

    def is_forgotten(self, now: datetime) -> bool:
        """Whether the message is older than 48 hours at the time `now`, counted from `begins_at`."""
        return now - self.begins_at > MEMORY

    def with_state(self, state: int, now: datetime, validity: timedelta) -> Self:
        """Return the timeline with another state from the time `now` on, and no steps of the journey later.

        A segment expires at the end of the validity if the new state is neither final nor 255.

        Args:
            state: the new state.
            now: the time at which the new state begins, aware, in UTC.
            validity: the time from `begins_at` to the expiry of the message.
        """
        past = [step for step in self.steps[1:] if self._at(step) < now]
        steps = [self.steps[0], *past, (False, now - self.accepted_at, state)]
        expiry = (True, validity, EXPIRED)
        if state not in FINAL_STATES | {UNKNOWN} and self._at(expiry) > now:
            steps.append(expiry)
        return attrs.evolve(self, steps=tuple(steps))

    def _at(self, step: Step) -> datetime:
        return later(self.begins_at if step[0] else self.accepted_at, step[1])


def timeline(journey: Journey, accepted_at: datetime, begins_at: datetime, validity: timedelta) -> Timeline:
    """Return the states of a segment with their times.

    The gateway stores a scheduled message before its send date, and the segments have the state "queued"
    until the send date. A segment that is not final at the end of the validity expires at the end of the
    validity. A segment that stays in the state 255 does not expire.

    Args:
        journey: the steps of the segment, as pairs (delay, state).
        accepted_at: the time at which the sandbox accepted the message, aware, in UTC.
        begins_at: the later of the send date and `accepted_at`, aware, in UTC.
        validity: the time from `begins_at` to the expiry of the message.
    """
    steps: list[Step] = [(False, timedelta(0), UNKNOWN)]
    seen_after = next((after for after, state in journey if state != UNKNOWN), None)
    # A segment whose only state is 255 is never in the database, so the segment cannot expire.
    if seen_after is None:
        return Timeline(accepted_at, begins_at, _shared(tuple(steps)))
    if begins_at > accepted_at:
        steps.append((False, seen_after, QUEUED))
    steps += [(True, after, state) for after, state in journey if after >= seen_after]
    expires_at = later(begins_at, validity)
    # If the segment is not final before its expiry, the expiry replaces all steps at and after the time of
    # the expiry.
    whole = Timeline(accepted_at, begins_at, tuple(steps))
    in_time = [step for step, (at, _) in zip(steps, whole.changes, strict=True) if at < expires_at]
    # At the end of the calendar, a message expires at its acceptance.
    if not in_time or in_time[-1][2] not in FINAL_STATES:
        steps = [*(in_time or steps[:1]), (True, validity, EXPIRED)]
    return Timeline(accepted_at, begins_at, _shared(tuple(steps)))


@lru_cache(maxsize=256)
def _shared(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    return steps
