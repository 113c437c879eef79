"""The abstract interface of a ledger, without any code for a specific database."""

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
    again: the batch returns their outcomes from the ledger, with ``recorded`` set. The batch sends only the
    messages without an outcome. No message is sent twice.

    **States.** A message is ``pending`` (not sent yet), then ``sending`` (in flight), then ``accepted``,
    ``rejected`` or ``unknown``. `claim` stores the state ``sending`` on disk before the first byte of the
    request is written. If the process ends before the outcome is recorded, the state becomes ``unknown`` when
    the ledger is opened the next time. A message with the state ``unknown`` may or may not have been sent. A
    batch does not send an unknown message again and returns `Unknown` for this message. When you know whether
    the message was sent, call `resolve`.

    **Keys.** Each message has a key in the ledger. Set `Message.key` to use a key of your own. Without
    `Message.key`, the ledger derives the key from the content of the message: see `key_of`. Two messages with
    the same key count as one message, which a batch sends only once. If the ledger has a message with the
    same key but different content, the batch returns `Rejected` and does not send the new message. If you
    send the same text to the same recipients every week, use a new ledger each week, or add the date to the
    keys.

    **Rejected messages.** A batch does not send a rejected message again. When the reason for the rejection
    no longer exists, call `retry_rejected`.

    **Deliveries.** With ``sms.track(ledger)``, the ledger supplies the accepted messages and records their
    deliveries. `deliveries_summary` counts the accepted messages in each phase of delivery.

    **Incoming messages.** `checkpoint` returns a checkpoint for `AsyncSmsClient.watch_incoming`.

    **Writers.** Only one `Ledger` object can have a file open for writing. Other processes can read the file
    at the same time with ``read_only=True``. After a fork, the child process must open its own ledger.

    No method blocks the event loop. A write that has started continues to its end even if the caller is
    cancelled. All dates that a ledger returns are aware, in UTC. The only naive date is the ``send_date`` of
    a message with ``by_time_zone``.

    Every method can raise these errors:

    - `LedgerError`: if the ledger is not open, if the parent process opened the ledger before a fork, or if a
      write was tried with ``read_only=True``.
    - `LedgerUnwritable`: if the file cannot be written, for example because the disk is full.
    - `LedgerInUse`: if another program, for example a backup, locks the file for more than 5 seconds.
    """

    @staticmethod
    def sqlite(path: str | os.PathLike[str], *, redact: bool = False, read_only: bool = False) -> Ledger:
        """Return a ledger in one SQLite file. Open the ledger with ``async with``.

        The file must be on a local disk, because the write-ahead log of SQLite does not work on a network
        file system. While the ledger is open, SQLite creates two more files with the endings ``-wal`` and
        ``-shm``. The empty file with the ending ``-lock`` holds the lock of the writer, and is not deleted
        when the ledger is closed. The operating system releases the lock of the writer when the process ends,
        even after a crash.

        The ledger contains destination addresses and texts, unless you pass ``redact=True``. All files are
        created with mode 0600: only their owner can read them. A file that exists already keeps its
        permissions, and the files ``-wal`` and ``-shm`` get the same permissions.

        Args:
            path: the path of the SQLite file. A missing file is created; its directory must exist.
            redact: whether to store SHA-256 hashes instead of destination addresses and texts. The first
                opening of the file fixes `redact` for all later openings. The hashes do not hide a phone
                number completely: anyone can hash all phone numbers and compare the hashes. Keys, reasons and
                source addresses are stored as they are.
            read_only: whether to open the file only for reading, also while another process writes. With
                ``read_only=True``, no file is created or changed. Messages that an ended process left in
                flight then keep the state ``sending``.

        Raises:
            LedgerError: if SQLAlchemy is not installed. The extra ``ledger`` installs SQLAlchemy.
        """
        return ENGINES["sqlite"](path, redact=redact, read_only=read_only)

    async def __aenter__(self) -> Self:
        """Open the ledger. Messages that an earlier process left in flight get the state unknown.

        Raises:
            LedgerInUse: if the ledger is open for writing in another process or by another `Ledger` object.
                The opening does not wait for the other writer.
            LedgerUnwritable: if the file or its directory cannot be written, or the directory does not exist.
            LedgerVersion: if a newer version of this package wrote the ledger.
            LedgerError: if the file is not a ledger or is damaged, or if this object is open already. Also if
                ``redact=True`` was passed for a ledger that was created without `redact`, or if
                ``read_only=True`` was passed for a missing file.
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
        date, validity and `by_time_zone`. Equal messages have the same derived key, so the ledger treats
        equal messages as one message.

        Raises:
            ValidationError: if a field of the message has a wrong type, or the key is empty.
        """
        return key_of(message)

    @abc.abstractmethod
    async def _open(self) -> None: ...

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Close the ledger. Another process can then open it for writing. A second call does nothing."""

    @abc.abstractmethod
    async def claim(self, messages: Sequence[tuple[str, Message]]) -> dict[str, Outcome | None]:
        """Record that the caller sends the given messages now: store the state ``sending`` for each one.

        When `claim` returns, the states are stored on disk.

        Args:
            messages: pairs of a key and a message. Each key may occur only once.

        Returns:
            A dict with one value for each key. None means that the caller must send the message now. An
            outcome with ``recorded`` set means that the message already has this outcome and must not be
            sent. A `Rejected` without ``recorded`` means that the ledger has a different message with this
            key: the destination address (without ``+``), text, source address, send date, validity or
            `by_time_zone` differs. The ledger does not replace its recorded message by the different message.

        Raises:
            LedgerError: if a message is already in flight, or if a key occurs twice. No message of the call
                is claimed.
            ValidationError: if a field of a message has a wrong type. No message of the call is claimed.
        """

    @abc.abstractmethod
    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Record the outcomes of messages that `claim` set to the state ``sending``, in one transaction.

        An outcome that arrives late can replace the state ``unknown`` of its message.

        Args:
            outcomes: the outcomes to record. The `key` of each outcome identifies its message.

        Raises:
            LedgerError: if the state of at least one message is neither ``sending`` nor ``unknown``. The
                outcomes of such messages are not recorded, but all other outcomes are recorded.
        """

    @abc.abstractmethod
    async def release(self, keys: Sequence[str]) -> None:
        """Make messages in flight pending again. Call `release` only if the messages were certainly not sent.

        Raises:
            LedgerError: if at least one message is not in flight. Even with this error, all messages in
                flight become pending.
        """

    @abc.abstractmethod
    async def record_pending(self, messages: Sequence[tuple[str, Message]]) -> None:
        """Record messages that a batch has read but not sent, with the state ``pending``.

        If the ledger already contains a key, the recorded message stays unchanged.

        Args:
            messages: pairs of a key and a message.
        """

    @abc.abstractmethod
    async def summary(self) -> Summary:
        """Return the number of messages in each state. The call reads the whole file of the ledger."""

    @abc.abstractmethod
    def outcomes(self, *, state: OutcomeState | None = None) -> AsyncIterator[Outcome]:
        """Return an async iterator over the recorded outcomes.

        The outcomes come in the order in which their messages were first recorded. Each outcome has
        ``recorded`` set, and the message of the outcome has the recorded key in `Message.key`. With `redact`,
        the destination address and the text of a message are ``""``. The iterator reads the file page by
        page, so the memory is bounded.

        Args:
            state: return only outcomes of this state. None means all outcomes.

        Raises:
            ValidationError: at the call, if the state is another word, for example ``"UNKNOWN"``.
        """

    @abc.abstractmethod
    async def pending(self, limit: int = 1000) -> list[tuple[str, Message | None]]:
        """Return the first pending messages as pairs of a key and a message.

        With `redact`, the message is None, because the ledger contains only hashes.

        Args:
            limit: the maximum number of messages to return.
        """

    @abc.abstractmethod
    async def resolve(self, key: str, *, sent: bool, segment_ids: Sequence[str] = ()) -> None:
        """Record that an unknown message was sent, or that it was not sent.

        Args:
            key: the key of the message.
            sent: whether the message was sent. If True, the message becomes accepted, with the current time
                as its acceptance time. If False, the message becomes pending, so that the next run sends the
                message.
            segment_ids: the segment ids of the message, if you know the ids. A message without segment ids
                cannot be tracked.

        Raises:
            LedgerError: if the ledger has no unknown message with this key, or segment ids were passed with
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

        `AsyncSmsClient.track` calls this method. The ledger keeps only the last delivery of each message. The
        ledger finds the message of a delivery by its key (see `key_of`) and its segment ids. A ledger accepts
        only the deliveries of messages that were sent with this ledger.

        Raises:
            LedgerError: if, for at least one delivery, the ledger has no accepted message with the same key
                and segment ids. All other deliveries are recorded.
            ValidationError: if a message has an invalid key, or a delivery does not have one state for each
                segment id. No delivery of the call is recorded.
        """

    @abc.abstractmethod
    def to_track(self) -> AsyncIterator[Receipt | Delivery]:
        """Return an async iterator over the accepted messages that have no final delivery yet.

        The iterator returns the last recorded `Delivery` of a message, or a `Receipt` if no delivery was
        recorded. ``sms.track(ledger)`` calls `to_track` to continue the tracking of an earlier process. The
        messages come in the order in which they were first recorded. `Message.key` is the key in the
        ledger. With `redact`, the destination address and the text of a message are ``""``. The iterator
        reads the file page by page, so the memory is bounded.

        `to_track` skips messages that cannot be tracked, because the ledger does not know which segment ids
        belong to these messages. The skipped messages are messages with `Accepted.unattributed`, and messages
        that were resolved without segment ids.
        """

    @abc.abstractmethod
    async def deliveries_summary(self) -> DeliverySummary:
        """Return the number of accepted messages in each phase. The call reads the whole file."""

    @abc.abstractmethod
    def checkpoint(self, name: str = "incoming") -> Checkpoint:
        """Return a checkpoint that stores the position of an inbox in this ledger.

        Pass the checkpoint to `AsyncSmsClient.watch_incoming`.

        Args:
            name: the name of the position in the ledger. Use a different name for each inbox.
        """


ENGINES: dict[str, Callable[..., Ledger]] = {}
"""The ledger class for each kind of database. The package `smsapi_async.ledger` fills this dict.

The module ``interface`` must not import the ledger classes, because the interface is independent of a
database.
"""
