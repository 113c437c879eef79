"""Read the rows of a table: CSV with any delimiter, or JSON lines.

The functions of this module block, so they are called in worker threads.
"""

import csv
import io
import json
import os
import re
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import PurePath
from typing import Any

import attrs

from smsapi_async.cli.tables.inputs import ARGUMENT, Input, Lines, encoding_of, open_input
from smsapi_async.cli.tables.table_options import DETECTED, TableOptions
from smsapi_async.errors import ValidationError

_JSON_SUFFIXES = frozenset({".jsonl", ".ndjson"})
# `_dialect` uses the second group of delimiters only if the header has no character of the first group.
_DELIMITERS = (",;\t|", ":^~#&!")
_QUOTED = re.compile(r'"[^"]*"')
# A phone number as people write it, for example +7 (903) 123-45-67. If the first row of a file contains a
# phone number, the file has no header.
_NUMBER = re.compile(r"\+?[\d\s()-]{7,}", re.ASCII)


@attrs.frozen
class Row:
    """A row of a table.

    Attributes:
        line: the number of the line in which the row begins; the first line has the number 1.
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


class Table:
    """A table with named columns. The rows can be read once.

    Attributes:
        columns: the names of the columns; for JSON lines, the names in the first row.
        notes: sentences that say how the table is read, for example its encoding and its delimiter.
        total: the number of all rows, including bad rows, or None for a stream that cannot be read twice, for
            example a pipe.
    """

    def __init__(self, source: Input, lines: Lines, columns: list[str], rows: Iterator[Row | BadRow]) -> None:
        self._source = source
        self._lines = lines
        self._rows = rows
        # The lock is needed because, after a cancellation, `block` may still run in a worker thread while
        # another thread calls `close`.
        self._one_at_a_time = threading.Lock()
        self._closed = False
        self.columns = columns
        self.total: int | None = None
        self.notes: list[str] = []

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
                for row in () if self._closed else self._rows:
                    block.append(row)
                    if len(block) >= limit or self._source.would_wait(self._lines.taken):
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


def open_table(recipients: str, options: TableOptions = DETECTED) -> Table:  # noqa: ARG001
    """Open a table.

    A regular file is read twice: the first time to count its rows and to find its encoding.

    Args:
        recipients: the path of the file, or ``-`` for standard input.
        options: how the table is read.

    Raises:
        ValidationError: if the file cannot be read, or if it has no valid header.
    """
    encoding, total = _survey(recipients)
    source = open_input(recipients)
    try:
        lines = Lines(io.BufferedReader(source, 1 << 16), encoding)
        columns, rows = _read(lines, is_json=_is_json(recipients))
        table = Table(source, lines, columns, rows)
    except OSError as error:
        source.close()
        raise ValidationError(ARGUMENT, repr(recipients), f"pass a file ({error.strerror})") from None
    except BaseException:
        source.close()
        raise
    table.total = total
    return table


def _survey(recipients: str) -> tuple[str | None, int | None]:
    """Return the encoding and the number of rows of a regular file. Return (None, None) for other inputs."""
    try:
        if not stat.S_ISREG(os.stat(recipients).st_mode):
            return None, None
        with open(recipients, "rb") as stream:
            encoding = encoding_of(stream)
            stream.seek(0)
            _, rows = _read(Lines(stream, encoding), is_json=_is_json(recipients))
            return encoding, sum(1 for _ in rows)
    except OSError:
        return None, None  # `open_table` reports the error.


def _is_json(recipients: str) -> bool:
    return PurePath(recipients).suffix.lower() in _JSON_SUFFIXES


def _read(lines: Lines, *, is_json: bool) -> tuple[list[str], Iterator[Row | BadRow]]:
    """Return the column names and an iterator over the rows."""
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise ValidationError(ARGUMENT, "an empty file", "pass a header row and rows below it")
    # The first character also determines the format, because standard input has no file name with a suffix.
    if is_json or first.lstrip().startswith("{"):
        number = lines.number
        top = _json_row(first, number, lines)
        if isinstance(top, BadRow):
            raise ValidationError(ARGUMENT, f"line {number}", f"begin with a JSON object ({top.reason})")
        return list(top.values), chain([top], _json_rows(lines))
    return _csv(first, lines)


def _json_rows(lines: Lines) -> Iterator[Row | BadRow]:
    for line in lines:
        if line.strip():
            yield _json_row(line, lines.number, lines)


def _json_row(line: str, number: int, lines: Lines) -> Row | BadRow:
    flaw = lines.take_flaw()
    if flaw is not None:
        return BadRow(number, flaw)
    try:
        # Read numbers as `str`, which preserves the digits of each number: a text must show 12.50 and not
        # 12.5.
        value = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return BadRow(number, "the line is not JSON")
    if not isinstance(value, dict):
        return BadRow(number, "the line is JSON, but not a JSON object")
    for name, each in value.items():
        if not isinstance(each, str | None):
            return BadRow(number, f"the value in column {name[:40]!r} is neither a text nor a number")
    return Row(number, {name: each for name, each in value.items() if each is not None})


def _csv(first: str, lines: Lines) -> tuple[list[str], Iterator[Row | BadRow]]:
    before = lines.number
    options = _dialect(first, first + lines.sample())
    reader = csv.reader(chain([first], lines), strict=True, **options)
    try:
        columns = [name.strip() for name in next(reader)]
    except csv.Error as error:
        raise ValidationError(ARGUMENT, f"the header in line {before}", f"pass CSV ({error})") from None
    flaw = lines.take_flaw()
    if flaw is not None:
        raise ValidationError(ARGUMENT, f"the header in line {before}", f"correct the header: {flaw}")
    if any(_NUMBER.fullmatch(name) for name in columns):
        # Refuse a file without a header, because its first row would be used as the header, and no message
        # would be sent to the recipient in the first row.
        hint = "put a line with the names of the columns, such as phone, above the rows"
        raise ValidationError(ARGUMENT, "a file without a header", hint)
    return columns, _csv_rows(reader, lines, columns)


def _csv_rows(reader: Iterator[list[str]], lines: Lines, columns: list[str]) -> Iterator[Row | BadRow]:
    while True:
        line = lines.number + 1
        reason = None
        fields: list[str] = []
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # The reason also contains the number of the last line, because a quotation mark without a partner
            # can extend a row over many lines.
            last = f" (to line {lines.number})" if lines.number > line else ""
            reason = f"this row{last} is not valid CSV: {error}"
        reason = lines.take_flaw() or reason
        # Skip a row with only empty fields, like a blank line, because the row has no recipient.
        if reason is None and not any(fields):
            continue
        if reason is None and (len(fields) < len(columns) or any(fields[len(columns) :])):
            reason = f"the row has {len(fields)} fields, but the header has {len(columns)}"
        yield Row(line, dict(zip(columns, fields, strict=False))) if reason is None else BadRow(line, reason)


def _dialect(header: str, sample: str) -> dict[str, Any]:
    """Return the options of `csv.reader` for a table.

    The header determines the delimiter, because the texts in the rows may contain delimiters, too. The most
    frequent delimiter in the header wins. If two delimiters are equally frequent, `csv.Sniffer` decides.

    Args:
        header: the first line of the table.
        sample: the first line and some of the rows.
    """
    bare = _QUOTED.sub("", header)
    candidates = next(
        (found for usual in _DELIMITERS if (found := [mark for mark in usual if mark in bare])), [","]
    )
    most = max(map(bare.count, candidates))
    candidates = [mark for mark in candidates if bare.count(mark) == most]
    delimiter = candidates[0]
    if len(candidates) > 1:
        with suppress(csv.Error):
            delimiter = csv.Sniffer().sniff(sample, "".join(candidates)).delimiter
    # If a space follows every delimiter in the header, the spaces do not belong to the values.
    after = bare.rstrip("\r\n").split(delimiter)[1:]
    is_spaced = bool(after) and all(name.startswith(" ") for name in after)
    return {"delimiter": delimiter, "skipinitialspace": is_spaced}
