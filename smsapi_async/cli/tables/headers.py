"""Find the header of a table: the row with the names of the columns."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import date

import attrs

from smsapi_async.cli.tables.inputs import ARGUMENT
from smsapi_async.cli.tables.table_records import heading
from smsapi_async.errors import ValidationError

NO_HEADER = "a file without a header"
"""The value of the error for a file whose first row has a phone number."""
# A phone number has at least so many digits.
_DIGITS = 7
# A date with the year in four digits, perhaps with a time of day.
_DATE = re.compile(
    r"(?<!\d)(?:(\d{4})([-./])(\d\d?)\2(\d\d?)|(\d\d?)([-./])(\d\d?)\6(\d{4}))(?!\d)"
    r"(?:[T ]+\d\d?:\d\d(?::\d\d)?)?"
)
# Two consecutive years, for example of a season: 2025/2026.
_YEARS = re.compile(r"(?<!\d)((?:19|20)\d\d)[-–/]((?:19|20)\d\d)(?!\d)")
# A number that a spreadsheet has shortened, for example 7.90312E+10.
_EXPONENT = re.compile(r"\d(?:[.,]\d+)?[eе]\+\d{1,2}|\d[.,]\d+[eе]\d{1,2}", re.IGNORECASE)
_LETTERS = re.compile(r"[^\W\d_]+")


@attrs.frozen
class HeadRow:
    """One of the first rows of a table.

    Attributes:
        line: the number of the line in which the row begins.
        fields: the values of the row.
    """

    line: int
    fields: Sequence[str]

    @property
    def filled(self) -> list[str]:
        """The values that are not blank."""
        return [field for field in self.fields if field.strip()]


@attrs.frozen
class Header:
    """The header of a table.

    Attributes:
        columns: the names of the columns.
        skipped: how many of the first rows are above the first row of values.
        note: a sentence about skipped lines, or None.
    """

    columns: list[str]
    skipped: int
    note: str | None = None


def holds_number(value: str) -> bool:
    """Return whether a value may have a phone number, in any writing. Dates are no phone numbers."""
    text = unicodedata.normalize("NFKC", value)
    if _EXPONENT.search(text):
        return True
    return any(map(_is_number, _LETTERS.split(text)))


def _is_number(part: str) -> bool:
    """Return whether a part of a value without letters may be a phone number."""
    if sum(mark.isdecimal() for mark in part) < _DIGITS:
        return False
    # A date beside other digits may be the end of a phone number, so the date is no excuse then.
    rest = _YEARS.sub(_without_years, _DATE.sub(_without_date, part))
    return any(mark.isdecimal() for mark in rest)


def _without_years(found: re.Match[str]) -> str:
    return "" if int(found[2]) == int(found[1]) + 1 else found[0]


def _without_date(found: re.Match[str]) -> str:
    year, month, day = (found[1], found[3], found[4]) if found[1] else (found[8], found[7], found[5])
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return found[0]
    return "" if 1900 <= int(year) <= 2100 else found[0]


def find_header(
    head: Sequence[HeadRow], is_known: Callable[[str], bool], *, has_header: bool = True
) -> Header:
    """Return the header of a table.

    Args:
        head: the first rows of the table; the first of them with a value that is not blank decides.
        is_known: says whether a value is the usual name of a column with phone numbers.
        has_header: whether the table has a header. Without a header, the names are 1, 2, ...

    Raises:
        ValidationError: if the table has no header, or if the place of the header is not certain.
    """
    # Programs write lines such as `,,` and `#TYPE` above the header.
    begin = next((index for index, row in enumerate(head) if row.filled and not _is_type(row)), None)
    if begin is None:
        raise ValidationError(ARGUMENT, "an empty file", "pass a header row and rows below it")
    if not has_header:
        width = max(_width(row) for row in head[begin:])
        return Header([str(number) for number in range(1, width + 1)], begin)
    at = _place(head, begin, is_known)
    row = head[at]
    columns = [heading(name) for name in row.fields[: _width(row)]]
    note = f"the header is line {row.line}; the lines above are left out" if at > begin else None
    return Header(columns, at + 1, note)


def _is_type(row: HeadRow) -> bool:
    return row.fields[0].upper().startswith("#TYPE ") and len(row.filled) == 1


def _width(row: HeadRow) -> int:
    """Return the number of fields without the blank fields at the end."""
    return max((index + 1 for index, field in enumerate(row.fields) if field.strip()), default=0)


def _place(head: Sequence[HeadRow], begin: int, is_known: Callable[[str], bool]) -> int:
    """Return the index of the header: the first row, or a row with a usual heading below a title."""
    first = head[begin]
    below = [index for index in range(begin + 1, len(head)) if head[index].filled]
    named = None if _has_known(first, is_known) else _named_below(head, begin, below, is_known)
    numbered = [row for row in head[begin : (begin if named is None else named - 1) + 1] if _has_number(row)]
    if named is not None and not numbered:
        return named
    if numbered and named is not None:
        line = head[named].line
        raise ValidationError(
            ARGUMENT, f"the lines above line {line}", f"delete the lines above line {line}, the header"
        )
    # A heading has letters: a row without any letter is a row of values.
    if numbered or not any(mark.isalpha() for field in first.fields for mark in field):
        hint = (
            f"line {first.line} has a number, so the line is no header: pass --no-header "
            "(the columns are then 1, 2, ...), or put the names of the columns above the line"
        )
        raise ValidationError(ARGUMENT, NO_HEADER, hint)
    is_title = len(first.filled) == 1 and below and len(head[below[0]].filled) > 1
    if is_title and not _has_known(first, is_known):
        hint = "delete the lines above the header, so that the names of the columns come first"
        raise ValidationError(ARGUMENT, f"line {first.line}, which seems to be a title, as a header", hint)
    return begin


def _named_below(
    head: Sequence[HeadRow], begin: int, below: Sequence[int], is_known: Callable[[str], bool]
) -> int | None:
    """Return the index of a row that certainly is a header below a title, or None."""
    named = next((index for index in below if _has_known(head[index], is_known)), None)
    if named is None or _has_number(head[named]):
        return None
    above = [row for row in head[begin:named] if row.filled]
    widest = max(len(row.filled) for row in above)
    return named if len(head[named].filled) > widest or widest == 1 else None


def _has_known(row: HeadRow, is_known: Callable[[str], bool]) -> bool:
    return any(is_known(field) for field in row.fields)


def _has_number(row: HeadRow) -> bool:
    return any(map(holds_number, row.fields))
