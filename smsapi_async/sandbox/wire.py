"""The formats of requests and responses: reads parameters and dates, and writes JSON."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Self

import attrs

from smsapi_async.sandbox.bodies import UnreadableBody, body_pairs, collected, form_pairs
from smsapi_async.sandbox.gateway_clock import EARLIEST, LATEST

SUCCESS_HEADERS = {
    "Cache-Control": "private",
    "Connection": "Keep-Alive",
    "Content-Type": "application/json; charset=utf-8",
}
HTML_HEADERS = {"Cache-Control": "private", "Content-Type": "text/html; charset=utf-8"}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DATE = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,7}))?)?)?"
)
_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")

Value = str | int | Decimal | datetime | None | Sequence["Value"] | Mapping[str, "Value"]

# `MIN_VALUE` is DateTime.MinValue of .NET. In a field that cannot be null, DateTime.MinValue means "no date".
MIN_VALUE = datetime.min.replace(tzinfo=UTC)


class Malformed(ValueError):
    """The text of a parameter cannot be converted to the type of the parameter."""


@attrs.frozen(repr=False)
class Parameters:
    """The parameters of a request. The methods ignore the case of names.

    If the form contains a name, the methods ignore the values of this name in the query, as ASP.NET MVC does.
    A client that puts every parameter into both the form and the query therefore does not send a message
    twice.

    Attributes:
        form: the values of each parameter in the body, by lower-case name.
        query: the values of each parameter in the query, by lower-case name.
    """

    form: Mapping[str, list[str]]
    query: Mapping[str, list[str]]

    @classmethod
    def parse(
        cls, query: str, body: bytes = b"", content_type: str = "", *, reads_all_bodies: bool = False
    ) -> Self:
        """Read the parameters of a query and of a body.

        A body without a content type is read as a form. A body with another content type than
        `application/x-www-form-urlencoded` has no parameters, except with `reads_all_bodies`.

        Args:
            query: the query of the request, percent-encoded.
            body: the body of the request.
            content_type: the value of the header field `Content-Type`; empty if the request has none.
            reads_all_bodies: whether multipart forms and JSON bodies are read too.

        Raises:
            Malformed: if the body is read as JSON and is not valid JSON.
        """
        try:
            form = body_pairs(body, content_type, reads_all_bodies=reads_all_bodies)
        except UnreadableBody as error:
            raise Malformed(str(error)) from None
        return cls(collected(form), collected(form_pairs(query)))

    def all(self, name: str) -> list[str]:
        """Return all values of a parameter, in their order, or an empty list if all values are empty."""
        name = name.lower()
        values = self.form.get(name) or self.query.get(name) or []
        return values if any(values) else []

    def text(self, name: str) -> str | None:
        """Return the first value of a parameter, or None if the value is empty or missing."""
        name = name.lower()
        values = self.form.get(name) or self.query.get(name)
        return (values[0] or None) if values else None

    def integer(self, name: str) -> int | None:
        """Return the first value of a parameter as an integer, or None if the value is empty or missing.

        Raises:
            Malformed: if the value is not an integer of 32 bits.
        """
        text = self.text(name)
        if text is None:
            return None
        if not _INTEGER.fullmatch(text.strip()) or not -(2**31) <= int(text) < 2**31:
            raise Malformed("Input string was not in a correct format.")
        return int(text)

    def date(self, name: str) -> datetime | None:
        """Return the first value of a parameter as a naive datetime, or None if it is empty or missing.

        Raises:
            Malformed: if the value is not a date.
        """
        text = self.text(name)
        return None if text is None else _read_date(text.strip())


def to_utc(naive: datetime, zone: tzinfo) -> datetime:
    """Convert a naive local time to an aware datetime in UTC.

    Args:
        naive: the naive local time to convert.
        zone: the time zone of the local time.
    """
    # The limits `EARLIEST` and `LATEST` keep the result in the range of `datetime`.
    moment = min(max(naive.replace(tzinfo=UTC), EARLIEST), LATEST)
    return moment.replace(tzinfo=zone).astimezone(UTC)


def encode(value: Value) -> str:
    """Return a value as JSON, in the form that .NET's JavaScriptSerializer writes.

    Cyrillic characters are not escaped. The slashes of a date are escaped (contract, "Dates received").
    """
    if isinstance(value, datetime):
        return f'"\\/Date({(value - _EPOCH) // _MILLISECOND})\\/"'
    if isinstance(value, Decimal):
        # Use `format`, because `str` would write some decimal numbers with an exponent.
        return format(value, "f")
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(name)}:{encode(each)}" for name, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(encode, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def encode_error(code: int, description: str, *, unquoted: bool) -> str:
    """Return the body of an error.

    Args:
        code: the error code, which is the value of `Code`.
        description: the error description, which is the value of `Desc`.
        unquoted: whether the keys in the body are unquoted, as in the vendor's document. A body with unquoted
            keys is not valid JSON.
    """
    text = json.dumps(description, ensure_ascii=False)
    return f"{{Code: {code}, Desc: {text}}}" if unquoted else f'{{"Code": {code}, "Desc": {text}}}'


def _read_date(text: str) -> datetime:
    match = _DATE.fullmatch(text)
    if match is None:
        raise Malformed("String was not recognized as a valid DateTime.")
    year, month, day, hour, minute, second = (int(group or 0) for group in match.groups()[:6])
    # Cut the fraction of a second from at most 7 digits in .NET to 6 digits in a `datetime`.
    microsecond = int((match[7] or "").ljust(6, "0")[:6])
    try:
        return datetime(year, month, day, hour, minute, second, microsecond)  # noqa: DTZ001 - the caller adds the time zone
    except ValueError:
        raise Malformed("String was not recognized as a valid DateTime.") from None
