"""Makes calls to the gateway.

A call waits until the limiter allows another request, gets a session, makes an exchange and judges the
result. If the gateway refuses the session, the call gets another session, but at most one session of a new
login. A call makes another attempt only if a repeat is safe.
"""

from __future__ import annotations

import copy
import logging
import math
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from time import perf_counter
from typing import Any, Generic, NoReturn, TypeVar

import anyio
import attrs
from anyio import to_thread

from smsapi_async.calls.attempts import Attempts
from smsapi_async.calls.authentication import Authentication, CredentialAuthentication, Grant
from smsapi_async.calls.decoders import decoding
from smsapi_async.calls.event_hub import EventHub, name_of_error, outcome_of
from smsapi_async.calls.lifetime import EndingClock, Lifetime, error_at_the_end
from smsapi_async.calls.limiter import Limiter, Priority
from smsapi_async.calls.sessions import SessionManager
from smsapi_async.calls.shared_refusals import SharedRefusals
from smsapi_async.calls.spreader import Spreader
from smsapi_async.calls.verdicts import (
    Again,
    Circumstances,
    Dated,
    Done,
    Failed,
    SessionRefused,
    Verdict,
    judge_dated_read,
    judge_read,
    judge_send,
)
from smsapi_async.clock import Clock
from smsapi_async.errors import (
    ClientClosed,
    Forbidden,
    InvalidCredentials,
    InvalidOperation,
    InvalidSession,
    LedgerError,
    NotEnoughCredits,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    ReadFailed,
    RequestRejected,
    TransportFailed,
    Unauthorized,
)
from smsapi_async.http.exchange import Evidence, ExchangeFailure, Exchanger, HttpResponse
from smsapi_async.observers import ClientStats, RequestBegun
from smsapi_async.privacy import Secret, clear_frames
from smsapi_async.protocol.encoding import Credentials, Request, login_request
from smsapi_async.session import SessionStore
from smsapi_async.settings import RetryPolicy

logger = logging.getLogger("smsapi_async")
# The size in bytes above which a response body is decoded in a worker thread. A body of this size takes about
# 5 ms to decode. A body with 100,000 incoming messages took 1.6 s.
_LARGE_BODY = 256 * 1024
# The number of worker threads that decode large bodies at the same time. More threads would slow down the
# event loop, because all threads share the GIL.
_DECODING_THREADS = 2
# The largest number of sessions that a call gets in place of refused sessions: two sessions from the session
# store and one session of a login.
_MOST_REPLACEMENTS = 3
# The gateway checks the session before the facts that these errors name (contract, "Checks before a send").
_AFTER_THE_SESSION = (NotEnoughCredits, InvalidOperation, Forbidden)
_Value = TypeVar("_Value")
_Judge = Callable[[HttpResponse | ExchangeFailure, Circumstances], Verdict[_Value]]


class Caller:
    """Makes calls to the gateway with a session. Each attempt of a call uses a slot of the limiter.

    Args:
        exchanger: makes the HTTP exchanges.
        limiter: limits the requests in flight and the rate of requests.
        retry: decides whether and when a call makes another attempt.
        clock: provides the current time and the waits between attempts.
        lifetime: ends the calls in progress when the client is closed.
        credentials: the login and the password of the account.
        session_store: stores the session, so that other processes can use the session too. None means that
            each request contains the login and the password (contract, "API version 2").
        login_cool_down: the time for which no other login is made after a refused login.
        hub: gives events to the observers, and counts the calls.

    Attributes:
        hub: the same as the argument.
    """

    def __init__(
        self,
        exchanger: Exchanger,
        limiter: Limiter,
        retry: RetryPolicy,
        clock: Clock,
        *,
        lifetime: Lifetime,
        credentials: Credentials,
        session_store: SessionStore | None,
        login_cool_down: timedelta,
        hub: EventHub,
    ) -> None:
        self._exchanger = exchanger
        self._limiter = limiter
        self._spreader = Spreader()
        self.hub = hub
        self._retry = retry
        self._clock = clock
        self._lifetime = lifetime
        self._waits = EndingClock(clock, lifetime)
        self._credentials = credentials
        self._chance = random.Random()  # noqa: S311 - the numbers are not secret
        self._has_sessions = session_store is not None
        self._authentication: Authentication = (
            CredentialAuthentication(credentials, clock, login_cool_down)
            if session_store is None
            else SessionManager(
                self._log_in,
                session_store,
                clock,
                login_cool_down,
                SharedRefusals(session_store, credentials.parameters),
            )
        )

    @cached_property
    def _decoding(self) -> anyio.CapacityLimiter:
        # We use our own limiter, because the program may use all threads of AnyIO's default limiter.
        return anyio.CapacityLimiter(_DECODING_THREADS)

    @property
    def is_crowded(self) -> bool:
        """Whether a new call must wait with `spread`, because many calls already wait for a slot."""
        return self._limiter.is_crowded

    async def spread(self, request_of: Callable[[], Request]) -> float:
        """Wait for a later iteration of the event loop, and return the time of the wait in seconds.

        Without this wait, thousands of calls that begin at the same time would block the event loop.

        Args:
            request_of: a function that returns the request, if the call ends in this wait.
        """
        began_at = perf_counter()
        try:
            return await self._spreader.wait()
        except BaseException as error:
            # A call with invalid parameters does not count.
            with suppress(Exception):
                self.hub.call_failed(request_of(), Evidence(), error, waited=perf_counter() - began_at)
            raise

    def stats(self) -> ClientStats:
        """Return what the calls do now, and how they have ended."""
        return self.hub.stats(self._lifetime.in_flight, len(self._spreader))

    async def _log_in(self) -> Secret:
        """Log in, and return the new session id.

        Raises:
            RequestRejected: if the gateway refused the credentials or the request.
            ReadFailed: if no usable response to the login arrived.
        """
        # A login does not use a slot of the limiter, because the call that needs the session may already hold
        # the last slot. If the login also needed a slot, the login would wait for ever.
        request = login_request()
        parameters = request.with_grant(self._credentials.parameters)
        attempts = Attempts(self._retry, self._clock, self._chance)
        began_at = perf_counter()
        try:
            while True:
                outcome = await self._exchange(request, parameters, Evidence())
                verdict = judge_read(outcome, decoding.decode_login, self._circumstances(request, None))
                if isinstance(verdict, Done):
                    break
                await attempts.wait_or_raise(verdict)
        except BaseException as error:
            self.hub.login_failed(began_at, max(1, attempts.made), error)
            raise
        self.hub.login_made(began_at, attempts.made + 1)
        return verdict.value

    async def read(
        self,
        request: Request,
        decode: Callable[[bytes], _Value],
        *,
        priority: Priority = Priority.READ,
        seconds: float | None = None,
    ) -> _Value:
        """Make a GET request, and return the decoded response.

        Args:
            request: the GET request, without the session id.
            decode: a function that decodes the body of the response.
            priority: the priority of the call in the line for a slot of the limiter.
            seconds: the maximum time of the call, with all waits and attempts; None means no limit.

        Raises:
            RequestRejected: if the gateway refused the request.
            ReadFailed: if the last attempt got no usable response, or the time has passed.
            ClientClosed: if the client is closed, or is closed during the call.
        """
        return (await self.read_dated(request, decode, priority=priority, seconds=seconds)).value

    async def read_dated(
        self,
        request: Request,
        decode: Callable[[bytes], _Value],
        *,
        priority: Priority = Priority.READ,
        seconds: float | None = None,
    ) -> Dated[_Value]:
        """Make a GET request, and return the decoded response with its time on the clock of the gateway.

        The method takes the same arguments and raises the same errors as `read`.
        """
        judge: _Judge[Dated[_Value]] = lambda outcome, circumstances: judge_dated_read(  # noqa: E731
            outcome, decode, circumstances
        )
        return await self._read(_Call(request, judge, Evidence(), priority), seconds)

    async def _read(self, call: _Call[_Value], seconds: float | None) -> _Value:
        try:
            waited = await self.spread(lambda: call.request) if self.is_crowded else 0.0
            return await self._call(call, seconds, waited)
        except (RateLimited, ReadFailed) as error:
            # One wrong header `Retry-After` must not stop a stream for years.
            if error.retry_after is None or error.retry_after <= self._retry.retry_after_limit:
                raise
            error.retry_after = self._retry.retry_after_limit
            # The text of an error contains the wait, and only a copy gets a new text.
            limited = copy.copy(error)
        raise limited

    def send(
        self,
        request: Request,
        evidence: Evidence | None = None,
        *,
        seconds: float | None = None,
        waited: float = 0.0,
        may_start: Callable[[], bool] = lambda: True,
    ) -> Coroutine[Any, Any, tuple[str, ...]]:
        """Make a POST request, and return the segment ids.

        Args:
            request: the POST request, without the session id.
            evidence: records the trace events of each attempt. After a cancellation,
                `evidence.proves_not_sent()` returns whether there is a proof that nothing was sent.
            seconds: the maximum time of the call, with all waits and attempts; None means no limit.
            waited: the part of `seconds` that the call has already waited.
            may_start: a function that returns whether the call may start another request.

        Raises:
            RequestRejected: if the gateway refused the request. Nothing was sent.
            NotSent: if the call failed and there is a proof that nothing was sent. Also if `may_start`
                returned False before the request was written.
            OutcomeUnknown: if the gateway may or may not have accepted the request.
            ClientClosed: if the client is closed. If the client is closed during the call, the error is
                `NotSent` or `OutcomeUnknown`.
        """
        # The method is not a coroutine function, because each further coroutine of thousands of waiting calls
        # costs time in the garbage collector.
        if evidence is None:
            evidence = Evidence()
        return self._call(_Call(request, judge_send, evidence, Priority.SEND, may_start), seconds, waited)

    async def _call(self, call: _Call[_Value], seconds: float | None, waited: float) -> _Value:
        hub = self.hub
        hub.calls += 1
        call.free_since = perf_counter() - waited
        try:
            self._check_start(call)
            left, deadline = None, math.inf
            if seconds is not None:
                left = seconds - waited
                deadline = anyio.current_time() + left
            # The wait for the first slot is outside of the cancel scope. Thousands of calls can wait for a
            # slot, and thousands of scopes that end in the same moment block the event loop.
            if await self._limiter.acquire(call.priority, left):
                if seconds is None and self._exchanger.ends_exchanges:
                    # A cancel scope costs a tenth of the CPU time of a send, so it is made only if needed.
                    return await self._make_attempts(call, None)
                with anyio.CancelScope(deadline=deadline) as scope:
                    return await self._make_attempts(call, scope)
            self._raise_at_the_end(call, seconds, deadline)
        except BaseException as error:
            waited_for = None if call.attempt else perf_counter() - call.free_since
            hub.call_failed(call.request, call.evidence, error, waited=waited_for)
            raise
        finally:
            hub.calls -= 1

    def _raise_at_the_end(self, call: _Call[Any], seconds: float | None, deadline: float) -> NoReturn:
        """Raise the error of a call whose time has passed, or whose client was closed."""
        if seconds is None or (self._lifetime.is_closed and anyio.current_time() < deadline):
            raise error_at_the_end(call.request, call.evidence)
        raise _timed_out(call, seconds)

    async def _make_attempts(self, call: _Call[_Value], scope: anyio.CancelScope | None) -> _Value:
        """Make the attempts of a call. The call already has the slot of the limiter for the first attempt.

        Args:
            call: the call.
            scope: the cancel scope of the call, or None.
        """
        self._lifetime.enter(call, scope, call.evidence)
        try:
            attempts = Attempts(self._retry, self._waits, self._chance)
            while True:
                try:
                    try:
                        outcome = await self._attempt(call)
                    finally:
                        self._limiter.release()
                    circumstances = self._circumstances(call.request, call.grant)
                    if isinstance(outcome, HttpResponse) and len(outcome.body) > _LARGE_BODY:
                        verdict = await self._judged_in_thread(call.judge, outcome, circumstances)
                    else:
                        verdict = call.judge(outcome, circumstances)
                    self._record(call.grant, verdict)
                    if call.begun is not None:
                        self._report(call, call.begun, outcome, verdict)
                except BaseException as error:
                    if call.begun is not None:
                        self._report_broken(call, call.begun, error, scope)
                    raise
                finally:
                    self._authentication.end(call.grant)
                if isinstance(verdict, Done):
                    self.hub.count_success(call.request.resource)
                    return verdict.value
                await self._wait_for_repeat(call, attempts, verdict)
                await self._take_next_slot(call)
        except ClientClosed:
            # The login or a wait ended, because the client was closed.
            self._check_start(call)
            raise
        except BaseException as error:
            clear_frames(error)
            raise
        finally:
            self._lifetime.leave(call)

    async def _take_next_slot(self, call: _Call[_Value]) -> None:
        if not await self._limiter.acquire(call.priority):
            # Without a limit of time, a call gets no slot only if the client was closed.
            raise error_at_the_end(call.request, call.evidence)

    async def _attempt(self, call: _Call[_Value]) -> HttpResponse | ExchangeFailure:
        call.evidence.reset()
        call.grant = None
        call.grant = grant = self._authentication.ready() or await self._granted(call.request)
        if self._limiter.has_pace:
            await self._wait_for_pace(call.request)
        # If the wait for the slot or the session has just ended, a cancellation reaches this task only at its
        # next wait.
        self._check_start(call)
        parameters = call.request.with_grant(grant.parameters)
        call.attempt += 1
        hub = self.hub
        if hub.is_active:
            call.began_at = began_at = perf_counter()
            waited = began_at - call.free_since
            call.begun = begun = hub.request_begun(call.request, call.attempt, waited)
            hub.emit(begun)
        outcome = await self._exchange(call.request, parameters, call.evidence)
        if isinstance(outcome, ExchangeFailure) and self._lifetime.is_over:
            raise error_at_the_end(call.request, call.evidence)
        return outcome

    def _report(
        self,
        call: _Call[_Value],
        begun: RequestBegun,
        exchange: HttpResponse | ExchangeFailure,
        verdict: Verdict[_Value],
    ) -> None:
        """Emit the event of a request with a verdict."""
        call.begun = None
        call.free_since = now = perf_counter()
        elapsed = now - call.began_at
        if not isinstance(verdict, Done):
            failed = outcome_of(call.request, call.evidence, verdict.error)
            self.hub.request_ended(begun, elapsed, failed, exchange, error=verdict.error)
        elif call.request.resource.sends:
            ids = verdict.value
            segments = len(ids) if isinstance(ids, tuple) else None
            self.hub.request_ended(begun, elapsed, "accepted", exchange, segments=segments)
        else:
            self.hub.request_ended(begun, elapsed, "succeeded", exchange)

    def _report_broken(
        self, call: _Call[Any], begun: RequestBegun, error: BaseException, scope: anyio.CancelScope | None
    ) -> None:
        """Emit the event of a request that a cancellation or an unexpected exception ended."""
        call.begun = None
        outcome = outcome_of(call.request, call.evidence, error)
        name = name_of_error(error)
        if scope is not None and scope.cancel_called and not isinstance(error, Exception):
            # The client cancels the call, because its time has passed or the client is closed.
            closed = error_at_the_end(call.request, call.evidence)
            is_time = not call.request.resource.sends and not self._lifetime.is_closed
            outcome = "failed" if outcome == "cancelled" else outcome
            name = TransportFailed.__name__ if is_time else type(closed).__name__
        self.hub.request_ended(begun, perf_counter() - call.began_at, outcome, None, error=name)

    async def _wait_for_pace(self, request: Request) -> None:
        try:
            return await self._limiter.wait_for_pace()
        except LedgerError as error:
            problem = error.reason
        except Exception as error:  # noqa: BLE001 - the caller's pace may raise any exception
            # The text of an exception of the caller's code may contain anything.
            problem = type(error).__name__
        reason = f"the pace cannot be used: {problem}"
        raise NotSent(reason) if request.resource.sends else TransportFailed(reason)

    def _record(self, grant: Grant | None, verdict: Verdict[Any]) -> None:
        """Record whether the gateway accepted or refused what identifies the account."""
        error = None if isinstance(verdict, Done) else verdict.error
        if _proves_grant(verdict):
            self._authentication.accept(grant)
        elif isinstance(error, InvalidCredentials) or (
            isinstance(verdict, SessionRefused) and isinstance(error, RequestRejected)
        ):
            self._authentication.refuse(grant, error)
        else:
            self._authentication.neither(grant)

    async def _wait_for_repeat(
        self, call: _Call[_Value], attempts: Attempts, verdict: Verdict[_Value]
    ) -> None:
        """Return when the call may make another attempt, or raise the error of the last attempt."""
        if isinstance(verdict, SessionRefused):
            # A session from the store may be as old as the refused session. A session of a new login is the
            # last attempt of the call.
            is_last = call.grant is None or call.grant.is_own
            if attempts.replacements < (1 if is_last else _MOST_REPLACEMENTS):
                # The gateway sent nothing, so even a send can be repeated. We clear the evidence (the trace
                # events of the request). If the login is then cancelled, the empty evidence proves that
                # nothing was sent.
                attempts.replacements += 1
                call.evidence.reset()
                self._check_start(call)
                return
        if isinstance(verdict, Again):
            # For a send, the verdict `Again` means that the gateway certainly did not accept the message. We
            # clear the evidence (the trace events of the request). If the wait for the next attempt is then
            # cancelled, the empty evidence proves that nothing was sent.
            call.evidence.reset()
            if self._lifetime.is_closed or not call.may_start():
                raise verdict.error
        await attempts.wait_or_raise(verdict)

    async def _granted(self, request: Request) -> Grant:
        """Return what identifies the account in a request, after a login if one is necessary.

        Args:
            request: the request that needs the grant. If the request is a send and the login fails, this
                method raises `NotSent`. Only `Unauthorized`, `InvalidSession` and `RateLimited` are raised
                unchanged for a send.
        """
        try:
            grant: Grant = await self._authentication.get()
        except ReadFailed as error:
            if not request.resource.sends:
                raise
            reason, retry_after = f"the login failed: {error}", error.retry_after
        except RequestRejected as error:
            # For a send, other refusals of the login become `NotSent`. If we raised such a refusal unchanged,
            # the caller would think that the gateway refused the message.
            if not request.resource.sends or isinstance(error, Unauthorized | InvalidSession | RateLimited):
                raise
            reason, retry_after = f"the login was refused: {error}", error.retry_after
        else:
            return grant
        raise NotSent(reason, retry_after)

    async def aclose(self, grace: float) -> None:
        """End all calls and a login that is running, and close the connections.

        Args:
            grace: the seconds for which the requests in flight may continue.
        """
        try:
            self._lifetime.close()
            self._limiter.close()
            try:
                await self._authentication.aclose()
            finally:
                await self._lifetime.end(grace)
        finally:
            with anyio.CancelScope(shield=True):
                await self._exchanger.aclose()

    def _check_start(self, call: _Call[Any]) -> None:
        """Raise an error if the call may not start another request."""
        # While a closed client waits for the requests in flight, no other request may start.
        if self._lifetime.is_closed:
            raise error_at_the_end(call.request, call.evidence)
        if not call.may_start():
            raise NotSent("the call may not start another request, because the batch ended")

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

    async def _judged_in_thread(
        self, judge: _Judge[_Value], outcome: HttpResponse, circumstances: Circumstances
    ) -> Verdict[_Value]:
        """Return the verdict on an exchange with a large body. The thread keeps the event loop free."""
        # The response of a send is already in memory, so a cancellation must not make the outcome of the send
        # unknown.
        with anyio.CancelScope(shield=circumstances.resource.sends):
            verdict = await to_thread.run_sync(judge, outcome, circumstances, limiter=self._decoding)
        return verdict  # noqa: RET504 - for the type checker, a cancel scope may suppress an exception

    def _circumstances(self, request: Request, grant: Grant | None) -> Circumstances:
        """Return the circumstances of a request. A login has no grant."""
        # A clock of the caller runs before this frame has the private values.
        now = self._clock.now()
        has_credentials = grant is None or not self._has_sessions
        # A gateway may quote the password in the response to any request of the session.
        private = (*request.private, *self._credentials.private, *(() if grant is None else grant.private))
        hint = self._credentials.hint if has_credentials else ""
        return Circumstances(request.resource, private, now, has_credentials, hint)


@attrs.define(eq=False)
class _Call(Generic[_Value]):
    """One call.

    Attributes:
        request: the request, without the session id.
        judge: a function that returns the verdict on an exchange.
        evidence: the trace events of the current attempt.
        priority: the priority of the call in the line for a slot of the limiter.
        may_start: a function that returns whether the call may start another request.
        grant: what identified the account in the current attempt; None before an attempt has a session.
        attempt: the number of requests so far.
        free_since: the time of the beginning of the call, or of the end of its last request.
        began_at: the time of the beginning of the current request.
        begun: the event of the current request, until the request ends; None without observers.
    """

    request: Request
    judge: _Judge[_Value]
    evidence: Evidence
    priority: Priority
    may_start: Callable[[], bool] = lambda: True
    grant: Grant | None = None
    attempt: int = 0
    free_since: float = 0.0
    began_at: float = 0.0
    begun: RequestBegun | None = None


def _timed_out(call: _Call[Any], seconds: float) -> NotSent | OutcomeUnknown | ReadFailed:
    """Return the error of a call whose time has passed."""
    if not call.request.resource.sends:
        return TransportFailed(f"no response arrived within the timeout of {seconds:g} seconds")
    if call.evidence.proves_not_sent():
        return NotSent(f"the timeout of {seconds:g} seconds passed before the request was written")
    return OutcomeUnknown(f"no response arrived within {seconds:g} seconds")


def _proves_grant(verdict: Verdict[Any]) -> bool:
    """Return whether a verdict proves that the gateway accepted what identifies the account."""
    if isinstance(verdict, Failed):
        return isinstance(verdict.error, _AFTER_THE_SESSION)
    return isinstance(verdict, Done)
