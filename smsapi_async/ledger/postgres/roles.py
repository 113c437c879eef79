"""Roles in a PostgreSQL ledger: work that exactly one of several workers does at a time.

A worker holds a role by a lease in the table ``roles``, on the clock of the server. The holder renews the
lease every second. If the holder does not renew the lease in time, its work is cancelled one second before
the end of the lease, so that the work has ended before another worker begins.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import anyio

from smsapi_async.clock import time_since_boot
from smsapi_async.errors import LedgerError, LedgerInUse
from smsapi_async.eventloop import caller_from_threads, event_type
from smsapi_async.ledger.postgres import postgres_statements as sql
from smsapi_async.ledger.postgres.stored_messages import LedgerAccount, LedgerWork
from smsapi_async.postgres.address import Address
from smsapi_async.postgres.connection_threads import ConnectionThreads, DatabaseJob
from smsapi_async.postgres.transactions import Transaction
from smsapi_async.privacy import steady_repr
from smsapi_async.streams import StreamTasks

_Value = TypeVar("_Value")

LEASE_SECONDS: Final = 10.0
"""For how many seconds a lease is valid. After a kill of the holder, another worker begins so much later."""

# The work of the holder is cancelled this number of seconds before the end of the lease.
_MARGIN = 1.0
# The seconds between two renewals, and between two attempts of a waiting worker.
_PAUSE = 1.0
# The longest time, in seconds, for which the end of the block waits for the release of the role.
_LONGEST_RELEASE = 5.0


@steady_repr
class PostgresRole:
    """The class of the roles that `Ledger.role` returns for a PostgreSQL ledger.

    Args:
        name: the name of the role.
        place: the name of the ledger, for texts.
        address: the address of the database. The holder renews the lease with a connection of its own.
        account: the account of the ledger.
        read: runs a function in a transaction that only reads.
        write: runs a function in a transaction.
        timeout: the longest time to wait for the role, in seconds; None means no limit.
    """

    def __init__(
        self,
        name: str,
        *,
        place: str,
        address: Address,
        account: LedgerAccount,
        read: LedgerWork,
        write: LedgerWork,
        timeout: float | None,
    ) -> None:
        self._name = name
        self._text = f"{place}: the role {name!r}"
        self._address = address
        self._account = account
        self._read = read
        self._write = write
        self._timeout = timeout
        self._holder = secrets.token_hex(8)
        self._tasks = StreamTasks()
        self._threads: ConnectionThreads | None = None
        self._may_hold = False
        self._is_lost = False
        # The scope of the body. Its deadline is the time at which the body must end.
        self._scope: anyio.CancelScope
        self._boot_deadline = 0.0

    async def __aenter__(self) -> Self:
        if self._threads is not None:
            raise LedgerError(f"{self._text} was entered before; call `role` again")
        self._threads = threads = ConnectionThreads(self._address, caller_from_threads())
        self._scope = anyio.CancelScope()
        try:
            await self._take_in_time()
            await self._tasks.enter(self._renew)
        except BaseException:
            await self._release(threads)
            raise
        self._scope.__enter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._threads is not None  # noqa: S101 - the type checker needs this line
        # The body may also end after the end of the lease without a cancellation.
        is_late = exc_value is None and self._is_over()
        try:
            self._scope.__exit__(exc_type, exc_value, traceback)
        finally:
            try:
                await self._tasks.leave()
            finally:
                await self._release(self._threads)
        if is_late or self._scope.cancelled_caught:
            raise LedgerInUse(f"{self._text} was lost: the lease could not be renewed in time") from None

    async def _take_in_time(self) -> None:
        with anyio.move_on_after(self._timeout) as scope:
            await self._take()
        if scope.cancelled_caught:
            raise LedgerInUse(f"{self._text} is held by another worker")

    async def _take(self) -> None:
        while True:
            left = await self._read(self._seconds_left)
            if left <= 0:
                # The server reads its clock later, so the lease is valid for longer than this process thinks.
                self._begin_lease_at(*_now())
                # A cancelled attempt may take the role.
                self._may_hold = True
                self._may_hold = await self._write(self._try_to_take, is_repeatable=True)
                # An attempt takes long if the server was away. The next attempt then renews the lease.
                if self._may_hold and not self._is_over():
                    return
            await anyio.sleep(min(max(left, 0.05), _PAUSE))

    def _seconds_left(self, transaction: Transaction, account: LedgerAccount) -> float:
        return float(transaction.value(sql.ROLE_SECONDS, account.id, self._name, self._holder) or 0.0)

    def _try_to_take(self, transaction: Transaction, account: LedgerAccount) -> bool:
        taken = transaction.row(sql.TAKE_ROLE, account.id, self._name, self._holder, LEASE_SECONDS)
        return taken is not None

    def _begin_lease_at(self, now: float, boot_time: float) -> None:
        self._scope.deadline = now + LEASE_SECONDS - _MARGIN
        self._boot_deadline = boot_time + LEASE_SECONDS - _MARGIN

    def _is_over(self) -> bool:
        """Return whether the lease was lost, also if the computer was suspended meanwhile."""
        return (
            self._is_lost
            or anyio.current_time() >= self._scope.deadline
            or time_since_boot() >= self._boot_deadline
        )

    async def _renew(self) -> None:
        while not self._is_over():
            await anyio.sleep(_PAUSE)
            if self._is_over():
                break
            now = _now()
            # While the server is away, the loop tries again until the lease ends.
            with suppress(LedgerError):
                if not await self._run(self._try_to_renew):
                    break
                if not self._is_over():
                    self._begin_lease_at(*now)
        self._is_lost = True
        self._scope.cancel()

    def _try_to_renew(self, transaction: Transaction) -> bool:
        changed = transaction.run(sql.RENEW_ROLE, LEASE_SECONDS, self._account.id, self._name, self._holder)
        return changed > 0

    async def _release(self, threads: ConnectionThreads) -> None:
        if self._may_hold:
            with anyio.move_on_after(_LONGEST_RELEASE, shield=True), suppress(LedgerError):
                await self._run(self._give_back)
        threads.end()

    def _give_back(self, transaction: Transaction) -> int:
        return transaction.run(sql.RELEASE_ROLE, self._account.id, self._name, self._holder)

    async def _run(self, work: Callable[[Transaction], _Value]) -> _Value:
        assert self._threads is not None  # noqa: S101 - the type checker needs this line
        job: DatabaseJob[Any] = DatabaseJob(work, ended=event_type()(), is_repeatable=True, patience=0.0)
        self._threads.add(job)
        assert job.ended is not None  # noqa: S101 - the type checker needs this line
        await job.ended.wait()
        value: _Value = job.result()
        return value


def _now() -> tuple[float, float]:
    return anyio.current_time(), time_since_boot()
