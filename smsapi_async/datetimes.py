"""The check of dates that callers pass."""

from datetime import datetime, timezone

# The names of local mean time, and of the time of a place where nobody lived yet, in the time zone database.
_OLDEST_OFFSETS = {"LMT", "-00"}


class InvalidDateError(ValueError):
    """A datetime is no valid date.

    Attributes:
        shown: a description of the date, for an error text.
        hint: a description of a valid date; "" if the parameter itself defines the hint.
    """

    def __init__(self, shown: str, hint: str = "") -> None:
        self.shown = shown
        self.hint = hint
        super().__init__(shown)


def plain_datetime(value: datetime) -> datetime:
    """Return a date as an object of the class `datetime` itself, naive or with a fixed UTC offset.

    A subclass of `datetime` and a `tzinfo` of other packages can raise any error in any method. An example is
    ``pandas.NaT``, an instance of `datetime` that is no date. The returned date calls no foreign code.

    Raises:
        InvalidDateError: if the fields of the date are no date, if the time zone has no UTC offset for the
            date, or if the UTC offset is the local mean time of the time zone.
    """
    if type(value) is datetime and (value.tzinfo is None or type(value.tzinfo) is timezone):
        return value
    zone = None
    try:
        zone = value.tzinfo
        plain = _without_zone(value)
        offset = value.utcoffset()
        if offset is None:
            is_sound = zone is None
        else:
            plain = plain.replace(tzinfo=timezone(offset))
            is_sound = zone is not None
    except Exception:  # noqa: BLE001 - foreign code may raise any exception
        is_sound = False
    if not is_sound:
        raise InvalidDateError(f"a <{type(value).__name__}> that is no valid date") from None
    if zone is not None and _zone_name(value) in _OLDEST_OFFSETS:
        # `pytz` uses the oldest offset of a time zone for a date that was created with the parameter
        # `tzinfo`. The offset of Europe/Moscow is then +02:30 instead of +03:00.
        hint = "call tz.localize(...) for a time zone of pytz, or use zoneinfo.ZoneInfo"
        raise InvalidDateError(f"{plain} (in local mean time)", hint)
    return plain


def _without_zone(value: datetime) -> datetime:
    """Return the fields of a date as a naive `datetime`.

    Raises:
        Exception: if the object is no date, or its methods contradict its fields.
    """
    plain = datetime(  # noqa: DTZ001 - the result is naive
        value.year,
        value.month,
        value.day,
        value.hour,
        value.minute,
        value.second,
        value.microsecond,
        fold=value.fold,
    )
    day, is_equal = value.isoformat()[:10], value == value  # noqa: PLR0124 - NaT is not equal to itself
    if not is_equal or day != plain.isoformat()[:10]:
        raise ValueError
    return plain


def _zone_name(value: datetime) -> object:
    try:
        return value.tzname()
    except Exception:  # noqa: BLE001 - foreign code may raise any exception
        # A time zone may have no name.
        return None
