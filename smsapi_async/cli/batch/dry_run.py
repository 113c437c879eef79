"""``batch --dry-run``: count the segments of a batch and check its rows. Nothing is sent."""

import unicodedata
from collections import Counter, defaultdict
from functools import lru_cache
from hashlib import blake2b

import attrs
from rich.console import Group, RenderableType
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.batch.batch_counts import BatchCounts
from smsapi_async.cli.batch.batch_run import BatchPlan, opened_table
from smsapi_async.cli.batch.batch_view import bad_rows_document, bad_rows_view
from smsapi_async.cli.batch.row_converter import RowConverter, RowMessage, RowMessages
from smsapi_async.cli.batch.rows import BadRow
from smsapi_async.cli.output import Document
from smsapi_async.ledger.keys import key_of
from smsapi_async.models import Encoding, Segmentation
from smsapi_async.protocol.segments import segment

_CHARACTERS_SHOWN = 60
_GROUPS_SHOWN = 10

# With the cache, a text that many rows share is not divided into segments again for each row.
_segment = lru_cache(maxsize=1024)(segment)


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
    """

    messages: int = 0
    by_segments: Counter[int] = attrs.field(factory=Counter)
    encodings: Counter[Encoding] = attrs.field(factory=Counter)
    forcing: Counter[str] = attrs.field(factory=Counter)
    bad: BatchCounts = attrs.field(factory=BatchCounts)
    _digests: set[bytes] = attrs.field(factory=set)

    def add(self, message: RowMessage) -> None:
        """Count a message and its segments."""
        segmentation: Segmentation = _segment(message.text)
        self.messages += 1
        self.by_segments[segmentation.count] += 1
        self.encodings[segmentation.encoding] += 1
        self.forcing.update(segmentation.forcing_ucs2)
        # Store a digest of eight bytes in place of the key, because `duplicates` needs only the number of
        # different keys and a digest needs less memory.
        digest = blake2b(key_of(message).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self._digests.add(digest)

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

    Args:
        plan: the options of the batch.

    Raises:
        ValidationError: if the table or an option that all messages share cannot be used.
    """
    counted = DryRun()

    async def on_bad(row: BadRow) -> None:
        counted.bad.add_bad(row)

    async with opened_table(plan.recipients) as table:
        converter = RowConverter.for_table(table.columns, plan.column, plan.template, plan.common)
        source = RowMessages(table, converter, on_bad)
        async for message in source:
            # In a dry run, no message gets an outcome, so without `clear` the mapping `awaiting_outcome`
            # would contain all messages at the end.
            source.awaiting_outcome.clear()
            counted.add(message)
    return counted


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
    parts: list[RenderableType] = [cost, "", Text("\n".join(lines)), *_forcing_view(counted.forcing)]
    return Group(*parts, *bad_rows_view(counted.bad.bad_rows, counted.bad.first_bad))


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
