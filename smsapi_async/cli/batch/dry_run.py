"""``batch --dry-run``: count the segments and the costs of a batch and check its rows. Nothing is sent."""

from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from decimal import Decimal

import anyio
import attrs
from anyio import to_thread

from smsapi_async.cli.batch.batch_counts import BatchCounts
from smsapi_async.cli.batch.batch_run import BatchPlan, opened_table
from smsapi_async.cli.batch.costs import Balance, Costs, ask_balance
from smsapi_async.cli.batch.countries import Countries
from smsapi_async.cli.batch.progress_bar import ProgressBar
from smsapi_async.cli.batch.row_converter import RowMessage, SkippedRow
from smsapi_async.cli.batch.row_messages import RowMessages
from smsapi_async.cli.batch.text_counts import TextCounts, text_facts
from smsapi_async.cli.ledger_places import opened_if_exists
from smsapi_async.cli.tables.rows import BadRow, Table
from smsapi_async.client import AsyncSmsClient
from smsapi_async.ledger import Ledger, MessageState


@attrs.define(kw_only=True)
class LedgerCounts:
    """What a ledger already has of the messages of a table.

    Attributes:
        states: the number of messages in each state of the ledger.
        to_send: the number of messages that the batch would send: new and pending messages.
        segments_to_send: the number of segments of these messages.
        other_texts: the number of new messages whose number was already sent another text with the ledger.
    """

    states: Counter[MessageState] = attrs.field(factory=Counter)
    to_send: int = 0
    segments_to_send: int = 0
    other_texts: int = 0

    def add(self, message: RowMessage, state: MessageState | None) -> None:
        """Count a message.

        Args:
            message: the message.
            state: the state of the message in the ledger; None if the ledger does not contain the message.
        """
        if state is not None:
            self.states[state] += 1
        if state in {None, "pending"}:
            self.to_send += 1
            self.segments_to_send += text_facts(message.text).segments


@attrs.define(kw_only=True)
class DryRun:
    """The counts of a dry run.

    Attributes:
        notes: how the table was read, in sentences.
        texts: the counts of the rows that can be sent, by segments and by characters.
        countries: the number of messages for each country; see `Countries.country`.
        unsent: the counts of the rows that cannot be sent or are skipped.
        recorded: what the ledger already has; None without a ledger.
        price: the price of a segment, or None.
        balance: the balance of the account; None if nobody asked for the balance.
        preview: the first messages of the table.
    """

    notes: Sequence[str] = ()
    texts: TextCounts = attrs.field(factory=TextCounts)
    countries: Counter[str] = attrs.field(factory=Counter)
    unsent: BatchCounts = attrs.field(factory=BatchCounts)
    recorded: LedgerCounts | None = None
    price: Decimal | None = None
    balance: Balance | None = None
    preview: list[RowMessage] = attrs.field(factory=list)
    _finder: Countries = attrs.field(factory=Countries)

    def add(self, messages: Sequence[RowMessage], preview: int) -> None:
        """Count messages.

        Args:
            messages: the next messages of the table.
            preview: how many of the first messages of the table are kept for the preview.
        """
        self.preview += messages[: max(0, preview - len(self.preview))]
        for message in messages:
            self.texts.add(message.text)
        self.countries.update(self._finder.country(message.destination_address) for message in messages)

    @property
    def done(self) -> int:
        """The number of rows that were read."""
        return self.texts.messages + self.unsent.done

    @property
    def costs(self) -> Costs:
        """What the messages cost."""
        segments = self.texts.segments
        to_send = segments if self.recorded is None else self.recorded.segments_to_send
        return Costs(price=self.price, segments=segments, segments_to_send=to_send, balance=self.balance)


async def dry_run(plan: BatchPlan, client: AsyncSmsClient | Balance | None = None) -> DryRun:
    """Read all rows of the table and return the counts. Nothing is sent, and no account is needed.

    With a ledger, also count what the ledger already has. The ledger is only read. If its file does not
    exist, the ledger is empty. With a client, ask for the balance of the account once, while the table is
    read.

    Args:
        plan: the options of the batch.
        client: the client of the account, which the function opens and closes; or a balance that is known to
            be unknown; or None for a dry run without an account.

    Raises:
        ValidationError: if the table or an option that all messages share cannot be used.
        LedgerError: if the ledger cannot be read.
    """
    counted = DryRun(price=plan.result.price)
    if isinstance(client, Balance):
        counted.balance = client
    async with AsyncExitStack() as stack:
        table = await stack.enter_async_context(opened_table(plan.recipients, plan.table))
        counted.notes = table.notes
        ledger = None
        if plan.ledger is not None:
            counted.recorded = LedgerCounts()
            ledger = await opened_if_exists(plan.ledger, stack, redact=plan.record.redact)
        counting = await _Counting.of(plan, table, ledger, counted)
        async with anyio.create_task_group() as group:
            if isinstance(client, AsyncSmsClient):
                group.start_soon(_ask, counted, client)
            await counting.run()
    return counted


async def _ask(counted: DryRun, client: AsyncSmsClient) -> None:
    async with client as sms:
        counted.balance = await ask_balance(sms)


class _Counting:
    """Counts the rows of one table, and shows a progress bar."""

    def __init__(
        self, plan: BatchPlan, table: Table, ledger: Ledger | None, counted: DryRun, source: RowMessages
    ) -> None:
        self._counted = counted
        self._ledger = ledger
        self._preview = plan.result.preview
        self._source = source
        self._progress_bar = ProgressBar(table.total)

    @classmethod
    async def of(cls, plan: BatchPlan, table: Table, ledger: Ledger | None, counted: DryRun) -> "_Counting":
        """Return the counting of a table. Errors of the options and of the header are found here."""

        async def on_unsent(row: BadRow | SkippedRow) -> None:
            counted.unsent.add_unsent(row)

        source = plan.messages(table, await plan.exclusion(), on_unsent)
        return cls(plan, table, ledger, counted, source)

    async def run(self) -> None:
        """Count all rows."""
        self._source.check = self._count
        async with anyio.create_task_group() as group:
            with self._progress_bar:
                self._progress_bar.begin("reading")
                group.start_soon(self._progress_bar.run)
                async for _ in self._source:
                    # In a dry run, no message gets an outcome, so without `clear` the mapping
                    # `awaiting_outcome` would contain all messages at the end.
                    self._source.awaiting_outcome.clear()
            # The task that draws the progress bar runs until it is cancelled.
            group.cancel_scope.cancel()

    async def _count(self, messages: Sequence[RowMessage]) -> None:
        """Count the next messages of the table."""
        counted = self._counted
        await to_thread.run_sync(counted.add, messages, self._preview)
        self._progress_bar.done = counted.done
        if counted.recorded is None:
            return
        states: Sequence[MessageState | None] = [None] * len(messages)
        if self._ledger is not None:
            states = await self._ledger.states(messages)
            counted.recorded.other_texts += len(await self._ledger.other_texts(messages))
        for message, state in zip(messages, states, strict=True):
            counted.recorded.add(message, state)
