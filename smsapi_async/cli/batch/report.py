"""The report of a batch: a CSV file with one line for each row. The batch writes the file during the run."""

import csv
import os
import re
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO

import anyio
from anyio import to_thread

from smsapi_async.cli.batch.row_converter import RowMessage
from smsapi_async.cli.batch.rows import BadRow
from smsapi_async.cli.output import one_line
from smsapi_async.errors import ValidationError
from smsapi_async.outcomes import Accepted, Outcome
from smsapi_async.privacy import mask_number

_HEADER = ("line", "destination_address", "key", "outcome", "code", "reason", "segment_ids")
_ROWS_AT_ONCE = 500
# A spreadsheet executes a cell that begins with one of these characters, for example `=HYPERLINK(...)`. The
# characters after the tab are the full-width forms of the first four characters.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = re.compile(r"[+-]?[0-9]+", re.ASCII)
BAD_ROW = "bad row"


class Report:
    """A CSV file that only its owner can read. The report contains no message texts.

    A cell that a spreadsheet would execute as a formula begins with an apostrophe. A number such as
    +79031234567 is no formula and stays as it is.

    Attributes:
        error: the first error of a write to the file, or None.

    Args:
        path: the path of the file; None means that no report is written.
        is_masked: whether phone numbers in the report are masked.
        on_error: a function that is called when a write fails.
    """

    def __init__(self, path: str | None, *, is_masked: bool, on_error: Callable[[], None]) -> None:
        self._path = path
        self._is_masked = is_masked
        self._on_error = on_error
        self._file: IO[str] | None = None
        self._rows: list[Sequence[object]] = []
        # The task that reads rows and the task that receives outcomes both write to the report, and the lock
        # lets only one task write at a time.
        self._one_at_a_time = anyio.Lock()
        self.error: OSError | None = None

    async def open(self, inputs: Sequence[str | None]) -> None:
        """Create the file of the report, or empty the file if it exists.

        Args:
            inputs: the paths of files that the report must not overwrite.

        Raises:
            ValidationError: if the file cannot be written, or if it is one of `inputs`.
        """
        if self._path is not None:
            self._file = await to_thread.run_sync(_opened, self._path, inputs)
            self._rows.append(_HEADER)

    async def bad(self, row: BadRow) -> None:
        """Add a bad row to the report."""
        await self._add(row.line, "", "", BAD_ROW, "", row.reason, "")

    async def pending(self, line: int, key: str | None) -> None:
        """Add a row to the report that was read but not sent."""
        await self._add(line, "", key or "", "pending", "", "", "")

    async def outcome(self, outcome: Outcome) -> None:
        """Add the outcome of a row to the report."""
        message = outcome.message
        number = message.destination_address
        segment_ids = outcome.segment_ids if isinstance(outcome, Accepted) else ()
        await self._add(
            message.line if isinstance(message, RowMessage) else "",
            mask_number(number).strip("'") if self._is_masked else number,
            outcome.key or message.key or "",
            type(outcome).__name__.lower(),
            "" if isinstance(outcome, Accepted) or outcome.code is None else outcome.code,
            _reason(outcome),
            " ".join(segment_ids),
        )

    async def close(self) -> None:
        """Write the remaining rows, and close the file."""
        await self._flush()
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError), anyio.CancelScope(shield=True):
                await to_thread.run_sync(file.close)

    async def _add(self, *row: object) -> None:
        if self._file is not None:
            self._rows.append(row)
            if len(self._rows) >= _ROWS_AT_ONCE:
                await self._flush()

    async def _flush(self) -> None:
        # Without the shield, a cancellation would lose the rows that were removed from `_rows` and not yet
        # written.
        with anyio.CancelScope(shield=True):
            async with self._one_at_a_time:
                rows, self._rows = self._rows, []
                if self._file is None or not rows:
                    return
                try:
                    await to_thread.run_sync(_write, self._file, rows)
                except OSError as error:
                    self.error = self.error or error
                    self._on_error()


def _reason(outcome: Outcome) -> str:
    if isinstance(outcome, Accepted):
        return "these segment ids belong to several messages" if outcome.unattributed else ""
    return one_line(outcome.reason)


def _harmless(cell: object) -> object:
    """Return the content of a cell, with an apostrophe if a spreadsheet would execute the content."""
    if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def _write(file: IO[str], rows: list[Sequence[object]]) -> None:
    csv.writer(file, lineterminator="\n").writerows([list(map(_harmless, row)) for row in rows])
    file.flush()


def _opened(path: str, inputs: Sequence[str | None]) -> IO[str]:
    try:
        if any(each is not None and os.path.exists(path) and _is_same(each, path) for each in inputs):
            raise ValidationError("--report", repr(path), "pass a file that the command does not read")
        # Only the owner may read the numbers in the report: `os.open` sets the mode of a new file, and
        # `os.chmod` sets the mode of a file that existed before. The mode of a device is not changed.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.chmod(path, 0o600)
    except OSError as error:
        hint = f"pass a file that can be written ({error.strerror})"
        raise ValidationError("--report", repr(path), hint) from None
    return open(descriptor, "w", encoding="utf-8", newline="")


def _is_same(first: str, second: str) -> bool:
    return os.path.exists(first) and os.path.samefile(first, second)
