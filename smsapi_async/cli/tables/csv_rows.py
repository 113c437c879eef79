"""Read the rows of a CSV table.

The functions of this module block, so they are called in worker threads.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from smsapi_async.cli.tables.delimiters import (
    delimiter_name,
    delimiter_of,
    delimiter_of_sep,
    named_delimiter,
    split_lines,
)
from smsapi_async.cli.tables.headers import Header, HeadRow, find_header, holds_number
from smsapi_async.cli.tables.headings import matches_heading
from smsapi_async.cli.tables.inputs import ARGUMENT
from smsapi_async.cli.tables.lines import Lines
from smsapi_async.cli.tables.table_options import TableOptions
from smsapi_async.cli.tables.table_records import BadRow, Row, checked_row, flaw_of, padded
from smsapi_async.errors import ValidationError

# How many of the first lines determine the delimiter and the header, and their greatest length.
_HEAD_LINES = 50
_HEAD_SIZE = 1 << 16
# Printable characters that need a closer look at the row. See `flaw_of`.
_RARE = re.compile('["#\ufffd]')


class CsvRows(Iterator[Row | BadRow]):
    """The rows of a CSV table.

    Attributes:
        columns: the names of the columns.
        notes: sentences that say how the table is read.

    Args:
        first: the first line that is not blank. Its number is the number of the last line of `lines`.
        lines: the lines below.
        options: how the table is read.
    """

    def __init__(self, first: str, lines: Lines, options: TableOptions) -> None:
        self._lines = lines
        # The number of the lines above the lines that `csv.reader` reads.
        self._above = lines.number - 1
        self._read_already: list[HeadRow] = []
        self.notes: list[str] = []
        delimiter = None if options.delimiter is None else named_delimiter(options.delimiter)
        given = delimiter_of_sep(first)
        if given is not None:
            first = self._line_below_sep()
            delimiter = delimiter or given
        head = _head_of(first, lines)
        if delimiter is None:
            delimiter = delimiter_of(head, _known(options))
        self._delimiter = delimiter
        self._head_length = len(head)
        self._reader = csv.reader(
            chain(head, iter(lines)), strict=True, delimiter=delimiter, skipinitialspace=delimiter != " "
        )
        if delimiter != ",":
            self.notes.append(f"delimiter: {delimiter_name(delimiter)}")
        header = self._header(head, delimiter, options)
        self.columns = header.columns
        self._rows = self._generate()

    def __next__(self) -> Row | BadRow:
        return next(self._rows)

    def _line_below_sep(self) -> str:
        """Return the first line below a line such as ``sep=;`` that is not blank."""
        self._above = self._lines.number
        line = self._lines.next_line()
        while line is not None and not line.strip():
            self._above = self._lines.number
            line = self._lines.next_line()
        if line is None:
            raise ValidationError(ARGUMENT, "an empty file", "pass a header row and rows below it")
        return line

    def _header(self, head: list[str], delimiter: str, options: TableOptions) -> Header:
        """Find the header, and read the rows above the values."""
        rows = [HeadRow(self._above + 1 + at, fields) for at, fields in split_lines(head, delimiter)]
        if not rows:
            # The first row is not valid CSV, or its end was not available without waiting.
            rows = [HeadRow(self._above + 1, self._read_header())]
            self._read_already = rows
        header = find_header(rows, matches_heading(options.column), has_header=options.header)
        for _ in range(header.skipped - len(self._read_already)):
            self._read_header()
        self._read_already = self._read_already[header.skipped :]
        if header.note is not None:
            self.notes.append(header.note)
        return header

    def _read_header(self) -> list[str]:
        line = self._above + self._reader.line_num + 1
        try:
            fields = next(self._reader)
        except csv.Error as error:
            raise ValidationError(ARGUMENT, f"the header in line {line}", f"pass CSV ({error})") from None
        flaw = self._lines.take_flaws(line, self._above + self._reader.line_num) or flaw_of([], fields)
        if flaw is not None:
            raise ValidationError(ARGUMENT, f"the header in line {line}", f"correct the header: {flaw}")
        return fields

    def _generate(self) -> Iterator[Row | BadRow]:
        reader, lines, columns, above = self._reader, self._lines, self.columns, self._above
        # Columns with the same name need the names of `value_names`, so none of their rows is a usual row.
        width = len(columns) if len(set(columns)) == len(columns) else -1
        for row in self._read_already:
            yield self._checked(row.line, row.fields)
        while True:
            line = above + reader.line_num + 1
            reason = None
            fields: list[str] = []
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                # The reason also contains the number of the last line, because a quotation mark without a
                # partner can extend a row over many lines.
                last = above + reader.line_num
                to = f" (to line {last})" if last > line else ""
                reason = f"this row{to} is not valid CSV: {error}"
            if lines.flaws:
                reason = lines.take_flaws(line, above + reader.line_num) or reason
            if reason is not None:
                yield BadRow(line, reason, padded(columns, fields))
                continue
            joined = "".join(fields)
            if len(fields) == width and joined.isprintable() and _RARE.search(joined) is None:
                # The usual row. Only a row that is blank, like a blank line, has no recipient.
                if joined.strip():
                    yield Row(line, dict(zip(columns, fields, strict=True)))
            elif joined.strip():
                yield self._checked(line, fields)

    def _checked(self, line: int, fields: Sequence[str]) -> Row | BadRow:
        """Return the row, or a `BadRow` if a value may have other rows inside."""
        for field in fields:
            # A quotation mark at the beginning of a value joins the lines up to the next quotation mark.
            if "\n" in field and any(
                self._delimiter in part and holds_number(part) for part in field.split("\n")
            ):
                reason = (
                    "a quotation mark joins lines with phone numbers: double or remove the quotation mark"
                )
                return BadRow(line, reason, padded(self.columns, fields))
        return checked_row(self.columns, line, fields)

    def would_wait(self) -> bool:
        """Return whether the next row may have to wait for bytes."""
        return self._reader.line_num >= self._head_length and self._lines.would_wait()

    def count(self) -> int:
        """Return the number of the remaining rows, and read them."""
        reader, flaws = self._reader, self._lines.flaws
        total = len(self._read_already)
        while True:
            try:
                for fields in reader:
                    if flaws:
                        flaws.clear()
                        total += 1
                    elif fields and (fields[0].strip() or "".join(fields).strip()):
                        total += 1
            except csv.Error:
                flaws.clear()
                total += 1
            else:
                return total


def _known(options: TableOptions) -> Callable[[str], bool]:
    """Return a function that says whether only the right delimiter can give a field."""
    matches = matches_heading(options.column)
    return matches if options.header else _is_number


def _is_number(value: str) -> bool:
    return not any(mark in value for mark in ",;|\t") and holds_number(value)


def _head_of(first: str, lines: Lines) -> list[str]:
    """Return the first line and the lines below that can be read without waiting."""
    head = [first]
    size = len(first)
    while len(head) < _HEAD_LINES and size < _HEAD_SIZE and not lines.would_wait():
        line = lines.next_line()
        if line is None:
            break
        head.append(line)
        size += len(line)
    return head
