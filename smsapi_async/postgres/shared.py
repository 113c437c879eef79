"""What many machines share through one PostgreSQL database: the ledger, the session and the pace."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Self

import anyio.to_thread

from smsapi_async.errors import LedgerError
from smsapi_async.ledger import Ledger
from smsapi_async.postgres.account_connections import AccountConnections, SharedAccount
from smsapi_async.postgres.address import Address
from smsapi_async.postgres.session_store import PostgresSessionStore
from smsapi_async.postgres.shared_pace import SharedPace
from smsapi_async.privacy import sealed, sealed_async, steady_repr


@steady_repr
class Shared:
    """What many machines share through one PostgreSQL database. Create it with `Shared.postgres`.

    Use the object with ``async with``, outside of the clients that use it::

        async with (
            Shared.postgres("postgresql://sms@db.example/shop") as shared,
            AsyncSmsClient.from_env(session_store=shared.sessions, pace=shared.pace(per_second=50)) as sms,
        ):
            await sms.send_pending(shared.ledger)

    After a fork, the child process must create its own object.

    Attributes:
        ledger: the ledger of the account; see `Ledger.postgres`.
        sessions: the session store of the account. All machines log in once, and try a wrong password once.
    """

    def __init__(self, dsn: str, account: str, ledger: Ledger) -> None:
        self._dsn = dsn
        self._account = SharedAccount(account)
        self._exits: AsyncExitStack | None = None
        self.ledger = ledger
        self.sessions = PostgresSessionStore(self._account)

    @classmethod
    @sealed
    def postgres(cls, dsn: str, account: str = "main", *, redact: bool = False) -> Self:
        """Return what the machines of one account share. ``smsapi-async postgres init`` creates the tables.

        Args:
            dsn: a URL such as ``postgresql://user@host/database``, or a connection string of libpq. Errors
                and logs never show it.
            account: the name of the account in the database. Use one name for each account of the gateway.
            redact: whether the ledger stores no phone numbers and texts; see `Ledger.postgres`.

        Raises:
            ValidationError: if the address or the name cannot be used.
        """
        return cls(dsn, account, Ledger.postgres(dsn, account=account, redact=redact))

    @sealed_async
    async def __aenter__(self) -> Self:
        if self._exits is not None:
            raise LedgerError(f"the account {self._account.name!r} is open already")
        async with AsyncExitStack() as exits:
            await exits.enter_async_context(self.ledger)
            # The import of psycopg reads many files.
            address = await anyio.to_thread.run_sync(Address.of, self._dsn)
            self._account.connections = await AccountConnections.opened(address, self._account.name)
            exits.push_async_callback(self._close_connections)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. A second call does nothing."""
        exits, self._exits = self._exits, None
        if exits is not None:
            await exits.aclose()

    async def _close_connections(self) -> None:
        connections, self._account.connections = self._account.connections, None
        if connections is not None:
            await connections.aclose()

    def pace(self, per_second: float) -> SharedPace:
        """Return the pace of all machines together. Pass it to each client as ``pace``.

        Together, all clients with a pace of the account begin at most ``per_second`` requests in each second,
        by the clock of the server. On average they begin 4 % fewer, so that delays on the way to the gateway
        do not add up to more than the limit. Pass the same number on all machines. Logins do not count. While
        the database is away, no request begins: a send waits for up to 30 seconds or until its ``timeout``,
        and then raises `NotSent`.

        Args:
            per_second: maximum number of requests per second of all machines, for example 50 or 0.5.

        Raises:
            ValidationError: if the number is not positive, or is too large.
        """
        return SharedPace(self._account, per_second)

    def __repr__(self) -> str:
        state = "closed" if self._exits is None else "open"
        return f"<{type(self).__name__} account {self._account.name!r}, {state}>"
