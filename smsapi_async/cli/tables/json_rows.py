"""Read the rows of JSON lines, or of a JSON array.

The functions of this module block, so they are called in worker threads.
"""

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

from smsapi_async.cli.tables.inputs import ARGUMENT
from smsapi_async.cli.tables.lines import Lines
from smsapi_async.cli.tables.table_records import BadRow, Row, flaw_of, heading
from smsapi_async.errors import ValidationError

# A JSON array must be read as a whole, so its size is limited, in characters.
_ARRAY_LIMIT = 1 << 26
_HINT = "pass one JSON object a line, or a JSON array of objects"


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object, which may have the same name."""


# Numbers are read as `str`, which preserves the digits of each number: a text must show 12.50 and not 12.5.
_DECODER = json.JSONDecoder(object_pairs_hook=_Members, parse_int=str, parse_float=str, parse_constant=str)


class JsonRows(Iterator[Row | BadRow]):
    """The rows of a JSON table.

    Attributes:
        columns: the names in the first row.
        notes: sentences that say how the table is read.

    Args:
        first: the first line that is not blank. Its number is the number of the last line of `lines`.
        lines: the lines below.
    """

    def __init__(self, first: str, lines: Lines) -> None:
        self.notes: list[str] = []
        self.would_wait = lines.would_wait
        number = lines.number
        rows = (
            _rows_of_array(first, lines) if first.lstrip().startswith("[") else _rows_of_lines(first, lines)
        )
        top = next(rows, None)
        if top is None:
            raise ValidationError(ARGUMENT, "an empty JSON array", _HINT)
        if isinstance(top, BadRow):
            raise ValidationError(
                ARGUMENT, f"line {number}", f"begin with a JSON object ({top.reason}); {_HINT}"
            )
        self.columns = list(top.values)
        self._rows = chain([top], rows)

    def count(self) -> int:
        """Return the number of the remaining rows, and read them."""
        return sum(1 for _ in self._rows)

    def __next__(self) -> Row | BadRow:
        return next(self._rows)


def _rows_of_lines(first: str, lines: Lines) -> Iterator[Row | BadRow]:
    for line in chain([first], lines):
        number = lines.number
        flaw = lines.take_flaws(number, number) if lines.flaws else None
        if flaw is not None:
            yield BadRow(number, flaw)
        elif line.strip():
            try:
                value = _DECODER.decode(line)
            except (ValueError, RecursionError):
                yield BadRow(number, "the line is not JSON")
            else:
                yield _row(value, number)


def _rows_of_array(first: str, lines: Lines) -> Iterator[Row | BadRow]:
    line = lines.number
    text = _text_of_array(first, lines)
    position = text.index("[") + 1
    at = position
    is_first = True
    while True:
        position = _skip_spaces(text, position)
        line += text.count("\n", at, position)
        at = position
        if text[position : position + 1] == "]" and text[position + 1 :].strip() == "":
            return
        if not is_first:
            if text[position : position + 1] != ",":
                raise _bad_array(line)
            position = _skip_spaces(text, position + 1)
            line += text.count("\n", at, position)
            at = position
        is_first = False
        try:
            value, position = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            raise _bad_array(line) from None
        yield _row(value, line)


def _text_of_array(first: str, lines: Lines) -> str:
    parts = [first]
    size = len(first)
    for line in lines:
        parts.append(line)
        size += len(line)
        if size > _ARRAY_LIMIT:
            hint = f"pass one JSON object a line; an array may have {_ARRAY_LIMIT >> 20} MiB"
            raise ValidationError(ARGUMENT, "a long JSON array", hint)
    if lines.flaws:
        number, flaw = min(lines.flaws.items())
        raise ValidationError(ARGUMENT, f"line {number} of a JSON array", f"correct the line: {flaw}")
    return "".join(parts)


def _skip_spaces(text: str, position: int) -> int:
    while text[position : position + 1] in {" ", "\t", "\r", "\n"}:
        position += 1
    return position


def _bad_array(line: int) -> ValidationError:
    return ValidationError(ARGUMENT, f"the JSON array near line {line}", _HINT)


def _row(value: object, number: int) -> Row | BadRow:
    if not isinstance(value, _Members):
        return BadRow(number, "the line is JSON, but not a JSON object")
    values: dict[str, str] = {}
    names: set[str] = set()
    for raw, each in value:
        name = heading(raw)
        if name in names:
            return BadRow(number, f"the name {name[:40]!r} occurs twice", values)
        names.add(name)
        if isinstance(each, str):
            values[name] = each
        elif each is not None:
            return BadRow(number, f"the value in column {name[:40]!r} is neither a text nor a number", values)
    flaw = flaw_of(list(values), list(values.values()))
    return Row(number, values) if flaw is None else BadRow(number, flaw, values)
