"""``batch --dry-run``: count the segments of a batch and check its rows. Nothing is sent."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import lru_cache, partial
from hashlib import blake2b
from typing import get_args

import anyio
import attrs
from rich.console import Group, RenderableType
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.batch.batch_counts import BatchCounts
from smsapi_async.cli.batch.batch_run import BatchPlan, opened_table
from smsapi_async.cli.batch.batch_view import bad_rows_document, bad_rows_view
from smsapi_async.cli.batch.row_converter import RowConverter, RowMessage, RowMessages, SkippedRow
from smsapi_async.cli.output import Document
from smsapi_async.cli.tables.rows import BadRow
from smsapi_async.ledger import Ledger, MessageState
from smsapi_async.ledger.keys import key_of
from smsapi_async.models import Encoding, Segmentation
from smsapi_async.protocol.segments import segment

_CHARACTERS_SHOWN = 60
_GROUPS_SHOWN = 10
_STATES: tuple[MessageState, ...] = get_args(MessageState)

# With the cache, a text that many rows share is not divided into segments again for each row.
_segment = lru_cache(maxsize=1024)(segment)


@attrs.define(kw_only=True)
class LedgerCounts:
    """What a ledger already has of the messages of a table. Each message counts once, in one state.

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
            self.segments_to_send += _segment(message.text).count


@attrs.define(kw_only=True)
class DryRun:
    """The counts of a dry run.

    Attributes:
        messages: the number of rows that can be sent.
        by_segments: the number of messages for each number of segments.
        encodings: the number of messages for each encoding of the text.
        forcing: for each character outside the GSM 03.38 alphabet, the number of messages that need UCS-2
            because of the character.
        bad: the counts of the rows that cannot be sent.
        recorded: what the ledger already has; None without a ledger.
    """

    messages: int = 0
    by_segments: Counter[int] = attrs.field(factory=Counter)
    encodings: Counter[Encoding] = attrs.field(factory=Counter)
    forcing: Counter[str] = attrs.field(factory=Counter)
    bad: BatchCounts = attrs.field(factory=BatchCounts)
    recorded: LedgerCounts | None = None
    _digests: set[bytes] = attrs.field(factory=set)

    def add(self, message: RowMessage) -> bool:
        """Count a message and its segments. Return whether no earlier row has the same key."""
        segmentation: Segmentation = _segment(message.text)
        self.messages += 1
        self.by_segments[segmentation.count] += 1
        self.encodings[segmentation.encoding] += 1
        self.forcing.update(segmentation.forcing_ucs2)
        # Store a digest of eight bytes in place of the key, because `duplicates` needs only the number of
        # different keys and a digest needs less memory.
        digest = blake2b(key_of(message).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        is_new = digest not in self._digests
        self._digests.add(digest)
        return is_new

    @property
    def segments(self) -> int:
        """The number of segments of all messages. The gateway bills every segment."""
        return sum(count * messages for count, messages in self.by_segments.items())

    @property
    def duplicates(self) -> int:
        """The number of rows that repeat an earlier row.

        The repeated row has the same key as the earlier row or, without keys, the same number and text.
        """
        return self.messages - len(self._digests)


async def dry_run(plan: BatchPlan) -> DryRun:
    """Read all rows of the table and return the counts. No account is needed.

    With a ledger, also count what the ledger already has. The ledger is only read. If its file does not
    exist, the ledger is empty.

    Args:
        plan: the options of the batch.

    Raises:
        ValidationError: if the table or an option that all messages share cannot be used.
        LedgerError: if the ledger cannot be read.
    """
    counted = DryRun()

    async def on_unsent(row: BadRow | SkippedRow) -> None:
        counted.bad.add_unsent(row)

    async with AsyncExitStack() as stack:
        table = await stack.enter_async_context(opened_table(plan.recipients, plan.table))
        converter = RowConverter.for_table(table.columns, plan.table.column, plan.template, plan.common)
        ledger = None
        if plan.ledger is not None:
            counted.recorded = LedgerCounts()
            if await anyio.Path(plan.ledger).exists():
                opened = Ledger.sqlite(plan.ledger, redact=plan.record.redact, read_only=True)
                ledger = await stack.enter_async_context(opened)
        source = RowMessages(table, converter, on_unsent)
        source.check = partial(_count, counted, ledger)
        async for _ in source:
            # In a dry run, no message gets an outcome, so without `clear` the mapping `awaiting_outcome`
            # would contain all messages at the end.
            source.awaiting_outcome.clear()
    return counted


async def _count(counted: DryRun, ledger: Ledger | None, messages: Sequence[RowMessage]) -> None:
    """Count the next messages of the table."""
    new = [message for message in messages if counted.add(message)]
    if counted.recorded is None:
        return
    states: list[MessageState | None] = [None] * len(new)
    if ledger is not None:
        states = await ledger.states(new)
        counted.recorded.other_texts += len(await ledger.other_texts(new))
    for message, state in zip(new, states, strict=True):
        counted.recorded.add(message, state)


def dry_run_document(counted: DryRun) -> Document:
    """Return the counts of a dry run as JSON data."""
    return {
        "messages": counted.messages,
        "segments": counted.segments,
        "messages_by_segments": {
            str(count): counted.by_segments[count] for count in sorted(counted.by_segments)
        },
        "encodings": {encoding.value: counted.encodings[encoding] for encoding in Encoding},
        "forcing_ucs2": [
            {"character": character, "code_point": f"U+{ord(character):04X}", "messages": messages}
            for character, messages in counted.forcing.most_common()
        ],
        "duplicates": counted.duplicates,
        **({} if counted.recorded is None else {"ledger": _recorded_document(counted.recorded)}),
        **bad_rows_document(counted.bad.bad_rows, counted.bad.first_bad),
    }


def dry_run_view(counted: DryRun) -> RenderableType:
    """Return the counts of a dry run as tables."""
    heads = ["Segments each", "Messages", "Segments"]
    cost = output.table(*heads, right=heads)
    for count in sorted(counted.by_segments):
        messages = counted.by_segments[count]
        cost.add_row(str(count), f"{messages:,}", f"{count * messages:,}")
    cost.add_row("all", f"{counted.messages:,}", f"{counted.segments:,}", style="bold")
    encodings = ", ".join(f"{encoding.value}: {counted.encodings[encoding]:,}" for encoding in Encoding)
    lines = [f"{encodings} messages"]
    duplicates = counted.duplicates
    if duplicates:
        lines.append(
            f"rows that repeat an earlier row: {duplicates:,} (with --ledger, they are not sent again)"
        )
    lines.append("nothing was sent")
    parts: list[RenderableType] = [cost, "", Text("\n".join(lines)), *_recorded_view(counted.recorded)]
    parts += _forcing_view(counted.forcing)
    return Group(*parts, *bad_rows_view(counted.bad.bad_rows, counted.bad.first_bad))


def _recorded_document(recorded: LedgerCounts) -> Document:
    return {
        **{state: recorded.states[state] for state in _STATES},
        "to_send": recorded.to_send,
        "segments_to_send": recorded.segments_to_send,
        "other_texts": recorded.other_texts,
    }


def _recorded_view(recorded: LedgerCounts | None) -> list[RenderableType]:
    if recorded is None:
        return []
    rows = output.table("In the ledger", "Messages", right=["Messages"])
    for state in _STATES:
        if recorded.states[state]:
            rows.add_row(state, f"{recorded.states[state]:,}")
    lines = [f"to send: {recorded.to_send:,} messages, {recorded.segments_to_send:,} segments"]
    if recorded.other_texts:
        lines.append(
            f"of these, to numbers that were already sent another text: {recorded.other_texts:,}"
            "\n(the batch sends them only with --again)"
        )
    shown: list[RenderableType] = [rows, ""] if recorded.states else []
    return ["", *shown, Text("\n".join(lines))]


def _forcing_view(forcing: Counter[str]) -> list[RenderableType]:
    if not forcing:
        return []
    rows = output.table("Messages", "Characters", right=["Messages"], title="What forces UCS-2")
    groups = defaultdict(list)
    for character, messages in forcing.most_common():
        # Characters with the same number of messages share one row of the table.
        groups[messages].append(_shown(character))
    for messages, characters in list(groups.items())[:_GROUPS_SHOWN]:
        more = " ..." if len(characters) > _CHARACTERS_SHOWN else ""
        rows.add_row(f"{messages:,}", Text(" ".join(sorted(characters)[:_CHARACTERS_SHOWN]) + more))
    if len(groups) > _GROUPS_SHOWN:
        rest = sum(len(characters) for characters in list(groups.values())[_GROUPS_SHOWN:])
        rows.add_row("fewer", f"{rest} more characters")
    return ["", rows]


def _shown(character: str) -> str:
    """Return the character, or its code point if the character is invisible."""
    # Characters of the Unicode categories C (control), Z (separator) and M (mark) are not visible on their
    # own.
    is_seen = unicodedata.category(character)[0] not in "CZM"
    return character if is_seen else f"U+{ord(character):04X}"
