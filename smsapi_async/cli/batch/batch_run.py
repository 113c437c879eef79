"""The command ``batch``: sends the rows of a table, and stops in order."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import attrs
from anyio import to_thread

from smsapi_async.batch import Batch
from smsapi_async.cli.batch.meter import Meter
from smsapi_async.cli.batch.report import Report
from smsapi_async.cli.batch.row_messages import Common, Composer, RowMessage, RowMessages
from smsapi_async.cli.batch.rows import BadRow, Table, open_table
from smsapi_async.cli.batch.tally import Tally
from smsapi_async.cli.batch.template import Template
from smsapi_async.cli.signals import receive_signals
from smsapi_async.cli.track_run import track_ledger
from smsapi_async.client import AsyncSmsClient
from smsapi_async.errors import BatchHalted, ValidationError
from smsapi_async.ledger import Ledger
from smsapi_async.outcomes import Outcome

_GRACE = 15.0
_ADVICE = "without --ledger a run that is interrupted cannot be taken up again"


@attrs.frozen(kw_only=True)
class BatchPlan:
    """What to send, and where to write what became of it."""

    recipients: str
    column: str | None = None
    template: Template | None = None
    common: Common
    ledger: str | None = None
    redact: bool = False
    report: str | None = None
    recipients_per_request: int = 500
    is_followed: bool = False


@asynccontextmanager
async def opened_table(recipients: str) -> AsyncIterator[Table]:
    """A table, closed at the end.

    Raises:
        ValidationError: as `open_table`.
    """
    table = await to_thread.run_sync(open_table, recipients)
    try:
        yield table
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(table.close)


async def run_batch(plan: BatchPlan, client: AsyncSmsClient) -> Tally:
    """Send all rows of the plan, and follow what was accepted where the plan says so; what became of them.

    SIGINT and SIGTERM stop it in order: no request is begun any more, and those in flight are waited for.

    Raises:
        ValidationError: something is wrong with the plan or its files; nothing was sent.
        LedgerError: the ledger cannot be opened; nothing was sent.
    """
    async with AsyncExitStack() as stack:
        table = await stack.enter_async_context(opened_table(plan.recipients))
        composer = Composer.of(table.columns, plan.column, plan.template, plan.common)
        run = _BatchRun(plan, table, composer)
        ledger = None
        if plan.ledger is None:
            sys.stderr.write(f"smsapi-async: {_ADVICE}\n")
        else:
            ledger = await stack.enter_async_context(Ledger.sqlite(plan.ledger, redact=plan.redact))
        sms = await stack.enter_async_context(client)
        batch = sms.send_many(
            run.source, ledger=ledger, recipients_per_request=plan.recipients_per_request, grace=_GRACE
        )
        await run.report.open([plan.recipients, plan.ledger])
        try:
            await run.carry_out(batch)
        finally:
            with anyio.CancelScope(shield=True):
                await run.finish()
        if plan.is_followed and ledger is not None and run.tally.ending == "done":
            run.tally.following = await track_ledger(ledger, sms)
    return run.tally


class _BatchRun:
    """One run of a batch, from its first row to its report."""

    def __init__(self, plan: BatchPlan, table: Table, composer: Composer) -> None:
        self.tally = Tally(ledger=plan.ledger, total=table.total)
        self.source = RowMessages(table, composer, self._take_bad)
        self._sending = anyio.CancelScope()
        self.report = Report(plan.report, is_masked=plan.redact, on_error=self._sending.cancel)
        self._meter = Meter(table.total)

    async def carry_out(self, batch: Batch) -> None:
        """Send, watch for signals, and show how far it has come."""
        async with anyio.create_task_group() as group:
            await group.start(receive_signals, self._stop)
            with self._meter:
                group.start_soon(self._meter.run)
                await self._send(batch)
            group.cancel_scope.cancel()

    async def finish(self) -> None:
        """Write the rest of the report."""
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
        except (BatchHalted, ValidationError) as error:
            # A `ValidationError` is of the table: the rest of it cannot be read.
            self.tally.halted = error
        for outcome in batch.unread:
            await self._take(outcome)

    async def _take(self, outcome: Outcome) -> None:
        self.tally.add(outcome)
        self._meter.done = self.tally.done
        if isinstance(outcome.message, RowMessage):
            self.source.outstanding.pop(outcome.message.line, None)
        await self.report.outcome(outcome)

    async def _take_bad(self, row: BadRow) -> None:
        self.tally.add_bad(row)
        await self.report.bad(row)

    def _stop(self) -> None:
        if not self.tally.is_interrupted:
            self.tally.is_interrupted = True
            self._meter.begin("stopping")
            self._sending.cancel()
            sys.stderr.write(
                f"smsapi-async: stopping; requests in flight are waited for, {_GRACE:.0f} s at most\n"
            )
