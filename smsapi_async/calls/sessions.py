"""Sessions: all calls share one login, and the client renews the session before the session ends.

A login runs in a task of its own. All calls that need a session wait for the login, and the login continues
if a call is cancelled or reaches its timeout. After the gateway has refused a login, or a session that a
login has just returned, the client makes no other login until a cool-down has passed. If the session store
can store refused logins, the client asks the store instead, because another process may have ended the
cool-down.
"""

from __future__ import annotations

import copy
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from types import TracebackType

import anyio
import attrs
from anyio import get_current_task
from anyio.lowlevel import EventLoopToken, current_token

from smsapi_async.calls.authentication import CoolDown
from smsapi_async.calls.background import run_in_background
from smsapi_async.calls.guarded_store import GuardedStore
from smsapi_async.calls.shared_refusals import SharedRefusals
from smsapi_async.clock import Clock
from smsapi_async.errors import (
    ClientClosed,
    RateLimited,
    RequestRejected,
    SmsApiError,
    TransportFailed,
    Unauthorized,
)
from smsapi_async.privacy import Secret
from smsapi_async.protocol.encoding import session_parameter
from smsapi_async.session import LIFETIME, RENEW_BEFORE_END, LoginRefusal, Session, SessionStore

logger = logging.getLogger("smsapi_async")
_LIFETIME = LIFETIME.total_seconds()
_RENEW_BEFORE_END = RENEW_BEFORE_END.total_seconds()
# The seconds between a failed renewal of the session and the next renewal, while the old session is valid.
_RENEWAL_PAUSE = 30.0
# The number of session ids that are remembered so that the client does not take them from the store again.
_SPENT_REMEMBERED = 256
# A refusal of a session counts as a refusal right after the login for this number of seconds.
_RIGHT_AFTER_LOGIN = 60.0
# The longest time in seconds for which `aclose` waits for the end of a login that it has cancelled.
_CLOSING_SECONDS = 5.0


@attrs.define(eq=False)
class LiveSession:
    """A session that the client uses.

    Attributes:
        session_id: the session id.
        ends_at: the end of the session on the monotonic clock, which does not jump.
        is_own: whether a login of this client returned the session. False means that the session comes from
            the session store.
        is_replacement: whether the login was made because the gateway had refused the session before.
        is_accepted: whether the gateway has accepted the session in a request.
    """

    session_id: Secret
    ends_at: float
    is_own: bool = False
    is_replacement: bool = False
    is_accepted: bool = False

    @property
    def private(self) -> tuple[str, ...]:
        """The session id, which no error text may contain."""
        return (self.session_id.reveal(),)

    @property
    def parameters(self) -> Secret:
        """The URL-encoded parameter with the session id."""
        return session_parameter(self.session_id)


@attrs.define(eq=False)
class _Login:
    """A login that runs in a task of its own.

    Attributes:
        scope: cancels the task.
        token: the event loop of the task.
        finished: is set at the end of the task.
        task_id: the id of the task, if the task has begun.
        session: the session that the task got; None if the task has not ended, has failed or was cancelled.
        error: the exception with which the task failed, or None.
        traceback: the traceback of an exception that is a defect of the program, or None.
    """

    # AnyIO imports the module of a class when the class is used, so the classes are used in functions.
    scope: anyio.CancelScope = attrs.field(factory=lambda: anyio.CancelScope())  # noqa: PLW0108
    token: EventLoopToken = attrs.field(factory=current_token)
    finished: anyio.Event = attrs.field(factory=lambda: anyio.Event())  # noqa: PLW0108
    task_id: int | None = None
    session: LiveSession | None = None
    error: Exception | None = None
    traceback: TracebackType | None = None


class SessionManager:
    """Provides each call with a session, and makes at most one login at a time.

    Args:
        login: an async function that requests a session id from the gateway, and raises a `SmsApiError` if
            the login fails.
        store: stores the session, so that other processes can share the session.
        clock: provides the current time.
        cool_down: the time for which no other login is made after a refused login.
        refusals: the refused logins of all processes.
    """

    def __init__(
        self,
        login: Callable[[], Awaitable[Secret]],
        store: SessionStore,
        clock: Clock,
        cool_down: timedelta,
        refusals: SharedRefusals,
    ) -> None:
        self._login = login
        self._store = GuardedStore(store)
        self._clock = clock
        self._cool_down = CoolDown(clock, cool_down)
        self._refusals = refusals
        # Whether the cool-down began with a refusal that is in the store.
        self._is_refusal_stored = False
        self._current: LiveSession | None = None
        self._running: _Login | None = None
        self._is_closed = False
        # The ids of the sessions that were refused, replaced or over.
        self._spent: deque[Secret] = deque(maxlen=_SPENT_REMEMBERED)
        # Whether the gateway refused the last session, and has accepted no session since then.
        self._after_refusal = False
        # The number of successive sessions from the store that the gateway refused at their first use.
        self._stored_refused = 0
        self._renew_after = -math.inf

    def ready(self) -> LiveSession | None:
        """Return a valid session that does not end soon; None if the caller must call `get`."""
        session = self._current
        if session is None or self._is_closed:
            return None
        return session if self._clock.monotonic() < session.ends_at - _RENEW_BEFORE_END else None

    async def get(self) -> LiveSession:
        """Return a valid session.

        If the session ends soon, the method starts a renewal and returns the session without waiting.

        Raises:
            RequestRejected: if the gateway refused the login, or if the cool-down after an earlier refusal is
                not over.
            ReadFailed: if the login got no usable response.
            ClientClosed: if the client is closed.
        """
        self._check_open()
        session, now = self._current, self._clock.monotonic()
        if session is not None and now < session.ends_at:
            if self._must_renew(session, now):
                self._begin()
            return session
        self._use(None)
        login = self._begin()
        await login.finished.wait()
        self._check_open()
        if login.session is not None:
            return login.session
        if login.error is None:
            # A cancellation that does not come from this package ended the task.
            raise TransportFailed("the login was cancelled")
        # Each `raise` of a shared exception extends its traceback. Therefore each call gets a copy of the
        # exception. The exceptions of other packages may have no copy, so their traceback is reset.
        if isinstance(login.error, SmsApiError):
            raise copy.copy(login.error)
        raise login.error.with_traceback(login.traceback)

    def accept(self, session: LiveSession) -> None:
        """Record that the gateway accepted a session."""
        if not session.is_accepted:
            session.is_accepted = True
            if session is self._current:
                self._after_refusal, self._stored_refused = False, 0

    def refuse(self, session: LiveSession, error: RequestRejected) -> None:
        """Record that the gateway refused a session. The next call of `get` returns another session.

        Args:
            session: the session that `get` returned.
            error: the error of the request, which calls raise during a cool-down.
        """
        self._spent.append(session.session_id)
        # Another call may have replaced the refused session before.
        if session is not self._current:
            return
        self._current = None
        if not session.is_accepted:
            if not session.is_own:
                self._stored_refused += 1
            elif session.is_replacement and self._age(session) < _RIGHT_AFTER_LOGIN:
                # The gateway refused two successive sessions, and the second session at its first use.
                # Another login would probably return another session that the gateway refuses.
                self._begin_cool_down(error)
                logger.warning("the gateway refused the session of a new login: %s", str(error))
        self._after_refusal = True

    def neither(self, session: LiveSession) -> None:
        """Do nothing: another result will show whether the gateway accepts the session."""

    def end(self, session: LiveSession | None) -> None:
        """Do nothing: any number of requests may use a session at the same time."""

    async def aclose(self) -> None:
        """Cancel the login, and wait for its end. Calls that wait for the login raise `ClientClosed`."""
        self._is_closed = True
        login = self._running
        # A login of another event loop ended with its event loop.
        if login is None or login.token != current_token():
            return
        login.scope.cancel()
        if login.task_id == get_current_task().id:
            # The session store closes the client during the login, and the task cannot wait for its own end.
            self._end(login)
            return
        try:
            with anyio.move_on_after(_CLOSING_SECONDS, shield=True):
                await login.finished.wait()
        finally:
            # A session store can delay the cancellation, but not the calls that wait for the login.
            self._end(login)

    def _begin(self) -> _Login:
        """Return the login that is running, or start a login."""
        if self._running is None:
            if not self._is_refusal_stored:
                self._cool_down.check()
            login = self._running = _Login()
            run_in_background(partial(self._run, login), partial(self._end, login), "smsapi_async login")
            return login
        return self._running

    async def _run(self, login: _Login) -> None:
        login.task_id = get_current_task().id
        try:
            with login.scope:
                login.session = await self._obtained()
        except SmsApiError as error:
            login.error = copy.copy(error)
            self._record(error)
        except Exception as error:  # noqa: BLE001 - the calls that wait for the login raise the exception
            login.error, login.traceback = error, error.__traceback__
            logger.warning("the login failed (%s)", type(error).__name__)

    def _end(self, login: _Login) -> None:
        if self._running is login:
            self._running = None
        login.finished.set()

    async def _obtained(self) -> LiveSession:
        # A session from the store may be as old as a session that the gateway refused. After such a session
        # was refused too, the client logs in without another look at the store.
        stored = await self._from_store(after=0)
        if stored is not None:
            return stored
        await self._check_refusal()
        return await self._store.locked(self._obtained_under_lock)

    async def _obtained_under_lock(self) -> LiveSession:
        # Another process may have logged in while this process waited for the lock.
        stored = await self._from_store(after=1) if self._store.has_lock else None
        if stored is not None:
            return stored
        await self._check_refusal()
        return await self._from_login()

    async def _check_refusal(self) -> None:
        """Raise the error of a login that another process or this client made, if the cool-down is not over.

        If the store cannot be read, or has a refusal of another password, only the logins of this client
        count.
        """
        if not self._refusals.are_shared:
            return
        refusal = await self._refusals.load()
        if isinstance(refusal, LoginRefusal):
            self._begin_cool_down(refusal.error, refusal.age, is_stored=True)
        if refusal is not None:
            self._cool_down.check()

    def _begin_cool_down(self, error: RequestRejected, age: float = 0.0, *, is_stored: bool = False) -> None:
        self._cool_down.begin(error, age)
        self._is_refusal_stored = is_stored

    async def _from_store(self, *, after: int) -> LiveSession | None:
        """Return the session in the store.

        Args:
            after: the largest number of successive sessions from the store that may have been refused.

        Returns:
            The session. None if the session is known to be over or refused, or ends soon.
        """
        if self._stored_refused > after:
            return None
        stored = await self._store.load()
        # Sessions are compared by their id alone, because a store may round the time.
        if stored is None or stored.session_id in (*self._spent, self._current and self._current.session_id):
            return None
        # The age of a session of another process is known only on the wall clock, which may have been set
        # back since the login. A session that seems to begin later than now is therefore usable only if the
        # difference is so small that the session does not end before its renewal.
        age = (self._clock.now() - stored.obtained_at).total_seconds()
        if not -_RENEW_BEFORE_END <= age < _LIFETIME - _RENEW_BEFORE_END:
            return None
        session = LiveSession(stored.session_id, self._clock.monotonic() + _LIFETIME - max(age, 0))
        self._use(session)
        return session

    async def _from_login(self) -> LiveSession:
        # The clocks are read before the login request is sent. The session begins later than this time, so
        # the session does not end before `begins + _LIFETIME`.
        begins, obtained_at = self._clock.monotonic(), self._clock.now()
        is_replacement = self._after_refusal
        try:
            session_id = await self._login()
        except RateLimited:
            raise
        except RequestRejected as error:
            self._begin_cool_down(error)
            self._is_refusal_stored = await self._refusals.save(error)
            raise
        await self._store.save(Session(session_id, obtained_at))
        session = LiveSession(session_id, begins + _LIFETIME, is_own=True, is_replacement=is_replacement)
        self._use(session)
        self._stored_refused = 0
        self._renew_after = -math.inf
        self._cool_down.stop()
        self._is_refusal_stored = False
        return session

    def _use(self, session: LiveSession | None) -> None:
        if self._current is not None:
            self._spent.append(self._current.session_id)
        self._current = session

    def _record(self, error: SmsApiError) -> None:
        """Record the failure of a login."""
        if isinstance(error, Unauthorized):
            # The gateway no longer accepts the login or the password, so calls must not use the old session.
            self._use(None)
        elif self._current is not None:
            self._renew_after = self._clock.monotonic() + _RENEWAL_PAUSE
            logger.warning("the session could not be renewed before its end: %s", str(error))

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClientClosed

    def _age(self, session: LiveSession) -> float:
        return _LIFETIME - (session.ends_at - self._clock.monotonic())

    def _must_renew(self, session: LiveSession, now: float) -> bool:
        if self._running is not None:
            return False
        return now >= max(session.ends_at - _RENEW_BEFORE_END, self._renew_after, self._cool_down.until)
