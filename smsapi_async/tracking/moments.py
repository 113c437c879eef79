"""The times at which the client must request the state of a message, in seconds since the epoch."""

from collections.abc import Iterator
from datetime import UTC, timedelta

from smsapi_async.models import Message, Receipt

MEMORY = 48 * 3600.0
"""The seconds for which the gateway keeps the state of a message (contract, "States", state 255)."""

# The clock of the gateway can differ from our clock. The client therefore makes one request 60 seconds before
# the end of the 48 hours for which the gateway keeps a state, and one request 60 seconds after it. For the
# same reason, the client waits 3 seconds after the end of the validity before it makes a request.
_MEMORY_MARGIN = 60.0
_VALIDITY_MARGIN = 3.0
# The time zones of recipients are between UTC-12 and UTC+14.
_WEST, _EAST = 12 * 3600.0, 14 * 3600.0


def beginning(receipt: Receipt) -> tuple[float, float]:
    """Return the earliest and the latest time at which the gateway starts to send a message.

    The two times differ only for a message with ``by_time_zone``, because the time zone of the recipient is
    not known.
    """
    accepted = receipt.accepted_at.timestamp()
    date = receipt.message.send_date
    if date is None:
        return accepted, accepted
    if receipt.message.by_time_zone:
        wall_clock = date.replace(tzinfo=UTC).timestamp()
        return max(accepted, wall_clock - _EAST), max(accepted, wall_clock + _WEST)
    return max(accepted, date.timestamp()), max(accepted, date.timestamp())


def milestones(message: Message, due: float, last_look: float) -> Iterator[float]:
    """Yield the times at which the client requests a state even if the schedule would wait longer.

    The times are: 3 seconds after the end of the validity, 60 seconds before and after the end of the 48
    hours for which the gateway keeps a state, and the time of the last request.

    Args:
        message: the tracked message, with its validity.
        due: the latest time at which the gateway starts to send the message.
        last_look: the time of the last request before the deadline.
    """
    validity = message.validity
    if validity:
        length = validity.total_seconds() if isinstance(validity, timedelta) else validity * 60
        yield due + length + _VALIDITY_MARGIN
    yield due + MEMORY - _MEMORY_MARGIN
    yield due + MEMORY + _MEMORY_MARGIN
    yield last_look


def all_segments_from(due: float, last_look: float) -> float:
    """Return the time from which the client requests the state of every segment of a message.

    Before the returned time, the client requests the state of one segment only. Afterwards, the client must
    request the states of all segments, because the states of the segments can differ.
    """
    return min(due + MEMORY - _MEMORY_MARGIN, last_look)
