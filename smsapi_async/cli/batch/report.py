"""The report of a batch: a CSV file with one line for each row. The batch writes the file during the run."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO

import anyio
from anyio import to_thread

from smsapi_async.cli import csv_output
from smsapi_async.cli.batch.row_converter import RowMessage, SkippedRow
from smsapi_async.cli.output import one_line
from smsapi_async.cli.tables.rows import BadRow
from smsapi_async.ledger.keys import redacted_key
from smsapi_async.outcomes import Accepted, Outcome
from smsapi_async.privacy import mask_number

_HEADER = ("line", "destination_address", "key", "outcome", "code", "reason", "segment_ids")
_ROWS_AT_ONCE = 500
BAD_ROW = "bad row"


class Report:
    """A CSV file that only its owner can read. The report contains no message texts.

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
            self._file = await to_thread.run_sync(csv_output.create, "--report", self._path, inputs)
            self._rows.append(_HEADER)

    async def unsent(self, row: BadRow | SkippedRow) -> None:
        """Add a row to the report that cannot be sent or is skipped."""
        outcome = BAD_ROW if isinstance(row, BadRow) else row.cause
        await self._add(row.line, "", "", outcome, "", row.reason, "")

    async def pending(self, line: int, key: str | None) -> None:
        """Add a row to the report that was read but not sent."""
        await self._add(line, "", self._key(key or ""), "pending", "", "", "")

    async def outcome(self, outcome: Outcome) -> None:
        """Add the outcome of a row to the report."""
        message = outcome.message
        number = message.destination_address
        segment_ids = outcome.segment_ids if isinstance(outcome, Accepted) else ()
        await self._add(
            message.line if isinstance(message, RowMessage) else "",
            mask_number(number).strip("'") if self._is_masked else number,
            self._key(outcome.key or message.key or ""),
            type(outcome).__name__.lower(),
            "" if isinstance(outcome, Accepted) or outcome.code is None else outcome.code,
            _reason(outcome),
            " ".join(segment_ids),
        )

    def _key(self, key: str) -> str:
        return redacted_key(key) if self._is_masked else key

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
                    await to_thread.run_sync(csv_output.write, self._file, rows)
                except OSError as error:
                    self.error = self.error or error
                    self._on_error()


def _reason(outcome: Outcome) -> str:
    if isinstance(outcome, Accepted):
        return "these segment ids belong to several messages" if outcome.unattributed else ""
    return one_line(outcome.reason)
