"""The output of the command ``batch``."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.batch.batch_counts import BatchCounts
from smsapi_async.cli.batch.other_texts import AnotherText
from smsapi_async.cli.output import Document
from smsapi_async.cli.tables.rows import BadRow
from smsapi_async.cli.tracking_counts import tracking_document, tracking_view
from smsapi_async.outcomes import Accepted, Rejected, Unknown

_KINDS = (Accepted, Rejected, Unknown)
_STYLES = {Accepted: "green", Rejected: "red", Unknown: "magenta"}


def batch_document(tally: BatchCounts) -> Document:
    """Return the counts of a batch as JSON data."""
    return {
        "ending": tally.ending,
        "rows": tally.total,
        **{kind.__name__.lower(): tally.counts[kind] for kind in _KINDS},
        "pending": tally.pending,
        "other_texts": tally.halted.rows if isinstance(tally.halted, AnotherText) else 0,
        "recorded": {kind.__name__.lower(): tally.recorded[kind] for kind in _KINDS},
        "segments": tally.segments,
        "unattributed": tally.unattributed,
        **bad_rows_document(tally.bad_rows, tally.first_bad),
        **({} if tally.following is None else {"following": tracking_document(tally.following)}),
    }


def batch_view(tally: BatchCounts) -> RenderableType:
    """Return the counts of a batch as tables."""
    # The column "Known before" counts the rows that this run did not send. Without recorded outcomes, the
    # column "Known before" would be empty and is not shown.
    heads = ["Outcome", "Rows"] + ["Known before"] * bool(tally.recorded)
    rows = output.table(*heads, right=heads[1:])
    for kind in _KINDS:
        name = Text(kind.__name__.lower(), style=_STYLES[kind])
        rows.add_row(name, *_counts(tally.counts[kind], tally.recorded[kind])[: len(heads) - 1])
    rows.add_row("pending", *_counts(tally.pending, 0)[: len(heads) - 1])
    if tally.bad_rows:
        rows.add_row("bad rows", *_counts(tally.bad_rows, 0)[: len(heads) - 1])
    billed = Text(f"segments of this run: {tally.segments:,}")
    followed = [] if tally.following is None else ["", tracking_view(tally.following)]
    return Group(rows, "", billed, *bad_rows_view(tally.bad_rows, tally.first_bad), *followed)


def bad_rows_document(count: int, first: Sequence[BadRow]) -> Document:
    """Return the number of bad rows and the first bad rows as JSON data.

    Args:
        count: the number of all bad rows.
        first: the first bad rows, which the output describes one by one.
    """
    return {
        "bad_rows": count,
        "first_bad_rows": [{"line": row.line, "reason": output.one_line(row.reason)} for row in first],
    }


def bad_rows_view(count: int, first: Sequence[BadRow]) -> list[RenderableType]:
    """Return a table of the first bad rows with an empty line above, or an empty list without bad rows.

    Args:
        count: the number of all bad rows.
        first: the first bad rows, which the output describes one by one.
    """
    if not count:
        return []
    more = f", the first {len(first)} of {count:,}" if count > len(first) else ""
    rows = output.table("Line", "Reason", right=["Line"], title=f"Bad rows{more}")
    for row in first:
        rows.add_row(str(row.line), Text(output.one_line(row.reason)))
    return ["", rows]


def _counts(count: int, recorded: int) -> tuple[str, str]:
    return f"{count:,}", f"{recorded:,}" if recorded else ""
