"""The commands under ``ledger`` that read a ledger, retry rejected messages, or accept a copy."""

from collections.abc import Sequence

import attrs
from rich.console import Group, RenderableType
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.ledger_places import check_is_file, check_ledger_exists, existing_ledger, ledger_at
from smsapi_async.cli.output import Document
from smsapi_async.errors import LedgerError, LedgerInUse, LedgerUnwritable
from smsapi_async.ledger import Ledger, Summary

_MEANINGS = {
    "pending": "not sent yet; the next run sends the messages",
    "sending": "in flight; another process sends the messages now",
    "accepted": "the gateway returned segment ids",
    "rejected": "refused; the messages were not sent",
    "unknown": "may have been sent; see `ledger unknown`",
}


async def summary(path: str) -> Summary:
    """Return the counts of a ledger. Another process may write the ledger at the same time.

    Args:
        path: the path of the ledger file.

    Raises:
        ValidationError: if the ledger file does not exist.
        LedgerError: if the file cannot be read as a ledger.
    """
    check_ledger_exists(path)
    async with ledger_at(path, read_only=True) as ledger:
        return await ledger.summary()


async def retry(path: str, codes: Sequence[int] | None) -> int:
    """Make rejected messages pending. Return the number of these messages.

    Args:
        path: the path of the ledger file.
        codes: only messages that were rejected with one of these codes; None means all.

    Raises:
        ValidationError: if the ledger file does not exist.
        LedgerError: if the file is not a ledger, or if another process has the ledger open for writing.
    """
    async with existing_ledger(path) as ledger:
        return await ledger.retry_rejected(codes)


def retry_view(count: int) -> RenderableType:
    """Return a sentence about the messages that are pending now."""
    if not count:
        return Text("no such message was rejected; `ledger rejected` lists the codes")
    messages = "1 rejected message is" if count == 1 else f"{count:,} rejected messages are"
    return Text(f"{messages} pending now; the next run sends {'it' if count == 1 else 'them'}")


@attrs.frozen
class Acceptance:
    """The result of ``ledger accept-copy``.

    Attributes:
        was_refused: whether the file could not be opened for writing before.
        counts: the counts of the file.
    """

    was_refused: bool
    counts: Summary


async def accept_copy(path: str) -> Acceptance:
    """Open a ledger for writing although it is a copy, an older state, or lacks its write-ahead log.

    Later openings accept the file.

    Args:
        path: the path of the ledger file.

    Raises:
        ValidationError: if the ledger file does not exist, or the ledger is in a PostgreSQL database.
        LedgerError: if the file is not a ledger or cannot be written, if it has a second name (a hard link),
            or if another process has the ledger open for writing.
    """
    check_is_file(path)
    check_ledger_exists(path)
    try:
        async with Ledger.sqlite(path) as ledger:
            return Acceptance(was_refused=False, counts=await ledger.summary())
    except (LedgerInUse, LedgerUnwritable):
        raise
    except LedgerError:
        pass  # The second opening raises the error again if the file is not a ledger at all.
    async with Ledger.sqlite(path, accept_copy=True) as ledger:
        return Acceptance(was_refused=True, counts=await ledger.summary())


def accept_copy_document(acceptance: Acceptance) -> Document:
    """Return whether the file was refused before, and its counts, as JSON data."""
    return {"was_refused": acceptance.was_refused, **summary_document(acceptance.counts)}


def accept_copy_view(acceptance: Acceptance) -> RenderableType:
    """Return what the command did, and a table of the counts."""
    words = (
        "The file was refused, and is accepted now: the other commands use it as the ledger."
        if acceptance.was_refused
        else "The file is not a copy; the command changed nothing."
    )
    return Group(Text(words), "", summary_view(acceptance.counts))


def summary_document(counts: Summary) -> Document:
    """Return the counts of a ledger as JSON data."""
    return attrs.asdict(counts)


def summary_view(counts: Summary) -> RenderableType:
    """Return the counts of a ledger as a table that explains each state."""
    rows = output.table("State", "Messages", "Meaning", right=["Messages"])
    for state, meaning in _MEANINGS.items():
        rows.add_row(state, f"{getattr(counts, state):,}", meaning)
    return Group(rows, "", Text(f"segments: {counts.segments:,}"))
