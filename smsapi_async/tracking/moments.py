"""The times at which the client must request the state of a message, in seconds since the epoch."""

from collections.abc import Iterable, Iterator
from datetime import UTC, timedelta

from smsapi_async.models import Message, Receipt, SegmentState
from smsapi_async.protocol.dates import aware, naive

MEMORY = 48 * 3600.0
"""The seconds for which the gateway keeps the state of a message (contract, "States", state 255)."""

CLOCK_MARGIN = 600.0
"""The seconds by which two clocks may differ. Beside the 48 hours, a smaller difference is negligible."""

# The clock of the gateway can differ from our clock. The client therefore makes one request 60 seconds before
# the end of the 48 hours for which the gateway keeps a state, and one request 60 seconds after it. For the
# same reason, the client waits 3 seconds after the end of the validity before it makes a request.
_MEMORY_MARGIN = 60.0
_VALIDITY_MARGIN = 3.0
# The time zones of recipients are between UTC-12 and UTC+14.
_WEST, _EAST = 12 * 3600.0, 14 * 3600.0


def beginning(receipt: Receipt, now: float, ahead: float = 0.0) -> tuple[float, float]:
    """Return the earliest and the latest time at which the gateway starts to send a message.

    The two times differ for a message with ``by_time_zone``, because the time zone of the recipient is not
    known, and for a message with a ``send_date`` if the two clocks differ. A receipt from the future was made
    with a wrong clock, and the message counts as accepted now. If our clock is wrong, it is not known whether
    our clock was also wrong at the acceptance. Of the two possible times of acceptance, the function uses the
    later time, so that tracking does not end too early.

    Args:
        receipt: the receipt of the message.
        now: the current time on our clock.
        ahead: the seconds by which the clock of the gateway is ahead of our clock. All times that the
            function returns are times on our clock.

    Raises:
        ValidationError: if a date of the receipt is invalid.
    """
    stamp = aware("Receipt.accepted_at", receipt.accepted_at).timestamp()
    accepted = min(max(stamp, stamp - ahead), now)
    date = receipt.message.send_date
    if date is None:
        return accepted, accepted
    # A proxy with a wrong clock may have sent the header `Date`. The requests therefore begin at the earlier
    # of the two times, and the 48 hours at the later time.
    if receipt.message.by_time_zone:
        sent = naive("send_date", date).replace(tzinfo=UTC).timestamp()
        earliest, latest = min(sent, sent - ahead) - _EAST, max(sent, sent - ahead) + _WEST
    else:
        sent = aware("send_date", date).timestamp()
        earliest, latest = min(sent, sent - ahead), max(sent, sent - ahead)
    return max(accepted, earliest), max(accepted, latest)


def corrected(moment: float, states: Iterable[SegmentState | None], now: float, ahead: float = 0.0) -> float:
    """Return the time at which the gateway starts to send a message, corrected by the clock of the gateway.

    The time of acceptance comes from our clock, which may have been behind at that time. The state of a
    segment has a creation date, which comes from the clock of the gateway.

    Args:
        moment: the time according to the receipt.
        states: the known states of the segments.
        now: the current time on our clock. A creation date in the future counts as now.
        ahead: the seconds by which the clock of the gateway is ahead of our clock.

    Returns:
        The creation date if it is at least 10 minutes later than `moment`, else `moment`.
    """
    dates = [state.creation_date for state in states if state is not None]
    created = max((date.timestamp() - ahead for date in dates if date is not None), default=moment)
    created = min(created, now)
    return created if created >= moment + CLOCK_MARGIN else moment


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
