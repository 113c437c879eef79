"""Dates as the wire writes and reads them (contract, "Dates sent" and "Dates received")."""

import re
from datetime import UTC, datetime, timedelta, timezone

from smsapi_async.errors import ValidationError

GATEWAY_TIME_ZONE = timezone(timedelta(hours=3), "GMT+03:00")
STATISTICS_LIMIT = timedelta(days=90)
_SECOND = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DOTNET_DATE = re.compile(r"\\*/Date\((-?[0-9]{1,18})(?:[+-][0-9]{4})?\)\\*/", re.ASCII)

_AWARE_HINT = "pass an aware datetime, such as datetime(2026, 1, 28, 16, 0, tzinfo=UTC)"
_NAIVE_HINT = "pass a naive datetime: the wall clock where the recipient is"


def aware(parameter: str, value: object) -> datetime:
    """The value as an aware datetime in UTC.

    Raises:
        ValidationError: it is no datetime, is naive, or is beyond what a datetime in UTC can hold.
    """
    if not isinstance(value, datetime):
        raise ValidationError(parameter, f"<{type(value).__name__}>", _AWARE_HINT)
    if value.utcoffset() is None:
        raise ValidationError(parameter, f"{value!s} (without a time zone)", _AWARE_HINT)
    try:
        moment = value.astimezone(UTC)
        # Each form on the wire must exist, and so must a second more for a rounded end.
        moment.astimezone(GATEWAY_TIME_ZONE)
        moment + _SECOND
    except OverflowError:
        raise ValidationError(parameter, str(value), "pass a date between the years 1 and 9999") from None
    return moment


def gateway_time(parameter: str, value: object) -> str:
    """``2011-01-28T16:00:00``, GMT+03:00: the ``SendDate`` of ``Send`` and ``SendBulk``."""
    return _seconds(aware(parameter, value).astimezone(GATEWAY_TIME_ZONE))


def wall_clock(parameter: str, value: object) -> str:
    """``2011-01-28T16:00:00``, the recipient's own time: the ``SendDate`` of ``SendByTimeZone``."""
    if not isinstance(value, datetime):
        raise ValidationError(parameter, f"<{type(value).__name__}>", _NAIVE_HINT)
    if value.tzinfo is not None:
        raise ValidationError(parameter, f"{value!s} (with a time zone)", _NAIVE_HINT)
    return _seconds(value)


def utc_time(value: datetime) -> str:
    """``2011-01-28T16:00:00``, UTC: ``minDateUTC`` and ``maxDateUTC``."""
    return _seconds(value)


def statistics_time(value: datetime) -> str:
    """``2012-01-18 00:00:00``, GMT+03:00: ``startDateTime`` and ``endDateTime``."""
    return _seconds(value.astimezone(GATEWAY_TIME_ZONE)).replace("T", " ")


def floor(moment: datetime) -> datetime:
    """The whole second at or before a moment; the wire has no fractions."""
    return moment.replace(microsecond=0)


def ceiling(moment: datetime) -> datetime:
    """The whole second at or after a moment."""
    return floor(moment) + _SECOND if moment.microsecond else moment


def statistics_windows(start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """Closed windows of at most 90 days that cover start to end, each whole second once."""
    windows = []
    while end - start > STATISTICS_LIMIT:
        windows.append((start, start + STATISTICS_LIMIT - _SECOND))
        start += STATISTICS_LIMIT
    windows.append((start, end))
    return windows


def parse_date(value: object) -> datetime | None:
    """A date received, aware, UTC; None where the gateway means "no date".

    Raises:
        ValueError: the value is not a date of the contract.
    """
    if value is None:
        return None
    match = _DOTNET_DATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a date is not in the form /Date(milliseconds)/")
    milliseconds = int(match[1])
    # .NET's DateTime.MinValue is "no date", also when shifted by a time zone or misprinted;
    # no message is older than 1970.
    if milliseconds < 0:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise ValueError("a date is beyond the year 9999") from None


def _seconds(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="seconds")
