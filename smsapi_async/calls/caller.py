"""Makes calls to the gateway.

A call waits until the limiter allows another request, gets a session, makes an exchange and judges the
result. If the gateway refuses the session, the call logs in again, but only once. A call makes another
attempt only if a repeat is safe.
"""

import logging
import random
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from anyio import to_thread

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
from smsapi_async.privacy import Secret, sealed_async
from smsapi_async.protocol.decoding import decode_login
from smsapi_async.protocol.encoding import Request
from smsapi_async.session import Session, SessionManager, SessionStore
from smsapi_async.settings import RetryPolicy

logger = logging.getLogger("smsapi_async")
# The size in bytes above which a response body is decoded in a worker thread. A body of this size takes about
# 5 ms to decode. A body with 100,000 incoming messages took 1.6 s.
_LARGE_BODY = 256 * 1024
_Value = TypeVar("_Value")
_Judge = Callable[[HttpResponse | ExchangeFailure, Circumstances], Verdict[_Value]]


class Caller:
    """Makes calls to the gateway with a session. Each attempt of a call uses a slot of the limiter.

    Args:
        exchanger: makes the HTTP exchanges.
        limiter: limits the requests in flight and the rate of requests.
        retry: decides whether and when a call makes another attempt.
        clock: provides the current time and the waits between attempts.
        login: the login request, which gets a new session id.
        session_store: stores the session, so that other processes can use the session too.
        login_cool_down: the time for which no other login is made after a refused login.
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
        self._login = login
        self._chance = random.Random()  # noqa: S311 - the numbers are not secret
        self._sessions = SessionManager(partial(self._log_in, login), session_store, clock, login_cool_down)

    async def _log_in(self, request: Request) -> Secret:
        """Log in, and return the new session id.

        Raises:
            RequestRejected: if the gateway refused the credentials or the request.
            ReadFailed: if no usable response to the login arrived.
        """
        # A login does not use a slot of the limiter, because the call that needs the session may already hold
        # the last slot. If the login also needed a slot, the login would wait for ever.
        attempts = _Attempts(self._retry, self._clock, self._chance)
        while True:
            outcome = await self._exchange(request, request.without_session(), Evidence())
            verdict = judge_read(outcome, decode_login, self._circumstances(request, None))
            if isinstance(verdict, Done):
                return verdict.value
            await attempts.wait_or_raise(verdict)

    @sealed_async
    async def read(
        self, request: Request, decode: Callable[[bytes], _Value], *, background: bool = False
    ) -> _Value:
        """Make a GET request, and return the decoded response.

        Args:
            request: the GET request, without the session id.
            decode: a function that decodes the body of the response.
            background: whether the call has a lower priority than other calls; see `Limiter.background`.

        Raises:
            RequestRejected: if the gateway refused the request.
            ReadFailed: if the last attempt got no usable response.
        """
        judge: _Judge[_Value] = lambda outcome, circumstances: judge_read(outcome, decode, circumstances)  # noqa: E731
        return await self._call(request, judge, Evidence(), background=background)

    @sealed_async
    async def send(self, request: Request, evidence: Evidence | None = None) -> tuple[str, ...]:
        """Make a POST request, and return the segment ids.

        Args:
            request: the POST request, without the session id.
            evidence: records the trace events of each attempt. After a cancellation,
                `evidence.proves_not_sent()` returns whether there is a proof that nothing was sent.

        Raises:
            RequestRejected: if the gateway refused the request. Nothing was sent.
            NotSent: if the call failed and there is a proof that nothing was sent.
            OutcomeUnknown: if the gateway may or may not have accepted the request.
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
            verdict = await _judged(judge, outcome, self._circumstances(request, session))
            if isinstance(verdict, Done):
                return verdict.value
            if isinstance(verdict, SessionRefused) and not renewed:
                # The gateway refused the session and sent nothing, so even a send can be repeated. We clear
                # the evidence (the trace events of the request). If the login is then cancelled, the empty
                # evidence proves that nothing was sent.
                renewed = True
                evidence.reset()
                await _session(partial(self._sessions.renew, session), request)
                continue
            if isinstance(verdict, Again):
                # For a send, the verdict `Again` means that the gateway certainly did not accept the message.
                # We clear the evidence (the trace events of the request). If the wait for the next attempt is
                # then cancelled, the empty evidence proves that nothing was sent.
                evidence.reset()
            await attempts.wait_or_raise(verdict)

    async def _exchange(
        self, request: Request, parameters: bytes, evidence: Evidence
    ) -> HttpResponse | ExchangeFailure:
        resource = request.resource
        started = self._clock.monotonic()
        outcome = await self._exchanger.exchange(
            resource.method, resource.name, parameters, evidence, body_factor=resource.body_factor
        )
        # The log record does not contain the parameters of the request, because the parameters contain
        # secrets.
        if logger.isEnabledFor(logging.DEBUG):
            result = outcome.status if isinstance(outcome, HttpResponse) else outcome.kind
            milliseconds = round((self._clock.monotonic() - started) * 1000, 1)
            logger.debug("%s %s -> %s in %s ms", resource.method, resource.name, result, milliseconds)
        return outcome

    def _circumstances(self, request: Request, session: Session | None) -> Circumstances:
        now = self._clock.now()
        session_ids = [] if session is None else [session.session_id]
        # A gateway may quote the password in the response to any request of the session.
        private = (*request.private, *self._login.private, *(each.reveal() for each in session_ids))
        return Circumstances(request.resource, private, now)


async def _judged(
    judge: _Judge[_Value], outcome: HttpResponse | ExchangeFailure, circumstances: Circumstances
) -> Verdict[_Value]:
    """Return the verdict on an exchange. A large body is decoded in a thread, to keep the event loop free."""
    if isinstance(outcome, HttpResponse) and len(outcome.body) > _LARGE_BODY:
        return await to_thread.run_sync(judge, outcome, circumstances)
    return judge(outcome, circumstances)


class _Attempts:
    """Counts the attempts of one call, and waits between the attempts."""

    def __init__(self, retry: RetryPolicy, clock: Clock, chance: random.Random) -> None:
        self._retry = retry
        self._clock = clock
        self._chance = chance
        self._started = clock.monotonic()
        self._made = 0

    async def wait_or_raise(self, verdict: Verdict[Any]) -> None:
        """Wait before the next attempt, or raise the error of the last attempt.

        Args:
            verdict: the verdict on the last attempt, which did not succeed: any verdict except `Done`.

        Raises:
            SmsApiError: if the verdict or the retry policy does not allow another attempt.
        """
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
    """Return a session for a request.

    If the request is a send and the login fails, this function raises `NotSent`. Only `Unauthorized` and
    `RateLimited` are raised unchanged for a send.

    Args:
        get: an async function that returns a session, or raises the error of the login.
        request: the request that needs the session.
    """
    try:
        session: Session = await get()
    except ReadFailed as error:
        if not request.resource.sends:
            raise
        reason = f"the login failed: {error}"
    except RequestRejected as error:
        # For a send, other refusals of the login than `Unauthorized` and `RateLimited` become `NotSent`. If
        # we raised such a refusal unchanged, the caller would think that the gateway refused the message.
        if not request.resource.sends or isinstance(error, Unauthorized | RateLimited):
            raise
        reason = f"the login was refused: {error}"
    else:
        return session
    raise NotSent(reason)
