"""The report of a batch: the rows of the table in their order, with their outcomes."""

import heapq
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import IO

import anyio
from anyio import to_thread

from smsapi_async.cli.batch.report_rows import ReportRow
from smsapi_async.cli.batch.report_table import ReportTable, records_of
from smsapi_async.cli.batch.row_converter import RowMessage, SkippedRow
from smsapi_async.cli.batch.row_messages import WaitingMessage
from smsapi_async.cli.csv_output import Cell
from smsapi_async.cli.output import one_line
from smsapi_async.cli.output_file import ROWS_AT_ONCE, OutputFile, Target, open_output, write_table
from smsapi_async.cli.tables.rows import BadRow
from smsapi_async.errors import LedgerError, ValidationError
from smsapi_async.ledger import Ledger
from smsapi_async.outcomes import Outcome

# The rows of a slow batch are on disk after this number of seconds.
_SECONDS = 1.0


class Report:
    """A file with the rows of the table in their order, and the outcome of each row.

    During the run, a CSV report contains the rows up to the first row without an outcome. A row waits in
    memory until all rows before it have an outcome. `complete` writes the whole report again, with what the
    ledger knows. A workbook is written only by `complete`. Only the owner can read the file. The report
    contains no text, except in the columns of the table.

    Attributes:
        error: the first error of a write to a file, or None.

    Args:
        target: the file; None means that no report is written.
        columns: the columns of the table.
        waiting: the messages that were read and have no outcome, in the order of the rows. The owner of the
            mapping removes a message before the outcome of the message is passed to the report.
        is_masked: whether numbers are masked, and the columns of the table are left out.
        has_ledger: whether the batch has a ledger.
        on_error: a function that is called when a write fails.
    """

    def __init__(
        self,
        target: Target | None,
        columns: Sequence[str],
        waiting: Mapping[int, WaitingMessage],
        *,
        is_masked: bool,
        has_ledger: bool,
        on_error: Callable[[], None],
    ) -> None:
        self._target = target
        self._table = ReportTable([] if is_masked else columns)
        self._waiting = waiting
        self._is_masked = is_masked
        self._has_ledger = has_ledger
        self._on_error = on_error
        # The file that is written during the run, and a nameless file with the same rows for `complete`.
        self._live: OutputFile | None = None
        self._spool: IO[str] | None = None
        # JSON rows can have columns that the first row lacks.
        self._more: dict[str, None] = {}
        self._rows: list[tuple[int, ReportRow]] = []
        self._added = 0
        self._flushed_at = time.monotonic()
        self._pending: dict[int, RowMessage] = {}
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
        if self._target is not None:
            await to_thread.run_sync(self._open, self._target, inputs)

    async def unsent(self, place: int, row: BadRow | SkippedRow) -> None:
        """Add a row to the report that cannot be sent or is skipped.

        Args:
            place: the place of the row among the rows of the table.
            row: the row.
        """
        await self._add(ReportRow.of_unsent(place, row, has_ledger=self._has_ledger))

    async def pending(self, place: int, message: RowMessage) -> None:
        """Add a row to the report that was read but not sent.

        Args:
            place: the place of the row among the rows of the table.
            message: the message of the row.
        """
        if self._target is not None:
            self._pending[place] = message
            await self._add(ReportRow.of_message(place, message, has_ledger=self._has_ledger))

    async def outcome(self, place: int, message: RowMessage, outcome: Outcome) -> None:
        """Add the outcome of a row to the report.

        Args:
            place: the place of the row among the rows of the table.
            message: the message of the row.
            outcome: its outcome.
        """
        await self._add(ReportRow.of_outcome(place, message, outcome))

    async def close(self) -> None:
        """Write all remaining rows, and close the file. No row can be added after this call."""
        await self._flush(is_last=True)
        live, self._live = self._live, None
        if live is not None:
            with suppress(OSError), anyio.CancelScope(shield=True):
                await to_thread.run_sync(live.commit)

    async def complete(self, ledger: Ledger | None) -> None:
        """Write the whole report again, with what the ledger knows now. Call `close` first.

        The call can be repeated, for example when the ledger knows more. A CSV report without a ledger is
        already complete.

        Args:
            ledger: the open ledger of the batch, or None.
        """
        target = self._target
        is_needed = ledger is not None or bool(self._more) or (target is not None and target.is_workbook)
        if target is None or self._spool is None or self.error is not None or not is_needed:
            return
        table = ReportTable([*self._table.headings, *self._more])
        try:
            await write_table(target, table.columns, self._blocks(table, self._spool, ledger))
        except ValidationError as error:
            self._fail(OSError(None, error.hint))
        except OSError as error:
            self._fail(error)

    async def forget(self) -> None:
        """Delete the nameless file. `complete` cannot be called any more."""
        spool, self._spool = self._spool, None
        if spool is not None:
            with suppress(OSError), anyio.CancelScope(shield=True):
                await to_thread.run_sync(spool.close)

    def _open(self, target: Target, inputs: Sequence[str | None]) -> None:
        target.check(inputs)
        is_live = not target.is_workbook and (target.is_regular or not self._has_ledger)
        if is_live:
            self._live = open_output(target, self._table.columns, in_place=True)
        elif target.is_regular:
            # Find out now whether the file can be written. An older file must not be taken for the new one.
            open_output(target, self._table.columns).discard()
            with suppress(OSError):
                os.unlink(os.path.realpath(target.path))
        if target.is_regular or not is_live:
            self._spool = _nameless_file(target)

    async def _add(self, row: ReportRow) -> None:
        if self._target is None:
            return
        self._added += 1
        made = row.masked() if self._is_masked else row
        heapq.heappush(self._rows, (row.place, made))
        is_old = time.monotonic() - self._flushed_at >= _SECONDS
        if self._added % ROWS_AT_ONCE == 0 or is_old:
            await self._flush()

    async def _flush(self, *, is_last: bool = False) -> None:
        # Without the shield, a cancellation would lose the rows that were removed from `_rows` and not yet
        # written.
        with anyio.CancelScope(shield=True):
            async with self._one_at_a_time:
                self._flushed_at = time.monotonic()
                rows = self._ready(is_last=is_last)
                if not rows or self.error is not None:
                    return
                try:
                    await to_thread.run_sync(self._write, rows)
                except OSError as error:
                    self._fail(error)

    def _ready(self, *, is_last: bool) -> list[ReportRow]:
        """Remove and return the rows that wait for no other row, in the order of the table."""
        first = next(iter(self._waiting.values()), None)
        rows = []
        while self._rows and (is_last or first is None or self._rows[0][0] < first.place):
            rows.append(heapq.heappop(self._rows)[1])
        return rows

    def _write(self, rows: Sequence[ReportRow]) -> None:
        if self._spool is not None:
            self._spool.write("".join([row.encoded() for row in rows]))
            own = {*self._table.own, *self._more}
            for row in rows:
                if not row.values.keys() <= own:
                    self._more.update(dict.fromkeys(name for name in row.values if name not in own))
                    own.update(self._more)
        if self._live is not None:
            self._live.write([self._table.cells(row, None) for row in rows])

    def _fail(self, error: OSError) -> None:
        self.error = self.error or error
        self._on_error()

    async def _blocks(
        self, table: ReportTable, spool: IO[str], ledger: Ledger | None
    ) -> AsyncGenerator[list[list[Cell]], None]:
        await to_thread.run_sync(spool.seek, 0)
        while rows := await to_thread.run_sync(_rows_in, spool):
            pairs = [(row, self._pending.get(row.place)) for row in rows]
            try:
                records = await records_of(pairs, ledger)
            except LedgerError as error:
                ledger, records = None, [None] * len(pairs)
                words = f"the report lacks deliveries and prices ({one_line(str(error))})"
                sys.stderr.write(f"smsapi-async: {words}\n")
            yield [table.cells(row, record) for row, record in zip(rows, records, strict=True)]


def _nameless_file(target: Target) -> IO[str]:
    # There is space for the rows where there is space for the report.
    directory = os.path.dirname(os.path.realpath(target.path))
    where = directory if target.is_regular and os.access(directory, os.W_OK) else None
    return tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", dir=where)


def _rows_in(spool: IO[str]) -> list[ReportRow]:
    return [ReportRow.decoded(line) for line in islice(spool, ROWS_AT_ONCE)]
