"""One call: limiter, session, exchange, verdict; a new login once, another attempt where it is safe."""

import logging
import random
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from smsapi_async.calls.limiter import Limiter
from smsapi_async.calls.verdicts import (
    Again,
    Circumstances,
    Done,
    SessionRefused,
    Verdict,
    judge_read,
    judge_send,
)
from smsapi_async.clock import Clock
from smsapi_async.errors import NotSent, RateLimited, ReadFailed, RequestRejected, Unauthorized
from smsapi_async.http.exchange import Evidence, ExchangeFailure, Exchanger, HttpResponse
from smsapi_async.privacy import Secret
from smsapi_async.protocol.decoding import decode_login
from smsapi_async.protocol.encoding import Request
from smsapi_async.session import Session, SessionManager, SessionStore
from smsapi_async.settings import RetryPolicy

logger = logging.getLogger("smsapi_async")
_Value = TypeVar("_Value")
_Judge = Callable[[HttpResponse | ExchangeFailure, Circumstances], Verdict[_Value]]


class Caller:
    """Makes calls, each with a session, a slot of the limiter, and as many attempts as are safe.

    Args:
        exchanger: makes one HTTP exchange.
        limiter: bounds the exchanges in flight.
        retry: when another attempt is made.
        clock: the time.
        login: the request for a new session id.
        session_store: where the session is kept.
        login_cool_down: for how long a refused login is not tried again.
    """

    def __init__(
        self,
        exchanger: Exchanger,
        limiter: Limiter,
        retry: RetryPolicy,
        clock: Clock,
        *,
        login: Request,
        session_store: SessionStore,
        login_cool_down: timedelta,
    ) -> None:
        self._exchanger = exchanger
        self._limiter = limiter
        self._retry = retry
        self._clock = clock
        self._chance = random.Random()  # noqa: S311 - jitter, not secrecy
        self._sessions = SessionManager(partial(self._log_in, login), session_store, clock, login_cool_down)

    async def _log_in(self, request: Request) -> Secret:
        """A new session id. It takes no slot: the call that needs it may hold the last one.

        Raises:
            RequestRejected: the gateway refused the credentials or the request.
            ReadFailed: no usable response came.
        """
        attempts = _Attempts(self._retry, self._clock, self._chance)
        while True:
            outcome = await self._exchange(request, request.form.encode("ascii"), Evidence())
            verdict = judge_read(outcome, decode_login, self._circumstances(request, None))
            if isinstance(verdict, Done):
                return verdict.value
            await attempts.wait_or_raise(verdict)

    async def read(
        self, request: Request, decode: Callable[[bytes], _Value], *, background: bool = False
    ) -> _Value:
        """The decoded answer to a GET.

        Args:
            request: what to ask.
            decode: reads the body.
            background: whether other calls go first.

        Raises:
            RequestRejected: the gateway refused the request.
            ReadFailed: no usable answer came, within the attempts the retry policy allows.
        """
        judge: _Judge[_Value] = lambda outcome, circumstances: judge_read(outcome, decode, circumstances)  # noqa: E731
        return await self._call(request, judge, Evidence(), background=background)

    async def send(self, request: Request, evidence: Evidence | None = None) -> tuple[str, ...]:
        """The segment ids of a POST that was accepted.

        Args:
            request: what to send.
            evidence: filled in as the request goes out; after a cancellation it tells whether anything
                was written.

        Raises:
            RequestRejected: the gateway refused; nothing was sent.
            NotSent: it is proved that nothing was written.
            OutcomeUnknown: it may or may not have been sent.
        """
        return await self._call(request, judge_send, Evidence() if evidence is None else evidence)

    async def _call(
        self, request: Request, judge: _Judge[_Value], evidence: Evidence, *, background: bool = False
    ) -> _Value:
        attempts = _Attempts(self._retry, self._clock, self._chance)
        renewed = False
        while True:
            evidence.reset()
            async with self._limiter.background() if background else self._limiter:
                session = await _session(self._sessions.get, request)
                outcome = await self._exchange(request, request.with_session(session.session_id), evidence)
            verdict = judge(outcome, self._circumstances(request, session))
            if isinstance(verdict, Done):
                return verdict.value
            if isinstance(verdict, SessionRefused) and not renewed:
                # A refusal proves that nothing was done, so this holds for sends too.
                renewed = True
                evidence.reset()
                await _session(partial(self._sessions.renew, session), request)
                continue
            if isinstance(verdict, Again):
                # Whoever gives up during the wait has sent nothing, whatever the attempt looked like.
                evidence.reset()
            await attempts.wait_or_raise(verdict)

    async def _exchange(
        self, request: Request, parameters: bytes, evidence: Evidence
    ) -> HttpResponse | ExchangeFailure:
        resource = request.resource
        started = self._clock.monotonic()
        outcome = await self._exchanger.exchange(resource.method, resource.name, parameters, evidence)
        if logger.isEnabledFor(logging.DEBUG):
            result = outcome.status if isinstance(outcome, HttpResponse) else outcome.kind
            milliseconds = round((self._clock.monotonic() - started) * 1000, 1)
            logger.debug("%s %s -> %s in %s ms", resource.method, resource.name, result, milliseconds)
        return outcome

    def _circumstances(self, request: Request, session: Session | None) -> Circumstances:
        private = request.private if session is None else (*request.private, session.session_id.reveal())
        return Circumstances(request.resource, private, self._clock.now())


class _Attempts:
    """Counts the attempts of one call."""

    def __init__(self, retry: RetryPolicy, clock: Clock, chance: random.Random) -> None:
        self._retry = retry
        self._clock = clock
        self._chance = chance
        self._started = clock.monotonic()
        self._made = 0

    async def wait_or_raise(self, verdict: Verdict[Any]) -> None:
        """Wait for the next attempt, or raise what the last one came to."""
        assert not isinstance(verdict, Done)  # noqa: S101 - for the type checker
        self._made += 1
        if not isinstance(verdict, Again):
            raise verdict.error
        elapsed = self._clock.monotonic() - self._started
        wait = self._retry.wait(self._made, elapsed, verdict.retry_after, self._chance)
        if wait is None:
            raise verdict.error
        await self._clock.sleep(wait)


async def _session(get: Callable[[], Any], request: Request) -> Session:
    """The session, where a failing login of a send is told as what it proves."""
    try:
        session: Session = await get()
    except ReadFailed as error:
        if not request.resource.sends:
            raise
        reason = f"the login failed: {error}"
    except RequestRejected as error:
        # A refusal of the login for its arguments is none of the message's.
        if not request.resource.sends or isinstance(error, Unauthorized | RateLimited):
            raise
        reason = f"the login was refused: {error}"
    else:
        return session
    raise NotSent(reason)
