"""The results of the commands under ``postgres``, as JSON data and as text."""

import attrs
from rich.console import RenderableType
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.output import Document
from smsapi_async.ledger import Ledger, Summary
from smsapi_async.ledger.queue import Pause, RequestQueue


@attrs.frozen
class QueueStatus:
    """The queue of an account.

    Attributes:
        name: the name of the account.
        pause: the pause of the account, or None.
        queued: the number of messages in the queue, and whether there are more.
        summary: the number of messages in each state.
    """

    name: str
    pause: Pause | None
    queued: tuple[int, bool]
    summary: Summary

    def document(self) -> Document:
        """Return the status as JSON data."""
        summary = self.summary
        return {
            "account": self.name,
            **pause_document(self.pause),
            "queued": self.queued[0],
            "pending": summary.pending,
            "sending": summary.sending,
            "accepted": summary.accepted,
            "rejected": summary.rejected,
            "unknown": summary.unknown,
        }

    def view(self) -> RenderableType:
        """Return the status as text."""
        summary, (queued, has_more) = self.summary, self.queued
        state = "not paused" if self.pause is None else pause_words(self.pause)
        return Text(
            f"account {self.name}: {state}\n"
            f"in the queue {queued}{' or more' if has_more else ''}; pending {summary.pending}, sending"
            f" {summary.sending}, accepted {summary.accepted}, rejected {summary.rejected}, unknown"
            f" {summary.unknown}"
        )


def pause_document(pause: Pause | None) -> Document:
    """Return a pause as JSON data."""
    if pause is None:
        return {"paused_at": None, "pause_reason": None, "pause_code": None}
    return {"paused_at": pause.at, "pause_reason": pause.reason, "pause_code": pause.code}


def pause_words(pause: Pause) -> str:
    """Return a pause in words."""
    return f"paused since {output.time(pause.at)}: {output.one_line(str(pause.cause))}"


def queue_of(ledger: Ledger) -> RequestQueue:
    """Return a ledger in PostgreSQL as a queue."""
    assert isinstance(ledger, RequestQueue)  # noqa: S101 - each ledger in PostgreSQL has a queue
    return ledger
