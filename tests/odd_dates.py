"""Stand-ins for objects of pandas and pytz that are instances of `datetime` or `tzinfo`."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any


class _NaTType(datetime):
    """Behaves like the class of ``pandas.NaT``: an instance of `datetime` that is no date."""

    def _refuse(self, *_: object, **__: object) -> Any:
        raise ValueError("NaTType does not support this method")

    def _itself(self, *_: object, **__: object) -> Any:
        return self

    def _false(self, _: object) -> Any:
        return False

    utcoffset = tzname = dst = strftime = timetuple = date = time = _refuse
    astimezone = replace = __add__ = __radd__ = __sub__ = __rsub__ = _itself
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = _false
    __hash__ = datetime.__hash__
    year = month = day = hour = minute = second = microsecond = property(lambda _: float("nan"))

    def __ne__(self, _: object) -> bool:
        return True

    def isoformat(self, *_: object, **__: object) -> str:
        return "NaT"

    def timestamp(self) -> float:
        return float("nan")

    __str__ = __repr__ = isoformat


class _NoOffset(datetime):
    """A date whose UTC offset cannot be computed, although all fields are valid."""

    def utcoffset(self) -> timedelta | None:
        raise ValueError("no offset")


class _LostOffset(datetime):
    """A date with a time zone that gives no UTC offset."""

    def utcoffset(self) -> timedelta | None:
        return None


class _OddText(datetime):
    """A date whose text is no date, as the text of ``pandas.NaT``."""

    def isoformat(self, *_: object, **__: object) -> str:
        return "NaT"


class _OddYear(datetime):
    """A date with a year that no calendar has."""

    year = property(lambda _: 10_000)


class LocalMeanTime(tzinfo):
    """Behaves like ``pytz.timezone("Europe/Moscow")`` as the parameter `tzinfo` of a `datetime`."""

    name = "LMT"

    def utcoffset(self, _: datetime | None) -> timedelta:
        return timedelta(hours=2, minutes=30)

    def dst(self, _: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, _: datetime | None) -> str:
        return self.name


class NobodyThere(LocalMeanTime):
    """Behaves like ``pytz.timezone("Antarctica/Vostok")`` as the parameter `tzinfo` of a `datetime`."""

    name = "-00"


class Nameless(tzinfo):
    """A time zone of the caller that has no name."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        return timedelta(hours=3)

    def dst(self, _: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, _: datetime | None) -> str:
        raise NotImplementedError


class Broken(Nameless):
    """A time zone of the caller that raises an error."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        raise LookupError("no such zone")


NAT = _NaTType(1, 1, 1)
MOMENT = (2030, 1, 28, 16, 0)
INVALID_DATES: dict[str, datetime] = {
    "NaT": NAT,
    "utcoffset raises": _NoOffset(*MOMENT),
    "utcoffset raises, with a zone": _NoOffset(*MOMENT, tzinfo=UTC),
    "no offset": _LostOffset(*MOMENT, tzinfo=UTC),
    "an odd text": _OddText(*MOMENT),
    "an odd text, with a zone": _OddText(*MOMENT, tzinfo=UTC),
    "a year out of range": _OddYear(*MOMENT),
    "a year out of range, with a zone": _OddYear(*MOMENT, tzinfo=UTC),
    "a zone that raises": datetime(*MOMENT, tzinfo=Broken()),
    "local mean time": datetime(*MOMENT, tzinfo=LocalMeanTime()),
    "no time yet": datetime(*MOMENT, tzinfo=NobodyThere()),
}
"""Dates that are wrong for each parameter, naive or aware."""
