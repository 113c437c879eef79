"""Shows what a batch has come to."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.batch.rows import BadRow
from smsapi_async.cli.batch.tally import Tally
from smsapi_async.cli.output import Document
from smsapi_async.cli.track_tally import following_document, following_view
from smsapi_async.outcomes import Accepted, Rejected, Unknown

_KINDS = (Accepted, Rejected, Unknown)
_STYLES = {Accepted: "green", Rejected: "red", Unknown: "magenta"}


def batch_document(tally: Tally) -> Document:
    """The counts for programs."""
    return {
        "ending": tally.ending,
        "rows": tally.total,
        **{kind.__name__.lower(): tally.counts[kind] for kind in _KINDS},
        "pending": tally.pending,
        "recorded": {kind.__name__.lower(): tally.recorded[kind] for kind in _KINDS},
        "segments": tally.segments,
        "unattributed": tally.unattributed,
        **bad_rows_document(tally.bad_rows, tally.first_bad),
        **({} if tally.following is None else {"following": following_document(tally.following)}),
    }


def batch_view(tally: Tally) -> RenderableType:
    """The counts for people."""
    heads = ["Outcome", "Rows"] + ["Known before"] * bool(tally.recorded)
    rows = output.table(*heads, right=heads[1:])
    for kind in _KINDS:
        name = Text(kind.__name__.lower(), style=_STYLES[kind])
        rows.add_row(name, *_counts(tally.counts[kind], tally.recorded[kind])[: len(heads) - 1])
    rows.add_row("pending", *_counts(tally.pending, 0)[: len(heads) - 1])
    if tally.bad_rows:
        rows.add_row("bad rows", *_counts(tally.bad_rows, 0)[: len(heads) - 1])
    billed = Text(f"segments of this run: {tally.segments:,}")
    followed = [] if tally.following is None else ["", following_view(tally.following)]
    return Group(rows, "", billed, *bad_rows_view(tally.bad_rows, tally.first_bad), *followed)


def bad_rows_document(count: int, first: Sequence[BadRow]) -> Document:
    """How many rows cannot be sent, and the first of them."""
    return {
        "bad_rows": count,
        "first_bad_rows": [{"line": row.line, "reason": output.one_line(row.reason)} for row in first],
    }


def bad_rows_view(count: int, first: Sequence[BadRow]) -> list[RenderableType]:
    """A table of the first rows that cannot be sent; nothing where there is none."""
    if not count:
        return []
    more = f", the first {len(first)} of {count:,}" if count > len(first) else ""
    rows = output.table("Line", "Reason", right=["Line"], title=f"Bad rows{more}")
    for row in first:
        rows.add_row(str(row.line), Text(output.one_line(row.reason)))
    return ["", rows]


def _counts(count: int, recorded: int) -> tuple[str, str]:
    return f"{count:,}", f"{recorded:,}" if recorded else ""
