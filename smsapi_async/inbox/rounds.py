"""How incoming messages are watched."""

from datetime import timedelta
from typing import Any

import attrs

from smsapi_async.errors import ValidationError

_SECOND = timedelta(seconds=1)


def _seconds(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _interval(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValidationError(attribute.name, repr(value), "pass a positive timedelta, or seconds")


def _duration(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if not isinstance(value, timedelta) or value < _SECOND:
        raise ValidationError(attribute.name, repr(value), "pass a timedelta of a second or more")


@attrs.frozen(kw_only=True)
class InboxSettings:
    """How incoming messages are watched.

    Attributes:
        every: from the beginning of one round to that of the next, a `timedelta` or seconds; kept as seconds.
        overlap: how far a round reaches back behind the last one. A message is found where it is filed
            no later than this after its creation date; what our clock and the gateway's differ by
            counts against it.
        window: the most that one request moves on. A longer gap is read in several, without a pause.
    """

    every: float = attrs.field(default=10.0, converter=_seconds, validator=_interval)
    overlap: timedelta = attrs.field(default=timedelta(minutes=10), validator=_duration)
    window: timedelta = attrs.field(default=timedelta(days=1), validator=_duration)
