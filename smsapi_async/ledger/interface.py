"""The interface of a ledger. It does not depend on a database."""

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
    """A durable record of messages and their outcomes. With a ledger, a batch can continue after a crash.

    `Ledger.sqlite` creates a ledger in one SQLite file. Use a ledger with ``async with``, and pass it to
    `AsyncSmsClient.send_many`::

        async with (
            Ledger.sqlite("run.db") as ledger,
            sms.send_many(messages, ledger=ledger) as outcomes,
        ):
            async for outcome in outcomes:
                ...

    After a crash, pass the same messages and the same ledger again. Messages with an outcome are not sent
    again: the batch returns their outcomes from the ledger, with ``recorded`` set. The batch sends the other
    messages. No message is sent twice.

    **States.** A message is ``pending`` (not sent yet), then ``sending`` (in flight), then ``accepted``,
    ``rejected`` or ``unknown``. `claim` stores the state ``sending`` on disk before the first byte of the
    request is written. If the process ends before the outcome is recorded, the state becomes ``unknown`` when
    the ledger is opened the next time. A message with the state ``unknown`` may or may not have been sent. A
    batch does not send this message again and returns `Unknown`. When you know whether the message was
    sent, call `resolve`.

    **Keys.** Each message has a key in the ledger. Set `Message.key` to use a key of your own. Otherwise the
    ledger derives the key from the content of the message: see `key_of`. Two messages with the same key are
    one message, and a batch sends this message only once. If the ledger has a message with the same key but
    different content, the batch returns `Rejected` and does not send the new message. So if you send the same
    text to the same recipients every week, use a new ledger each week, or add the date to the keys.

    **Rejected messages.** A batch does not send a rejected message again. When the reason no longer exists,
    call `retry_rejected`.

    **Deliveries.** With ``sms.track(ledger)``, the ledger supplies the accepted messages and records their
    deliveries. `deliveries_summary` counts these deliveries.

    **Incoming messages.** `checkpoint` returns a checkpoint for `AsyncSmsClient.watch_incoming`.

    **Writers.** Only one `Ledger` object can have a file open for writing. Other processes can read the file
    at the same time with ``read_only=True``. After a fork, the child process must open its own ledger.

    No method blocks the event loop. A write that has started is finished even if the caller is cancelled. All
    dates that a ledger returns are aware, in UTC. Only ``send_date`` of a message with ``by_time_zone`` is
    naive.

    Every method can raise these errors:

    - `LedgerError`: the ledger is not open, it was opened by the parent process before a fork, or a write was
      tried with ``read_only=True``.
    - `LedgerUnwritable`: the file cannot be written, for example because the disk is full.
    - `LedgerInUse`: another program, for example a backup, locks the file for more than 5 seconds.
    """

    @staticmethod
    def sqlite(path: str | os.PathLike[str], *, redact: bool = False, read_only: bool = False) -> Ledger:
        """Return a ledger in one SQLite file. ``async with`` then opens the file.

        The file must be on a local disk, because the write-ahead log of SQLite does not work on a network
        file system. SQLite creates two more files while the ledger is open, with the endings ``-wal`` and
        ``-shm``. The empty file with the ending ``-lock`` holds the lock of the writer and stays when the
        ledger is closed. The operating system releases the lock when the process ends, even after a crash.

        The ledger contains destination addresses and texts, unless you pass ``redact=True``. All files are
        created with mode 0600: only their owner can read them. A file that exists already keeps its
        permissions, and the files ``-wal`` and ``-shm`` get the same permissions.

        Args:
            path: the path of the file. The file is created if it does not exist. The directory must exist.
            redact: whether to store SHA-256 hashes instead of destination addresses and texts. The first
                opening of the file decides this; you cannot change it later. The hashes do not hide a phone
                number completely: anyone can hash all phone numbers and compare the hashes. Keys, reasons and
                source addresses are stored as they are.
            read_only: whether to open the file only for reading, also while another process writes. Then no
                file is created or changed. If a process ended while messages were in flight, these messages
                keep the state ``sending``.

        Raises:
            LedgerError: SQLAlchemy is not installed. Install the extra ``ledger``.
        """
        return ENGINES["sqlite"](path, redact=redact, read_only=read_only)

    async def __aenter__(self) -> Self:
        """Open the ledger. Messages that an earlier process left in flight get the state unknown.

        Raises:
            LedgerInUse: the ledger is open for writing in another process or in another object. The error is
                raised at once.
            LedgerUnwritable: the file or its directory cannot be written, or the directory does not exist.
            LedgerVersion: a newer version of this package wrote the ledger.
            LedgerError: the file is not a ledger or is damaged, ``redact=True`` was passed for a ledger that
                was created without `redact`, the file does not exist with ``read_only=True``, or this object
                is open already.
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
        """Return the key of a message: `Message.key`, or a key derived from the content of the message.

        A derived key is a SHA-256 hash of the destination address (without ``+``), text, source address, send
        date, validity and `by_time_zone`. Equal messages have the same derived key. So the ledger treats
        equal messages as one message.

        Raises:
            ValidationError: a field of the message has a wrong type, or the key is empty.
        """
        return key_of(message)

    @abc.abstractmethod
    async def _open(self) -> None: ...

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Close the ledger. Then another process can open it for writing. A second call does nothing."""

    @abc.abstractmethod
    async def claim(self, messages: Sequence[tuple[str, Message]]) -> dict[str, Outcome | None]:
        """Record that the caller will send these messages now.

        When this method returns, the record is stored on disk.

        Args:
            messages: pairs of a key and a message. Each key may occur only once.

        Returns:
            A value for each key. None means that this call has claimed the message and the caller must send
            the message. An outcome with ``recorded`` means that the message already has this outcome and must
            not be sent. A `Rejected` without ``recorded`` means that the ledger has a different message with
            this key: the destination address (without ``+``), text, source address, send date, validity or
            `by_time_zone` differs. The ledger does not change the recorded message.

        Raises:
            LedgerError: a message is already in flight, or a key occurs twice. No message was claimed.
            ValidationError: a field of a message has a wrong type. No message was claimed.
        """

    @abc.abstractmethod
    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Record the outcomes of claimed messages, in one transaction.

        A late outcome can replace the state ``unknown``.

        Args:
            outcomes: the outcomes. The `key` of each outcome identifies the message.

        Raises:
            LedgerError: the state of at least one message is neither 'in flight' nor 'unknown', so its
                outcome was not recorded. The other outcomes were recorded.
        """

    @abc.abstractmethod
    async def release(self, keys: Sequence[str]) -> None:
        """Make claimed messages pending again. Call this method only if the messages were certainly not sent.

        Raises:
            LedgerError: at least one message is not in flight. The other messages were released.
        """

    @abc.abstractmethod
    async def record_pending(self, messages: Sequence[tuple[str, Message]]) -> None:
        """Record pending messages that were read but not claimed.

        The ledger does not change messages that it already contains.

        Args:
            messages: pairs of a key and a message.
        """

    @abc.abstractmethod
    async def summary(self) -> Summary:
        """Return the number of messages in each state. This method reads the whole file."""

    @abc.abstractmethod
    def outcomes(self, *, state: OutcomeState | None = None) -> AsyncIterator[Outcome]:
        """Return an async iterator over the recorded outcomes.

        The order is the order in which the messages were first recorded. Each outcome has ``recorded`` set,
        and the message of the outcome has the recorded key in `Message.key`. With `redact`, the
        destination address and the text of a message are ``""``. The iterator reads the file page by page, so
        the memory is bounded.

        Args:
            state: return only outcomes of this state. None means all outcomes.
        """

    @abc.abstractmethod
    async def pending(self, limit: int = 1000) -> list[tuple[str, Message | None]]:
        """Return the first pending messages as pairs of a key and a message.

        With `redact`, the message is None, because the ledger contains only hashes.

        Args:
            limit: the maximum number of messages.
        """

    @abc.abstractmethod
    async def resolve(self, key: str, *, sent: bool, segment_ids: Sequence[str] = ()) -> None:
        """Record that an unknown message was sent, or that it was not sent.

        Args:
            key: the key of the message.
            sent: whether the message was sent. If True, the message becomes accepted, with the current time
                as its acceptance time. If False, the message becomes pending, so that the next run sends the
                message.
            segment_ids: the segment ids of the message, if you know them. A message without segment ids
                cannot be tracked.

        Raises:
            LedgerError: the ledger has no unknown message with this key, or segment ids were passed with
                ``sent=False``.
        """

    @abc.abstractmethod
    async def retry_rejected(self) -> int:
        """Make every rejected message pending, so that the next run sends the message.

        Call this method when the reason for the rejections no longer exists. A rejected message was never
        sent, so no message is sent twice.

        Returns:
            The number of messages that became pending.
        """

    @abc.abstractmethod
    async def record(self, deliveries: Sequence[Delivery]) -> None:
        """Record deliveries of accepted messages, in one transaction.

        `AsyncSmsClient.track` calls this method. The ledger keeps only the last delivery of each message. It
        finds the message of a delivery by its key (see `key_of`) and its segment ids. So a ledger accepts
        only the deliveries of messages that were sent with this ledger.

        Raises:
            LedgerError: the ledger has no accepted message with this key and these segment ids for at least
                one delivery. The other deliveries were recorded.
            ValidationError: a message has an invalid key, or a delivery does not have one state for each
                segment id. No delivery was recorded.
        """

    @abc.abstractmethod
    def to_track(self) -> AsyncIterator[Receipt | Delivery]:
        """Return an async iterator over the accepted messages that are not final.

        The iterator returns the last recorded `Delivery` of a message, or a `Receipt` if no delivery was
        recorded. ``sms.track(ledger)`` uses this iterator to continue the work of an earlier process. The
        order is the order in which the messages were first recorded. Each message has its key. With `redact`,
        the destination address and the text of a message are ``""``. The iterator reads the file page by
        page, so the memory is bounded.

        The iterator skips messages that cannot be tracked, because the ledger does not know which segment ids
        belong to these messages. These are messages with `Accepted.unattributed`, and messages that were
        resolved without segment ids.
        """

    @abc.abstractmethod
    async def deliveries_summary(self) -> DeliverySummary:
        """Return the number of accepted messages in each phase. This method reads the whole file."""

    @abc.abstractmethod
    def checkpoint(self, name: str = "incoming") -> Checkpoint:
        """Return a checkpoint that stores the position of an inbox in this ledger.

        Pass the checkpoint to `AsyncSmsClient.watch_incoming`.

        Args:
            name: the name of the position in the ledger. Use a different name for each inbox.
        """


ENGINES: dict[str, Callable[..., Ledger]] = {}
"""The ledger class for each database. `smsapi_async.ledger` adds the classes.

This module must not import the classes: the interface does not depend on a database.
"""
