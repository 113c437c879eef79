"""The connections of one account that the session store and the pace of `Shared` use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeVar

import anyio

from smsapi_async.errors import LedgerError
from smsapi_async.eventloop import Event, caller_from_threads, event_type
from smsapi_async.postgres.address import Address
from smsapi_async.postgres.connection_threads import ConnectionThreads, DatabaseJob
from smsapi_async.postgres.transactions import Transaction

_Value = TypeVar("_Value")


class AccountConnections:
    """Threads with connections, and the account for which they work.

    Create an object with `opened`, in the event loop that uses it.

    Args:
        address: the address of the database.

    Attributes:
        address: the same.
        account_id: the id of the account in the tables.
        post: calls a function soon in the event loop, from any thread.
        event: the class of events for the event loop.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.account_id = 0
        self.post = caller_from_threads()
        self.event: Callable[[], Event] = event_type()
        self._threads = ConnectionThreads(address, self.post)

    @classmethod
    async def opened(cls, address: Address, account: str) -> Self:
        """Open the connections of an account that exists.

        Raises:
            LedgerError: if the database cannot be used.
        """
        self = cls(address)
        try:
            self.account_id = await self.run(
                lambda given: given.value("SELECT id FROM smsapi.accounts WHERE name = %s", account),
                reads=True,
            )
        except BaseException:
            self._threads.end()
            raise
        return self

    def start(self, work: Callable[[Transaction], _Value], **options: Any) -> DatabaseJob[_Value]:  # noqa: ANN401
        """Begin a transaction without waiting. The job runs to its end in a thread.

        Args:
            work: the function that runs in the transaction.
            options: the other attributes of `DatabaseJob`.

        Raises:
            LedgerError: if the connections are closed, or if another process opened them before a fork.
        """
        job: DatabaseJob[_Value] = DatabaseJob(work, ended=self.event(), **options)
        self._threads.add(job)
        return job

    async def run(self, work: Callable[[Transaction], _Value], **options: Any) -> _Value:  # noqa: ANN401
        """Run a transaction, and return the value of its function. See `start`."""
        job = self.start(work, **options)
        assert job.ended is not None  # noqa: S101 - the type checker needs this line
        await job.ended.wait()
        return job.result()

    async def aclose(self) -> None:
        """Close the connections after the transactions that have begun."""
        ended = self.event()
        self._threads.end(ended)
        if not self._threads.is_inherited:
            with anyio.CancelScope(shield=True):
                await ended.wait()


class SharedAccount:
    """The account of a `Shared` object, with connections while the object is open.

    Args:
        name: the name of the account.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.connections: AccountConnections | None = None

    @property
    def opened(self) -> AccountConnections:
        """The connections.

        Raises:
            LedgerError: if the `Shared` object is not open.
        """
        if self.connections is None:
            raise LedgerError(f"the account {self.name!r} is not open; use `async with Shared.postgres(...)`")
        return self.connections
