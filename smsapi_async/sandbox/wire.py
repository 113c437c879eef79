"""The wire: parameters in, JSON out, dates both ways."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Self
from urllib.parse import parse_qsl, quote

import attrs

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
# .NET Framework's HttpValueCollection.ToString(), used by the vendor's C# client, writes Cyrillic as %uXXXX.
_DOTNET_ESCAPES = re.compile(r"(?:%u[0-9a-fA-F]{4})+")
_INDEXED = re.compile(r"(.+)\[[0-9]+\]")

Value = str | int | Decimal | datetime | None | Sequence["Value"] | Mapping[str, "Value"]

# .NET's DateTime.MinValue, which stands for "no date" where the field cannot be null.
MIN_VALUE = datetime.min.replace(tzinfo=UTC)


class Malformed(ValueError):
    """A parameter's text is not of its type."""


@attrs.frozen(repr=False)
class Parameters:
    """The parameters of a request; names in any case.

    A name given in the form is taken from there alone, even if the query gives it too: ASP.NET MVC asks its
    value providers in that order. So a client that puts everything in both places sends nothing twice.
    """

    form: Mapping[str, list[str]]
    query: Mapping[str, list[str]]

    @classmethod
    def parse(cls, query: str, body: bytes = b"", content_type: str = "") -> Self:
        """Read the query and a body, which counts as a form unless its type says otherwise."""
        is_form = not content_type or content_type.lower().startswith("application/x-www-form-urlencoded")
        return cls(_fields(body.decode("utf-8", "replace")) if is_form else {}, _fields(query))

    def all(self, name: str) -> list[str]:
        """Every value of a name, in order; empty if each of them is."""
        name = name.lower()
        values = self.form.get(name) or self.query.get(name) or []
        return values if any(values) else []

    def text(self, name: str) -> str | None:
        """The first value of a name; None if it is empty or missing."""
        name = name.lower()
        values = self.form.get(name) or self.query.get(name)
        return (values[0] or None) if values else None

    def integer(self, name: str) -> int | None:
        """An Int32; raises Malformed."""
        text = self.text(name)
        if text is None:
            return None
        if not _INTEGER.fullmatch(text.strip()) or not -(2**31) <= int(text) < 2**31:
            raise Malformed("Input string was not in a correct format.")
        return int(text)

    def date(self, name: str) -> datetime | None:
        """A naive date and time; raises Malformed."""
        text = self.text(name)
        return None if text is None else _read_date(text.strip())


def to_utc(naive: datetime, offset: timedelta) -> datetime:
    """A wall clock `offset` ahead of UTC, as aware UTC."""
    moment = min(max(naive.replace(tzinfo=UTC), EARLIEST), LATEST)
    return moment - offset


def encode(value: Value) -> str:
    """JSON as JavaScriptSerializer writes it: Cyrillic as it is, the slashes around a date escaped."""
    if isinstance(value, datetime):
        return f'"\\/Date({(value - _EPOCH) // _MILLISECOND})\\/"'
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(name)}:{encode(each)}" for name, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(encode, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def encode_error(code: int, description: str, *, unquoted: bool) -> str:
    """An error's body; `unquoted` gives the keys as the document prints them, which is not JSON."""
    text = json.dumps(description, ensure_ascii=False)
    return f"{{Code: {code}, Desc: {text}}}" if unquoted else f'{{"Code": {code}, "Desc": {text}}}'


def _fields(encoded: str) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    if "%u" in encoded:
        encoded = _DOTNET_ESCAPES.sub(_standard_escapes, encoded)
    for name, value in parse_qsl(encoded, keep_blank_values=True, errors="replace"):
        # A list may come as `name[0]=..&name[1]=..`, which is what PHP's http_build_query makes of one.
        indexed = _INDEXED.fullmatch(name)
        fields.setdefault((indexed[1] if indexed else name).lower(), []).append(value)
    return fields


def _standard_escapes(match: re.Match[str]) -> str:
    units = bytes.fromhex(match[0].replace("%u", ""))
    return quote(units.decode("utf-16-be", "replace"))


def _read_date(text: str) -> datetime:
    match = _DATE.fullmatch(text)
    if match is None:
        raise Malformed("String was not recognized as a valid DateTime.")
    year, month, day, hour, minute, second = (int(group or 0) for group in match.groups()[:6])
    microsecond = int((match[7] or "").ljust(6, "0")[:6])
    try:
        return datetime(year, month, day, hour, minute, second, microsecond)  # noqa: DTZ001 - the caller knows the zone
    except ValueError:
        raise Malformed("String was not recognized as a valid DateTime.") from None
