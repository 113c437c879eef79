"""Decodes response bodies into models. A body that does not match the contract raises `Undecodable`."""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, override

from smsapi_async.models import IncomingMessage, SegmentState, Statistics
from smsapi_async.privacy import Secret
from smsapi_async.protocol.dates import parse_date
from smsapi_async.protocol.texts import well_formed
from smsapi_async.states import State, known_state

_Value = TypeVar("_Value")

_NEXT_OBJECT = re.compile(r",\s*(?=\{)")
_BETWEEN_ROWS = re.compile(r"[\s,]*")
_UNQUOTED_KEY = re.compile(r"""([{,]\s*)(Code|Desc)\s*:""")
_SESSION_ID = re.compile(r"[!-~]{1,128}", re.ASCII)
# The patterns match numbers in JSON strings. `int` and `Decimal` accept more forms, for example "1_000" and
# digits of other scripts. A whole number has at most 20 characters, the most that a 64-bit integer needs.
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,19}|[0-9]{20}", re.ASCII)
_AMOUNT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([Ee][+-]?[0-9]{1,9})?", re.ASCII)
_CREATION_DATE_SPELLINGS = ("CreateDateUtc", "CreatedDateUtc", "CreationDateUtc")
# Other libraries pad numbers in strings with these characters, which JSON allows around a number.
_BLANKS = " \t\r\n"
# An amount of money has about twelve digits. A hostile response may contain an amount like 1E+999999999, and
# its text with all digits would fill the memory.
_MONEY_EXPONENT_LIMIT = 30
# The work for rows that are not JSON, in characters: at most four times the characters of the response,
# and the work for 20,000 short rows. Without the limit, a hostile response of 300 KB, in which each row fails
# at the end of the response, takes two minutes.
_WORK_OF_A_ROW = 500
_MOST_WORK = 10_000_000
# A longer text before a row is cut off, because a `JSONDecodeError` counts the lines before the error.
_SHORTEST_CUT = 65_536
# The gateway runs on .NET, and an `int` of .NET has 32 bits.
_LONGEST_CODE = 2**31 - 1


class Undecodable(ValueError):
    """The response body does not match the contract. The error text contains no part of the body."""


@attrs.frozen
class ErrorBody:
    """A decoded error body, such as ``{"Code": 4, "Desc": "..."}`` (contract, "Error body").

    Attributes:
        code: the error code in the field ``Code``.
        description: the error description in the field ``Desc``, not masked; "" if the body has no
            description.
    """

    code: int
    description: str = attrs.field(repr=False)

    @property
    def refuses_session(self) -> bool:
        """True if the gateway refused the session id, so that a new login may help (contract, "Session")."""
        return self.code == 3 or (self.code == 4 and "sessionid" in self.description.lower())


def decode_login(body: bytes) -> Secret:
    """Decode the session id in the response to a login.

    Raises:
        Undecodable: if the body is not a JSON string of 1 to 128 printable ASCII characters.
    """
    session_id = _parse(body)
    if not isinstance(session_id, str) or not _SESSION_ID.fullmatch(session_id):
        raise Undecodable("the response to the login is not a session id")
    return Secret(session_id)


def decode_balance(body: bytes) -> Decimal:
    """Decode the balance as an exact `Decimal`.

    Raises:
        Undecodable: if the body is neither a JSON number nor a JSON string with a number.
    """
    return _guard(lambda payload: _to_money(payload, Decimal), _parse(body))


def decode_segment_ids(body: bytes) -> tuple[str, ...]:
    """Decode the segment ids of an accepted send, in the order of the response.

    Raises:
        Undecodable: if the body is not a JSON array, the array is empty, or the array contains an invalid id.
    """
    payload = _parse(body)
    if not isinstance(payload, list) or not payload:
        raise Undecodable("the response is not a list of segment ids")
    return _guard(lambda ids: tuple([well_formed(_to_id(value, str)) for value in ids]), payload)


def decode_state(body: bytes, segment_id: str) -> SegmentState:
    """Decode the state of one segment (contract, "State object").

    Only the field ``State`` is required. If another field is malformed, its attribute has the default value
    of `SegmentState`, so that the field does not hide the state.

    Args:
        body: the response body, as received.
        segment_id: the segment id from the request, because the response contains no id.

    Raises:
        Undecodable: if the body is not a state object.
    """
    payload = _parse(body, "replace")
    if not isinstance(payload, dict):
        raise Undecodable("the response is not a state object")
    # The segment id of the request comes last in the dict, so that a field "segment_id" of the response
    # cannot replace it.
    return _guard(
        lambda fields: _converter.structure(fields, SegmentState), {**payload, "segment_id": segment_id}
    )


class IncomingRows(list[IncomingMessage]):
    """The incoming messages of a response, in the order of the response.

    Attributes:
        skipped: a digest of each row that could not be decoded. Equal rows of one response have different
            digests. The same row has the same digest in the next response.
    """

    skipped: tuple[bytes, ...] = ()


def decode_incoming(body: bytes) -> IncomingRows:
    """Decode incoming messages row by row (contract, "Incoming object").

    A row that does not match the contract is left out and listed in `IncomingRows.skipped`, because the
    gateway repeats the row in each response for the same period. For the same reason, U+FFFD replaces bytes
    that are not UTF-8.

    Raises:
        Undecodable: if the body is not an array, or malformed rows take too long to read.
    """
    text = body.decode("utf-8-sig", "replace").strip()
    payload = _rows(text)
    if not isinstance(payload, list):
        raise Undecodable("the response is not a list of incoming messages")
    rows, bad = IncomingRows(), Counter[bytes]()
    for row in payload:
        try:
            rows.append(_guard(lambda fields: _converter.structure(fields, IncomingMessage), row))
        except Undecodable:
            bad[_digest(row)] += 1
    # The number of a row makes the digests of equal rows different.
    rows.skipped = tuple([digest + b"%d" % number for digest in bad for number in range(bad[digest])])
    return rows


def _rows(text: str) -> object:
    """Return the JSON value of a text. In an array of objects, a row that is not JSON stays a `str`."""
    try:
        return _load(text)
    except Undecodable:
        if not (text.startswith("[") and text.endswith("]")):
            raise
    rows = _readable_rows(text)
    # A text in brackets that contains no object, for example an error page, is no array of rows.
    if not re.match(r"\[\s*\{", text) and not any(isinstance(row, dict) for row in rows):
        raise Undecodable("the response is not JSON")
    return rows


def _readable_rows(text: str) -> list[object]:
    rows: list[object] = []
    position, end = 1, len(text) - 1
    left, cut = _MOST_WORK + 4 * len(text), _SHORTEST_CUT + len(text) // 256
    while (position := _start_of_row(text, position)) < end:
        try:
            row, position = _DECODER.raw_decode(text, position)
        except (ValueError, ArithmeticError, RecursionError) as error:
            left -= _WORK_OF_A_ROW + _end_of_reading(error, end) - position
            if left < 0:
                raise Undecodable("the response has too many malformed rows") from None
            # The end of a row that is not JSON is unknown. The next row begins with the next object.
            following = _NEXT_OBJECT.search(text, position)
            row = text[position : following.start() if following else end].strip()
            position = following.end() if following else end
            if position > cut:
                text, position, end = text[position:], 0, end - position
        rows.append(row)
    return rows


def _end_of_reading(error: Exception, end: int) -> int:
    """Return the position up to which the decoder read a row, or `end` if the error does not tell it."""
    # The error of a string without an end tells the position of the start of the string.
    if isinstance(error, json.JSONDecodeError) and not error.msg.startswith("Unterminated string"):
        return error.pos
    return end


def _start_of_row(text: str, position: int) -> int:
    match = _BETWEEN_ROWS.match(text, position)
    return position if match is None else match.end()


def _digest(row: object) -> bytes:
    try:
        content = repr(row)
    except RecursionError:
        # A row can be nested deeper than `repr` can go.
        content = type(row).__name__
    return hashlib.sha256(content.encode("utf-8", "backslashreplace")).digest()


def decode_statistics(body: bytes) -> Statistics:
    """Decode the statistics of one period (contract, "Statistics object").

    If a field that may be missing is malformed, its attribute is None.

    Raises:
        Undecodable: if the body is not a statistics object.
    """
    payload = _parse(body)
    if not isinstance(payload, dict):
        raise Undecodable("the response is not a statistics object")
    return _guard(lambda fields: _converter.structure(fields, Statistics), payload)


def decode_error(body: bytes) -> ErrorBody | None:
    """Decode an error body, with or without quotation marks around the field names.

    Returns:
        The error body, or None if the bytes are not an error body.
    """
    # A description in another encoding must not hide the code of a refusal.
    text = body.decode("utf-8-sig", "replace")
    try:
        try:
            payload = _load(text)
        except Undecodable:
            # The vendor's document prints error bodies without quotation marks (contract, "Error body").
            payload = _load(_UNQUOTED_KEY.sub(r'\1"\2":', text, count=2))
        if not isinstance(payload, dict):
            return None
        fields = {key.lower(): value for key, value in payload.items()}
        description = fields.get("desc")
        code = _to_int(fields.get("code"), int)
    except ValueError:
        return None
    if not -_LONGEST_CODE <= code <= _LONGEST_CODE:
        return None
    words = description if isinstance(description, str) else ""
    return ErrorBody(code, well_formed(words))


def _parse(body: bytes, errors: str = "strict") -> Any:  # noqa: ANN401 - a JSON value has any type
    """Parse a body. With ``errors="replace"``, each malformed byte becomes U+FFFD."""
    try:
        # The codec `utf-8-sig` also accepts a body that begins with a byte order mark.
        return _load(body.decode("utf-8-sig", errors))
    except UnicodeDecodeError:
        raise Undecodable("the response is not UTF-8") from None


def _load(text: str) -> Any:  # noqa: ANN401 - a JSON value has any type
    try:
        # The vendor's document shows a description with line breaks, which strict JSON does not allow. The
        # decoder therefore accepts control characters such as line breaks in a JSON string.
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise Undecodable("the response is not JSON") from None


def _number(kind: Callable[[str], int | Decimal]) -> Callable[[str], object]:
    def parse(digits: str) -> object:
        try:
            return kind(digits)
        # `int` raises ValueError for more than 4300 digits. `Decimal` raises ArithmeticError for a huge
        # exponent. The decoder of the field refuses the NaN, and the other fields of the body stay readable.
        except (ValueError, ArithmeticError):
            return math.nan

    return parse


# One shared decoder is faster than `json.loads`, which would create a new decoder for each call with such
# arguments. The constants NaN and Infinity become a `float`, which no field accepts.
_DECODER = json.JSONDecoder(
    parse_float=_number(Decimal), parse_int=_number(int), parse_constant=float, strict=False
)


def _guard(decode: Callable[[Any], _Value], payload: object) -> _Value:
    """Call a decoder, and convert its errors to an `Undecodable` that contains no part of the body."""
    try:
        return decode(payload)
    except Undecodable:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise Undecodable(
            f"the response has a field that is missing or malformed ({type(error).__name__})"
        ) from None


def _to_id(value: object, _: object) -> str:
    if isinstance(value, str) and value.strip():
        return value
    # `bool` is a subclass of `int`, but the JSON value true is not an id.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise Undecodable("the response contains an id that is neither a string nor a whole number")


def _to_text(value: object, _: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise Undecodable("the response has a field that is not a string")


def _to_int(value: object, _: object) -> int:
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value.strip(_BLANKS)):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Undecodable("the response has a field that is not a whole number")


def _to_money(value: object, _: object) -> Decimal:
    if isinstance(value, str) and not _AMOUNT.fullmatch(value := value.strip(_BLANKS)):
        raise Undecodable("the response contains an amount that is not a number")
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise Undecodable("the response contains an amount that is not a number")
    amount = Decimal(value)
    if not amount.is_finite() or abs(amount.adjusted()) > _MONEY_EXPONENT_LIMIT:
        raise Undecodable("the response contains an amount that is infinite, not a number, or out of range")
    return amount


def _to_date(value: object, _: object) -> datetime | None:
    try:
        return parse_date(value)
    except ValueError as error:
        raise Undecodable(str(error)) from None


def _to_state(value: object, _: object) -> State | int:
    return known_state(_to_int(value, int))


def _optional(decode: Callable[[object, object], _Value]) -> Callable[[object, object], _Value | None]:
    """Return a decoder that returns None for a null and for a malformed value."""

    def decode_or_none(value: object, kind: object) -> _Value | None:
        try:
            return None if value is None else decode(value, kind)
        except (ValueError, ArithmeticError):
            return None

    return decode_or_none


def _to_description(value: object, kind: object) -> str:
    return well_formed(_optional(_to_text)(value, kind) or "")


def _field(name: str, hook: Callable[[Any, Any], Any]) -> Any:  # noqa: ANN401 - an override of cattrs
    return override(rename=name, struct_hook=hook)


def _state_hook(converter: Converter) -> Callable[..., SegmentState]:
    return make_dict_structure_fn(
        SegmentState,
        converter,
        segment_id=override(),
        state=_field("State", _to_state),
        creation_date=_field("CreationDateUtc", _optional(_to_date)),
        submitted_date=_field("SubmittedDateUtc", _optional(_to_date)),
        reported_date=_field("ReportedDateUtc", _optional(_to_date)),
        time_stamp=_field("TimeStampUtc", _optional(_to_date)),
        state_description=_field("StateDescription", _to_description),
        price=_field("Price", _optional(_to_money)),
    )


def _to_stored_id(value: object, _: object) -> str:
    return well_formed(_to_id(value, str))


def _to_stored_text(value: object, _: object) -> str:
    return well_formed(_to_text(value, str))


def _incoming_hook(converter: Converter) -> Callable[..., IncomingMessage]:
    structure = make_dict_structure_fn(
        IncomingMessage,
        converter,
        id=_field("ID", _to_stored_id),
        text=_field("Data", _to_stored_text),
        source_address=_field("SourceAddress", _to_stored_text),
        destination_address=_field("DestinationAddress", _to_stored_text),
        creation_date=_field(_CREATION_DATE_SPELLINGS[0], _to_date),
    )

    # The vendor has used three names for the creation date (contract, "Incoming object").
    def with_one_spelling(row: dict[str, Any], kind: type[IncomingMessage]) -> IncomingMessage:
        spelled = next((row[name] for name in _CREATION_DATE_SPELLINGS if row.get(name) is not None), None)
        return structure({**row, _CREATION_DATE_SPELLINGS[0]: spelled}, kind)

    return with_one_spelling


def _statistics_hook(converter: Converter) -> Callable[..., Statistics]:
    return make_dict_structure_fn(
        Statistics,
        converter,
        sent=_field("Sent", _to_int),
        delivered=_field("Delivered", _to_int),
        errors=_field("Errors", _to_int),
        in_process=_field("InProcess", _to_int),
        expired=_field("Expired", _to_int),
        rejected=_field("Rejected", _to_int),
        total=_field("Total", _optional(_to_int)),
        total_with_errors=_field("TotalWithErrors", _optional(_to_int)),
        delivery_ratio=_field("DeliveryRatio", _optional(_to_money)),
    )


def _build_converter() -> Converter:
    # With detailed validation, cattrs would raise an exception group, which `_guard` does not catch.
    converter = Converter(detailed_validation=False)
    converter.register_structure_hook(SegmentState, _state_hook(converter))
    converter.register_structure_hook(IncomingMessage, _incoming_hook(converter))
    converter.register_structure_hook(Statistics, _statistics_hook(converter))
    return converter


_converter = _build_converter()
