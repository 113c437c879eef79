"""The settings of an `Inbox`."""

from datetime import timedelta
from typing import Any

import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.privacy import mask_misplaced, steady_repr

_SECOND = timedelta(seconds=1)


def _seconds(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _interval(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValidationError(attribute.name, mask_misplaced(value), "pass a positive timedelta, or seconds")


def _duration(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if not isinstance(value, timedelta) or value < _SECOND:
        raise ValidationError(attribute.name, mask_misplaced(value), "pass a timedelta of a second or more")


@steady_repr
@attrs.frozen(kw_only=True)
class InboxSettings:
    """The settings of an `Inbox`.

    Attributes:
        every: the time from the start of one round of requests to the start of the next round: a `timedelta`
            or a number of seconds. The attribute stores the time in seconds.
        overlap: the time by which the period of a request overlaps the period of the previous request. The
            inbox finds a message if the gateway stores the message within ``overlap`` after its creation
            date.
        window: the longest time by which one request moves the end of the period forward. If the inbox did
            not run for a longer time than ``window``, it makes several requests without a pause.

    Raises:
        ValidationError: if `every` is not positive, or `overlap` or `window` is not a `timedelta` of at least
            one second.
    """

    every: float = attrs.field(default=10.0, converter=_seconds, validator=_interval)
    overlap: timedelta = attrs.field(default=timedelta(minutes=10), validator=_duration)
    window: timedelta = attrs.field(default=timedelta(days=1), validator=_duration)
