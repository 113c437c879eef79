"""The command ``batch``: send one message for each row of a table."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal

import anyio
import attrs
from anyio import to_thread

from smsapi_async.batch import Batch
from smsapi_async.cli.batch.batch_counts import BatchCounts
from smsapi_async.cli.batch.batch_options import (
    LEDGER,
    PACE,
    RESULT,
    LedgerOptions,
    PaceOptions,
    ResultOptions,
)
from smsapi_async.cli.batch.other_texts import AnotherText, OtherTexts, ask, can_ask
from smsapi_async.cli.batch.progress_bar import ProgressBar
from smsapi_async.cli.batch.report import Report
from smsapi_async.cli.batch.row_converter import (
    RowConverter,
    RowMessage,
    RowMessages,
    SharedFields,
    SkippedRow,
)
from smsapi_async.cli.batch.template import Template
from smsapi_async.cli.signals import receive_signals
from smsapi_async.cli.tables.rows import BadRow, Table, open_table
from smsapi_async.cli.tables.table_options import DETECTED, TableOptions
from smsapi_async.cli.track_run import track_open_ledger
from smsapi_async.client import AsyncSmsClient
from smsapi_async.errors import BatchHalted, ValidationError
from smsapi_async.ledger import Ledger
from smsapi_async.outcomes import Outcome

# The longest time, in seconds, for which the batch waits for the requests in flight after a signal.
_GRACE = 15.0
_ADVICE = "without --ledger, an interrupted run cannot be continued"


@attrs.frozen(kw_only=True)
class BatchPlan:
    """The options of a batch.

    Attributes:
        recipients: the path of the table, or ``-`` for standard input.
        table: how the table is read, and the name of the column with the numbers.
        template: the template of the texts; None means that the column ``text`` holds the texts.
        common: the fields that all messages of the batch share.
        region: the country in which numbers without a country code are read (ISO 3166, two letters).
        exclude: the paths of tables with numbers to which nothing is sent.
        duplicates: whether a row with the number and the text of an earlier row is skipped or sent.
        record: the ledger, and how it is used.
        pace: how fast the messages are sent.
        result: what the command shows and writes.
    """

    recipients: str
    table: TableOptions = DETECTED
    template: Template | None = None
    common: SharedFields
    region: str = "RU"
    exclude: Sequence[str] = ()
    duplicates: Literal["skip", "send"] = "skip"
    record: LedgerOptions = LEDGER
    pace: PaceOptions = PACE
    result: ResultOptions = RESULT

    @property
    def ledger(self) -> str | None:
        """The path of the ledger, or None."""
        return self.record.ledger


@asynccontextmanager
async def opened_table(recipients: str, options: TableOptions = DETECTED) -> AsyncIterator[Table]:
    """Open a table in a worker thread, and close the table at the end of the ``async with`` block.

    Args:
        recipients: the path of the file, or ``-`` for standard input.
        options: how the table is read.

    Raises:
        ValidationError: if the file cannot be read, or if it has no valid header.
    """
    table = await to_thread.run_sync(open_table, recipients, options)
    try:
        yield table
    finally:
        # Without the shield, a cancellation would prevent the close of the table.
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(table.close)


async def run_batch(plan: BatchPlan, client: AsyncSmsClient) -> BatchCounts:
    """Send one message for each row of the table, and return the counts.

    If `plan.result.wait` is set, follow the accepted messages of the ledger after the sending. SIGINT and
    SIGTERM stop the batch: no new request begins, and the batch waits at most 15 seconds for the requests in
    flight.

    Args:
        plan: the options of the batch.
        client: the client of the account, which the function opens and closes.

    Raises:
        ValidationError: if an option or a file cannot be used; nothing was sent.
        LedgerError: if the ledger cannot be opened; nothing was sent.
    """
    async with AsyncExitStack() as stack:
        table = await stack.enter_async_context(opened_table(plan.recipients, plan.table))
        converter = RowConverter.for_table(table.columns, plan.table.column, plan.template, plan.common)
        run = _BatchRun(plan, table, converter)
        ledger = None
        if plan.ledger is None:
            sys.stderr.write(f"smsapi-async: {_ADVICE}\n")
        else:
            ledger = await stack.enter_async_context(Ledger.sqlite(plan.ledger, redact=plan.record.redact))
            if not plan.record.again:
                run.source.check = OtherTexts(ledger, run.ask if can_ask(plan.recipients) else None).check
        sms = await stack.enter_async_context(client)
        batch = sms.send_many(
            run.source,
            ledger=ledger,
            recipients_per_request=plan.pace.recipients_per_request,
            max_in_flight=plan.pace.max_in_flight,
            grace=_GRACE,
        )
        # The report is opened last, because `open` empties an existing report: if the table, the ledger or
        # the client cannot be used, the existing report is not changed.
        await run.report.open([plan.recipients, plan.ledger])
        try:
            await run.run(batch)
        finally:
            # The report must be complete even after a cancellation.
            with anyio.CancelScope(shield=True):
                await run.finish()
        if plan.result.wait and ledger is not None and run.tally.ending == "done":
            run.tally.following = await track_open_ledger(ledger, sms)
    return run.tally


class _BatchRun:
    """One run of a batch, from the first row of the table to the end of the report."""

    def __init__(self, plan: BatchPlan, table: Table, converter: RowConverter) -> None:
        self.tally = BatchCounts(ledger=plan.ledger, total=table.total)
        self.source = RowMessages(table, converter, self._take_unsent)
        self._sending = anyio.CancelScope()
        # If the report cannot be written, the batch stops, because the report would not contain the outcomes
        # of further messages.
        self.report = Report(plan.result.report, is_masked=plan.record.redact, on_error=self._sending.cancel)
        self._progress_bar = ProgressBar(table.total)

    async def run(self, batch: Batch) -> None:
        """Send the messages, handle signals, and show the progress bar."""
        async with anyio.create_task_group() as group:
            await group.start(receive_signals, self._stop)
            with self._progress_bar:
                group.start_soon(self._progress_bar.run)
                await self._send(batch)
            # The tasks that receive signals and draw the progress bar run until they are cancelled.
            group.cancel_scope.cancel()

    async def ask(self, question: str) -> bool:
        """Ask a question while the progress bar is hidden, and return whether the answer was yes."""
        with self._progress_bar.hidden():
            return await ask(question)

    async def finish(self) -> None:
        """Write the rows without an outcome to the report, and close the report."""
        left = self.source.left()
        self.tally.left = len(left)
        for line, key in left.items():
            await self.report.pending(line, key)
        await self.report.close()
        self.tally.report_error = self.report.error

    async def _send(self, batch: Batch) -> None:
        try:
            async with batch:
                with self._sending:
                    async for outcome in batch:
                        await self._take(outcome)
                        # A cancellation takes effect only where the task waits outside a shield. If outcomes
                        # are ready at once, this task waits only for the report, inside a shield.
                        if self._sending.cancel_called:
                            break
        except (BatchHalted, ValidationError, AnotherText) as error:
            # A `ValidationError` from the batch means that the remaining rows of the table cannot be read.
            self.tally.halted = error
        # After a stop, `batch.unread` contains the outcomes of the requests that were in flight. Without the
        # outcomes in `batch.unread`, messages that were sent would be reported as pending.
        for outcome in batch.unread:
            await self._take(outcome)

    async def _take(self, outcome: Outcome) -> None:
        self.tally.add(outcome)
        self._progress_bar.done = self.tally.done
        if isinstance(outcome.message, RowMessage):
            self.source.awaiting_outcome.pop(outcome.message.line, None)
        await self.report.outcome(outcome)

    async def _take_unsent(self, row: BadRow | SkippedRow) -> None:
        self.tally.add_unsent(row)
        await self.report.unsent(row)

    def _stop(self) -> None:
        # Only the first signal has an effect, because the requests in flight must not be cancelled.
        if not self.tally.is_interrupted:
            self.tally.is_interrupted = True
            self._progress_bar.begin("stopping")
            self._sending.cancel()
            sys.stderr.write(
                f"smsapi-async: stopping; waiting at most {_GRACE:.0f} s for the requests in flight\n"
            )
