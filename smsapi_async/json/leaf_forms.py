"""The JSON forms of values without parts: texts, numbers, dates, durations, amounts and enums."""

import abc
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final

from smsapi_async.datetimes import InvalidDateError, plain_datetime
from smsapi_async.privacy import type_name

_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)"
    r"(Z|([+-])([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?)?"
)
_DURATION = re.compile(
    r"(-?)P(?=[0-9T])(?:([0-9]{1,9})D)?"
    r"(?:T(?=[0-9])(?:([0-9]{1,15})H)?(?:([0-9]{1,15})M)?(?:([0-9]{1,15})(?:\.([0-9]{1,6}))?S)?)?"
)
_AMOUNT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MINUTE: Final = timedelta(minutes=1)
_SECOND: Final = timedelta(seconds=1)
# Python writes and reads no whole number with more than a few thousand digits. A float has at most 1024 bits.
_MOST_BITS: Final = 1023
_JSON_TYPES: Final[Mapping[type, str]] = {
    type(None): "a JSON null",
    bool: "a JSON boolean",
    int: "a JSON number",
    float: "a JSON number",
    str: "a JSON string",
    list: "a JSON array",
    dict: "a JSON object",
}
_PLAIN_HINTS: Final[Mapping[type, str]] = {
    str: "pass a string",
    int: "pass a whole number",
    float: "pass a number",
    bool: "pass true or false",
    type(None): "pass null",
}


class WrongJson(Exception):
    """JSON data that cannot be read, or a value that cannot be written as JSON.

    The text and the attributes contain no value of the caller.

    Attributes:
        shown: a description of the wrong value.
        hint: a description of a valid value.
        path: the names of fields and the indexes that lead to the wrong value.
    """

    def __init__(self, shown: str, hint: str, *path: str | int) -> None:
        self.shown = shown
        self.hint = hint
        self.path = list(path)
        super().__init__(shown, hint)

    def under(self, step: str | int) -> "WrongJson":
        """Add the name or the index of the part that contains the wrong value, and return this error."""
        self.path.insert(0, step)
        return self


class Form(abc.ABC):
    """Writes the values of one type as JSON data, and reads them.

    JSON data consists of the values that `json.dumps` accepts and `json.loads` returns.

    Attributes:
        hint: a description of valid JSON data.
    """

    hint: str

    @abc.abstractmethod
    def write(self, value: object) -> object:
        """Return a value as JSON data.

        Raises:
            WrongJson: if the value has a wrong type.
        """

    @abc.abstractmethod
    def read(self, data: object) -> Any:  # noqa: ANN401 - each form has its own type
        """Return the value that JSON data describes.

        Raises:
            WrongJson: if the data describes no value of this type.
        """


def json_type(data: object) -> str:
    """Return the JSON type of data, such as "a JSON string", and not the data."""
    return _JSON_TYPES.get(type(data)) or type_name(data)


def _is_too_large(value: object) -> bool:
    return isinstance(value, int) and value.bit_length() > _MOST_BITS


class PlainForm(Form):
    """A text, a number, a boolean or None, which JSON contains as they are.

    Args:
        kind: `str`, `int`, `float`, `bool` or the type of None.
    """

    def __init__(self, kind: type) -> None:
        self.kind = kind
        self.hint = _PLAIN_HINTS[kind]

    def write(self, value: object) -> object:
        """Return the value as an object of the type itself, for example the value of a `StrEnum`."""
        if not self._is_valid(value):
            raise WrongJson(self._shown(value, type_name), self.hint)
        if isinstance(value, str):
            return value if type(value) is str else str.__str__(value)
        return value if isinstance(value, bool | None) else self.kind(value)

    def read(self, data: object) -> object:
        """Return the data."""
        if not self._is_valid(data):
            raise WrongJson(self._shown(data, json_type), self.hint)
        return float(data) if self.kind is float and isinstance(data, int) else data

    @staticmethod
    def _shown(value: object, of_type: Callable[[object], str]) -> str:
        return "a number that is too large" if _is_too_large(value) else of_type(value)

    def _is_valid(self, value: object) -> bool:
        if _is_too_large(value):
            return False
        if self.kind is float:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            return is_number and math.isfinite(value)  # type: ignore[arg-type]
        # In Python, a boolean is an integer. In JSON it is not.
        return isinstance(value, self.kind) and (self.kind is not int or not isinstance(value, bool))


class MomentForm(Form):
    """A date with its UTC offset, in the form of RFC 3339, such as "2026-03-01T12:00:00+03:00".

    Args:
        must_be_aware: whether a date without a UTC offset is refused.
    """

    def __init__(self, *, must_be_aware: bool) -> None:
        self._must_be_aware = must_be_aware
        example = "2026-03-01T12:00:00+03:00"
        self.hint = f"pass a date as a string, such as {example}"
        if must_be_aware:
            self.hint += ", with its UTC offset"

    def write(self, value: object) -> object:
        """Return the date with its microseconds and its UTC offset, without the name of its time zone."""
        if not isinstance(value, datetime):
            raise WrongJson(type_name(value), "pass a datetime")
        try:
            date = plain_datetime(value)
        except InvalidDateError as error:
            raise WrongJson(error.shown, error.hint or "pass a datetime") from None
        if date.tzinfo is None and self._must_be_aware:
            raise WrongJson("a naive datetime", "pass an aware datetime")
        return date.isoformat()

    def read(self, data: object) -> object:
        """Return the date. It is naive if the data has no UTC offset."""
        match = _MOMENT.fullmatch(data) if isinstance(data, str) else None
        if match is None or (match[2] is None and self._must_be_aware):
            shown = json_type(data) if match is None else "a date without a UTC offset"
            raise WrongJson(shown, self.hint)
        try:
            date = datetime.fromisoformat(match[1])
            return date if match[2] is None else date.replace(tzinfo=_offset(match))
        except ValueError:
            raise WrongJson("a date that does not exist", self.hint) from None


def _offset(match: re.Match[str]) -> timezone:
    """Return the UTC offset of a date. `datetime.fromisoformat` reads an offset below one second as zero.

    Raises:
        ValueError: if the offset is 24 hours or more.
    """
    sign, *parts, decimals = match.groups(default="0")[2:]
    hours, minutes, seconds = map(int, parts)
    if minutes >= 60 or seconds >= 60:
        raise ValueError
    fraction = int(decimals.ljust(6, "0"))
    size = timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=fraction)
    return timezone(-size if sign == "-" else size)


class DurationForm(Form):
    """A duration in the form of ISO 8601: "PT10M" for ten minutes."""

    hint = "pass a duration as a string, such as PT10M for ten minutes"

    def write(self, value: object) -> object:
        """Return whole minutes in minutes, and any other duration in seconds."""
        if not isinstance(value, timedelta):
            raise WrongJson(type_name(value), "pass a timedelta")
        sign, rest = ("-", -value) if value < timedelta() else ("", value)
        if not rest % _MINUTE:
            return f"{sign}PT{rest // _MINUTE}M"
        seconds, fraction = divmod(rest, _SECOND)
        decimals = f".{fraction.microseconds:06}" if fraction else ""
        return f"{sign}PT{seconds}{decimals}S"

    def read(self, data: object) -> object:
        """Return the duration. Years, months and weeks are refused."""
        match = _DURATION.fullmatch(data) if isinstance(data, str) else None
        if match is None:
            raise WrongJson(json_type(data), self.hint)
        sign, *parts, decimals = match.groups(default="")
        days, hours, minutes, seconds = (int(part or 0) for part in parts)
        whole = days * 86_400 + hours * 3_600 + minutes * 60 + seconds
        microseconds = whole * 1_000_000 + int(decimals.ljust(6, "0"))
        try:
            return timedelta(microseconds=-microseconds if sign else microseconds)
        except OverflowError:
            raise WrongJson("a duration that is too long", self.hint) from None


class AmountForm(Form):
    """A decimal number as a string, such as "2.50", because many programs read JSON numbers inexactly."""

    hint = "pass a decimal number as a string, such as 2.50 in quotation marks"

    def write(self, value: object) -> object:
        """Return all digits of the number, also zeros at the end."""
        if not isinstance(value, Decimal) or not value.is_finite():
            raise WrongJson(type_name(value), "pass a finite Decimal")
        return Decimal.__str__(value)

    def read(self, data: object) -> object:
        """Return the number with all its digits."""
        if not isinstance(data, str) or not _AMOUNT.fullmatch(data):
            raise WrongJson(json_type(data), self.hint)
        try:
            return Decimal(data)
        except InvalidOperation:
            raise WrongJson("a decimal number that is too large", self.hint) from None


class MemberForm(Form):
    """A member of an enum as its value.

    Args:
        kind: the class of the enum. The values of its members are texts or numbers.
    """

    def __init__(self, kind: type[Enum]) -> None:
        self.kind = kind
        self._members = {(type(member.value), member.value): member for member in kind}
        self.hint = f"pass one of {', '.join(repr(member.value) for member in kind)}"

    def write(self, value: object) -> object:
        """Return the value of the member."""
        if not isinstance(value, self.kind):
            raise WrongJson(type_name(value), f"pass a member of {self.kind.__name__}")
        return value.value

    def read(self, data: object) -> object:
        """Return the member with this value."""
        member = self._members.get((type(data), data)) if isinstance(data, str | int) else None
        if member is None:
            raise WrongJson(json_type(data), self.hint)
        return member


class ConstantForm(Form):
    """One of several constants: the type ``Literal``.

    Args:
        constants: the texts, numbers or booleans.
    """

    def __init__(self, constants: tuple[object, ...]) -> None:
        self.constants = constants
        self.hint = f"pass one of {', '.join(map(repr, constants))}"

    def write(self, value: object) -> object:
        """Return the constant."""
        if not self._is_valid(value):
            raise WrongJson(type_name(value), self.hint)
        return value

    def read(self, data: object) -> object:
        """Return the constant."""
        if not self._is_valid(data):
            raise WrongJson(json_type(data), self.hint)
        return data

    def _is_valid(self, value: object) -> bool:
        return any(type(value) is type(constant) and value == constant for constant in self.constants)
