"""Sessions and session stores: the public types. `smsapi_async.calls.sessions` uses the sessions."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, Protocol

import attrs

from smsapi_async.errors import RequestRejected, ValidationError
from smsapi_async.privacy import Secret, is_encodable, steady_repr

LIFETIME = timedelta(minutes=120)
"""The time for which a session id is valid (contract, "Session")."""
RENEW_BEFORE_END = timedelta(minutes=5)
"""The client renews a session that ends in less than this time."""


def _session_id(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    name = f"Session.{attribute.name}"
    if not isinstance(value, Secret):
        raise ValidationError(name, f"<{type(value).__name__}>", "pass a Secret")
    # The errors do not show the session id, because the session id is a secret.
    if not isinstance(value.reveal(), str) or not value.reveal() or not is_encodable(value.reveal()):
        raise ValidationError(name, "an empty or invalid Secret", "pass the session id of a login")


def _aware(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    name = f"Session.{attribute.name}"
    if not isinstance(value, datetime):
        raise ValidationError(name, f"<{type(value).__name__}>", "pass an aware datetime")
    if value.utcoffset() is None:
        raise ValidationError(name, "a naive datetime", "pass an aware datetime, with the time zone UTC")


@steady_repr
@attrs.frozen
class Session:
    """A session id and the time of the login.

    Attributes:
        session_id: the session id as a `Secret`, so that `repr` does not show it. `session_id.reveal()`
            returns the string.
        obtained_at: the time just before the client sent the login request; aware, in UTC.

    Raises:
        ValidationError: if the session id is not a `Secret` or is empty, or if the time is not an aware
            datetime.
    """

    session_id: Secret = attrs.field(validator=_session_id)
    obtained_at: datetime = attrs.field(validator=_aware)


class SessionStore(Protocol):
    """Stores the session. Processes that share a session store share one login.

    The client compares sessions by their id alone, so the store may round the time. If a method of the store
    raises an exception, takes longer than 10 seconds, or returns an object that is not a valid `Session`, the
    client logs a warning and continues without the store.

    Processes that start at the same time may make one login each. To log in only once, the store needs a
    lock: see `LockingSessionStore`.
    """

    async def load(self) -> Session | None:
        """Return the session that was saved last; None if no session was saved."""

    async def save(self, session: Session) -> None:
        """Save a session, which replaces the session that was saved before."""


class LockingSessionStore(SessionStore, Protocol):
    """A session store with a lock, with which several processes make only one login.

    A client that needs a new session takes the lock, calls `load`, logs in if `load` returns no usable
    session, calls `save`, and releases the lock.
    """

    def login_lock(self) -> AbstractAsyncContextManager[object]:
        """Return an async context manager that holds the lock of the store.

        Only one client of all processes may hold the lock at the same time. The lock must become free if a
        process ends without a release, for example because the lock is a lock on a file or has a time limit.
        A time limit must be longer than a login, which takes at most ``RetryPolicy.total`` plus
        ``Timeouts.total`` seconds. The client waits at most 60 seconds for the lock. Then the client logs a
        warning and continues without the lock. The client does the same if the lock raises an exception.
        `AsyncSmsClient.aclose` cancels a login that is running, so a release that waits must be shielded from
        cancellation.
        """


@steady_repr
@attrs.frozen
class LoginRefusal:
    """A login that the gateway refused.

    Attributes:
        error: the error of the login.
        mark: a text with which a client recognises its own login and password. The text does not contain
            them.
        age: the seconds since the refusal.
    """

    error: RequestRejected
    mark: str
    age: float = 0.0


class RefusalStore(Protocol):
    """What a session store needs in addition, so that its processes try a wrong password only once.

    After a refused login, no process logs in with the same login and password until ``login_cool_down`` has
    passed, or until the store has no refusal any more. `SessionStore.save` must remove the refusal.
    """

    async def load_refusal(self) -> LoginRefusal | None:
        """Return the refusal that was saved last; None if there is none."""

    async def save_refusal(self, refusal: LoginRefusal) -> None:
        """Save a refusal, which replaces the refusal that was saved before."""


class MemorySessionStore:
    """Stores the session in the memory of this process. Other processes do not share the session."""

    def __init__(self) -> None:
        self._session: Session | None = None

    async def load(self) -> Session | None:
        """Return the session that was saved last; None if no session was saved."""
        return self._session

    async def save(self, session: Session) -> None:
        """Save a session, which replaces the session that was saved before."""
        self._session = session
