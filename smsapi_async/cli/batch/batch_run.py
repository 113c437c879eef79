"""The command ``batch``: send one message for each row of a table."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
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
from smsapi_async.cli.batch.costs import ask_balance
from smsapi_async.cli.batch.exclusion import Exclusion
from smsapi_async.cli.batch.other_texts import AnotherText, OtherTexts, ask, can_ask
from smsapi_async.cli.batch.progress_bar import ProgressBar
from smsapi_async.cli.batch.repetitions import Repetitions
from smsapi_async.cli.batch.report import Report
from smsapi_async.cli.batch.row_converter import (
    RowConverter,
    RowMessage,
    SharedFields,
    SkippedRow,
)
from smsapi_async.cli.batch.row_messages import RowMessages
from smsapi_async.cli.batch.send_window import SendGate, SendWindow
from smsapi_async.cli.batch.template import Template
from smsapi_async.cli.ledger_places import files_of_ledger, ledger_at
from smsapi_async.cli.output import one_line
from smsapi_async.cli.output_file import Target
from smsapi_async.cli.signals import receive_signals
from smsapi_async.cli.tables.rows import BadRow, Table, open_table
from smsapi_async.cli.tables.table_options import DETECTED, TableOptions
from smsapi_async.cli.track_run import track_open_ledger
from smsapi_async.client import AsyncSmsClient
from smsapi_async.clock import Clock, SystemClock
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
        text_file: the path of the file with the template, or None.
        common: the fields that all messages of the batch share.
        region: the country in which numbers without a country code are read (ISO 3166, two letters).
        exclude: the paths of tables with numbers to which nothing is sent.
        window: the hours of the day in which messages are sent; None means all hours.
        duplicates: whether a row with the number and the text of an earlier row is skipped or sent.
        record: the ledger, and how it is used.
        pace: how fast the messages are sent.
        result: what the command shows and writes.
        clock: the clock of the window, of the pace, and of the check of send dates.
    """

    recipients: str
    table: TableOptions = DETECTED
    template: Template | None = None
    text_file: str | None = None
    common: SharedFields
    region: str = "RU"
    exclude: Sequence[str] = ()
    window: SendWindow | None = None
    duplicates: Literal["skip", "send"] = "skip"
    record: LedgerOptions = LEDGER
    pace: PaceOptions = PACE
    result: ResultOptions = RESULT
    clock: Clock = attrs.field(factory=SystemClock)

    @property
    def ledger(self) -> str | None:
        """The path of the ledger, or None."""
        return self.record.ledger

    @property
    def inputs(self) -> list[str | None]:
        """The paths of the files that the batch reads, except the ledger."""
        return [self.recipients, self.text_file, *self.exclude]

    def messages(
        self,
        table: Table,
        exclusion: Exclusion,
        on_unsent: Callable[[BadRow | SkippedRow], Awaitable[None]],
        gate: SendGate | None = None,
    ) -> RowMessages:
        """Return the messages of the table: see `RowMessages`.

        Raises:
            ValidationError: if an option does not fit the columns of the table.
        """
        return RowMessages(
            table,
            self.converter(table.columns),
            on_unsent,
            exclusion=exclusion,
            repetitions=Repetitions(self.duplicates),
            gate=gate,
        )

    @property
    def report_target(self) -> Target | None:
        """The place and the form of the report, or None."""
        path = self.result.report
        return None if path is None else Target("--report", path, self.result.excel)

    def converter(self, columns: list[str]) -> RowConverter:
        """Return the converter of the rows: see `RowConverter.for_table`."""
        return RowConverter.for_table(
            columns,
            self.table.column,
            self.template,
            self.common,
            region=self.region,
            window=self.window,
            clock=self.clock,
        )

    async def exclusion(self) -> Exclusion:
        """Read the tables of the excluded numbers: see `Exclusion.load`."""
        return await to_thread.run_sync(Exclusion.load, self.exclude, self.region)

    def gate(self, on_wait: Callable[[float], None]) -> SendGate | None:
        """Return the gate that all messages pass; None if there is no limit.

        Messages with a send date pass at all hours, because the gateway sends them later, in the window.
        """
        window = self.window if self.common.send_date is None and not self.common.by_time_zone else None
        per_minute = self.pace.messages_per_minute
        is_needed = window is not None or per_minute is not None
        return SendGate(window, per_minute, self.clock, on_wait) if is_needed else None


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

    If `plan.result.wait` is set, follow the accepted messages of the ledger after the sending. SIGINT,
    SIGTERM and SIGHUP stop the batch: no new request begins, and the batch waits at most 15 seconds for the
    requests in flight.

    Args:
        plan: the options of the batch.
        client: the client of the account, which the function opens and closes.

    Raises:
        ValidationError: if an option or a file cannot be used; nothing was sent.
        LedgerError: if the ledger cannot be opened; nothing was sent.
    """
    async with AsyncExitStack() as stack:
        table = await stack.enter_async_context(opened_table(plan.recipients, plan.table))
        for note in table.notes:
            sys.stderr.write(f"smsapi-async: {one_line(note)}\n")
        run = _BatchRun(plan, table, await plan.exclusion())
        stack.push_async_callback(run.report.forget)
        ledger = await _opened_ledger(plan, run, stack)
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
        await run.report.open([*plan.inputs, *files_of_ledger(plan.ledger)])
        try:
            await run.run(batch)
        finally:
            # The report must be complete even after a cancellation.
            with anyio.CancelScope(shield=True):
                await run.finish(ledger)
        await run.ask_balance(sms)
        if plan.result.wait and ledger is not None and run.tally.ending == "done":
            run.tally.following = await track_open_ledger(ledger, sms)
            await run.complete_report(ledger)
    return run.tally


async def _opened_ledger(plan: BatchPlan, run: "_BatchRun", stack: AsyncExitStack) -> Ledger | None:
    if plan.ledger is None:
        sys.stderr.write(f"smsapi-async: {_ADVICE}\n")
        return None
    ledger = await stack.enter_async_context(ledger_at(plan.ledger, redact=plan.record.redact))
    if not plan.record.again:
        run.source.check = OtherTexts(ledger, run.ask if can_ask(plan.recipients) else None).check
    return ledger


class _BatchRun:
    """One run of a batch, from the first row of the table to the end of the report."""

    def __init__(self, plan: BatchPlan, table: Table, exclusion: Exclusion) -> None:
        self.tally = BatchCounts(
            ledger=plan.ledger, total=table.total, notes=table.notes, price=plan.result.price
        )
        self.source = plan.messages(table, exclusion, self._take_unsent, plan.gate(self._wait))
        self._sending = anyio.CancelScope()
        # If the report cannot be written, the batch stops, because the report would not contain the outcomes
        # of further messages.
        self.report = Report(
            plan.report_target,
            table.columns,
            self.source.awaiting_outcome,
            is_masked=plan.record.redact,
            has_ledger=plan.ledger is not None,
            on_error=self._sending.cancel,
        )
        self._progress_bar = ProgressBar(table.total, self.tally, plan.result.price)

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

    async def ask_balance(self, sms: AsyncSmsClient) -> None:
        """Ask for the balance of the account if this run has sent messages. A signal ends the request."""
        if not self.tally.has_sent or self.tally.is_interrupted:
            return
        async with anyio.create_task_group() as group:
            await group.start(receive_signals, group.cancel_scope.cancel)
            self.tally.balance = await ask_balance(sms)
            group.cancel_scope.cancel()

    async def finish(self, ledger: Ledger | None) -> None:
        """Write the rows without an outcome to the report, and complete the report.

        Args:
            ledger: the open ledger of the batch, or None.
        """
        for place, row in self.source.left():
            if isinstance(row, RowMessage):
                self.tally.left += 1
                await self.report.pending(place, row)
            else:
                self.tally.add_unsent(row)
                await self.report.unsent(place, row)
        await self.report.close()
        await self.complete_report(ledger)

    async def complete_report(self, ledger: Ledger | None) -> None:
        """Write the report with what the ledger knows now.

        Args:
            ledger: the open ledger of the batch, or None.
        """
        await self.report.complete(ledger)
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
            place = self.source.ended(outcome.message)
            await self.report.outcome(place, outcome.message, outcome)

    async def _take_unsent(self, row: BadRow | SkippedRow) -> None:
        self.tally.add_unsent(row)
        self._progress_bar.done = self.tally.done
        await self.report.unsent(self.source.place, row)

    def _wait(self, seconds: float) -> None:
        self._progress_bar.wait(seconds)

    def _stop(self) -> None:
        # Only the first signal has an effect, because the requests in flight must not be cancelled.
        if not self.tally.is_interrupted:
            self.tally.is_interrupted = True
            self._progress_bar.begin("stopping", shows_pace=False)
            self._sending.cancel()
            sys.stderr.write(
                f"smsapi-async: stopping; waiting at most {_GRACE:.0f} s for the requests in flight\n"
            )
