"""The ledger in one SQLite file: SQLAlchemy's sync engine in a worker thread."""

from __future__ import annotations

import importlib.util
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import anyio
from anyio import to_thread

from smsapi_async.errors import LedgerError
from smsapi_async.inbox import Checkpoint, Position
from smsapi_async.ledger.interface import Ledger
from smsapi_async.ledger.sqlite.jobs import Job
from smsapi_async.ledger.sqlite.store import Store
from smsapi_async.ledger.summaries import DeliverySummary, OutcomeState, Summary
from smsapi_async.models import Message, Receipt
from smsapi_async.outcomes import Outcome
from smsapi_async.tracking import Delivery

if TYPE_CHECKING:
    from smsapi_async.ledger.sqlite.message_records import MessageRecords

_Value = TypeVar("_Value")
_PAGE = 500


class SqliteLedger(Ledger):
    """See `Ledger.sqlite`."""

    def __init__(self, path: str | os.PathLike[str], *, redact: bool, read_only: bool) -> None:
        if importlib.util.find_spec("sqlalchemy") is None:
            raise LedgerError("a ledger needs SQLAlchemy: pip install 'smsapi-async[ledger]'")
        self._path = os.fsdecode(path)
        self._redact = redact
        self._read_only = read_only
        self._store: Store | None = None
        self._limiter: anyio.CapacityLimiter
        self._turn: anyio.CapacityLimiter

    def __repr__(self) -> str:
        return f"<Ledger {self._path!r}, {'closed' if self._store is None else 'open'}>"

    async def _open(self) -> None:
        if self._store is not None:
            raise LedgerError(f"{self._path} is open already")
        self._limiter = anyio.CapacityLimiter(1)
        self._turn = anyio.CapacityLimiter(1)
        self._store = store = Store(self._path, redact=self._redact, read_only=self._read_only)
        try:
            await self._in_thread(store.open)
        except BaseException:
            # Reached with the file open when asyncio's `Task.cancel` came.
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close the ledger and let another writer have it. Closing twice is allowed."""
        store, self._store = self._store, None
        if store is not None and store.is_inherited:
            store.close()
        elif store is not None:
            with anyio.CancelScope(shield=True):
                # Behind the calls that wait.
                async with self._turn:
                    await self._in_thread(store.close)

    async def claim(self, messages: Sequence[tuple[str, Message]]) -> dict[str, Outcome | None]:
        """As `Ledger.claim`."""
        job = Job(lambda account: account.claim(messages), joins=True)
        try:
            return await self._result_of(job)
        except anyio.get_cancelled_exc_class():
            # asyncio's `Task.cancel` goes through the shield: the caller will never know what was
            # claimed for it, and has sent nothing.
            await self._run(lambda account: account.release(_claimed(job)))
            raise

    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        """As `Ledger.settle`."""
        await self._result_of(Job(lambda account: account.settle(outcomes), joins=True))

    async def release(self, keys: Sequence[str]) -> None:
        """As `Ledger.release`."""
        await self._result_of(Job(lambda account: account.release(keys), joins=True))

    async def record_pending(self, messages: Sequence[tuple[str, Message]]) -> None:
        """As `Ledger.record_pending`."""
        await self._run(lambda account: account.record_pending(messages))

    async def summary(self) -> Summary:
        """As `Ledger.summary`."""
        return await self._run(lambda account: account.summary())

    def outcomes(self, *, state: OutcomeState | None = None) -> AsyncIterator[Outcome]:
        """As `Ledger.outcomes`."""
        return _Pages(lambda last: self._run(lambda account: account.outcomes_after(last, state, _PAGE)))

    async def pending(self, limit: int = 1000) -> list[tuple[str, Message | None]]:
        """As `Ledger.pending`."""
        return await self._run(lambda account: account.pending(limit))

    async def resolve(self, key: str, *, sent: bool, segment_ids: Sequence[str] = ()) -> None:
        """As `Ledger.resolve`."""
        await self._run(lambda account: account.resolve(key, sent=sent, segment_ids=segment_ids))

    async def retry_rejected(self) -> int:
        """As `Ledger.retry_rejected`."""
        return await self._run(lambda account: account.retry_rejected())

    async def record(self, deliveries: Sequence[Delivery]) -> None:
        """As `Ledger.record`."""
        await self._run(lambda account: account.deliveries.record(deliveries))

    def to_track(self) -> AsyncIterator[Receipt | Delivery]:
        """As `Ledger.to_track`."""
        return _Pages(lambda last: self._run(lambda account: account.deliveries.open_after(last, _PAGE)))

    async def deliveries_summary(self) -> DeliverySummary:
        """As `Ledger.deliveries_summary`."""
        return await self._run(lambda account: account.deliveries.summary())

    def checkpoint(self, name: str = "incoming") -> Checkpoint:
        """As `Ledger.checkpoint`."""
        return _Checkpoint(self, name)

    async def load_position(self, name: str) -> Position | None:
        """The position saved last under a name."""
        return await self._run(lambda account: account.checkpoints.load(name))

    async def save_position(self, name: str, position: Position) -> None:
        """Keep a position under a name."""
        await self._run(lambda account: account.checkpoints.save(name, position))

    async def _run(self, work: Callable[[MessageRecords], _Value]) -> _Value:
        return await self._result_of(Job(work))

    async def _result_of(self, job: Job[_Value]) -> _Value:
        store = self._store
        if store is None:
            raise LedgerError(f"{self._path} is not open; use `async with`")
        store.add(job)
        is_handed_over = False
        try:
            with anyio.CancelScope(shield=True):
                async with self._turn:
                    # Whoever had the turn before may have done it along with its own.
                    if not job.done:
                        is_handed_over = True
                        await self._in_thread(lambda: store.finish(job))
        except BaseException:
            # asyncio's `Task.cancel`: what no thread was asked for is not begun.
            job.withdrawn = not is_handed_over
            raise
        return job.result()

    async def _in_thread(self, work: Callable[[], _Value]) -> _Value:
        # Shielded as a whole: a cancellation while waiting for the thread would leave a write undone.
        with anyio.CancelScope(shield=True):
            result = await to_thread.run_sync(work, limiter=self._limiter)
        return result  # noqa: RET504 - to mypy a cancel scope may swallow the exception


def _claimed(job: Job[dict[str, Outcome | None]]) -> list[str]:
    return [key for value in job.values for key, outcome in value.items() if outcome is None]


class _Pages(AsyncIterator[_Value], Generic[_Value]):
    """Reads page after page; holds no transaction and no thread in between."""

    def __init__(self, page_after: Callable[[int], Awaitable[tuple[int, list[_Value]]]]) -> None:
        self._page_after = page_after
        self._last = 0
        self._page: deque[_Value] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Value:
        if not self._page:
            self._last, page = await self._page_after(self._last)
            self._page.extend(page)
        if not self._page:
            raise StopAsyncIteration
        return self._page.popleft()


class _Checkpoint:
    """See `Ledger.checkpoint`."""

    def __init__(self, ledger: SqliteLedger, name: str) -> None:
        self._ledger = ledger
        self._name = name

    async def load(self) -> Position | None:
        """The position saved last."""
        return await self._ledger.load_position(self._name)

    async def save(self, position: Position) -> None:
        """Keep a position."""
        await self._ledger.save_position(self._name, position)
