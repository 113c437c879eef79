"""The output of the command ``batch``."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.batch.batch_counts import BatchCounts
from smsapi_async.cli.batch.costs import amount
from smsapi_async.cli.batch.other_texts import AnotherText
from smsapi_async.cli.output import Document
from smsapi_async.cli.tables.rows import BadRow
from smsapi_async.cli.tracking_counts import tracking_document, tracking_view
from smsapi_async.outcomes import Accepted, Rejected, Unknown

_KINDS = (Accepted, Rejected, Unknown)
_SKIPPED = {"excluded": "excluded", "duplicate": "duplicates"}
_STYLES = {Accepted: "green", Rejected: "red", Unknown: "magenta"}


def batch_document(tally: BatchCounts) -> Document:
    """Return the counts of a batch as JSON data."""
    return {
        "notes": [output.one_line(note) for note in tally.notes],
        "ending": tally.ending,
        "rows": tally.total,
        **{kind.__name__.lower(): tally.counts[kind] for kind in _KINDS},
        "pending": tally.pending,
        "other_texts": tally.halted.rows if isinstance(tally.halted, AnotherText) else 0,
        "recorded": {kind.__name__.lower(): tally.recorded[kind] for kind in _KINDS},
        "skipped": skipped_document(tally),
        "segments": tally.segments,
        "price": tally.price,
        "spent": tally.spent,
        "balance": None if tally.balance is None else tally.balance.amount,
        "balance_problem": None if tally.balance is None else tally.balance.problem,
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
    for cause, words in _SKIPPED.items():
        if tally.skipped[cause]:
            rows.add_row(words, *_counts(tally.skipped[cause], 0)[: len(heads) - 1])
    billed = Text("\n".join(_money_lines(tally)))
    followed = [] if tally.following is None else ["", tracking_view(tally.following)]
    return Group(rows, "", billed, *bad_rows_view(tally.bad_rows, tally.first_bad), *followed)


def skipped_document(tally: BatchCounts) -> Document:
    """Return the number of skipped rows for each cause as JSON data."""
    return {cause: tally.skipped[cause] for cause in _SKIPPED}


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


def _money_lines(tally: BatchCounts) -> list[str]:
    lines = [f"segments of this run: {tally.segments:,}"]
    if tally.spent is not None:
        lines.append(f"spent in this run: {amount(tally.spent)}")
    if tally.balance is not None and tally.balance.amount is not None:
        lines.append(f"balance after this run: {amount(tally.balance.amount)}")
    elif tally.balance is not None:
        lines.append(f"the balance is not known: {output.one_line(tally.balance.problem or '')}")
    return lines


def _counts(count: int, recorded: int) -> tuple[str, str]:
    return f"{count:,}", f"{recorded:,}" if recorded else ""
