"""Sessions: all calls share one login, and the client renews the session before the session ends.

After the gateway has refused a login, the client makes no other login until a cool-down has passed.
"""

import copy
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

import anyio
import attrs

from smsapi_async.clock import Clock
from smsapi_async.errors import RateLimited, RequestRejected, SmsApiError, Unauthorized
from smsapi_async.privacy import Secret, steady_repr

logger = logging.getLogger("smsapi_async")

LIFETIME = timedelta(minutes=120)
"""The time for which a session id is valid (contract, "Session")."""
RENEW_BEFORE_END = timedelta(minutes=5)
"""The client renews a session that ends in less than this time."""
# The time between a failed renewal of the session and the next renewal, while the old session is still valid.
_RENEWAL_PAUSE = timedelta(seconds=30)


@steady_repr
@attrs.frozen
class Session:
    """A session id and the time of the login.

    Attributes:
        session_id: the session id as a `Secret`, so that `repr` does not show it. `session_id.reveal()`
            returns the string.
        obtained_at: the time just before the client sent the login request; aware, in UTC.
    """

    # The mask also covers a plain string that a session store of the caller may pass.
    session_id: Secret = attrs.field(repr=lambda _: "Secret('***')")
    obtained_at: datetime


class SessionStore(Protocol):
    """Stores the session. Processes that share a session store share one login.

    If a method of the store raises an exception, the client logs a warning and continues without the store.
    """

    async def load(self) -> Session | None:
        """Return the session that was saved last; None if no session was saved."""

    async def save(self, session: Session) -> None:
        """Save a session, which replaces the session that was saved before."""


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


class SessionManager:
    """Provides each call with a session, and makes at most one login at a time.

    Args:
        login: an async function that requests a session id from the gateway, and raises a `SmsApiError` if
            the login fails.
        store: stores the session, so that other processes can share the session.
        clock: provides the current time.
        cool_down: the time for which no other login is made after a refused login.
    """

    def __init__(
        self, login: Callable[[], Awaitable[Secret]], store: SessionStore, clock: Clock, cool_down: timedelta
    ) -> None:
        self._login = login
        self._store = store
        self._clock = clock
        self._cool_down = cool_down
        self._lock = anyio.Lock()
        self._session: Session | None = None
        self._refused: Session | None = None
        self._failures = 0
        self._last_failure: SmsApiError | None = None
        self._refused_until: datetime | None = None
        self._renew_after: datetime | None = None

    async def get(self) -> Session:
        """Return a valid session. A session that ends soon is renewed first.

        Raises:
            RequestRejected: if the gateway refused the login, or if the cool-down after an earlier refused
                login is not over.
            ReadFailed: if the login got no usable response.
        """
        session = self._session
        if session is not None and self._is_valid(session):
            # If another call is already renewing the session, this call uses the old session, which is still
            # valid.
            if not self._needs_renewal(session) or self._lock.locked():
                return session
            return await self._replace(session, fallback=session)
        return await self._replace(session, fallback=None)

    async def renew(self, refused: Session) -> Session:
        """Return another session in place of a session that the gateway refused.

        Args:
            refused: the session that the gateway refused.

        Raises:
            RequestRejected: if the gateway refused the login, or if the cool-down after an earlier refused
                login is not over.
            ReadFailed: if the login got no usable response.
        """
        # If another call has already replaced the refused session, we return the session of that call.
        if self._session is not None and self._session != refused:
            return self._session
        self._session, self._refused = None, refused
        return await self._replace(refused, fallback=None)

    async def _replace(self, old: Session | None, fallback: Session | None) -> Session:
        failures = self._failures
        async with self._lock:
            # While this call waited for the lock, another call may have made a login. If that login failed,
            # all waiting calls fail with its error, so that each waiting call does not make another login.
            if self._session is not None and self._session != old:
                return self._session
            if self._last_failure is not None and self._failures > failures:
                raise copy.copy(self._last_failure)
            self._check_cool_down()
            stored = await self._stored()
            # A stored session is not used if it is the session to replace, or a session that the gateway
            # refused.
            if stored is not None and stored not in (old, self._refused) and self._is_usable(stored):
                self._session = stored
                return stored
            return await self._log_in(fallback)

    async def _log_in(self, fallback: Session | None) -> Session:
        # The clock is read before the login request is sent. The session begins later than this time, so the
        # session does not end before `asked_at + LIFETIME`.
        asked_at = self._clock.now()
        try:
            session_id = await self._login()
        except SmsApiError as error:
            # A cancellation of this call is not caught, because a cancellation is not a failure of the login.
            # The next call that waits for the lock makes the login. After `Unauthorized` we do not return the
            # old session, because the gateway no longer accepts the login or the password.
            if fallback is not None and not isinstance(error, Unauthorized):
                self._renew_after = self._clock.now() + _RENEWAL_PAUSE
                return fallback
            self._record(error)
            raise
        session = Session(session_id, asked_at)
        self._session = session
        self._last_failure = self._refused_until = self._renew_after = None
        await self._keep(session)
        return session

    async def _stored(self) -> Session | None:
        try:
            return await self._store.load()
        except Exception as error:  # noqa: BLE001 - the caller's store may raise any exception
            logger.warning("the session store could not be read (%s)", type(error).__name__)
            return None

    async def _keep(self, session: Session) -> None:
        try:
            await self._store.save(session)
        except Exception as error:  # noqa: BLE001 - the session is valid without the store
            logger.warning("the session store could not be written (%s)", type(error).__name__)

    def _record(self, error: SmsApiError) -> None:
        # We store a copy of the error, and each waiting call gets another copy. A shared exception would
        # collect the tracebacks of all calls, because each `raise` extends the traceback.
        self._failures += 1
        self._last_failure = copy.copy(error)
        if isinstance(error, RequestRejected) and not isinstance(error, RateLimited):
            self._session = None
            self._refused_until = self._clock.now() + self._cool_down

    def _check_cool_down(self) -> None:
        if self._refused_until is None or not isinstance(self._last_failure, RequestRejected):
            return
        left = (self._refused_until - self._clock.now()).total_seconds()
        if left > 0:
            self._last_failure.retry_after = left
            raise copy.copy(self._last_failure)
        self._refused_until = None

    def _is_valid(self, session: Session) -> bool:
        return self._clock.now() < session.obtained_at + LIFETIME

    def _is_usable(self, session: Session) -> bool:
        return self._is_valid(session) and not self._needs_renewal(session)

    def _needs_renewal(self, session: Session) -> bool:
        now = self._clock.now()
        # If the last renewal failed less than `_RENEWAL_PAUSE` ago, the call uses the old session without
        # another renewal.
        if self._renew_after is not None and now < self._renew_after:
            return False
        return now >= session.obtained_at + LIFETIME - RENEW_BEFORE_END
