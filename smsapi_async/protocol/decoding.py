"""Answers as models, through one cattrs converter. Any bytes give a value or `Undecodable`."""

import json
import re
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
from smsapi_async.states import State, known_state

_Value = TypeVar("_Value")

_UNQUOTED_KEY = re.compile(r"""([{,]\s*)(Code|Desc)\s*:""")
_SESSION_ID = re.compile(r"[!-~]{1,128}", re.ASCII)
_CREATION_DATE_SPELLINGS = ("CreateDateUtc", "CreatedDateUtc", "CreationDateUtc")
# Money has a dozen digits; 1E+999999 would fill the memory when it is printed.
_MONEY_EXPONENT_LIMIT = 30
_LONGEST_CODE = 2**31 - 1


class Undecodable(ValueError):
    """The bytes are not what the contract describes. The text holds nothing of them."""


@attrs.frozen
class ErrorBody:
    """``{"Code": 4, "Desc": "..."}``."""

    code: int
    description: str = attrs.field(repr=False)

    @property
    def names_session(self) -> bool:
        """Whether the session is what was refused (contract, table of codes)."""
        return self.code == 3 or (self.code == 4 and "sessionid" in self.description.lower())


def decode_login(body: bytes) -> Secret:
    """The session id."""
    session_id = _parse(body)
    if not isinstance(session_id, str) or not _SESSION_ID.fullmatch(session_id):
        raise Undecodable("the answer to the login is not a session id")
    return Secret(session_id)


def decode_balance(body: bytes) -> Decimal:
    """The balance, parsed without float."""
    return _guard(lambda payload: _to_money(payload, Decimal), _parse(body))


def decode_segment_ids(body: bytes) -> tuple[str, ...]:
    """The ids of an accepted send; at least one."""
    payload = _parse(body)
    if not isinstance(payload, list) or not payload:
        raise Undecodable("the answer is not a list of segment ids")
    return _guard(lambda ids: tuple([_to_id(value, str) for value in ids]), payload)


def decode_state(body: bytes, segment_id: str) -> SegmentState:
    """The state of one segment."""
    payload = _parse(body)
    if not isinstance(payload, dict):
        raise Undecodable("the answer is not a state object")
    return _guard(
        lambda fields: _converter.structure(fields, SegmentState), {**payload, "segment_id": segment_id}
    )


def decode_incoming(body: bytes) -> list[IncomingMessage]:
    """Incoming messages, in the order the gateway gave."""
    payload = _parse(body)
    if not isinstance(payload, list):
        raise Undecodable("the answer is not a list of incoming messages")
    return _guard(lambda rows: [_converter.structure(row, IncomingMessage) for row in rows], payload)


def decode_statistics(body: bytes) -> Statistics:
    """The counts of one period."""
    payload = _parse(body)
    if not isinstance(payload, dict):
        raise Undecodable("the answer is not a statistics object")
    return _guard(lambda fields: _converter.structure(fields, Statistics), payload)


def decode_error(body: bytes) -> ErrorBody | None:
    """The error in a body, with quoted keys or without; None where there is none."""
    try:
        text = body.decode("utf-8-sig")
        try:
            payload = _load(text)
        except Undecodable:
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
    # JSON can spell half a surrogate pair, which no UTF-8 log could take.
    return ErrorBody(code, words.encode("utf-8", "replace").decode())


def _parse(body: bytes) -> Any:  # noqa: ANN401 - JSON is anything
    try:
        return _load(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Undecodable("the answer is not UTF-8") from None


def _load(text: str) -> Any:  # noqa: ANN401 - JSON is anything
    try:
        # The document prints a description that runs over lines: control characters are let in.
        return _DECODER.decode(text)
    except (ValueError, ArithmeticError, RecursionError):
        raise Undecodable("the answer is not JSON") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# json.loads would make a decoder for each answer.
_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant, strict=False)


def _guard(decode: Callable[[Any], _Value], payload: object) -> _Value:
    """Whatever a decoder trips over becomes one error, without the bytes that caused it."""
    try:
        return decode(payload)
    except Undecodable:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise Undecodable(
            f"the answer has a field that is missing or malformed ({type(error).__name__})"
        ) from None


def _to_id(value: object, _: object) -> str:
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise Undecodable("an id is neither a text nor a whole number")


def _to_text(value: object, _: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise Undecodable("a field that should hold text does not")


def _to_int(value: object, _: object) -> int:
    if isinstance(value, str) and value.isascii() and len(value) <= 20:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Undecodable("a field that should hold a whole number does not")


def _to_count_or_none(value: object, _: object) -> int | None:
    return None if value is None else _to_int(value, int)


def _to_money(value: object, _: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise Undecodable("an amount is not a number")
    amount = Decimal(value)
    if not amount.is_finite() or abs(amount.adjusted()) > _MONEY_EXPONENT_LIMIT:
        raise Undecodable("an amount is not a sum of money")
    return amount


def _to_money_or_none(value: object, _: object) -> Decimal | None:
    return None if value is None else _to_money(value, Decimal)


def _to_date(value: object, _: object) -> datetime | None:
    try:
        return parse_date(value)
    except ValueError as error:
        raise Undecodable(str(error)) from None


def _to_state(value: object, _: object) -> State | int:
    return known_state(_to_int(value, int))


def _field(name: str, hook: Callable[[Any, Any], Any]) -> Any:  # noqa: ANN401 - cattrs' own type
    return override(rename=name, struct_hook=hook)


def _state_hook(converter: Converter) -> Callable[..., SegmentState]:
    return make_dict_structure_fn(
        SegmentState,
        converter,
        segment_id=override(),
        state=_field("State", _to_state),
        creation_date=_field("CreationDateUtc", _to_date),
        submitted_date=_field("SubmittedDateUtc", _to_date),
        reported_date=_field("ReportedDateUtc", _to_date),
        time_stamp=_field("TimeStampUtc", _to_date),
        state_description=_field("StateDescription", _to_text),
        price=_field("Price", _to_money_or_none),
    )


def _incoming_hook(converter: Converter) -> Callable[..., IncomingMessage]:
    structure = make_dict_structure_fn(
        IncomingMessage,
        converter,
        id=_field("ID", _to_id),
        text=_field("Data", _to_text),
        source_address=_field("SourceAddress", _to_text),
        destination_address=_field("DestinationAddress", _to_text),
        creation_date=_field(_CREATION_DATE_SPELLINGS[0], _to_date),
    )

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
        total=_field("Total", _to_count_or_none),
        total_with_errors=_field("TotalWithErrors", _to_count_or_none),
        delivery_ratio=_field("DeliveryRatio", _to_money_or_none),
    )


def _build_converter() -> Converter:
    converter = Converter(detailed_validation=False)
    converter.register_structure_hook(SegmentState, _state_hook(converter))
    converter.register_structure_hook(IncomingMessage, _incoming_hook(converter))
    converter.register_structure_hook(Statistics, _statistics_hook(converter))
    return converter


_converter = _build_converter()
