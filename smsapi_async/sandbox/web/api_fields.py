"""The fields of queries and JSON bodies: their types, their checks, and their JSON Schema."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NoReturn, TypeAlias
from urllib.parse import parse_qsl

import attrs

FieldKind: TypeAlias = Literal[
    "text", "integer", "number", "boolean", "money", "date", "state", "texts", "any"
]

_TOO_GREAT = 10**15
_LONGEST_NUMBER = 30
_LONGEST_NAME = 100
_MONEY = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,6})?", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_NUMBER = re.compile(r"-?(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)

# The types in JSON Schema.
_SCHEMAS: dict[FieldKind, dict[str, Any]] = {
    "text": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "money": {"type": ["string", "number"]},
    "date": {"type": "string", "format": "date-time"},
    "state": {"type": ["integer", "string"]},
    "texts": {"type": "object", "additionalProperties": {"type": "string"}},
    "any": {},
}


class ApiProblem(Exception):
    """A request to the control API that the API refuses.

    Args:
        status: the HTTP status of the response.
        message: what is wrong, and what the caller can do. The message never contains a value of the request.
        field: the name of the wrong field; None if no single field is wrong.
        more: further fields of the JSON body.
    """

    def __init__(self, status: int, message: str, field: str | None = None, **more: Any) -> None:  # noqa: ANN401
        self.status = status
        self.document = {"error": message, **({} if field is None else {"field": field}), **more}
        super().__init__(message)


@attrs.frozen(kw_only=True)
class ApiField:
    """One field of a query or of a JSON body.

    Attributes:
        name: the name of the field.
        kind: the type of the value. "state" is the code or the label of a state, "texts" an object whose
            values are strings, and "any" is any JSON value, which the handler checks.
        description: the meaning of the field, for the OpenAPI document.
        required: whether a request without the field is refused.
        default: the value if the request has no such field.
        nullable: whether null is a value.
        least: the smallest number.
        most: the largest number.
        longest: the greatest length of a text.
        aliases: further names of the field.
        schema: the JSON Schema of the values of "any".
    """

    name: str
    kind: FieldKind
    description: str
    required: bool = False
    default: Any = None
    nullable: bool = False
    least: float | None = None
    most: float | None = None
    longest: int = 100_000
    aliases: tuple[str, ...] = ()
    schema: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of the value."""
        schema = {**_SCHEMAS[self.kind], **self.schema}
        if self.least is not None:
            schema["minimum"] = self.least
        if self.most is not None:
            schema["maximum"] = self.most
        if self.nullable:
            kinds = schema["type"]
            schema["type"] = [*([kinds] if isinstance(kinds, str) else kinds), "null"]
        if self.default is not None:
            schema["default"] = self.default
        aliases = " or ".join(f"`{each}`" for each in self.aliases)
        note = f" The field may also be called {aliases}." if aliases else ""
        return {**schema, "description": self.description + note}

    def read(self, value: Any) -> Any:  # noqa: ANN401 - the kind determines the type
        """Return the checked value from a JSON body.

        Raises:
            ApiProblem: if the value has the wrong type or is out of range.
        """
        if value is None and self.nullable:
            return None
        return self._in_range(_READERS[self.kind](self, value))

    def read_text(self, text: str) -> Any:  # noqa: ANN401 - the kind determines the type
        """Return the checked value from the text in a query.

        Raises:
            ApiProblem: if the text cannot be converted or the value is out of range.
        """
        pattern = {"integer": _INTEGER, "number": _NUMBER}.get(self.kind)
        if pattern is None:
            return self.read(text)
        if not pattern.fullmatch(text):
            self.refuse(f"must be {'an integer' if self.kind == 'integer' else 'a number'}{self.limits}")
        return self._in_range(int(text) if self.kind == "integer" else float(text))

    def refuse(self, reason: str) -> NoReturn:
        """Refuse the value.

        Args:
            reason: the words after the name of the field.

        Raises:
            ApiProblem: always.
        """
        raise ApiProblem(422, f"{self.name} {reason}", self.name)

    def _in_range(self, value: Any) -> Any:  # noqa: ANN401 - the kind determines the type
        if self.least is not None and value < self.least:
            self.refuse(f"must be at least {self.least:.15g}")
        if self.most is not None and value > self.most:
            self.refuse(f"must be at most {self.most:.15g}")
        return value

    @property
    def limits(self) -> str:
        """The words that follow the type in an error: the range of the numbers."""
        if self.most is not None:
            return f" from {self.least or 0:.15g} to {self.most:.15g}"
        return "" if self.least is None else f" of at least {self.least:.15g}"


def read_body(fields: Sequence[ApiField], body: bytes) -> dict[str, Any]:
    """Return the fields of a JSON body. A field that the body does not contain gets its default.

    Args:
        fields: the fields that the body may contain. An empty body is an object without fields.
        body: the bytes of the body.

    Raises:
        ApiProblem: if the body is no JSON object, or if a field is unknown, missing, or wrong.
    """
    given: Any = {}
    if body.strip():
        try:
            given = json.loads(
                body,
                parse_float=_short_decimal,
                parse_constant=_refuse_constant,
                object_pairs_hook=_without_repeats,
            )
        except (ValueError, RecursionError):
            raise ApiProblem(400, "the body is not valid JSON") from None
    if not isinstance(given, dict):
        raise ApiProblem(400, "the body must be a JSON object")
    return _read(fields, given, ApiField.read, "the body")


def read_query(fields: Sequence[ApiField], query: bytes) -> dict[str, Any]:
    """Return the parameters of a query. An empty parameter counts as missing.

    Args:
        fields: the parameters that the query may contain.
        query: the query of the URL, percent-encoded.

    Raises:
        ApiProblem: if a parameter is unknown, missing, wrong, or given twice, or if the query is not UTF-8.
    """
    try:
        pairs = parse_qsl(query.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise ApiProblem(400, "the query must be percent-encoded UTF-8") from None
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in given:
            raise _given_twice(name)
        given[name] = value
    # The values of unknown parameters are not looked at, but their names must be refused.
    known = {name for field in fields for name in (field.name, *field.aliases)}
    kept = {name: value for name, value in given.items() if value or name not in known}
    return _read(fields, kept, ApiField.read_text, "the query")


def _read(
    fields: Sequence[ApiField],
    given: Mapping[str, Any],
    reader: Callable[[ApiField, Any], Any],
    place: str,
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    unread = dict(given)
    for field in fields:
        found = [name for name in (field.name, *field.aliases) if name in unread]
        if len(found) > 1:
            raise ApiProblem(422, f"{found[0]} and {found[1]} are the same field", found[1])
        if found:
            values[field.name] = reader(field, unread.pop(found[0]))
        elif field.required:
            field.refuse("is missing")
        else:
            values[field.name] = field.default
    if unread:
        name = next(iter(unread))[:_LONGEST_NAME]
        names = ", ".join(field.name for field in fields)
        known = f"; it may contain {names}" if names else ", and it may contain no field"
        raise ApiProblem(422, f"{place} has the unknown field {name!a}{known}", name)
    return values


def _short_decimal(text: str) -> Decimal:
    number = Decimal(text)
    # The conversion of a number with a great exponent would take too long.
    if len(text) > _LONGEST_NUMBER or abs(number.adjusted()) > _LONGEST_NUMBER:
        raise ValueError("the number has too many digits")
    return number


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _given_twice(name)
        found[name] = value
    return found


def _given_twice(name: str) -> ApiProblem:
    return ApiProblem(422, f"the field {name[:_LONGEST_NAME]!a} is given twice", name[:_LONGEST_NAME])


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _read_words(field: ApiField, value: object) -> str:
    if not isinstance(value, str):
        field.refuse("must be a string")
    if len(value) > field.longest:
        field.refuse(f"must have at most {field.longest} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        field.refuse("contains half of a surrogate pair")
    return value


def _read_integer(field: ApiField, value: object) -> int:
    number = _number(value)
    if number is None or number != int(number):
        field.refuse(f"must be an integer{field.limits}")
    return int(number)


def _read_number(field: ApiField, value: object) -> float:
    number = _number(value)
    if number is None:
        field.refuse(f"must be a number{field.limits}")
    return float(number)


def _number(value: object) -> Decimal | None:
    """Return a JSON number; None for other values and for numbers with too many digits."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value)
    return number if abs(number) < _TOO_GREAT else None


def _read_boolean(field: ApiField, value: object) -> bool:
    if not isinstance(value, bool):
        field.refuse("must be true or false")
    return value


def _read_money(field: ApiField, value: object) -> Decimal:
    number = _number(value)
    text = str(value) if number is None else format(number, "f")
    if (number is None and not isinstance(value, str)) or not _MONEY.fullmatch(text):
        field.refuse('must be an amount of money, for example "9979.50"')
    return Decimal(text)


def _read_moment(field: ApiField, value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        field.refuse("must be a date and a time with a time zone, for example 2026-03-12T09:14:32Z")
    return moment


def _read_state(field: ApiField, value: object) -> int | str:
    if isinstance(value, str):
        return _read_words(field, value)
    return _read_integer(field, value)


def _read_texts(field: ApiField, value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        field.refuse("must be an object")
    return {_read_words(field, name): _read_words(field, text) for name, text in value.items()}


_READERS: dict[FieldKind, Callable[[ApiField, Any], Any]] = {
    "text": _read_words,
    "integer": _read_integer,
    "number": _read_number,
    "boolean": _read_boolean,
    "money": _read_money,
    "date": _read_moment,
    "state": _read_state,
    "texts": _read_texts,
    "any": lambda _, value: value,
}
