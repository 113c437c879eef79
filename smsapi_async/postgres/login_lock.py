"""The lock that lets only one of all machines log in at a time.

A thread locks a row in an open transaction on a connection of its own. PostgreSQL releases the lock when the
connection ends, so a killed process does not keep the lock. A transaction, unlike a session of PostgreSQL,
keeps its lock also with a connection pooler. An advisory lock would not do: each role of the database, such
as the role of a web backend, could take an advisory lock, and so prevent all logins.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from random import uniform
from typing import Final

import anyio

from smsapi_async.errors import LedgerError
from smsapi_async.postgres.account_connections import AccountConnections
from smsapi_async.postgres.transactions import ServerConnection, Transaction, TransactionFailed

# Only logins use this row, so nobody else waits for the lock.
_ADD_ROW: Final = (
    "INSERT INTO smsapi.rates (account_id, name, tat) VALUES (%s, 'login', clock_timestamp())"
    " ON CONFLICT DO NOTHING"
)
_TRY_LOCK: Final = (
    "SELECT true AS got FROM smsapi.rates WHERE account_id = %s AND name = 'login' FOR UPDATE SKIP LOCKED"
)
# The server may end an open transaction that is idle, and must notice that the machine of the holder is gone.
# A login takes three minutes at most. Not each version of PostgreSQL has the setting `transaction_timeout`.
_SETTINGS: Final = (
    "SELECT set_config(name, value, true) FROM (VALUES ('idle_in_transaction_session_timeout', '300s'),"
    " ('transaction_timeout', '0'), ('tcp_keepalives_idle', '5'), ('tcp_keepalives_interval', '5'),"
    " ('tcp_keepalives_count', '3')) AS given (name, value) JOIN pg_settings USING (name)"
)
_LONGEST_HOLD = 300.0
# The pause between two attempts to get the lock, in seconds. It begins with the first number.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2
# The longest time in seconds for which the release waits until the server has released the lock.
_RELEASE_SECONDS = 3.0


class LoginLock:
    """An async context manager that holds the lock of an account.

    Args:
        connections: the connections of the account. The lock uses their address only.
    """

    def __init__(self, connections: AccountConnections) -> None:
        self._account_id = connections.account_id
        self._connection = ServerConnection(connections.address)
        self._post = connections.post
        self._decided, self._ended = connections.event(), connections.event()
        self._release = threading.Event()
        self._error: LedgerError | None = None

    async def __aenter__(self) -> None:
        threading.Thread(target=self._run, name="smsapi-async login lock", daemon=True).start()
        try:
            await self._decided.wait()
        except BaseException:
            self._release.set()
            raise
        if self._error is not None:
            raise self._error

    async def __aexit__(self, *exception: object) -> None:
        self._release.set()
        with anyio.move_on_after(_RELEASE_SECONDS, shield=True):
            await self._ended.wait()

    def _run(self) -> None:
        try:
            # Other machines see the row only after a commit.
            self._connection.transaction(self._add_row, reads=False)
            self._connection.transaction(self._hold, reads=False)
        except TransactionFailed as failed:
            self._error = failed.failure.error
        except Exception as error:  # noqa: BLE001 - the text of another error can contain anything
            self._error = LedgerError(f"the lock failed ({type(error).__name__})")
        finally:
            self._connection.close()
            self._tell(decided=True, ended=True)

    def _add_row(self, transaction: Transaction) -> int:
        return transaction.run(_ADD_ROW, self._account_id)

    def _hold(self, transaction: Transaction) -> None:
        transaction.rows(_SETTINGS)
        pause = _FIRST_PAUSE
        while not transaction.value(_TRY_LOCK, self._account_id):
            if self._release.wait(uniform(pause / 2, pause)):  # noqa: S311 - no secret
                return
            pause = min(2 * pause, _LONGEST_PAUSE)
        self._tell(decided=True)
        self._release.wait(_LONGEST_HOLD)

    def _tell(self, *, decided: bool = False, ended: bool = False) -> None:
        def set_events() -> None:
            if decided:
                self._decided.set()
            if ended:
                self._ended.set()

        # The event loop may have ended meanwhile.
        with suppress(RuntimeError):
            self._post(set_events)
