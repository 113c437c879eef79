"""The commands under ``ledger`` that read a ledger, retry rejected messages, or accept a copy."""

import os
from collections.abc import AsyncIterator

import attrs
from rich.console import Group, RenderableType
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.output import Document
from smsapi_async.errors import LedgerError, LedgerInUse, LedgerUnwritable, ValidationError
from smsapi_async.ledger import Ledger, Summary, UnknownMessage

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
    check_file_exists(path)
    async with Ledger.sqlite(path, read_only=True) as ledger:
        return await ledger.summary()


async def show_unknown(path: str, *, as_json: bool) -> None:
    """Print the unknown messages of a ledger, page by page. Another process may write the ledger meanwhile.

    Messages that an ended process left in flight are unknown, too.

    Args:
        path: the path of the ledger file.
        as_json: whether to print one JSON document in place of lines.

    Raises:
        ValidationError: if the ledger file does not exist.
        LedgerError: if the file cannot be read as a ledger.
        OutputFailed: if writing to standard output failed.
    """
    check_file_exists(path)
    async with Ledger.sqlite(path, read_only=True) as ledger:
        if as_json:
            await output.write_json_list("unknown", _unknown_documents(ledger.unknown()))
            return
        is_empty = True
        async for message in ledger.unknown():
            is_empty = False
            output.write_text(_unknown_lines(message))
        if is_empty:
            output.write_text("no message has an unknown outcome\n")


async def retry(path: str) -> int:
    """Make all rejected messages pending. Return the number of these messages.

    Args:
        path: the path of the ledger file.

    Raises:
        ValidationError: if the ledger file does not exist.
        LedgerError: if the file is not a ledger, or if another process has the ledger open for writing.
    """
    check_file_exists(path)
    async with Ledger.sqlite(path) as ledger:
        return await ledger.retry_rejected()


def retry_view(count: int) -> RenderableType:
    """Return a sentence about the messages that are pending now."""
    return Text(f"{count:,} rejected messages are pending: the next run sends them")


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
        ValidationError: if the ledger file does not exist.
        LedgerError: if the file is not a ledger or cannot be written, if it has a second name (a hard link),
            or if another process has the ledger open for writing.
    """
    check_file_exists(path)
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


def check_file_exists(path: str) -> None:
    """Check that the file of a ledger exists. If the file is missing, `Ledger` would create an empty ledger.

    Args:
        path: the path of the ledger file.

    Raises:
        ValidationError: if the ledger file does not exist.
    """
    if not os.path.exists(path):
        raise ValidationError("LEDGER", repr(path), "pass the file that `batch --ledger` wrote")


async def _unknown_documents(messages: AsyncIterator[UnknownMessage]) -> AsyncIterator[Document]:
    """Convert unknown messages to JSON data.

    A redacted ledger contains no phone numbers, so each `destination_address` is "". Keys and numbers are not
    masked, because programs use keys and numbers to match messages.
    """
    async for message in messages:
        yield {
            "key": message.key,
            "destination_address": message.message.destination_address,
            "request": message.request,
            "sent_at": message.sent_at,
            "code": message.code,
            "reason": message.reason,
            "segment_ids": message.segment_ids,
        }


def _unknown_lines(message: UnknownMessage) -> str:
    """Return two lines for an unknown message: the key, then what the vendor needs to find the message.

    The key has its own line, so that a user can copy the key. The number is not masked, because the vendor
    needs the number, and most keys contain the number.
    """
    # A redacted ledger does not contain the number of the recipient.
    number = message.message.destination_address
    words = [number] if number else []
    words += [f"{output.time(message.sent_at)} UTC", f"request {message.request}"]
    words += [f"code {message.code}"] if message.code is not None else []
    words += [message.reason] if message.reason else []
    if message.segment_ids:
        words.append(f"segment ids of the request: {' '.join(message.segment_ids)}")
    return f"{output.one_line(message.key)}\n    {output.one_line(', '.join(words))}\n"
