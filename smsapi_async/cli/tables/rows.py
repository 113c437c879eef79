"""Open a table: CSV with any delimiter, JSON, or a spreadsheet.

The functions of this module block, so they are called in worker threads.
"""

import io
import os
import re
import stat
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import PurePath

import attrs

from smsapi_async.cli.tables.csv_rows import CsvRows
from smsapi_async.cli.tables.encodings import (
    UTF_8,
    TextCodec,
    codec_of_file,
    encoding_of_file,
    encoding_of_lines,
)
from smsapi_async.cli.tables.formats import check_text, is_spreadsheet
from smsapi_async.cli.tables.headings import is_phone_heading
from smsapi_async.cli.tables.inputs import ARGUMENT, Input, open_input
from smsapi_async.cli.tables.json_rows import JsonRows
from smsapi_async.cli.tables.lines import BUFFER_SIZE, ByteStream, Lines, Recoded
from smsapi_async.cli.tables.spreadsheets import SpreadsheetRows, spooled
from smsapi_async.cli.tables.table_options import DETECTED, TableOptions
from smsapi_async.cli.tables.table_records import BadRow, Row
from smsapi_async.errors import ValidationError

__all__ = ["BadRow", "Row", "Table", "open_table"]

_JSON_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson"})
# The beginning of a JSON object, or of an array of JSON objects.
_JSON = re.compile(r"\s*(\{|\[\s*(\{|\]|$))")


class Table:
    """A table with named columns. The rows can be read once.

    Attributes:
        columns: the names of the columns; for JSON, the names in the first row.
        notes: sentences that say how the table is read, for example its encoding and its delimiter. The
            encoding of a pipe may be added while rows are read.
        total: the number of all rows, including bad rows, or None for a stream that cannot be read twice, for
            example a pipe.

    Args:
        source: the file.
        lines: the lines of the file, or the sheet.
        rows: the rows.
        is_pipe: whether reading may wait.
    """

    def __init__(
        self,
        source: Input,
        lines: Lines | SpreadsheetRows,
        rows: CsvRows | JsonRows | SpreadsheetRows,
        *,
        is_pipe: bool,
    ) -> None:
        self._source = source
        self._lines = lines
        self._rows: Iterator[Row | BadRow] = rows
        self._waiting = rows if is_pipe and not isinstance(rows, SpreadsheetRows) else None
        # The lock is needed because, after a cancellation, `block` may still run in a worker thread while
        # another thread calls `close`.
        self._one_at_a_time = threading.Lock()
        self._closed = False
        self.columns = rows.columns
        self.total: int | None = None
        self.notes = rows.notes
        repeated = sorted({name for name in rows.columns if name and rows.columns.count(name) > 1})
        if repeated:
            self.notes.append(f"repeated headings: {', '.join(repr(name[:40]) for name in repeated[:10])}")

    def block(self, limit: int) -> list[Row | BadRow]:
        """Return the next rows, or [] at the end of the table.

        The method waits only for the first row. If a further row is not available yet, the method returns
        without it, because the rows of a slow pipe must be sent at once.

        Args:
            limit: the highest number of rows to return.

        Raises:
            ValidationError: if reading failed.
        """
        block: list[Row | BadRow] = []
        try:
            with self._one_at_a_time:
                rows = iter(()) if self._closed else self._rows
                if self._waiting is None:
                    return list(islice(rows, limit))
                for row in rows:
                    block.append(row)
                    if len(block) >= limit or self._waiting.would_wait():
                        break
        except OSError as error:
            hint = f"reading failed after line {self._lines.number} ({error.strerror})"
            raise ValidationError(ARGUMENT, "the rest of the table", hint) from None
        return block

    def close(self) -> None:
        """Close the file. A call of `block` that waits in another thread then returns."""
        self._source.end()
        with self._one_at_a_time:
            self._closed = True
            self._source.close()


def open_table(recipients: str, options: TableOptions = DETECTED) -> Table:
    """Open a table.

    A regular text file is read more than once: first to find its encoding and to count its rows.

    Args:
        recipients: the path of the file, or ``-`` for standard input.
        options: how the table is read.

    Raises:
        ValidationError: if the file cannot be read, or if its encoding, delimiter or header is not certain.
    """
    source = open_input(recipients)
    try:
        return _opened(_File(recipients, _is_regular(recipients), options), source)
    except OSError as error:
        source.close()
        raise ValidationError(ARGUMENT, repr(recipients), f"pass a file ({error.strerror})") from None
    except BaseException:
        source.close()
        raise


@attrs.frozen
class _File:
    """A file that is being opened.

    Attributes:
        path: the path of the file, or ``-``.
        is_regular: whether the file can be read twice.
        options: how the table is read.
    """

    path: str
    is_regular: bool
    options: TableOptions

    @property
    def is_json(self) -> bool:
        """Whether the suffix of the file says that the file has JSON."""
        return PurePath(self.path).suffix.lower() in _JSON_SUFFIXES


def _is_regular(recipients: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(recipients).st_mode)
    except OSError:
        return False


def _opened(file: _File, source: Input) -> Table:
    stream = io.BufferedReader(source, BUFFER_SIZE)
    beginning = stream.peek(BUFFER_SIZE)
    if is_spreadsheet(beginning):
        table = _opened_spreadsheet(file, source, stream)
        # Without this call, the garbage collector would close `source` together with `stream`.
        stream.detach()
        return table
    check_text(beginning)
    if file.options.sheet is not None:
        hint = "leave out the option; the file is no spreadsheet"
        raise ValidationError("--sheet", repr(file.options.sheet[:40]), hint)
    codec = codec_of_file(file.options.encoding, beginning)
    is_detected = file.options.encoding is None
    if codec.encoding is None:
        codec = attrs.evolve(codec, encoding=_detected(file, beginning))
    only_cr = _has_only_cr(beginning, codec)
    lines = _lines_of(stream, None if file.is_regular else source, codec, only_cr=only_cr)
    rows = _rows_of(lines, file)
    table = Table(source, lines, rows, is_pipe=not file.is_regular)
    if is_detected:
        lines.announce = table.notes.append
        if codec.encoding not in {None, UTF_8}:
            table.notes.insert(0, f"encoding: {codec.encoding}")
    if file.is_regular:
        with open(file.path, "rb") as again:
            counted = _rows_of(_lines_of(again, None, codec, only_cr=only_cr), file)
            table.total = counted.count()
    return table


def _opened_spreadsheet(file: _File, source: Input, stream: ByteStream) -> Table:
    with open(file.path, "rb") if file.is_regular else spooled(stream) as whole:
        rows = SpreadsheetRows(whole, file.options)
    table = Table(source, rows, rows, is_pipe=False)
    table.total = rows.total
    return table


def _detected(file: _File, beginning: bytes) -> str | None:
    """Return the encoding of a file, or None if no character outside of ASCII was seen."""
    if file.is_regular:
        with open(file.path, "rb") as stream:
            return encoding_of_file(stream)
    # The last line may not be complete.
    return encoding_of_lines(beginning[: beginning.rfind(b"\n") + 1])


def _has_only_cr(beginning: bytes, codec: TextCodec) -> bool:
    """Return whether the lines end with a carriage return alone, as in files of old Macs."""
    text = (
        beginning.decode(codec.encoding or UTF_8, "replace") if codec.recoded else beginning.decode("latin-1")
    )
    return "\r" in text and "\n" not in text


def _lines_of(stream: ByteStream, source: Input | None, codec: TextCodec, *, only_cr: bool) -> Lines:
    if not codec.recoded and not only_cr:
        return Lines(stream, source, codec.encoding)
    encoding = codec.encoding if codec.recoded else None
    recoded = Recoded(stream, source, encoding, codec.skipped, only_cr=only_cr)
    inner = UTF_8 if codec.recoded else codec.encoding
    # A smaller buffer than that of `stream` would not wait for less.
    return Lines(
        io.BufferedReader(recoded, BUFFER_SIZE), None if source is None else recoded, inner, label=encoding
    )


def _rows_of(lines: Lines, file: _File) -> CsvRows | JsonRows:
    # A line that cannot be used is not skipped like a blank line: the line may be the header.
    first = next((line for line in lines if line.strip() or lines.flaws), None)
    if first is None:
        raise ValidationError(ARGUMENT, "an empty file", "pass a header row and rows below it")
    # The beginning also determines the format, because standard input has no file name with a suffix.
    if not file.is_json and _JSON.match(first) is None:
        return CsvRows(first, lines, file.options)
    for option, is_set in (
        ("--delimiter", file.options.delimiter is not None),
        ("--no-header", not file.options.header),
    ):
        if is_set:
            raise ValidationError(option, "the option", "leave out the option; the file is JSON")
    rows = JsonRows(first, lines)
    if file.options.column is None and len(rows.columns) == 1 and not is_phone_heading(rows.columns[0]):
        # Other objects may have other names, so a single name says less than the header of a table.
        hint = f"pass the name of the phone numbers; the first object has {rows.columns[0][:40]!r}"
        raise ValidationError("--column", "an unset value", hint)
    return rows
