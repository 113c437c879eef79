"""Formats dates for requests and parses dates of responses (contract, "Dates sent" and "Dates received")."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING

from smsapi_async.datetimes import InvalidDateError, plain_datetime
from smsapi_async.deferred import Deferred
from smsapi_async.errors import ValidationError

if TYPE_CHECKING:
    from email import utils
else:
    utils = Deferred("email.utils")

GATEWAY_TIME_ZONE = timezone(timedelta(hours=3), "GMT+03:00")
"""The default time zone of the gateway (contract, "Dates sent")."""
STATISTICS_LIMIT = timedelta(days=90)
_SECOND = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DOTNET_DATE = re.compile(r"\\*/Date\((-?[0-9]{1,18})(?:[+-][0-9]{4})?\)\\*/", re.ASCII)

_YEARS_HINT = "pass a date between the years 1 and 9999"
# A change of the UTC offset at most this long before or after a moment can repeat the local time.
_AROUND = (-timedelta(hours=26), timedelta(hours=26))
_AWARE_HINT = "pass an aware datetime, such as datetime(2026, 1, 28, 16, 0, tzinfo=UTC)"
# No gateway existed before this date. A machine that lost its time often shows an earlier date.
_EARLIEST_HTTP_DATE = datetime(2000, 1, 1, tzinfo=UTC)
_NAIVE_HINT = "pass a naive datetime: the local time of the recipient"


def aware(parameter: str, value: object) -> datetime:
    """Check that a value is an aware datetime, and convert the datetime to UTC.

    Args:
        parameter: the name of the parameter in the error.
        value: the value to check.

    Raises:
        ValidationError: if the value is not an aware datetime, or is outside the years 1 to 9999 in UTC.
    """
    date = _plain(parameter, value, _AWARE_HINT)
    if date.tzinfo is None:
        raise ValidationError(parameter, f"{date} (without a time zone)", _AWARE_HINT)
    try:
        moment = date.astimezone(UTC)
        # `ceil_to_second` later adds a second. We try this operation here, so that an overflow raises a
        # ValidationError.
        moment + _SECOND
    except OverflowError:
        raise ValidationError(parameter, str(date), _YEARS_HINT) from None
    return moment


def checked_time_zone(value: object) -> tzinfo:
    """Check the time zone of the gateway.

    Raises:
        ValidationError: if the value is not a `tzinfo` with a UTC offset.
    """
    hint = "pass a tzinfo, such as datetime.UTC or timezone(timedelta(hours=3))"
    if not isinstance(value, tzinfo):
        raise ValidationError("gateway_time_zone", f"<{type(value).__name__}>", hint)
    try:
        is_sound = isinstance(_EARLIEST_HTTP_DATE.astimezone(value).utcoffset(), timedelta)
    except Exception:  # noqa: BLE001 - foreign code may raise any exception
        is_sound = False
    if not is_sound:
        raise ValidationError("gateway_time_zone", f"a <{type(value).__name__}> without a UTC offset", hint)
    return value


def local_time(parameter: str, moment: datetime, zone: tzinfo) -> datetime:
    """Convert an aware datetime to the local time of a time zone. The result is naive.

    Args:
        parameter: the name of the parameter in the error.
        moment: an aware datetime in UTC.
        zone: the time zone.

    Raises:
        ValidationError: if the local time occurs twice, because summer time ends, or is outside the years 1
            to 9999.
    """
    try:
        local = _local(moment, zone)
        is_ambiguous = type(zone) is not timezone and _occurs_twice(moment, local, zone)
    except Exception as error:  # noqa: BLE001 - the code of a time zone may raise any exception
        hint = _YEARS_HINT if isinstance(error, OverflowError) else "pass another gateway_time_zone"
        raise ValidationError(parameter, f"{moment} (no local time at the gateway)", hint) from None
    if is_ambiguous:
        # The request contains no offset, so the gateway could take the other of the two times.
        hint = "pass a date outside of this hour, or a gateway_time_zone with a fixed offset"
        raise ValidationError(parameter, f"{moment} (a local time that the gateway has twice)", hint)
    return local


def _local(moment: datetime, zone: tzinfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _occurs_twice(moment: datetime, local: datetime, zone: tzinfo) -> bool:
    """Return whether another moment has the same local time.

    The time zones of some packages do not support `datetime.fold`, so the function compares local times.
    """
    nearby = [(moment + hours).astimezone(zone).utcoffset() or timedelta() for hours in _AROUND]
    step = abs(nearby[0] - nearby[1])
    return bool(step) and local in (_local(moment + step, zone), _local(moment - step, zone))


def gateway_time(parameter: str, value: object, zone: tzinfo) -> str:
    """Format the ``SendDate`` of ``Sms/Send`` and ``Sms/SendBulk``: ``2011-01-28T16:00:00`` in local time.

    Args:
        parameter: the name of the parameter in the error.
        value: an aware datetime. Fractions of a second are dropped.
        zone: the time zone of the gateway.

    Raises:
        ValidationError: if the value is not an aware datetime, is out of range, or has a local time at the
            gateway that occurs twice.
    """
    return _seconds(local_time(parameter, aware(parameter, value), zone))


def naive(parameter: str, value: object) -> datetime:
    """Check that a value is a naive datetime, and return an object of the class `datetime` itself.

    Args:
        parameter: the name of the parameter in the error.
        value: the value to check.

    Raises:
        ValidationError: if the value is not a naive datetime.
    """
    date = _plain(parameter, value, _NAIVE_HINT)
    if date.tzinfo is not None:
        raise ValidationError(parameter, f"{date} (with a time zone)", _NAIVE_HINT)
    return date


def wall_clock(parameter: str, value: object) -> str:
    """Format the ``SendDate`` of ``Sms/SendByTimeZone``: ``2011-01-28T16:00:00`` in local time.

    Args:
        parameter: the name of the parameter in the error.
        value: a naive datetime. Fractions of a second are dropped.

    Raises:
        ValidationError: if the value is not a naive datetime.
    """
    return _seconds(naive(parameter, value))


def utc_time(value: datetime) -> str:
    """Format a datetime in UTC for ``minDateUTC`` and ``maxDateUTC``: ``2011-01-28T16:00:00``."""
    return _seconds(value)


def statistics_time(value: datetime) -> str:
    """Format a local time for ``startDateTime`` and ``endDateTime``: ``2012-01-18 00:00:00``."""
    return _seconds(value).replace("T", " ")


def floor_to_second(moment: datetime) -> datetime:
    """Round a datetime down to a whole second. Dates in requests have no fractions of a second."""
    return moment.replace(microsecond=0)


def ceil_to_second(moment: datetime) -> datetime:
    """Round a datetime up to a whole second."""
    return floor_to_second(moment) + _SECOND if moment.microsecond else moment


def statistics_windows(start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """Divide a period into windows of at most 90 days, the limit of ``Sms/Statistics``.

    Args:
        start: the beginning of the period: a local time of the gateway without a fraction of a second.
        end: the end of the period: a local time of the gateway without a fraction of a second.

    Returns:
        A list with the first and the last second of each window. Each second of the period is in exactly one
        window.
    """
    windows = []
    while end - start > STATISTICS_LIMIT:
        # Each window ends one second before the next window begins, because the statistics of a window
        # include its first and its last second.
        windows.append((start, start + STATISTICS_LIMIT - _SECOND))
        start += STATISTICS_LIMIT
    windows.append((start, end))
    return windows


def parse_date(value: object) -> datetime | None:
    """Parse a date of a response, which has the .NET form ``/Date(milliseconds)/``.

    Args:
        value: a decoded JSON value, such as ``"/Date(1294045911213)/"`` or None.

    Returns:
        An aware datetime in UTC, or None if the value means "no date".

    Raises:
        ValueError: if the value is not a date (contract, "Dates received"), or the date is after the year
            9999.
    """
    if value is None:
        return None
    match = _DOTNET_DATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a date is not in the form /Date(milliseconds)/")
    milliseconds = int(match[1])
    # `DateTime.MinValue` of .NET means "no date". A time zone can shift the value, and the vendor's document
    # misprints the value (contract, "Misprints"), but the number of milliseconds is always negative. A real
    # date never has a negative number, because no message is older than 1970.
    if milliseconds < 0:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise ValueError("a date is beyond the year 9999") from None


def _plain(parameter: str, value: object, hint: str) -> datetime:
    if not isinstance(value, datetime):
        raise ValidationError(parameter, f"<{type(value).__name__}>", hint)
    try:
        return plain_datetime(value)
    except InvalidDateError as error:
        # The hint of the error helps only if a date with a time zone is right.
        if hint == _AWARE_HINT and error.hint:
            hint = error.hint
        raise ValidationError(parameter, error.shown, hint) from None


def parse_http_date(text: str | None) -> datetime | None:
    """Parse the header ``Date`` of a response (RFC 9110, 6.6.1), such as ``Sun, 01 Mar 2026 12:00:00 GMT``.

    A proxy may write a wrong header. The function accepts only the form that RFC 9110 requires of a sender,
    with the right day of the week, and ignores a date before the year 2000.

    Returns:
        An aware datetime in UTC without a fraction of a second, or None if the header is missing or invalid.
    """
    if text is None:
        return None
    try:
        moment = utils.parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None
    is_exact = text.strip(" \t") == utils.format_datetime(moment, usegmt=True)
    return moment if is_exact and moment >= _EARLIEST_HTTP_DATE else None


def _seconds(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="seconds")
