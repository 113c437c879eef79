"""The commands under ``ledger``: read a ledger, settle unknown messages, retry rejected messages."""

import os
from collections.abc import Sequence

import attrs
from rich.console import Group, RenderableType
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.output import Document
from smsapi_async.errors import ValidationError
from smsapi_async.ledger import Ledger, Summary
from smsapi_async.outcomes import Outcome, Unknown
from smsapi_async.privacy import mask_number

_MEANINGS = {
    "pending": "not sent yet; the next run sends the messages",
    "sending": "the send is not finished, or a crash interrupted it",
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


async def unknown(path: str) -> list[Outcome]:
    """Return the unknown outcomes of a ledger. Another process may write the ledger at the same time.

    Args:
        path: the path of the ledger file.

    Raises:
        ValidationError: if the ledger file does not exist.
        LedgerError: if the file cannot be read as a ledger.
    """
    check_file_exists(path)
    async with Ledger.sqlite(path, read_only=True) as ledger:
        return [outcome async for outcome in ledger.outcomes(state="unknown")]


async def resolve(path: str, key: str, *, sent: bool, segment_ids: Sequence[str]) -> Document:
    """Record whether a message with an unknown outcome was sent. Return the new state as JSON data.

    Args:
        path: the path of the ledger file.
        key: the key of the message in the ledger.
        sent: True makes the message accepted; False makes the message pending, so that the next run sends it.
        segment_ids: the segment ids of a message that was sent, if they are known.

    Raises:
        ValidationError: if the ledger file does not exist.
        LedgerError: if the ledger has no unknown message with this key, if segment ids were passed for a
            message that was not sent, or if another process has the ledger open for writing.
    """
    check_file_exists(path)
    async with Ledger.sqlite(path) as ledger:
        await ledger.resolve(key, sent=sent, segment_ids=segment_ids)
    return {"key": key, "state": "accepted" if sent else "pending", "segment_ids": list(segment_ids)}


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


def summary_document(counts: Summary) -> Document:
    """Return the counts of a ledger as JSON data."""
    return attrs.asdict(counts)


def summary_view(counts: Summary) -> RenderableType:
    """Return the counts of a ledger as a table that explains each state."""
    rows = output.table("State", "Messages", "Meaning", right=["Messages"])
    for state, meaning in _MEANINGS.items():
        rows.add_row(state, f"{getattr(counts, state):,}", meaning)
    return Group(rows, "", Text(f"segments: {counts.segments:,}"))


def unknown_document(outcomes: Sequence[Outcome]) -> Document:
    """Return the unknown messages as JSON data.

    A redacted ledger contains no phone numbers, so each `destination_address` is "". Keys and numbers are not
    masked, because programs use keys and numbers to match messages.
    """
    return {
        "unknown": [
            {
                "key": outcome.key,
                "destination_address": outcome.message.destination_address,
                "code": outcome.code,
                "reason": outcome.reason,
            }
            for outcome in outcomes
            if isinstance(outcome, Unknown)
        ]
    }


def unknown_view(outcomes: Sequence[Outcome]) -> RenderableType:
    """Return two lines for each unknown message: the key, then the masked number, the code and the reason.

    The key has its own line, so that a user can copy the key.
    """
    if not outcomes:
        return Text("no message has an unknown outcome")
    lines = []
    for outcome in outcomes:
        if isinstance(outcome, Unknown):
            number = outcome.message.destination_address
            # A redacted ledger does not contain the number of the recipient.
            words = [mask_number(number).strip("'")] if number else []
            words += [f"code {outcome.code}"] if outcome.code is not None else []
            lines += [
                output.one_line(outcome.key or ""),
                "    " + output.one_line(", ".join([*words, outcome.reason])),
            ]
    return Text("\n".join(lines), overflow="ignore", no_wrap=True)


def resolve_view(settled: Document) -> RenderableType:
    """Return a sentence about the new state of the message."""
    words = {
        "accepted": "The message is recorded as accepted; it is not sent again.",
        "pending": "The message is pending; the next run sends it.",
    }
    return Text(words[settled["state"]])


def check_file_exists(path: str) -> None:
    """Check that the file of a ledger exists. If the file is missing, `Ledger` would create an empty ledger.

    Args:
        path: the path of the ledger file.

    Raises:
        ValidationError: if the ledger file does not exist.
    """
    if not os.path.exists(path):
        raise ValidationError("LEDGER", repr(path), "pass the file that `batch --ledger` wrote")
