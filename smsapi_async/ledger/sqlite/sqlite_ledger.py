"""The ledger in one SQLite file. A worker thread uses the synchronous engine of SQLAlchemy."""

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
from smsapi_async.ledger.summaries import DeliverySummary, OutcomeState, Summary, outcome_states
from smsapi_async.models import Message, Receipt
from smsapi_async.outcomes import Outcome
from smsapi_async.privacy import sealed_async, steady_repr
from smsapi_async.tracking import Delivery

if TYPE_CHECKING:
    from smsapi_async.ledger.sqlite.message_records import MessageRecords

_Value = TypeVar("_Value")
_PAGE = 500


@steady_repr
class SqliteLedger(Ledger):
    """The class of the ledgers that `Ledger.sqlite` creates."""

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
            # asyncio's `Task.cancel` cancels even inside a shielded scope of AnyIO. The thread may already
            # have opened the file, so we close the file.
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close the ledger. See `Ledger.aclose`."""
        store, self._store = self._store, None
        if store is not None and store.is_inherited:
            store.close()
        elif store is not None:
            with anyio.CancelScope(shield=True):
                # Method calls that are already waiting for `_turn` still run before the ledger is closed.
                async with self._turn:
                    await self._in_thread(store.close)

    @sealed_async
    async def claim(self, messages: Sequence[tuple[str, Message]]) -> dict[str, Outcome | None]:
        """See `Ledger.claim`."""
        job = Job(lambda records: records.claim(messages), joins=True)
        try:
            return await self._result_of(job)
        except anyio.get_cancelled_exc_class():
            # asyncio's `Task.cancel` cancels even inside a shielded scope of AnyIO. The cancelled caller will
            # not send the messages that `claim` set to the state ``sending``, so we make these messages
            # pending again.
            await self._run(lambda records: records.release(_claimed(job)))
            raise

    @sealed_async
    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        """See `Ledger.settle`."""
        await self._result_of(Job(lambda records: records.settle(outcomes), joins=True))

    @sealed_async
    async def release(self, keys: Sequence[str]) -> None:
        """See `Ledger.release`."""
        await self._result_of(Job(lambda records: records.release(keys), joins=True))

    @sealed_async
    async def record_pending(self, messages: Sequence[tuple[str, Message]]) -> None:
        """See `Ledger.record_pending`."""
        await self._run(lambda records: records.record_pending(messages))

    async def summary(self) -> Summary:
        """See `Ledger.summary`."""
        return await self._run(lambda records: records.summary())

    def outcomes(self, *, state: OutcomeState | None = None) -> AsyncIterator[Outcome]:
        """See `Ledger.outcomes`."""
        states = outcome_states(state)
        return _Pages(lambda last: self._run(lambda records: records.outcomes_after(last, states, _PAGE)))

    async def pending(self, limit: int = 1000) -> list[tuple[str, Message | None]]:
        """See `Ledger.pending`."""
        return await self._run(lambda records: records.pending(limit))

    @sealed_async
    async def resolve(self, key: str, *, sent: bool, segment_ids: Sequence[str] = ()) -> None:
        """See `Ledger.resolve`."""
        await self._run(lambda records: records.resolve(key, sent=sent, segment_ids=segment_ids))

    async def retry_rejected(self) -> int:
        """See `Ledger.retry_rejected`."""
        return await self._run(lambda records: records.retry_rejected())

    @sealed_async
    async def record(self, deliveries: Sequence[Delivery]) -> None:
        """See `Ledger.record`."""
        await self._run(lambda records: records.deliveries.record(deliveries))

    def to_track(self) -> AsyncIterator[Receipt | Delivery]:
        """See `Ledger.to_track`."""
        return _Pages(lambda last: self._run(lambda records: records.deliveries.open_after(last, _PAGE)))

    async def deliveries_summary(self) -> DeliverySummary:
        """See `Ledger.deliveries_summary`."""
        return await self._run(lambda records: records.deliveries.summary())

    def checkpoint(self, name: str = "incoming") -> Checkpoint:
        """See `Ledger.checkpoint`."""
        return _Checkpoint(self, name)

    async def load_position(self, name: str) -> Position | None:
        """Return the position of an inbox that was saved last under a name, or None."""
        return await self._run(lambda records: records.checkpoints.load(name))

    @sealed_async
    async def save_position(self, name: str, position: Position) -> None:
        """Store the position of an inbox under a name."""
        await self._run(lambda records: records.checkpoints.save(name, position))

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
                    # Another caller may already have run this job, in the same transaction as its own job.
                    if not job.done:
                        is_handed_over = True
                        await self._in_thread(lambda: store.finish(job))
        except BaseException:
            # asyncio's `Task.cancel` cancels even inside a shielded scope of AnyIO. A job that no worker
            # thread has received yet must not start after its caller is cancelled.
            job.withdrawn = not is_handed_over
            raise
        return job.result()

    async def _in_thread(self, work: Callable[[], _Value]) -> _Value:
        # The shielded scope must include the wait for a free thread. If the wait for a thread were cancelled,
        # the write would not happen.
        with anyio.CancelScope(shield=True):
            result = await to_thread.run_sync(work, limiter=self._limiter)
        return result  # noqa: RET504 - mypy assumes that a cancel scope can suppress errors


def _claimed(job: Job[dict[str, Outcome | None]]) -> list[str]:
    return [key for value in job.values for key, outcome in value.items() if outcome is None]


class _Pages(AsyncIterator[_Value], Generic[_Value]):
    """An async iterator over rows of a ledger, which reads the rows page by page.

    Between two pages, no transaction is open and no thread waits.

    Args:
        page_after: an async function that takes the id of the last row of the previous page. The function
            returns the id of the last row of the new page, and the items of the new page.
    """

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
    """The class of the checkpoints that `Ledger.checkpoint` returns."""

    def __init__(self, ledger: SqliteLedger, name: str) -> None:
        self._ledger = ledger
        self._name = name

    async def load(self) -> Position | None:
        """Return the position of the inbox that was saved last, or None."""
        return await self._ledger.load_position(self._name)

    async def save(self, position: Position) -> None:
        """Store a position, which replaces the earlier position of the same inbox."""
        await self._ledger.save_position(self._name, position)
