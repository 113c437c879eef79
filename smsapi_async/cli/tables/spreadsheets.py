"""Read the rows of a spreadsheet: xlsx, xlsb, xls or ods.

The functions of this module block, so they are called in worker threads.
"""

import io
import math
import os
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import BinaryIO

from python_calamine import (
    CalamineError,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from smsapi_async.cli.tables.headers import HeadRow, find_header
from smsapi_async.cli.tables.headings import matches_heading
from smsapi_async.cli.tables.inputs import ARGUMENT
from smsapi_async.cli.tables.lines import ByteStream
from smsapi_async.cli.tables.sheet_xml import marks_of_xlsx
from smsapi_async.cli.tables.table_options import TableOptions
from smsapi_async.cli.tables.table_records import BadRow, Row, checked_row, padded
from smsapi_async.errors import ValidationError

# How many of the first rows determine the header.
_HEAD_ROWS = 50
# A spreadsheet from a pipe is kept in memory, so its size is limited, in bytes.
PIPE_LIMIT = 64 << 20
# The name of a stream in an xlsx or xls file with a password.
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
# Whole numbers up to this limit have all their digits in a spreadsheet. Excel keeps 15 digits.
_EXACT = 10**15

_Cell = int | float | str | bool | time | date | datetime | timedelta


class SpreadsheetRows(Iterator[Row | BadRow]):
    """The rows of a sheet.

    The numbers of the lines are the numbers of the rows that the spreadsheet program shows.

    Attributes:
        columns: the names of the columns.
        notes: sentences that say how the table is read.
        total: the number of rows with values.
        number: the number of the last row that was read.

    Args:
        stream: the file, which must be seekable.
        options: how the table is read.
    """

    def __init__(self, stream: BinaryIO, options: TableOptions) -> None:
        for option, value in (("--delimiter", options.delimiter), ("--encoding", options.encoding)):
            if value is not None:
                raise ValidationError(option, repr(value[:40]), "leave out the option for a spreadsheet")
        book = _opened(stream)
        index = _sheet_index(book, options.sheet)
        name = book.sheet_names[index]
        try:
            self._sheet = book.get_sheet_by_index(index)
        except CalamineError:
            raise ValidationError(
                ARGUMENT, f"the sheet {name[:40]!r}", "save the spreadsheet again"
            ) from None
        self._marks = marks_of_xlsx(stream, name)
        self.notes = [f"sheet: {name}"]
        if self._marks.hidden:
            self.notes.append(f"rows that are hidden in the sheet and are read, too: {self._marks.hidden}")
        head = self._head()
        if not any(row.filled for row in head):
            others = [each for each in _visible(book) if each != name]
            hint = (
                f"pass --sheet with one of {_quoted(others)}"
                if others
                else "pass a header row and rows below it"
            )
            raise ValidationError(ARGUMENT, f"the empty sheet {name[:40]!r}", hint)
        header = find_header(head, matches_heading(options.column), has_header=options.header)
        if header.note is not None:
            self.notes.append(header.note)
        self.columns = header.columns
        self.number = header.skipped
        self.total = sum(any(map(_is_filled, row)) for row in self._cells(header.skipped))
        self._rows = self._generate(header.skipped)

    def __next__(self) -> Row | BadRow:
        return next(self._rows)

    def _cells(self, skipped: int) -> Iterator[list[_Cell]]:
        rows = self._sheet.iter_rows()
        for _ in range(skipped):
            next(rows, None)
        return rows

    def _head(self) -> list[HeadRow]:
        head = []
        for number, cells in zip(range(1, _HEAD_ROWS + 1), self._sheet.iter_rows(), strict=False):
            head.append(HeadRow(number, self._texts(cells)))
        return head

    def _texts(self, cells: Sequence[_Cell]) -> list[str]:
        formats = self._marks.date_formats
        first = (self._sheet.start or (0, 0))[1]
        return [
            cell if type(cell) is str else text_of_cell(cell, formats.get(first + index))
            for index, cell in enumerate(cells)
        ]

    def _generate(self, skipped: int) -> Iterator[Row | BadRow]:
        errors = self._marks.error_rows
        for number, cells in enumerate(self._cells(skipped), skipped + 1):
            self.number = number
            fields = self._texts(cells)
            if number in errors:
                reason = "a cell of the row has an error, such as #N/A"
                yield BadRow(number, reason, padded(self.columns, fields))
            elif "".join(fields).strip():
                yield checked_row(self.columns, number, fields)


def spooled(stream: ByteStream) -> io.BytesIO:
    """Return the bytes of a spreadsheet that comes from a pipe.

    Raises:
        ValidationError: if the spreadsheet is too large.
    """
    data = stream.read(PIPE_LIMIT + 1)
    if len(data) > PIPE_LIMIT:
        raise ValidationError(ARGUMENT, f"a pipe with more than {PIPE_LIMIT >> 20} MiB", "pass a file")
    return io.BytesIO(data)


def text_of_cell(cell: _Cell, date_format: str | None = None) -> str:  # noqa: PLR0911
    """Return the value of a cell as text.

    Numbers have no exponent. A number with more than 15 digits is not exact in a spreadsheet, so the text has
    an exponent, and cannot be used as a phone number. A date has the form ``2026-03-01`` if `date_format` is
    None.

    Args:
        cell: the value.
        date_format: the format of dates, for `datetime.strftime`, or None.
    """
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, int | float):
        return _text_of_number(cell)
    if isinstance(cell, datetime):
        has_time = (cell.hour, cell.minute, cell.second) != (0, 0, 0)
        seconds = ":%S" if cell.second else ""
        return cell.strftime(f"{date_format or '%Y-%m-%d'}{f' %H:%M{seconds}' if has_time else ''}")
    if isinstance(cell, date):
        return cell.strftime(date_format or "%Y-%m-%d")
    if isinstance(cell, time):
        return cell.strftime("%H:%M:%S" if cell.second else "%H:%M")
    if isinstance(cell, timedelta):
        minutes, seconds_left = divmod(round(cell.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}" + (f":{seconds_left:02}" if seconds_left else "")
    return str(cell)


def _text_of_number(number: float) -> str:
    if not math.isfinite(number) or abs(number) >= _EXACT:
        return f"{number:.14E}"
    if number == int(number):
        return str(int(number))
    # Spreadsheets show at most 15 digits: 0.3 and not 0.30000000000000004.
    text = f"{number:.15g}"
    return f"{number:.15f}".rstrip("0") if "e" in text else text


def _is_filled(cell: _Cell) -> bool:
    return bool(cell.strip()) if isinstance(cell, str) else True


def _opened(stream: BinaryIO) -> CalamineWorkbook:
    try:
        return CalamineWorkbook.from_filelike(stream)
    except PasswordError:
        pass
    except CalamineError:
        if not _has_password(stream):
            hint = "open it in a spreadsheet program and save it as xlsx or CSV"
            raise ValidationError(
                ARGUMENT, "a damaged spreadsheet, or a file of another format", hint
            ) from None
    raise ValidationError(ARGUMENT, "a spreadsheet with a password", "save it without a password")


def _has_password(stream: BinaryIO) -> bool:
    stream.seek(0)
    beginning = stream.read(8)
    # The directory of the streams may stand at the end of the file.
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(size - (1 << 20), 0))
    end = stream.read()
    stream.seek(0)
    return beginning.startswith(b"\xd0\xcf\x11\xe0") and _ENCRYPTED in stream.read(1 << 20) + end


def _visible(book: CalamineWorkbook) -> list[str]:
    return [
        sheet.name
        for sheet in book.sheets_metadata
        if sheet.visible == SheetVisibleEnum.Visible and sheet.typ == SheetTypeEnum.WorkSheet
    ]


def _sheet_index(book: CalamineWorkbook, given: str | None) -> int:
    """Return the index of the sheet with the given name, or of the first visible sheet."""
    names = book.sheet_names
    if given is None:
        visible = _visible(book)
        if not visible:
            raise ValidationError(
                "--sheet", "an unset value", f"no sheet is visible; pass one of {_quoted(names)}"
            )
        return names.index(visible[0])
    plain = given.strip().casefold()
    found = [name for name in names if name == given] or [
        name for name in names if name.strip().casefold() == plain
    ]
    if len(found) != 1:
        raise ValidationError("--sheet", repr(given[:40]), f"the sheets are {_quoted(names)}")
    return names.index(found[0])


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"{name[:40]!r}" for name in names[:30])
