"""What the fan-out asks of a ledger, whichever database is behind it."""

from __future__ import annotations

import abc
import os
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Self

from smsapi_async.inbox import Checkpoint
from smsapi_async.ledger.keys import key_of
from smsapi_async.ledger.summaries import DeliverySummary, OutcomeState, Summary
from smsapi_async.models import Message, Receipt
from smsapi_async.outcomes import Outcome
from smsapi_async.tracking import Delivery


class Ledger(abc.ABC):
    """A durable account of messages, each under a key of its own. Use it with ``async with``.

    A message goes ``pending -> sending -> accepted | rejected | unknown``. The step to ``sending`` is
    durable before `claim` returns, so before the first byte is written to the wire. A ``sending`` without
    its sender becomes ``unknown``, never ``pending``.

    Every method raises `LedgerError` on a ledger that is not open, or that was opened by the process from
    which this one was forked, and `LedgerUnwritable` where the file cannot be written. No method blocks
    the event loop. A write, once begun, is finished also when the caller is cancelled.
    """

    @staticmethod
    def sqlite(path: str | os.PathLike[str], *, redact: bool = False, read_only: bool = False) -> Ledger:
        """A ledger in one SQLite file of a local disk. Nothing is opened yet.

        Beside the file stand ``-wal`` and ``-shm`` while it is open, and an empty ``-lock``, which
        stays. All are created with mode 0600. A file that is there already keeps its permissions, also
        where others may read it, and ``-wal`` and ``-shm`` take them over.

        Args:
            path: the file; it is created if it is not there. Its directory must be.
            redact: keep SHA-256 hashes of the numbers and texts instead of themselves. Set for good when
                the file is created. A hash of a phone number can be found by trying all numbers: this
                keeps a file from being read, not from being searched. Keys, reasons and source
                addresses are kept as they are.
            read_only: for looking at a ledger, also while another process writes it; nothing is created,
                changed or recovered.

        Raises:
            LedgerError: SQLAlchemy is not installed.
        """
        return ENGINES["sqlite"](path, redact=redact, read_only=read_only)

    async def __aenter__(self) -> Self:
        """Open the ledger; what an earlier process left in flight becomes unknown.

        Raises:
            LedgerInUse: it is open for writing elsewhere. Raised at once, without waiting.
            LedgerUnwritable: the file or its directory cannot be written.
            LedgerVersion: a newer version of this package wrote it.
            LedgerError: the file is not a ledger, or was created without `redact`.
        """
        await self._open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def key_of(self, message: Message) -> str:
        """The message's own key, or one derived from its content.

        The derived key covers number, text, source address, date, validity and `by_time_zone` as they
        were given. Two messages that are equal in all of these are one message to the ledger.

        Raises:
            ValidationError: the key, number, text, date or validity is not of its type.
        """
        return key_of(message)

    @abc.abstractmethod
    async def _open(self) -> None: ...

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Close the ledger and let another writer have it. Closing twice is allowed."""

    @abc.abstractmethod
    async def claim(self, messages: Sequence[tuple[str, Message]]) -> dict[str, Outcome | None]:
        """Record that these messages are about to be sent; durable when it returns.

        Args:
            messages: keys, each once, and messages.

        Returns:
            For each key None if it was claimed by this call and is to be sent now, else what the ledger
            knows of it: an outcome with `recorded`, of the message given. A key under which the ledger
            has another message (number without ``+``, text, source address, date, validity or
            `by_time_zone`) is a `Rejected` without `recorded`, and the ledger is left as it is.

        Raises:
            LedgerError: a key is in flight already; nothing was claimed.
            ValidationError: a date or validity is not of its type; nothing was claimed.
        """

    @abc.abstractmethod
    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Record what became of claimed messages, in one transaction; `Outcome.key` says of which.

        An answer that comes late may turn ``unknown`` into something better.

        Raises:
            LedgerError: some were not in flight; the others have been recorded.
        """

    @abc.abstractmethod
    async def release(self, keys: Sequence[str]) -> None:
        """Make claimed messages pending again: it is proved that they were not sent.

        Raises:
            LedgerError: some were not in flight; the others have been released.
        """

    @abc.abstractmethod
    async def record_pending(self, messages: Sequence[tuple[str, Message]]) -> None:
        """Record messages that were read and not begun; those the ledger knows are left as they are."""

    @abc.abstractmethod
    async def summary(self) -> Summary:
        """How many messages are in which state. Reads the whole file."""

    @abc.abstractmethod
    def outcomes(self, *, state: OutcomeState | None = None) -> AsyncIterator[Outcome]:
        """What the ledger knows, in the order in which the messages were first recorded.

        The outcomes have `recorded` set, and their messages the key. With `redact` the number and text
        of a message are "". Memory is bounded.
        """

    @abc.abstractmethod
    async def pending(self, limit: int = 1000) -> list[tuple[str, Message | None]]:
        """The first messages still to be sent, with their keys; None for the message with `redact`."""

    @abc.abstractmethod
    async def resolve(self, key: str, *, sent: bool, segment_ids: Sequence[str] = ()) -> None:
        """Settle an unknown message by hand.

        Args:
            key: its key.
            sent: True makes it accepted; False makes it pending, so that the next run sends it.
            segment_ids: its ids, where they are known.

        Raises:
            LedgerError: there is no such key, or it is not unknown; ids were given with ``sent=False``.
        """

    @abc.abstractmethod
    async def retry_rejected(self) -> int:
        """Make every rejected message pending, once the reason is gone: the next run sends them.

        Nothing of a rejected message was ever sent. One that failed validation fails it again.

        Returns:
            How many there were.
        """

    @abc.abstractmethod
    async def record(self, deliveries: Sequence[Delivery]) -> None:
        """Record what is known of accepted messages, in one transaction; the last word of each is kept.

        A delivery belongs to the message that has its key, or the key derived from it, and its segment
        ids. So a ledger records what was sent through it.

        Raises:
            LedgerError: some are of messages that this ledger has not as accepted with these ids; the
                others have been recorded.
            ValidationError: a message has no proper key, or not as many states as ids; nothing was
                recorded.
        """

    @abc.abstractmethod
    def to_track(self) -> AsyncIterator[Receipt | Delivery]:
        """Every accepted message that is not final, in the order in which they were first recorded.

        A message is a `Delivery`, as it was recorded last, or a `Receipt` where nothing was: give them to
        `AsyncSmsClient.track`, with this ledger, to go on where an earlier process was. Messages have
        their keys. With `redact` the number and text of a message are "". Memory is bounded.

        Left out is what cannot be followed: messages accepted with ids that could not be divided among
        those of their request (`Accepted.unattributed`), and those that were settled by hand without ids.
        """

    @abc.abstractmethod
    async def deliveries_summary(self) -> DeliverySummary:
        """What became of the accepted messages, in numbers. Reads the whole file."""

    @abc.abstractmethod
    def checkpoint(self, name: str = "incoming") -> Checkpoint:
        """Where a stream of incoming messages keeps its position in this ledger.

        Args:
            name: one for each stream; a position is kept under it.
        """


ENGINES: dict[str, Callable[..., Ledger]] = {}
"""The class of each database by its name. `smsapi_async.ledger` enters them: this module imports none."""
