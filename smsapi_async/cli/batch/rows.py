"""Lines as rows: CSV with any delimiter, or JSON lines. Synchronous, for worker threads."""

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

from smsapi_async.cli.batch.inputs import ARGUMENT, Input, Lines, encoding_of, open_input
from smsapi_async.errors import ValidationError

_JSON_SUFFIXES = frozenset({".jsonl", ".ndjson"})
_DELIMITERS = (",;\t|", ":^~#&!")
_QUOTED = re.compile(r'"[^"]*"')
# Also as people write it: +7 (903) 123-45-67.
_NUMBER = re.compile(r"\+?[\d\s()-]{7,}", re.ASCII)


@attrs.frozen
class Row:
    """One recipient's values by column.

    Attributes:
        line: where it begins, from 1.
    """

    line: int
    values: Mapping[str, str] = attrs.field(repr=lambda values: f"<{len(values)} values>")


@attrs.frozen
class BadRow:
    """A row that cannot be sent.

    Attributes:
        line: where it begins, from 1.
        reason: why, without numbers or texts in full.
    """

    line: int
    reason: str


class Table:
    """Rows under named columns.

    Attributes:
        columns: their names; of JSON lines, those of the first.
        total: how many rows there are, bad ones included; None for what can be read only once.
    """

    def __init__(self, source: Input, lines: Lines, columns: list[str], rows: Iterator[Row | BadRow]) -> None:
        self._source = source
        self._lines = lines
        self._rows = rows
        self._one_at_a_time = threading.Lock()
        self._closed = False
        self.columns = columns
        self.total: int | None = None

    def block(self, limit: int) -> list[Row | BadRow]:
        """The next rows, without waiting for more once there is one; [] at the end.

        Raises:
            ValidationError: reading failed.
        """
        block: list[Row | BadRow] = []
        try:
            with self._one_at_a_time:
                for row in () if self._closed else self._rows:
                    block.append(row)
                    if len(block) >= limit or self._source.would_wait(self._lines.taken):
                        break
        except OSError as error:
            hint = f"reading it failed after line {self._lines.number} ({error.strerror})"
            raise ValidationError(ARGUMENT, "the rest", hint) from None
        return block

    def close(self) -> None:
        """Close the file, and end a `block` that waits in another thread."""
        self._source.end()
        with self._one_at_a_time:
            self._closed = True
            self._source.close()


def open_table(recipients: str) -> Table:
    """The rows of a file, or of standard input for ``-``. A file is read through once to count them.

    Raises:
        ValidationError: it cannot be read, or has no columns.
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
    """The encoding and the number of rows, where the file can be read twice."""
    try:
        if not stat.S_ISREG(os.stat(recipients).st_mode):
            return None, None
        with open(recipients, "rb") as stream:
            encoding = encoding_of(stream)
            stream.seek(0)
            _, rows = _read(Lines(stream, encoding), is_json=_is_json(recipients))
            return encoding, sum(1 for _ in rows)
    except OSError:
        return None, None  # opening it tells why


def _is_json(recipients: str) -> bool:
    return PurePath(recipients).suffix.lower() in _JSON_SUFFIXES


def _read(lines: Lines, *, is_json: bool) -> tuple[list[str], Iterator[Row | BadRow]]:
    """Columns and rows."""
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise ValidationError(ARGUMENT, "an empty file", "pass a header row and rows below it")
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
        # Numbers stay as they are written: a phone number is none, and 12.50 is not 12.5.
        value = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return BadRow(number, "the line is not JSON")
    if not isinstance(value, dict):
        return BadRow(number, "the line is JSON, but no object")
    for name, each in value.items():
        if not isinstance(each, str | None):
            return BadRow(number, f"column {name[:40]!r} holds neither words nor a number")
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
        raise ValidationError(ARGUMENT, f"the header in line {before}", f"mend it: {flaw}")
    if any(_NUMBER.fullmatch(name) for name in columns):
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
            last = f" to line {lines.number}" if lines.number > line else ""
            reason = f"from here{last} it is not CSV: {error}"
        reason = lines.take_flaw() or reason
        if reason is None and not any(fields):
            continue
        if reason is None and (len(fields) < len(columns) or any(fields[len(columns) :])):
            reason = f"the row has {len(fields)} fields, and the header {len(columns)}"
        yield Row(line, dict(zip(columns, fields, strict=False))) if reason is None else BadRow(line, reason)


def _dialect(header: str, sample: str) -> dict[str, Any]:
    """The header decides where it can; texts below it hold commas and more."""
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
    after = bare.rstrip("\r\n").split(delimiter)[1:]
    is_spaced = bool(after) and all(name.startswith(" ") for name in after)
    return {"delimiter": delimiter, "skipinitialspace": is_spaced}
