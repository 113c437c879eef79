"""The connection of a PostgreSQL ledger: the threads that run its transactions, and its account."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import anyio
import attrs

from smsapi_async.errors import LedgerError
from smsapi_async.eventloop import Event
from smsapi_async.ledger.postgres import claims
from smsapi_async.ledger.postgres.stored_messages import LedgerAccount
from smsapi_async.postgres.address import Address
from smsapi_async.postgres.connection_threads import ConnectionThreads, DatabaseJob
from smsapi_async.postgres.transactions import Transaction

_Value = TypeVar("_Value")

SETTLE_PATIENCE: Final = 180.0
"""The longest time, in seconds, for which an answer or a release is repeated while the server is away."""


@attrs.define(eq=False)
class OpenedLedger:
    """What belongs to one opening of a ledger.

    Attributes:
        name: the name of the database and the account, for texts.
        address: the address of the database.
        threads: the threads with the connections.
        live: for each claim of this object that has not ended, its token and the time of its end, in seconds
            since the start of the computer.
        account: the account; None until the database has been checked.
        abandoned: the jobs that change something, whose callers were cancelled.
    """

    name: str
    address: Address
    threads: ConnectionThreads
    live: dict[str, float]
    account: LedgerAccount | None = None
    abandoned: list[DatabaseJob[Any]] = attrs.field(factory=list)

    async def end_of(self, job: DatabaseJob[Any]) -> None:
        """Wait until a job has ended. If the caller is cancelled, the job continues to its end."""
        assert job.ended is not None  # noqa: S101 - the type checker needs this line
        try:
            await job.ended.wait()
        except BaseException:
            if not job.reads:
                self.abandoned.append(job)
            raise

    async def end_of_abandoned(self) -> None:
        """Wait until the changes of cancelled callers are stored, so that a read finds these changes."""
        while self.abandoned:
            first = self.abandoned[0]
            job: DatabaseJob[Any] | None = first
            while job is not None and job.ended is not None:
                await job.ended.wait()
                job = job.follower
            if first in self.abandoned:
                self.abandoned.remove(first)

    def run_parts(self, transaction: Transaction, parts: Sequence[claims.Part]) -> Sequence[Any]:
        """Run claims, answers and releases in one transaction; see `claims.run_parts`."""
        return claims.run_parts(transaction, account_of(self), parts)


class LedgerConnection:
    """The base class of a PostgreSQL ledger, which runs functions in transactions.

    Args:
        read_only: whether the ledger only reads.
    """

    def __init__(self, *, read_only: bool) -> None:
        self._read_only = read_only
        self._place = "the ledger"
        self._state: OpenedLedger | None = None
        self._event: Callable[[], Event] = anyio.Event
        # For each token for which somebody waits, the event of its end in this process.
        self._ends: dict[str, anyio.Event] = {}

    def _opened(self) -> OpenedLedger:
        if self._state is None:
            raise LedgerError(f"{self._place} is not open; use `async with`")
        return self._state

    def _check_writable(self) -> None:
        if self._read_only:
            raise LedgerError(f"{self._place} was opened for reading only")

    async def _run(self, work: Callable[[Transaction], _Value], **options: Any) -> _Value:  # noqa: ANN401
        job: DatabaseJob[_Value] = DatabaseJob(work, ended=self._event(), **options)
        opened = self._opened()
        if job.reads and opened.abandoned:
            await opened.end_of_abandoned()
        opened.threads.add(job)
        await opened.end_of(job)
        return job.result()

    async def _read(self, work: Callable[[Transaction, LedgerAccount], _Value]) -> _Value:
        account = account_of(self._opened())
        return await self._run(lambda given: work(given, account), reads=True)

    async def _write(
        self, work: Callable[[Transaction, LedgerAccount], _Value], *, is_repeatable: bool = False
    ) -> _Value:
        account = account_of(self._opened())
        self._check_writable()
        return await self._run(lambda given: work(given, account), is_repeatable=is_repeatable)

    def _end_job(
        self, opened: OpenedLedger, part: claims.Part, patience: float | None = None
    ) -> DatabaseJob[Any]:
        seconds = SETTLE_PATIENCE if patience is None else patience
        return DatabaseJob.of_part(opened.run_parts, part, ended=self._event(), patience=seconds)

    def _wake(self, token: str) -> None:
        event = self._ends.pop(token, None)
        if event is not None:
            event.set()


def account_of(opened: OpenedLedger) -> LedgerAccount:
    """Return the account of an open ledger."""
    if opened.account is None:
        raise LedgerError(f"{opened.name} is not open; use `async with`")
    return opened.account
