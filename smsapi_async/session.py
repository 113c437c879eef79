"""The session manager: one login for everybody, renewed in time, and no hammering on a refused one."""

import copy
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

import anyio
import attrs

from smsapi_async.clock import Clock
from smsapi_async.errors import RateLimited, RequestRejected, SmsApiError, Unauthorized
from smsapi_async.privacy import Secret

logger = logging.getLogger("smsapi_async")

LIFETIME = timedelta(minutes=120)
"""Contract, "Session"."""
RENEW_BEFORE_END = timedelta(minutes=5)
_RENEWAL_PAUSE = timedelta(seconds=30)


@attrs.frozen
class Session:
    """A session id and when it was given.

    Attributes:
        session_id: its `repr` hides it; `reveal()` gives it.
        obtained_at: when it was asked for; aware, UTC.
    """

    session_id: Secret
    obtained_at: datetime


class SessionStore(Protocol):
    """Where the session is kept; one that several processes share saves logins."""

    async def load(self) -> Session | None:
        """The session last saved, or None."""

    async def save(self, session: Session) -> None:
        """Keep a session in place of the last one."""


class MemorySessionStore:
    """Keeps the session in this process."""

    def __init__(self) -> None:
        self._session: Session | None = None

    async def load(self) -> Session | None:
        """The session last saved, or None."""
        return self._session

    async def save(self, session: Session) -> None:
        """Keep a session in place of the last one."""
        self._session = session


class SessionManager:
    """Gives every call a session that should be good.

    Args:
        login: asks the gateway for a session id; raises a `SmsApiError`.
        store: where the session is kept.
        clock: the time.
        cool_down: how long a refused login is not tried again.
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
        """A session that is not about to end.

        Raises:
            RequestRejected: the gateway refused the login, now or within the cool-down.
            ReadFailed: the login got no usable answer.
        """
        session = self._session
        if session is not None and self._is_good(session):
            # While somebody else renews it, the old one serves.
            if not self._is_due(session) or self._lock.locked():
                return session
            return await self._replace(session, fallback=session)
        return await self._replace(session, fallback=None)

    async def renew(self, refused: Session) -> Session:
        """A session other than the one that the gateway refused.

        Raises:
            RequestRejected: as `get`.
            ReadFailed: as `get`.
        """
        if self._session is not None and self._session != refused:
            return self._session
        self._session, self._refused = None, refused
        return await self._replace(refused, fallback=None)

    async def _replace(self, old: Session | None, fallback: Session | None) -> Session:
        failures = self._failures
        async with self._lock:
            # Whoever held the lock before may have done the work, or failed at it, while this call waited.
            if self._session is not None and self._session != old:
                return self._session
            if self._last_failure is not None and self._failures > failures:
                raise copy.copy(self._last_failure)
            self._check_cool_down()
            stored = await self._stored()
            if stored is not None and stored not in (old, self._refused) and self._is_worth_using(stored):
                self._session = stored
                return stored
            return await self._log_in(fallback)

    async def _log_in(self, fallback: Session | None) -> Session:
        asked_at = self._clock.now()
        try:
            session_id = await self._login()
        except SmsApiError as error:
            # A cancellation is no failure of the login: it leaves nothing behind, and the next one
            # in the queue tries for itself.
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
        except Exception as error:  # noqa: BLE001 - a store of the caller's; a login takes its place
            logger.warning("the session store could not be read (%s)", type(error).__name__)
            return None

    async def _keep(self, session: Session) -> None:
        try:
            await self._store.save(session)
        except Exception as error:  # noqa: BLE001 - a store of the caller's; the session is good all the same
            logger.warning("the session store could not be written (%s)", type(error).__name__)

    def _record(self, error: SmsApiError) -> None:
        # A copy, here and for each waiter: a shared exception would gather everybody's traceback.
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

    def _is_good(self, session: Session) -> bool:
        return self._clock.now() < session.obtained_at + LIFETIME

    def _is_worth_using(self, session: Session) -> bool:
        return self._is_good(session) and not self._is_due(session)

    def _is_due(self, session: Session) -> bool:
        now = self._clock.now()
        if self._renew_after is not None and now < self._renew_after:
            return False
        return now >= session.obtained_at + LIFETIME - RENEW_BEFORE_END
