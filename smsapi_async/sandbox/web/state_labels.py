"""The names of states in English, and the state of a whole message."""

from collections.abc import Iterable
from datetime import datetime

import attrs

from smsapi_async.sandbox.account import AcceptedMessage, AcceptedSegment
from smsapi_async.sandbox.tables import DELIVERED, FINAL_STATES

STATE_LABELS = {
    -1: "sent",
    -2: "queued",
    -3: "wrong date",
    -20: "sent to the phone",
    -30: "sent to the gateway",
    -40: "waiting",
    -97: "deleted",
    -98: "stopped",
    -100: "charged",
    -200: "error",
    0: "delivered",
    8: "system error",
    10: "wrong source address",
    11: "wrong destination address",
    41: "number not allowed",
    42: "rejected by the SMS centre",
    46: "expired",
    47: "deleted",
    48: "rejected by the platform",
    69: "rejected",
    99: "unknown",
    255: "not in the database yet",
}
"""The label of each state, as the page shows the label."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@attrs.frozen
class MessageState:
    """The state of a message at one time.

    Attributes:
        state: the worst state of the segments: a failed segment is worse than a segment that is not final,
            and a delivered segment is the best.
        label: the label of the state; for a scheduled message, "due" and the send date.
    """

    state: int
    label: str


def message_state(
    message: AcceptedMessage, segments: Iterable[AcceptedSegment], now: datetime
) -> MessageState:
    """Return the state of a message at the time `now`."""
    worst = max((state_at(each, now) for each in segments), key=_rank)
    due = message.send_date
    if due is not None and due > now and _rank(worst) == 1:
        label = f"due {due.day} {_MONTHS[due.month - 1]} {due:%H:%M} UTC"
    else:
        label = state_label(worst)
    return MessageState(worst, label)


def state_at(segment: AcceptedSegment, now: datetime) -> int:
    """Return the state of a segment at the time `now`."""
    return next((state for at, state in reversed(segment.changes) if at <= now), segment.changes[0][1])


def state_label(state: int) -> str:
    """Return the label of a state, also of a state that `STATE_LABELS` does not contain."""
    return STATE_LABELS.get(state, f"state {state}")


def _rank(state: int) -> int:
    if state == DELIVERED:
        return 0
    return 2 if state in FINAL_STATES else 1
