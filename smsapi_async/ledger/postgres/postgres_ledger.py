"""The ledger in a PostgreSQL database. Threads with connections of their own use the database."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import TypeVar

import anyio
import anyio.to_thread

from smsapi_async.clock import time_since_boot
from smsapi_async.errors import LedgerError, SmsApiError, ValidationError
from smsapi_async.eventloop import caller_from_threads, event_type
from smsapi_async.inbox import Checkpoint, Position
from smsapi_async.ledger.checkpoint_changes import PositionLogs
from smsapi_async.ledger.file_roles import checked_role
from smsapi_async.ledger.keys import checked_key, key_of
from smsapi_async.ledger.pages import LedgerCheckpoint, Pages, PagesToTrack
from smsapi_async.ledger.postgres import claims, message_queries, postgres_deliveries, postgres_resolutions
from smsapi_async.ledger.postgres import postgres_statements as sql
from smsapi_async.ledger.postgres.ledger_connection import OpenedLedger, account_of
from smsapi_async.ledger.postgres.postgres_queue import PostgresQueue
from smsapi_async.ledger.postgres.roles import PostgresRole
from smsapi_async.ledger.postgres.stored_messages import LedgerAccount, StoredDetails
from smsapi_async.ledger.postgres.visited_messages import PostgresVisits
from smsapi_async.ledger.records import (
    MessageState,
    Record,
    Resolution,
    UnknownMessage,
    checked_codes,
    checked_sent,
)
from smsapi_async.ledger.requests import Claimed, RequestAnswer
from smsapi_async.ledger.summaries import DeliverySummary, OutcomeState, Summary, outcome_states
from smsapi_async.models import Message, Receipt
from smsapi_async.outcomes import Outcome
from smsapi_async.postgres.address import Address, checked_account, checked_dsn
from smsapi_async.postgres.connection_threads import ConnectionThreads, DatabaseJob
from smsapi_async.postgres.schema import check_version
from smsapi_async.postgres.transactions import Row, Transaction
from smsapi_async.privacy import mask_key, sealed_async, steady_repr
from smsapi_async.settings import checked_timeout
from smsapi_async.tracking import Delivery

_Value = TypeVar("_Value")
_PAGE = 500

# The wait between two looks at a claim of another sender, in seconds. It begins with the first number.
_FIRST_LOOK, _LONGEST_LOOK = 0.05, 1.0


class AccountMissing(LedgerError):
    """A ledger was opened for reading only, and its account does not exist."""


@steady_repr
class PostgresLedger(PostgresQueue):
    """The class of the ledgers that `Ledger.postgres` creates."""

    def __init__(
        self, dsn: str, *, account: str = "main", redact: bool = False, read_only: bool = False
    ) -> None:
        super().__init__(read_only=read_only)
        self._dsn = checked_dsn(dsn)
        self._name = checked_account(account)
        self._redact = redact
        self._place = f"the ledger of the account {account!r}"
        self._logs = PositionLogs()

    def __repr__(self) -> str:
        return f"<Ledger {self._place}, {'closed' if self._state is None else 'open'}>"

    def key_of(self, message: Message) -> str:
        """Return the key of a message. See `Ledger.key_of`.

        Raises:
            ValidationError: also if the key contains the character NUL, which PostgreSQL cannot store.
        """
        key = key_of(message)
        if "\0" in key:
            raise ValidationError("key", mask_key(key), "pass a key without the character NUL")
        return key

    @sealed_async
    async def _open(self) -> None:
        if self._state is not None:
            raise LedgerError(f"{self._place} is open already")
        # The import of psycopg reads many files.
        address = await anyio.to_thread.run_sync(Address.of, self._dsn)
        if self._state is not None:
            raise LedgerError(f"{self._place} is open already")
        self._place = f"{address.name}, account {self._name!r}"
        live: dict[str, float] = {}
        threads = ConnectionThreads(address, caller_from_threads())
        self._state = opened = OpenedLedger(self._place, address, threads, live)
        weakref.finalize(self, threads.end).atexit = False
        self._event = event_type()
        try:
            opened.account = await self._run(
                lambda given: _account(given, address.name, self._name, redact=self._redact),
                reads=self._read_only,
                patience=0.0,
            )
        except BaseException:
            self._state = None
            threads.end()
            raise
        account = opened.account
        threads.set_last_job(lambda: _ending_of(account, live))

    async def aclose(self) -> None:
        """Close the ledger. See `Ledger.aclose`."""
        opened, self._state = self._state, None
        if opened is not None:
            ended = self._event()
            opened.threads.end(ended)
            # Those who wait for another claim learn from their next call that the ledger is closed.
            for token in list(self._ends):
                self._wake(token)
            if not opened.threads.is_inherited:
                with anyio.CancelScope(shield=True):
                    await ended.wait()

    @sealed_async
    async def claim(
        self,
        token: str,
        messages: Sequence[tuple[str, Message]],
        *,
        positions: Sequence[int] = (),
        settle: tuple[str, RequestAnswer] | None = None,
    ) -> list[Claimed]:
        """See `Ledger.claim`."""
        opened = self._opened()
        self._check_writable()
        end = None if settle is None else claims.SettlePart(*settle)
        part = claims.ClaimPart(token, list(messages), list(positions), end)
        job: DatabaseJob[list[Claimed]] = DatabaseJob.of_part(opened.run_parts, part, ended=self._event())
        # The server reads its clock later, so the claim is valid for longer than this process thinks.
        opened.live[token] = time_since_boot() + claims.CLAIM_SECONDS
        try:
            opened.threads.add(job)
            await opened.end_of(job)
        except BaseException:
            # The cancelled caller will not send the messages. If a thread has begun the claim, they become
            # pending again. The answer of the earlier claim is recorded in any case.
            releasing = self._release_job(opened, token, is_quiet=True)
            settling = None if settle is None else self._settle_job(opened, *settle)
            opened.threads.take_back(job, releasing, settling)
            self._wake(token)
            raise
        finally:
            if settle is not None:
                self._wake(settle[0])
        return await self._claimed(opened, token, job, settle)

    async def _claimed(
        self,
        opened: OpenedLedger,
        token: str,
        job: DatabaseJob[list[Claimed]],
        settle: tuple[str, RequestAnswer] | None,
    ) -> list[Claimed]:
        """Return the result of a claim. If it failed, record the answer that was passed with it alone."""
        if job.error is not None:
            opened.live.pop(token, None)
            if job.may_be_committed and self._state is opened:
                # The caller will not send the messages.
                opened.threads.add(self._release_job(opened, token, is_quiet=True))
            if settle is not None:
                await self.settle(*settle)
        elif settle is not None:
            opened.live.pop(settle[0], None)
        results = job.result()
        if None not in results:
            opened.live.pop(token, None)
        return results

    @property
    def begin_within(self) -> float:
        """See `Ledger.begin_within`."""
        return claims.CLAIM_SECONDS / 3

    def may_send(self, token: str) -> bool:
        """See `Ledger.may_send`."""
        return self._state is not None and time_since_boot() < self._state.live.get(token, 0.0)

    @sealed_async
    async def settle(self, token: str, answer: RequestAnswer) -> None:
        """See `Ledger.settle`."""
        opened = self._opened()
        self._check_writable()
        await self._end_claim(opened, token, self._settle_job(opened, token, answer))

    @sealed_async
    async def release(self, token: str) -> None:
        """See `Ledger.release`."""
        opened = self._opened()
        self._check_writable()
        await self._end_claim(opened, token, self._release_job(opened, token))

    async def wait(self, token: str) -> None:
        """See `Ledger.wait`."""
        # A claim of this object ends with an event, or reads as unknown after its time.
        is_own = token in self._opened().live
        pause = _LONGEST_LOOK if is_own else _FIRST_LOOK
        while True:
            # The event is there before the question, so that an end between the two is noticed.
            end = self._ends.setdefault(token, anyio.Event())
            if not is_own and not await self._read(lambda given, account: _is_live(given, account, token)):
                self._wake(token)
                return
            is_own = False
            with anyio.move_on_after(pause):
                await end.wait()
                return
            pause = min(2 * pause, _LONGEST_LOOK)

    @sealed_async
    async def record_pending(
        self, messages: Sequence[tuple[str, Message]], *, positions: Sequence[int] = ()
    ) -> None:
        """See `Ledger.record_pending`."""
        given = list(messages)
        if given:
            await self._write(
                lambda transaction, account: claims.add_pending(transaction, account, given, positions),
                is_repeatable=True,
            )

    @sealed_async
    async def first_position(self, key: str, message: Message) -> int:
        """See `Ledger.first_position`."""
        return await self._read(lambda given, account: claims.first_position(given, account, (key, message)))

    async def summary(self) -> Summary:
        """See `Ledger.summary`."""
        return await self._read(message_queries.summary_of)

    def outcomes(self, *, state: OutcomeState | None = None) -> AsyncIterator[Outcome]:
        """See `Ledger.outcomes`."""
        return self._pages(outcome_states(state), lambda details, row: details.outcome(row))

    def unknown(self) -> AsyncIterator[UnknownMessage]:
        """See `Ledger.unknown`."""
        return self._pages(("unknown",), lambda details, row: details.unknown(row))

    def report(self) -> AsyncIterator[Record]:
        """See `Ledger.report`."""
        last_id: list[int] = []

        async def page_after(after: message_queries.After) -> tuple[message_queries.After, list[Record]]:
            def work(
                given: Transaction, account: LedgerAccount
            ) -> tuple[message_queries.After, list[Record]]:
                if not last_id:
                    last_id.append(int(given.value(sql.LAST_MESSAGE)))
                return message_queries.page_of_report(given, account, last_id[0], after, _PAGE)

            return await self._read(work)

        return Pages(page_after, message_queries.BEGINNING)

    async def pending(self, limit: int = 1000) -> list[tuple[str, Message | None]]:
        """See `Ledger.pending`."""

        def work(given: Transaction, account: LedgerAccount) -> list[tuple[str, Message | None]]:
            def item(details: StoredDetails, row: Row) -> tuple[str, Message | None]:
                return row["key"], None if account.redacted else details.message(row)

            return message_queries.pending_page(given, account, item, limit)

        return await self._read(work)

    @sealed_async
    async def states(self, messages: Sequence[Message]) -> list[MessageState | None]:
        """See `Ledger.states`."""
        wanted = [(self.key_of(message), message) for message in messages]
        return await self._read(lambda given, account: message_queries.states_of(given, account, wanted))

    @sealed_async
    async def records(self, messages: Sequence[Message | str]) -> list[Record | None]:
        """See `Ledger.records`."""
        wanted = [
            (checked_key(each), None) if isinstance(each, str) else (self.key_of(each), each)
            for each in messages
        ]
        return await self._read(lambda given, account: message_queries.records_of(given, account, wanted))

    @sealed_async
    async def other_texts(self, messages: Sequence[Message]) -> list[Message]:
        """See `Ledger.other_texts`."""
        wanted = [(self.key_of(message), message) for message in messages]
        places = await self._read(
            lambda given, account: message_queries.other_texts_of(given, account, wanted)
        )
        return [messages[place] for place in places]

    @sealed_async
    async def resolve_many(self, resolutions: Iterable[Resolution]) -> None:
        """See `Ledger.resolve_many`."""
        given = list(resolutions)
        missing = await self._write(
            lambda transaction, account: postgres_resolutions.resolve_some(transaction, account, given)
        )
        if missing:
            # The error text must not contain the keys: a key may be a phone number.
            raise LedgerError(f"there is no unknown message for {missing} of {len(given)} keys")

    async def resolve_all(self, *, sent: bool) -> int:
        """See `Ledger.resolve_all`."""
        checked_sent(sent)
        return await self._write(
            lambda given, account: postgres_resolutions.resolve_everything(given, account, sent=sent)
        )

    async def retry_rejected(self, codes: Iterable[int] | None = None) -> int:
        """See `Ledger.retry_rejected`."""
        checked = None if codes is None else checked_codes(codes)
        return await self._write(
            lambda given, account: postgres_resolutions.make_rejected_pending(given, account, checked)
        )

    @sealed_async
    async def record(self, deliveries: Sequence[Delivery]) -> None:
        """See `Ledger.record`."""
        keyed = postgres_deliveries.keyed_deliveries(deliveries)
        missing = await self._write(
            lambda given, account: postgres_deliveries.record_deliveries(given, account, keyed),
            is_repeatable=True,
        )
        if missing:
            raise LedgerError(
                f"{missing} of {len(keyed)} deliveries were not recorded, because this ledger has no accepted"
                " message with the same key and segment ids"
            )

    def to_track(self) -> AsyncIterator[Receipt | Delivery]:
        """See `Ledger.to_track`."""

        async def page_after(
            after: message_queries.After,
        ) -> tuple[message_queries.After, list[Receipt | Delivery]]:
            return await self._read(
                lambda given, account: message_queries.page_to_track(given, account, after, _PAGE)
            )

        visits = PostgresVisits(self._write)
        return PagesToTrack(page_after, message_queries.BEGINNING, ledger=self, visits=visits)

    async def deliveries_summary(self) -> DeliverySummary:
        """See `Ledger.deliveries_summary`."""
        return await self._read(message_queries.deliveries_summary_of)

    def role(
        self, name: str, *, timeout: float | timedelta | None = None
    ) -> AbstractAsyncContextManager[object]:
        """See `Ledger.role`."""
        opened, checked, seconds = self._opened(), checked_role(name), checked_timeout(timeout)
        self._check_writable()
        place, address, account = opened.name, opened.address, account_of(opened)
        work = {"read": self._read, "write": self._write}
        return PostgresRole(checked, place=place, address=address, account=account, timeout=seconds, **work)

    def checkpoint(self, name: str = "incoming") -> Checkpoint:
        """See `Ledger.checkpoint`."""
        return LedgerCheckpoint(self, name)

    async def load_position(self, name: str) -> Position | None:
        """Return the position of an inbox that was saved last under a name, or None."""
        return await self._read(
            lambda given, account: postgres_deliveries.load_position(given, account, name)
        )

    @sealed_async
    async def save_position(self, name: str, position: Position) -> None:
        """Store the position of an inbox under a name."""
        logs = self._logs
        await self._write(
            lambda given, account: postgres_deliveries.save_position(given, account, name, position, logs),
            is_repeatable=True,
        )

    def _settle_job(self, opened: OpenedLedger, token: str, answer: RequestAnswer) -> DatabaseJob[None]:
        return self._end_job(opened, claims.SettlePart(token, answer))

    def _release_job(self, opened: OpenedLedger, token: str, *, is_quiet: bool = False) -> DatabaseJob[None]:
        return self._end_job(opened, claims.ReleasePart(token, is_quiet))

    async def _end_claim(self, opened: OpenedLedger, token: str, job: DatabaseJob[None]) -> None:
        try:
            opened.threads.add(job)
            # A job that was passed to the threads is done, also if the caller is cancelled.
            await opened.end_of(job)
            job.result()
        except SmsApiError:
            # Nobody will record an answer any more, so the messages become unknown now.
            self._give_up(opened, token)
            raise
        finally:
            opened.live.pop(token, None)
            # Those who wait claim the message again, and learn from the ledger what became of it.
            self._wake(token)

    def _give_up(self, opened: OpenedLedger, token: str) -> None:
        ending = _ending_of(account_of(opened), [token])
        if ending is not None and self._state is opened and not opened.threads.is_inherited:
            opened.threads.add(ending)

    def _pages(
        self, states: Sequence[str], item: Callable[[StoredDetails, Row], _Value]
    ) -> AsyncIterator[_Value]:
        async def page_after(after: message_queries.After) -> tuple[message_queries.After, list[_Value]]:
            return await self._read(
                lambda given, account: message_queries.page(
                    given, account, after, item, states=states, limit=_PAGE
                )
            )

        return Pages(page_after, message_queries.BEGINNING)


def _account(transaction: Transaction, database: str, name: str, *, redact: bool) -> LedgerAccount:
    """Check the tables, and return the account. Opening changes no request of anybody."""
    check_version(transaction, database)
    row = transaction.row(sql.FIND_ACCOUNT, name)
    if row is None and transaction.reads:
        raise AccountMissing(f"{database}: there is no account {name!r}")
    if row is None:
        transaction.run(sql.ADD_ACCOUNT, name, redact)
        row = transaction.row(sql.FIND_ACCOUNT, name)
    if row is not None and row["redacted"] is None and not transaction.reads:
        if redact:
            # Transactions that enqueue have read the account, so this line waits for their end.
            transaction.run(sql.LOCK_ACCOUNTS)
        transaction.run(sql.DECIDE_REDACTED, redact, row["id"])
        row = transaction.row(sql.FIND_ACCOUNT, name)
    assert row is not None  # noqa: S101 - the account was inserted
    if redact and not row["redacted"]:
        raise LedgerError(
            f"{database}: the account {name!r} contains phone numbers and texts: it was created without"
            " `redact`; pass redact=False, or use another account"
        )
    return LedgerAccount(row["id"], bool(row["redacted"]))


def _is_live(transaction: Transaction, account: LedgerAccount, token: str) -> bool:
    return transaction.row(sql.IS_LIVE, account.id, token) is not None


def _ending_of(account: LedgerAccount, live: Iterable[str]) -> DatabaseJob[int] | None:
    """Return the job that makes the messages of lost claims unknown; None without claims."""
    tokens = list(live)
    if not tokens:
        return None
    return DatabaseJob(
        lambda given: given.run(sql.END_CLAIMS, account.id, tokens), is_repeatable=True, patience=0.0
    )
