"""The moments in a message's life that a wait must not step over. Seconds since the epoch."""

from collections.abc import Iterator
from datetime import UTC, timedelta

from smsapi_async.models import Message, Receipt

MEMORY = 48 * 3600.0
"""How long the gateway remembers a message (contract, state 255)."""

# The gateway counts from its own clock: one look comes a little before it forgets, and the one that finds
# the message forgotten a little after.
_MEMORY_MARGIN = 60.0
_VALIDITY_MARGIN = 3.0
# The wall clocks of recipients are between UTC-12 and UTC+14.
_WEST, _EAST = 12 * 3600.0, 14 * 3600.0


def beginning(receipt: Receipt) -> tuple[float, float]:
    """When the gateway begins to send a message, at the earliest and at the latest."""
    accepted = receipt.accepted_at.timestamp()
    date = receipt.message.send_date
    if date is None:
        return accepted, accepted
    if receipt.message.by_time_zone:
        wall_clock = date.replace(tzinfo=UTC).timestamp()
        return max(accepted, wall_clock - _EAST), max(accepted, wall_clock + _WEST)
    return max(accepted, date.timestamp()), max(accepted, date.timestamp())


def milestones(message: Message, due: float, last_look: float) -> Iterator[float]:
    """When to look whatever the schedule says: at the end of validity, of the gateway's memory, and at last.

    Args:
        message: the message.
        due: when the gateway begins to send it.
        last_look: the last request before the deadline.
    """
    validity = message.validity
    if validity:
        length = validity.total_seconds() if isinstance(validity, timedelta) else validity * 60
        yield due + length + _VALIDITY_MARGIN
    yield due + MEMORY - _MEMORY_MARGIN
    yield due + MEMORY + _MEMORY_MARGIN
    yield last_look


def everything_is_seen_from(due: float, last_look: float) -> float:
    """From when on every segment is asked about, since they may disagree and the end is near."""
    return min(due + MEMORY - _MEMORY_MARGIN, last_look)
