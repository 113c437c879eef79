"""The ledger in one SQLite file. A thread of the ledger uses the file."""

from __future__ import annotations

import os
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import anyio

from smsapi_async.errors import LedgerError
from smsapi_async.eventloop import Event, caller_from_threads, event_type
from smsapi_async.inbox import Checkpoint, Position
from smsapi_async.ledger.file_roles import FileRoles, checked_role
from smsapi_async.ledger.interface import Ledger
from smsapi_async.ledger.keys import checked_key
from smsapi_async.ledger.pages import LedgerCheckpoint, Pages, PagesToTrack, SortedPages
from smsapi_async.ledger.records import (
    MessageState,
    Record,
    Resolution,
    UnknownMessage,
    checked_codes,
)
from smsapi_async.ledger.requests import Claimed, RequestAnswer
from smsapi_async.ledger.sqlite.all_records import Records
from smsapi_async.ledger.sqlite.jobs import ClaimJob, Job, ReleaseJob, SettleJob
from smsapi_async.ledger.sqlite.ledger_thread import LedgerThread
from smsapi_async.ledger.sqlite.request_records import NOTHING, ClaimOrder
from smsapi_async.ledger.summaries import DeliverySummary, OutcomeState, Summary, outcome_states
from smsapi_async.models import Message, Receipt
from smsapi_async.outcomes import Outcome
from smsapi_async.privacy import sealed_async, steady_repr
from smsapi_async.settings import checked_timeout
from smsapi_async.tracking import Delivery

if TYPE_CHECKING:
    from smsapi_async.ledger.sqlite.message_reader import MessageReader, Page

_Value = TypeVar("_Value")
_PAGE = 500


@steady_repr
class SqliteLedger(Ledger):
    """The class of the ledgers that `Ledger.sqlite` creates."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        redact: bool = False,
        read_only: bool = False,
        accept_copy: bool = False,
    ) -> None:
        self._path = os.fsdecode(path)
        self._open_records = partial(
            Records, self._path, redact=redact, read_only=read_only, accept_copy=accept_copy
        )
        self._thread: LedgerThread | None = None
        self._event: Callable[[], Event] = anyio.Event
        # For each token in flight for which somebody waits, the event of its end.
        self._ends: dict[str, anyio.Event] = {}
        self._roles = FileRoles()

    def __repr__(self) -> str:
        return f"<Ledger {self._path!r}, {'closed' if self._thread is None else 'open'}>"

    async def _open(self) -> None:
        if self._thread is not None:
            raise LedgerError(f"{self._path} is open already")
        self._thread = thread = LedgerThread(self._path, self._open_records, caller_from_threads())
        weakref.finalize(self, thread.end).atexit = False
        self._event = event_type()
        opening: Job[None] = Job(ended=self._event())
        thread.start(opening)
        try:
            await _end_of(opening)
        except BaseException:
            # asyncio's `Task.cancel` cancels even inside a shielded scope of AnyIO. The thread then closes
            # the file as soon as it has opened the file.
            self._thread = None
            thread.end()
            raise

    async def aclose(self) -> None:
        """Close the ledger. See `Ledger.aclose`."""
        thread, self._thread = self._thread, None
        if thread is not None:
            closing: Job[None] = Job(ended=self._event())
            thread.end(closing)
            # Those who wait for another claim learn from their next call that the ledger is closed.
            for token in list(self._ends):
                self._wake(token)
            if not thread.is_inherited:
                await _end_of(closing)

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
        thread = self._opened()
        job = ClaimJob(ended=(ended := self._event()), order=ClaimOrder(token, messages, positions))
        settling = None if settle is None else SettleJob(token=settle[0], answer=settle[1])
        try:
            thread.add(*([job] if settling is None else [settling, job]))
            await ended.wait()
        except BaseException:
            # The cancelled caller will not send the messages. If the thread has begun the claim, they become
            # pending again.
            thread.take_back(job, ReleaseJob(token=token))
            self._wake(token)
            raise
        finally:
            if settle is not None:
                self._wake(settle[0])
        if settling is not None and settling.error is not None:
            if job.error is None:
                await self.release(token)
            settling.result()
        return job.result()

    @sealed_async
    async def settle(self, token: str, answer: RequestAnswer) -> None:
        """See `Ledger.settle`."""
        await self._end_claim(SettleJob(ended=self._event(), token=token, answer=answer))

    @sealed_async
    async def release(self, token: str) -> None:
        """See `Ledger.release`."""
        await self._end_claim(ReleaseJob(ended=self._event(), token=token))

    async def wait(self, token: str) -> None:
        """See `Ledger.wait`."""
        # The event is there before the question, so that an end between the question and the wait is noticed.
        end = self._ends.setdefault(token, anyio.Event())
        if await self._run(lambda records: records.requests.is_live(token)):
            await end.wait()
        else:
            self._wake(token)

    @sealed_async
    async def record_pending(
        self, messages: Sequence[tuple[str, Message]], *, positions: Sequence[int] = ()
    ) -> None:
        """See `Ledger.record_pending`."""
        await self._run(lambda records: records.requests.add_pending(messages, positions))

    @sealed_async
    async def first_position(self, key: str, message: Message) -> int:
        """See `Ledger.first_position`."""
        return await self._run(lambda records: records.requests.first_position((key, message)))

    async def summary(self) -> Summary:
        """See `Ledger.summary`."""
        return await self._run(lambda records: records.reader.summary())

    def outcomes(self, *, state: OutcomeState | None = None) -> AsyncIterator[Outcome]:
        """See `Ledger.outcomes`."""
        states = outcome_states(state)
        return self._pages(lambda reader, last: reader.outcomes(last, states, _PAGE))

    def unknown(self) -> AsyncIterator[UnknownMessage]:
        """See `Ledger.unknown`."""
        return self._pages(lambda reader, last: reader.unknown(last, _PAGE))

    def report(self) -> AsyncIterator[Record]:
        """See `Ledger.report`."""
        end = partial(_end_report, weakref.ref(self))
        return SortedPages(self.begin_report, self.page_of_report, end)

    async def pending(self, limit: int = 1000) -> list[tuple[str, Message | None]]:
        """See `Ledger.pending`."""
        return await self._run(lambda records: records.reader.pending(limit))

    @sealed_async
    async def states(self, messages: Sequence[Message]) -> list[MessageState | None]:
        """See `Ledger.states`."""
        keyed = [(self.key_of(message), message) for message in messages]
        return await self._run(lambda records: records.reader.states(keyed))

    @sealed_async
    async def records(self, messages: Sequence[Message | str]) -> list[Record | None]:
        """See `Ledger.records`."""
        keyed = [
            (checked_key(each), NOTHING) if isinstance(each, str) else (self.key_of(each), each)
            for each in messages
        ]
        return await self._run(lambda records: records.reader.records(keyed))

    @sealed_async
    async def other_texts(self, messages: Sequence[Message]) -> list[Message]:
        """See `Ledger.other_texts`."""
        keyed = [(self.key_of(message), message) for message in messages]
        places = await self._run(lambda records: records.reader.other_texts(keyed))
        return [messages[place] for place in places]

    @sealed_async
    async def resolve_many(self, resolutions: Iterable[Resolution]) -> None:
        """See `Ledger.resolve_many`."""
        given = list(resolutions)
        missing = await self._run(lambda records: records.resolutions.resolve(given))
        if missing:
            # The error text must not contain the keys: a key may be a phone number.
            raise LedgerError(f"there is no unknown message for {missing} of {len(given)} keys")

    async def resolve_all(self, *, sent: bool) -> int:
        """See `Ledger.resolve_all`."""
        return await self._run(lambda records: records.resolutions.resolve_all(sent=sent))

    async def retry_rejected(self, codes: Iterable[int] | None = None) -> int:
        """See `Ledger.retry_rejected`."""
        checked = None if codes is None else checked_codes(codes)
        return await self._run(lambda records: records.resolutions.retry_rejected(checked))

    @sealed_async
    async def record(self, deliveries: Sequence[Delivery]) -> None:
        """See `Ledger.record`."""
        await self._run(lambda records: records.deliveries.record(deliveries))

    def to_track(self) -> AsyncIterator[Receipt | Delivery]:
        """See `Ledger.to_track`."""
        return PagesToTrack(self.page_to_track, 0)

    async def deliveries_summary(self) -> DeliverySummary:
        """See `Ledger.deliveries_summary`."""
        return await self._run(lambda records: records.reader.deliveries_summary())

    def checkpoint(self, name: str = "incoming") -> Checkpoint:
        """See `Ledger.checkpoint`."""
        return LedgerCheckpoint(self, name)

    def role(
        self, name: str, *, timeout: float | timedelta | None = None
    ) -> AbstractAsyncContextManager[object]:
        """See `Ledger.role`."""
        return self._roles.held(checked_role(name), checked_timeout(timeout))

    async def load_position(self, name: str) -> Position | None:
        """Return the position of an inbox that was saved last under a name, or None."""
        return await self._run(lambda records: records.checkpoints.load(name))

    @sealed_async
    async def save_position(self, name: str, position: Position) -> None:
        """Store the position of an inbox under a name."""
        await self._run(lambda records: records.checkpoints.save(name, position))

    async def page_to_track(self, last: int) -> Page[Receipt | Delivery]:
        """Return one page of the messages to track; see `MessageReader.to_track`."""
        return await self._run(lambda records: records.reader.to_track(last, _PAGE))

    async def begin_report(self) -> str:
        """Sort the messages for a report, and return the name of the result."""
        return await self._run(lambda records: records.reader.begin_report())

    async def page_of_report(self, name: str, last: int) -> Page[Record]:
        """Return one page of a report; see `MessageReader.report`."""
        return await self._run(lambda records: records.reader.report(name, last, _PAGE))

    def end_report(self, name: str) -> None:
        """Delete the sorted messages of a report, without waiting."""
        if self._thread is not None and not self._thread.is_inherited:
            self._thread.add(Job(lambda records: records.reader.end_report(name)))

    def _opened(self) -> LedgerThread:
        if self._thread is None:
            raise LedgerError(f"{self._path} is not open; use `async with`")
        return self._thread

    async def _run(self, work: Callable[[Records], _Value]) -> _Value:
        job = Job(work, ended=self._event())
        self._opened().add(job)
        return await _end_of(job)

    async def _end_claim(self, job: SettleJob | ReleaseJob) -> None:
        try:
            self._opened().add(job)
            assert job.ended is not None  # noqa: S101 - the type checker needs this line
            # A job that was passed to the thread is done, also if the caller is cancelled.
            await job.ended.wait()
            job.result()
        finally:
            # Those who wait claim the message again, and learn from the ledger what became of it.
            self._wake(job.token)

    def _wake(self, token: str) -> None:
        event = self._ends.pop(token, None)
        if event is not None:
            event.set()

    def _pages(self, read: Callable[[MessageReader, int], Page[_Value]]) -> AsyncIterator[_Value]:
        return Pages(lambda last: self._run(lambda records: read(records.reader, last)), 0)


async def _end_of(job: Job[_Value]) -> _Value:
    # A job that was passed to the thread is done, so the caller waits for its result.
    assert job.ended is not None  # noqa: S101 - the type checker needs this line
    with anyio.CancelScope(shield=True):
        await job.ended.wait()
    return job.result()


def _end_report(ledger: weakref.ref[SqliteLedger], name: str) -> None:
    found = ledger()
    if found is not None:
        found.end_report(name)
