"""The commands ``ledger``: a look into a ledger, and settling by hand what is unknown."""

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
    "pending": "not sent; the next run sends them",
    "sending": "in flight, or left by a run that died",
    "accepted": "the gateway returned segment ids",
    "rejected": "refused; nothing was sent",
    "unknown": "sent or not; see `ledger unknown`",
}


async def summary(path: str) -> Summary:
    """The counts of a ledger, also while another process writes it.

    Raises:
        ValidationError: there is no such file.
        LedgerError: it cannot be read.
    """
    check_ledger(path)
    async with Ledger.sqlite(path, read_only=True) as ledger:
        return await ledger.summary()


async def unknown(path: str) -> list[Outcome]:
    """The messages of a ledger whose outcome is unknown.

    Raises:
        ValidationError: there is no such file.
        LedgerError: it cannot be read.
    """
    check_ledger(path)
    async with Ledger.sqlite(path, read_only=True) as ledger:
        return [outcome async for outcome in ledger.outcomes(state="unknown")]


async def resolve(path: str, key: str, *, sent: bool, segment_ids: Sequence[str]) -> Document:
    """Settle an unknown message by hand.

    Raises:
        ValidationError: there is no such file.
        LedgerError: there is no such unknown message, or the ledger is in use.
    """
    check_ledger(path)
    async with Ledger.sqlite(path) as ledger:
        await ledger.resolve(key, sent=sent, segment_ids=segment_ids)
    return {"key": key, "state": "accepted" if sent else "pending", "segment_ids": list(segment_ids)}


async def retry(path: str) -> int:
    """Make the rejected messages pending.

    Raises:
        ValidationError: there is no such file.
        LedgerError: the ledger is in use.
    """
    check_ledger(path)
    async with Ledger.sqlite(path) as ledger:
        return await ledger.retry_rejected()


def retry_view(count: int) -> RenderableType:
    """What will happen, for people."""
    return Text(f"{count:,} rejected messages are pending: the next run sends them")


def summary_document(counts: Summary) -> Document:
    """The counts for programs."""
    return attrs.asdict(counts)


def summary_view(counts: Summary) -> RenderableType:
    """The counts for people."""
    rows = output.table("State", "Messages", "Meaning", right=["Messages"])
    for state, meaning in _MEANINGS.items():
        rows.add_row(state, f"{getattr(counts, state):,}", meaning)
    return Group(rows, "", Text(f"segments: {counts.segments:,}"))


def unknown_document(outcomes: Sequence[Outcome]) -> Document:
    """Keys and numbers in full: programs match by them. A redacted ledger has no numbers."""
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
    """The key of each on a line of its own, to be copied."""
    if not outcomes:
        return Text("no message has an unknown outcome")
    lines = []
    for outcome in outcomes:
        if isinstance(outcome, Unknown):
            number = outcome.message.destination_address
            words = [mask_number(number).strip("'")] if number else []
            words += [f"code {outcome.code}"] if outcome.code is not None else []
            lines += [
                output.one_line(outcome.key or ""),
                "    " + output.one_line(", ".join([*words, outcome.reason])),
            ]
    return Text("\n".join(lines), overflow="ignore", no_wrap=True)


def resolve_view(settled: Document) -> RenderableType:
    """What was recorded."""
    words = {
        "accepted": "recorded as accepted; it is not sent again",
        "pending": "pending; the next run sends it",
    }
    return Text(words[settled["state"]])


def check_ledger(path: str) -> None:
    """Refuse a path where there is no file.

    Raises:
        ValidationError: there is none.
    """
    if not os.path.exists(path):
        raise ValidationError("LEDGER", repr(path), "pass the file that `batch --ledger` wrote")
