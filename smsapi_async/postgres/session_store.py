"""The session store in PostgreSQL: all machines share one login, and one refusal of a wrong password."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from datetime import UTC
from typing import Final

from smsapi_async import errors
from smsapi_async.postgres.account_connections import SharedAccount
from smsapi_async.postgres.login_lock import LoginLock
from smsapi_async.postgres.transactions import Row
from smsapi_async.privacy import Secret, sealed_async, steady_repr
from smsapi_async.session import LoginRefusal, Session

_LOAD: Final = (
    "SELECT session_id, obtained_at FROM smsapi.sessions WHERE account_id = %s AND session_id IS NOT NULL"
)
_SAVE: Final = (
    "INSERT INTO smsapi.sessions AS s (account_id, session_id, obtained_at) VALUES (%s, %s, %s)"
    " ON CONFLICT (account_id) DO UPDATE SET session_id = excluded.session_id,"
    " obtained_at = excluded.obtained_at, refused_at = NULL, refused_code = NULL, refused_reason = NULL,"
    " refused_error = NULL, refused_mark = NULL"
)
_LOAD_REFUSAL: Final = (
    "SELECT refused_error::text AS error, refused_mark AS mark,"
    " extract(epoch FROM clock_timestamp() - refused_at)::float8 AS age"
    " FROM smsapi.sessions WHERE account_id = %s AND refused_at IS NOT NULL"
)
_SAVE_REFUSAL: Final = (
    "INSERT INTO smsapi.sessions AS s (account_id, refused_at, refused_code, refused_reason, refused_error,"
    " refused_mark) VALUES (%s, clock_timestamp(), %s, %s, %s::json, %s)"
    " ON CONFLICT (account_id) DO UPDATE SET refused_at = excluded.refused_at,"
    " refused_code = excluded.refused_code, refused_reason = excluded.refused_reason,"
    " refused_error = excluded.refused_error, refused_mark = excluded.refused_mark"
)

# The longest time, in seconds, for which the store tries again while the server is away. After this time the
# client continues without the store.
_PATIENCE = 2.0


@steady_repr
class PostgresSessionStore:
    """The session store `Shared.sessions`, which implements `LockingSessionStore`.

    Pass the store to each client of the account as ``session_store``. All machines then use one session, and
    one of them logs in when necessary. After a refused login, no machine logs in with the same login and
    password before ``login_cool_down`` has passed, or before ``smsapi-async postgres resume``. While the
    database is away, each client logs in on its own.

    Args:
        account: the account, with connections while `Shared` is open.
    """

    def __init__(self, account: SharedAccount) -> None:
        self._account = account

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of the account {self._account.name!r}>"

    async def load(self) -> Session | None:
        """Return the session that was saved last; None if no session was saved."""
        opened = self._account.opened
        row = await opened.run(
            lambda given: given.row(_LOAD, opened.account_id), reads=True, patience=_PATIENCE
        )
        return None if row is None else _session(row)

    @sealed_async
    async def save(self, session: Session) -> None:
        """Save a session, which replaces the session that was saved before, and remove the refusal."""
        opened = self._account.opened
        await opened.run(
            lambda given: given.run(
                _SAVE, opened.account_id, session.session_id.reveal(), session.obtained_at
            ),
            is_repeatable=True,
            patience=_PATIENCE,
        )

    def login_lock(self) -> AbstractAsyncContextManager[object]:
        """Return an async context manager that holds the lock of the account. See `LockingSessionStore`.

        The lock has a connection of its own, and becomes free when the connection ends.
        """
        return LoginLock(self._account.opened)

    async def load_refusal(self) -> LoginRefusal | None:
        """Return the refusal that was saved last; None if there is none. See `RefusalStore`."""
        opened = self._account.opened
        row = await opened.run(
            lambda given: given.row(_LOAD_REFUSAL, opened.account_id), reads=True, patience=_PATIENCE
        )
        return None if row is None else LoginRefusal(_refusal_error(row["error"]), row["mark"], row["age"])

    async def save_refusal(self, refusal: LoginRefusal) -> None:
        """Save a refusal, which replaces the refusal that was saved before."""
        opened, error = self._account.opened, refusal.error
        # PostgreSQL cannot store lone surrogates and the character NUL in a text. JSON escapes them.
        reason = str(error).encode(errors="replace").decode().replace("\0", "")
        stored = json.dumps([type(error).__name__, *error.args])
        await opened.run(
            lambda given: given.run(
                _SAVE_REFUSAL, opened.account_id, error.code, reason, stored, refusal.mark
            ),
            is_repeatable=True,
            patience=_PATIENCE,
        )


def _session(row: Row) -> Session:
    return Session(Secret(row["session_id"]), row["obtained_at"].astimezone(UTC))


def _refusal_error(stored: str) -> errors.RequestRejected:
    name, *arguments = json.loads(stored)
    kind = getattr(errors, name, None)
    # A newer version of this package may have another class.
    is_known = isinstance(kind, type) and issubclass(kind, errors.RequestRejected)
    found: type[errors.RequestRejected] = kind if is_known else errors.RequestRejected  # type: ignore[assignment]
    return found(*arguments) if is_known else found(*arguments[:4])
