"""The cells of CSV files that the commands write, and the values that such cells stand for."""

import csv
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import IO, TypeAlias

import attrs

Cell: TypeAlias = str | int | Decimal | None
"""A value in a table that a command writes. None is an empty cell."""

# A spreadsheet executes a cell that begins with one of these characters, for example `=HYPERLINK(...)`. The
# characters after the tab are the full-width forms of the first four characters.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# A number, also as people write it, for example +7 (903) 123-45-67. A formula without a letter calls no
# function and reads no cell.
_NUMBER = re.compile(r"[+-][0-9\s().,\u2010-\u2015-]*")
# The numbers that Excel may take for numbers, for example amounts. In a column of the usual width, Excel
# shows a number with more digits with an exponent.
_STAYS_A_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,7})(,[0-9]{1,2})?")
# What Excel takes for a number, a time or a date, and then shows with other characters.
_TAKEN_FOR_A_NUMBER = re.compile(
    r"[\s(+-]*[.,]?[0-9][0-9\s.,:/%()eE+-]*"
    r"|[0-9]{1,2}[\s./-]?[^\W\d_]{3,12}[\s./-]?[0-9]{0,4}"
    r"|[^\W\d_]{3,12}[\s./-]?[0-9]{1,4}"
)
_EXCEL_TEXT = re.compile(r'="((?:[^"]|"")*)"', re.DOTALL)
# A formula of Excel can have a text of at most 255 characters.
_LONGEST_EXCEL_TEXT = 255


def write_csv(file: IO[str], rows: Iterable[Sequence[Cell]], *, excel: bool = False) -> None:
    """Write rows to a CSV file, and flush the file.

    A cell that a spreadsheet would execute as a formula begins with an apostrophe. A number such as
    +79031234567 is no formula and stays as it is. `original` returns the value of such a cell.

    Args:
        file: the open file.
        rows: the rows to write.
        excel: whether to write semicolons between the values and CR LF after each row, as Excel does.
            Values that Excel would show with other digits are marked as text: ``="79031234567"``.

    Raises:
        OSError: if the file cannot be written.
    """
    shown = _shown_in_excel if excel else _shown
    # `csv.writer` puts a value with a carriage return in quotes only if rows end with a carriage return.
    writer = csv.writer(file if excel else _LineFeeds(file), delimiter=";" if excel else ",")
    writer.writerows([[shown(cell) for cell in row] for row in rows])
    file.flush()


def original(cell: str) -> str:
    """Return the value that `write_csv` has written as this cell."""
    marked = _EXCEL_TEXT.fullmatch(cell)
    if marked is not None:
        return marked[1].replace('""', '"')
    return cell[1:] if cell.startswith("'") and _is_formula(cell) else cell


@attrs.frozen
class _LineFeeds:
    """Writes rows that end with CR LF to a file, with LF at their ends."""

    file: IO[str]

    def write(self, row: str) -> None:
        self.file.write(row.removesuffix("\r\n") + "\n")


def _shown(cell: Cell) -> str | int | None:
    if isinstance(cell, str):
        return f"'{cell}" if _is_formula(cell) else cell
    return f"{cell:f}" if isinstance(cell, Decimal) else cell


def _shown_in_excel(cell: Cell) -> str | int | None:
    if isinstance(cell, Decimal):
        # Excel uses the semicolon as the delimiter where the decimal separator is a comma.
        return f"{cell:f}".replace(".", ",")
    if isinstance(cell, str) and _needs_a_mark(cell):
        return f'="{cell}"'
    return _shown(cell)


def _needs_a_mark(cell: str) -> bool:
    # The length is compared first, because a long text with a number needs no mark and takes time to match.
    is_short = len(cell) <= _LONGEST_EXCEL_TEXT
    return is_short and not _STAYS_A_NUMBER.fullmatch(cell) and bool(_TAKEN_FOR_A_NUMBER.fullmatch(cell))


def _is_formula(cell: str) -> bool:
    """Return whether a spreadsheet would execute the cell, or the cell is marked as such a cell.

    A marked cell counts, too, so that its mark is not taken for the mark of `write_csv`.
    """
    bare = cell.lstrip("'")
    return bare.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(bare)
