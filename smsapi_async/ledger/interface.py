"""The abstract interface of a ledger, without any code for a specific database."""

from __future__ import annotations

import abc
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from types import TracebackType
from typing import Self

from smsapi_async.inbox import Checkpoint
from smsapi_async.ledger.keys import key_of
from smsapi_async.ledger.records import MessageState, Record, Resolution, UnknownMessage
from smsapi_async.ledger.requests import Claimed, RequestAnswer
from smsapi_async.ledger.summaries import DeliverySummary, OutcomeState, Summary
from smsapi_async.models import Message, Receipt
from smsapi_async.outcomes import Outcome
from smsapi_async.privacy import sealed_async
from smsapi_async.tracking import Delivery


class Ledger(abc.ABC):
    """A durable record of messages and their outcomes. With a ledger, a batch can continue after a crash.

    `Ledger.sqlite` creates a ledger in one SQLite file, for one process. `Ledger.postgres` creates a ledger
    in a PostgreSQL database, which processes on many machines can use at the same time. Use a ledger with
    ``async with``, and pass it to `AsyncSmsClient.send_many` or `AsyncSmsClient.send`::

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
    ``rejected`` or ``unknown``. The state belongs to the request, and all messages of a request share it.
    `claim` stores the state ``sending`` on disk before the first byte of the request is written. If the
    process ends before the outcome is recorded, the messages of the request are ``unknown``: they may or may
    not have been sent. A batch does not send an unknown message again and returns `Unknown` for this message.
    In a PostgreSQL database, the messages of a killed process are ``unknown`` five minutes after their claim;
    until then, a batch with the same messages waits. `unknown` lists unknown messages. When you know whether
    they were sent, call `resolve`, `resolve_many` or `resolve_all`.

    **Keys.** Each message has a key in the ledger. Set `Message.key` to use a key of your own. Without
    `Message.key`, the ledger derives the key from the content and the number: see `key_of`. Two messages with
    the same key count as one message, which is sent only once. If the ledger has a message with the same key
    but different content, a batch returns `Rejected` and does not send the new message. If you send the same
    text to the same recipients every week, use a new ledger each week, or add the date to the keys. If you
    change a text, its messages are new messages: `other_texts` finds the numbers that already got another
    text.

    **Rejected messages.** A batch does not send a rejected message again. When the reason for the rejection
    no longer exists, call `retry_rejected`.

    **Deliveries.** With ``sms.track(ledger)``, the ledger supplies the accepted messages and records their
    deliveries. `deliveries_summary` counts the accepted messages in each phase of delivery, and `report`
    returns all that the ledger knows about each message. A PostgreSQL ledger keeps the time of the next state
    request of each message, so that some 1,000 messages are in memory, however many are under way. The stream
    also follows what other processes send meanwhile, and ends when no message is under way. Hold the role
    ``"follow"`` during the tracking, so that only one process asks for the states: see `role`.

    **Incoming messages.** `checkpoint` returns a checkpoint for `AsyncSmsClient.watch_incoming`.

    **Writers.** Only one `Ledger` object can have a file open for writing. Other processes can read the file
    at the same time with ``read_only=True``. A PostgreSQL database has any number of writers. After a fork,
    the child process must open its own ledger.

    No method blocks the event loop. A write that has started continues to its end even if the caller is
    cancelled. All dates that a ledger returns are aware, in UTC. The only naive date is the ``send_date`` of
    a message with ``by_time_zone``.

    Every method can raise these errors:

    - `LedgerError`: if the ledger is not open, if the parent process opened the ledger before a fork, or if a
      write was tried with ``read_only=True``. Also if the file was deleted, renamed or replaced while it was
      open.
    - `LedgerUnwritable`: if the file or the tables cannot be written, for example because the disk is full.
      Also if the server cannot be reached.
    - `LedgerInUse`: if another program, for example a backup, locks the file or a row for more than 5
      seconds.
    """

    @staticmethod
    def sqlite(
        path: str | os.PathLike[str],
        *,
        redact: bool = False,
        read_only: bool = False,
        accept_copy: bool = False,
    ) -> Ledger:
        """Return a ledger in one SQLite file. Open the ledger with ``async with``.

        The file must be on a local disk, because the write-ahead log of SQLite does not work on a network
        file system. While the ledger is open, and after a crash, two more files with the endings ``-wal`` and
        ``-shm`` belong to the ledger. What is recorded is in the main file after a second. The small file
        with the ending ``-lock`` holds the lock of the writer, and contains how often the ledger was opened.
        The file is not deleted when the ledger is closed. The operating system releases the lock of the
        writer when the process ends, even after a crash.

        **Copies.** A copy of a ledger does not contain what was sent with the original since then. A ledger
        is therefore not opened for writing if its file is a copy, an older state from a backup, or was moved
        to another file system. The same is true if the file was in use and its write-ahead log is missing. If
        you are sure that no message was sent with another file, pass ``accept_copy=True`` once. A file that
        is empty, or has two names (hard links), is always refused. With ``read_only=True``, a copy can be
        read, and a warning is logged. If a file of an open ledger is deleted, renamed, replaced or truncated,
        `claim` raises `LedgerError`, so nothing more is sent. A virtual machine that is set back to an
        earlier state cannot be recognised.

        The ledger contains destination addresses and texts, unless you pass ``redact=True``. All files are
        created with mode 0600: only their owner can read them. A file that exists already keeps its
        permissions, and the files ``-wal`` and ``-shm`` get the same permissions.

        Args:
            path: the path of the SQLite file. A missing file is created; its directory must exist.
            redact: whether to store hashes (half of SHA-256) instead of destination addresses and texts. The
                first opening of the file fixes `redact` for all later openings. The hashes do not hide a
                phone number completely: anyone can hash all phone numbers and compare the hashes. Keys of
                your own, reasons, source addresses and the ids of incoming messages are stored as they are.
                If a segment id contains the number of a recipient of the request, the number is replaced by
                a hash, too. Where the ledger returns such an id, ``<number>`` stands in place of the number,
                and ``<national>`` in place of its last ten digits, unless you pass the message itself:
                `claim`, and `records` with messages, return the whole ids. A client refuses an id with a
                placeholder. To track these messages, pass their receipts to `AsyncSmsClient.track`.
            read_only: whether to open the file only for reading, also while another process writes. With
                ``read_only=True``, no file is created or changed, and the medium may be read-only. Messages
                that an ended process left in flight count as unknown.
            accept_copy: whether to open a file that is a copy of a ledger, or lacks its write-ahead log.
        """
        return ENGINES["sqlite"](path, redact=redact, read_only=read_only, accept_copy=accept_copy)

    @staticmethod
    def postgres(dsn: str, *, account: str = "main", redact: bool = False, read_only: bool = False) -> Ledger:
        """Return a ledger in a PostgreSQL database, for several machines. Open it with ``async with``.

        First run ``pip install 'smsapi-async[postgres]'`` and ``smsapi-async postgres init DSN``, which
        creates the tables in the schema ``smsapi``.

        Many processes can use one ledger at the same time. Each claim is stored on the disk of the server
        before the request is written, whatever the setting ``synchronous_commit`` of the database says. A
        claim is valid for 5 minutes, on the clock of the server: if its process ends without recording the
        answer, its messages are unknown after this time. If the ledger is closed in order, they are unknown
        at once. The messages that a stopped batch leaves pending are sent only by a run with the same
        messages.

        While the server cannot be reached, each call tries again for 30 seconds, and `settle` and `release`
        for 3 minutes. A lost connection or a restart of the server therefore makes no message unknown.

        Args:
            dsn: a URL such as ``postgresql://user@host/database``, or a connection string of libpq. The
                password can also be in the variable ``PGPASSWORD`` or in the file ``.pgpass``. No text of
                this package contains the password.
            account: the name of an account in the tables. Each account has messages, keys and checkpoints
                of its own. Use one name for each account of the gateway. The first opening creates it.
            redact: whether to store hashes instead of destination addresses and texts; see `Ledger.sqlite`.
                The first opening of the account fixes `redact` for all later openings.
            read_only: whether to open the ledger only for reading, for example on a standby. The account
                must exist.

        Raises:
            ValidationError: if `dsn` or `account` is not a text, or is empty.
        """
        return ENGINES["postgres"](dsn, account=account, redact=redact, read_only=read_only)

    async def __aenter__(self) -> Self:
        """Open the ledger. In a file, messages that an earlier process left in flight get the state unknown.

        In a PostgreSQL database, the opening changes no message.

        Raises:
            LedgerInUse: if the ledger is open for writing in another process or by another `Ledger` object.
                The opening does not wait for the other writer.
            LedgerUnwritable: if the file or its directory cannot be written, or the directory does not exist.
            LedgerVersion: if a newer version of this package, or version 0.1, wrote the ledger.
            LedgerError: if the file is not a ledger or is damaged, if it is a copy, or if this object is open
                already. Also if ``redact=True`` was passed for a ledger that was created without `redact`, or
                if ``read_only=True`` was passed for a missing file.
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
        """Return the key of a message: `Message.key`, or a key derived from content and destination address.

        A derived key contains a hash of the content, and the number: ``sha256:<22 characters>:<number>``. The
        content is text, source address, send date, validity and `by_time_zone`. Equal messages have the same
        derived key, so the ledger treats equal messages as one message.

        Raises:
            ValidationError: if a field of the message has a wrong type, the destination address is invalid,
                or the key is empty or is the derived key of another message.
        """
        return key_of(message)

    @abc.abstractmethod
    async def _open(self) -> None: ...

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Close the ledger. Another process can then open the file for writing. A second call does nothing.

        Messages that this object has claimed and not settled are unknown afterwards.
        """

    @abc.abstractmethod
    async def claim(
        self,
        token: str,
        messages: Sequence[tuple[str, Message]],
        *,
        positions: Sequence[int] = (),
        settle: tuple[str, RequestAnswer] | None = None,
    ) -> list[Claimed]:
        """Record that the caller sends messages in one request now: store the state ``sending`` for them.

        When `claim` returns, the states are stored on disk. The caller must then end the claim with `settle`
        or `release`.

        Args:
            token: a random text of the caller, which names the claim in `settle` and `release`.
            messages: pairs of a key and a message, at most 4,096. Each key may occur only once.
            positions: the place of each message in the report. None means after all earlier messages.
            settle: the token of an earlier claim and the answer that ends it. The answer is recorded before
                the claim, and together they cost no more than one of them.

        Returns:
            One value for each message. None means that the caller must send the message now. An outcome with
            ``recorded`` set means that the message already has this outcome and must not be sent. A
            `Rejected` without ``recorded`` means that the ledger has a different message with this key: its
            number or a field of its content differs. The ledger does not replace its recorded message.
            `InFlight` means that another sender sends the message now: call `wait`, then claim the message
            again.

        Raises:
            LedgerError: if a key occurs twice, or the answer cannot be recorded. No message of the call is
                claimed.
            ValidationError: if a field of a message has a wrong type. No message of the call is claimed.
        """

    @property
    def begin_within(self) -> float | None:
        """The seconds after a claim within which a sender must begin its request; None means no limit.

        A sender that waits for longer, for example for a slow pace, releases the claim and claims the
        messages again.
        """
        return None

    def may_send(self, token: str) -> bool:  # noqa: ARG002 - only some ledgers need the token
        """Return whether the messages of a claim may still be sent. The call does not wait.

        A sender calls this method immediately before the first byte of a request. The result is False if the
        claim is only valid for some time, and this time has passed, for example because the process was
        suspended. The messages then read as unknown for others.

        Args:
            token: the token of the claim.
        """
        return True

    @abc.abstractmethod
    async def settle(self, token: str, answer: RequestAnswer) -> None:
        """Record the answer to a request, and with it the outcomes of the messages of a claim.

        A late answer replaces the state ``unknown``. If the request has another state, the answer changes
        nothing, and a warning is logged.

        Args:
            token: the token of the claim.
            answer: what ended the request.
        """

    @abc.abstractmethod
    async def release(self, token: str) -> None:
        """Make the messages of a claim pending again. The messages must certainly not have been sent.

        If the messages are not in flight, the call changes nothing, and a warning is logged.

        Args:
            token: the token of the claim.
        """

    @abc.abstractmethod
    async def wait(self, token: str) -> None:
        """Wait until a claim of another sender ends. Then claim its messages again.

        Args:
            token: the token from `InFlight`.
        """

    @abc.abstractmethod
    async def record_pending(
        self, messages: Sequence[tuple[str, Message]], *, positions: Sequence[int] = ()
    ) -> None:
        """Record messages that a batch has read but not sent, with the state ``pending``.

        If the ledger already contains a key, the recorded message stays unchanged.

        Args:
            messages: pairs of a key and a message.
            positions: the same as for `claim`.
        """

    @abc.abstractmethod
    async def first_position(self, key: str, message: Message) -> int:
        """Return the position of the first message of a batch, for the parameter ``positions`` of `claim`.

        If the ledger contains the message, its position is returned: the batch probably has the same messages
        as an earlier batch. Otherwise the position follows all other positions.
        """

    @abc.abstractmethod
    async def summary(self) -> Summary:
        """Return the number of messages in each state. The call reads the whole file of the ledger."""

    @abc.abstractmethod
    def outcomes(self, *, state: OutcomeState | None = None) -> AsyncIterator[Outcome]:
        """Return an async iterator over the recorded outcomes.

        The outcomes come in the order of their requests; `report` has the order in which the messages were
        given. Each outcome has ``recorded`` set, and the message of the outcome has the recorded key in
        `Message.key`, and no ``+`` before the number. With `redact`, the destination address and the text of
        a message are ``""``, and segment ids that contain the number have a placeholder in place of the
        number (see `Ledger.sqlite`). The iterator reads the file page by page, so the memory is bounded.

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
    def unknown(self) -> AsyncIterator[UnknownMessage]:
        """Return an async iterator over the messages whose outcome is unknown.

        Each item contains what you need to ask the vendor whether the message was sent. With `redact`,
        segment ids that contain a number have a placeholder in place of the number (see `Ledger.sqlite`). The
        iterator reads the file page by page, so the memory is bounded.
        """

    @abc.abstractmethod
    def report(self) -> AsyncIterator[Record]:
        """Return an async iterator over all messages, with their outcomes, deliveries, prices and dates.

        The messages come in the order in which they were given to `AsyncSmsClient.send_many`. The messages of
        a later batch follow, unless the batch begins with a message that the ledger already contains. The
        ledger sorts the messages when the iteration begins, and then reads page by page, so the memory is
        bounded. Messages that are recorded later are not in the report. With `redact`, segment ids that
        contain the number have a placeholder in place of the number (see `Ledger.sqlite`).
        """

    @abc.abstractmethod
    async def states(self, messages: Sequence[Message]) -> list[MessageState | None]:
        """Return the state of each message, and None for a message that is not in the ledger.

        Raises:
            ValidationError: if a message has no key; see `key_of`.
        """

    @abc.abstractmethod
    async def records(self, messages: Sequence[Message | str]) -> list[Record | None]:
        """Return all that the ledger knows about each message, and None for a message that it does not have.

        The call looks up all messages at once. Pass a few hundred messages in one call: the result is in
        memory.

        If the ledger has a different message with the same key, the record is the one that a batch would
        report: the message of the caller with the state ``rejected``, and an outcome `Rejected` without
        ``recorded``. This comparison needs the message. It is not made for a key.

        With `redact`, a segment id may have a placeholder in place of the number (see `Ledger.sqlite`). If
        you pass the message and not its key, the record has the whole segment ids. The ids of a request with
        `Accepted.unattributed` keep their placeholders.

        Args:
            messages: messages, or keys as the ledger returns them (see `key_of`). A redacted ledger accepts
                derived keys with the number and with the hash of the number.

        Raises:
            ValidationError: if a message has no key (see `key_of`), or a key is empty.
        """

    @abc.abstractmethod
    async def other_texts(self, messages: Sequence[Message]) -> list[Message]:
        """Return those messages whose number was already sent another content with this ledger.

        A batch would send these messages, because they are new messages. If you corrected a word of a text
        and run the batch again, every recipient would get both texts. The result contains only messages that
        are not in the ledger themselves. Messages with a key of their own are not compared.

        Raises:
            ValidationError: if a message has no key; see `key_of`.
        """

    @sealed_async
    async def resolve(self, key: str, *, sent: bool, segment_ids: Sequence[str] = ()) -> None:
        """Record that an unknown message was sent, or that it was not sent.

        Args:
            key: the key of the message.
            sent: whether the message was sent. If True, the message becomes accepted, with the current time
                as its acceptance time. If False, the message becomes pending, so that the next run sends the
                message.
            segment_ids: the segment ids of the message, if you know the ids. A message without segment ids
                cannot be tracked. Ids with a placeholder of a redacted ledger are refused.

        Raises:
            LedgerError: if the ledger has no unknown message with this key.
            ValidationError: if segment ids were passed with ``sent=False``, or a value has a wrong type.
        """
        await self.resolve_many([Resolution(key, sent, segment_ids)])

    @abc.abstractmethod
    async def resolve_many(self, resolutions: Iterable[Resolution]) -> None:
        """Record for many unknown messages whether they were sent, in one transaction; see `resolve`.

        Raises:
            LedgerError: if the ledger has no unknown message for at least one key. All other messages are
                resolved.
        """

    @abc.abstractmethod
    async def resolve_all(self, *, sent: bool) -> int:
        """Record that all unknown messages were sent, or that none of them was sent.

        Args:
            sent: whether the messages were sent; see `resolve`.

        Returns:
            The number of messages that were unknown.

        Raises:
            ValidationError: if `sent` is not a `bool`.
        """

    @abc.abstractmethod
    async def retry_rejected(self, codes: Iterable[int] | None = None) -> int:
        """Make rejected messages pending, so that the next run sends these messages.

        Call this method when the reason for the rejections no longer exists. A rejected message was never
        sent, so no message is sent twice.

        Args:
            codes: the error codes of the gateway (contract, "Codes"): only messages that were rejected with
                one of these codes become pending. None means all rejected messages.

        Returns:
            The number of messages that became pending.

        Raises:
            ValidationError: if a code is not an `int`. No message becomes pending.
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
        messages come in the order of their requests. `Message.key` is the key in the
        ledger. With `redact`, the destination address and the text of a message are ``""``. The iterator
        reads the file page by page, so the memory is bounded.

        `to_track` skips messages that cannot be tracked, because the ledger does not know which segment ids
        belong to these messages. The skipped messages are messages with `Accepted.unattributed`, and messages
        that were resolved without segment ids.

        With `redact`, `to_track` also skips messages whose segment ids contain the number of the recipient,
        because the ledger does not contain the whole ids. At the end of the iteration, one warning with the
        number of these messages is logged. To track these messages, pass receipts with the whole ids to
        ``sms.track(receipts, ledger=ledger)``: the receipts of the run that sent the messages, or of a later
        run with the same messages, or the outcomes in ``await ledger.records(messages)``. The ledger
        records their deliveries.
        """

    @abc.abstractmethod
    async def deliveries_summary(self) -> DeliverySummary:
        """Return the number of accepted messages in each phase. The call reads the whole file."""

    @abc.abstractmethod
    def role(
        self, name: str, *, timeout: float | timedelta | None = None
    ) -> AbstractAsyncContextManager[object]:
        """Return a context manager that waits for a role, and holds the role during its block.

        Of all workers with the same PostgreSQL database and account, exactly one holds a role at a time::

            async with ledger.role("follow"), sms.track(ledger) as deliveries:
                async for delivery in deliveries:
                    ...

        The holder has a lease of 10 seconds on the clock of the server, and renews the lease every second. At
        the end of the block, the role is free at once. If the process is killed, another worker begins after
        at most 10 seconds. If the lease cannot be renewed, for example because the server is away, the block
        is cancelled one second before the end of the lease, and `LedgerInUse` is raised. Enter the role again
        in a loop. The lease also ends if the event loop is blocked for longer.

        A ledger in a file has only one process. There, the role excludes only the other tasks of the process.

        Args:
            name: the name of the role.
            timeout: the longest time to wait for the role: seconds or a `timedelta`. None means no limit.

        Raises:
            LedgerInUse: if another worker holds the role for longer than `timeout`, or the role was lost.
            ValidationError: if the name is not a text or is empty, or the timeout is wrong.
        """

    @abc.abstractmethod
    def checkpoint(self, name: str = "incoming") -> Checkpoint:
        """Return a checkpoint that stores the position of an inbox or of a receiver in this ledger.

        Pass the checkpoint to `AsyncSmsClient.watch_incoming` or to `IncomingReceiver`. The position contains
        ids of incoming messages. A ledger with `redact` stores these ids as they are: the ids are opaque, and
        no document of the gateway shows such an id with a number.

        Args:
            name: the name of the position in the ledger. Use a different name for each inbox and receiver.
        """


ENGINES: dict[str, Callable[..., Ledger]] = {}
"""The ledger class for each kind of database. The package `smsapi_async.ledger` fills this dict.

The module ``interface`` must not import the ledger classes, because the interface is independent of a
database.
"""
