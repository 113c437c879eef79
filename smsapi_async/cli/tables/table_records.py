"""The rows of a table, and the checks that all formats share."""

import re
from collections.abc import Mapping, Sequence

import attrs

# The marks that `flaw_of` looks for. A row without any of the marks needs no further check.
_MARKS = re.compile('["#\0\ufffd\x80-\x9f]')
_SPACED_QUOTE = re.compile(r'\s+"')
# What spreadsheets show in place of a value that could not be computed, in English and in Russian.
_SHEET_ERROR = re.compile(
    r"#(N/A|REF!|VALUE!|DIV/0!|NAME\?|NUM!|NULL!|SPILL!|CALC!|GETTING_DATA|FIELD!|Н/Д|ССЫЛКА!|ЗНАЧ!|ДЕЛ/0!"
    r"|ИМЯ\?|ЧИСЛО!|ПУСТО!|ПЕРЕНОС!|ВЫЧИСЛ!|###*)",
    re.IGNORECASE,
)
_INVISIBLE = "\ufeff\u200b\u200e\u200f\u2060"


@attrs.frozen
class Row:
    """A row of a table.

    Attributes:
        line: the number of the line in which the row begins; the first line has the number 1. In a
            spreadsheet, the number of the row that the spreadsheet program shows.
        values: the values by column name. A JSON row has no entry for a column with the value null.
    """

    line: int
    values: Mapping[str, str] = attrs.field(repr=lambda values: f"<{len(values)} values>")


@attrs.frozen
class BadRow:
    """A row that cannot be sent.

    Attributes:
        line: the number of the line in which the row begins; the first line has the number 1.
        reason: the reason why the row cannot be sent, without full phone numbers and texts.
        values: the values by column name, as far as they could be read.
    """

    line: int
    reason: str
    values: Mapping[str, str] = attrs.field(
        factory=dict, repr=lambda values: f"<{len(values)} values>", eq=False
    )


def heading(name: str) -> str:
    """Return the name of a column without spaces around the name, and with single spaces inside."""
    return " ".join(name.strip(_INVISIBLE).split())


def flaw_of(columns: Sequence[str], fields: Sequence[str]) -> str | None:
    """Return the reason why the values of a row cannot be used in any message, or None."""
    if _MARKS.search("".join(fields)) is None:
        return None
    for index, field in enumerate(fields):
        found = _flaw_of_value(field)
        if found is not None:
            name = columns[index] if index < len(columns) else str(index + 1)
            return f"the value in column {name[:40]!r} {found}"
    return None


def _flaw_of_value(value: str) -> str | None:
    if "\0" in value:
        return "has a NUL character"
    if _SPACED_QUOTE.match(value):
        # The text would begin with a quotation mark that only belongs to the file.
        return "has a space before its quotation mark"
    error = _SHEET_ERROR.fullmatch(value.strip())
    if error is not None:
        return f"is the error {error.group().upper()} of a spreadsheet"
    if "\ufffd" in value:
        return "has a replacement character (U+FFFD): an earlier program has damaged the text"
    if any("\x80" <= mark <= "\x9f" for mark in value):
        return "has control characters (U+0080 to U+009F): the encoding is probably another one"
    return None


def padded(columns: Sequence[str], fields: Sequence[str]) -> dict[str, str]:
    """Return the values by column name. A column without a field has an empty value.

    If columns have the same name, the last of them has the name. `value_names` has the names of the others.
    """
    values = dict.fromkeys(columns, "")
    values.update(zip(columns, fields, strict=False))
    if len(values) < len(columns):
        values.update(zip(value_names(columns), fields, strict=False))
    return values


def value_names(columns: Sequence[str]) -> list[str]:
    """Return a different name for each column: the name under which `padded` has its value."""
    last = {name: place for place, name in enumerate(columns)}
    return [
        name if last[name] == place else f"{name} (column {place + 1})" for place, name in enumerate(columns)
    ]


def checked_row(columns: Sequence[str], line: int, fields: Sequence[str]) -> Row | BadRow:
    """Return the row of the fields, or a `BadRow` if the values cannot be used.

    A row may have fewer fields than the table has columns, because many programs leave out empty fields at
    the end of a row. Further fields must be empty.
    """
    values = padded(columns, fields)
    if any(field.strip() for field in fields[len(columns) :]):
        count = len(fields)
        reason = f"the row has {count} fields, but the table has {len(columns)} columns"
        further = enumerate(fields[len(columns) :], len(columns) + 1)
        return BadRow(line, reason, values | {f"(column {place})": field for place, field in further})
    flaw = flaw_of(columns, fields)
    return Row(line, values) if flaw is None else BadRow(line, flaw, values)
