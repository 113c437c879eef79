"""Sends a chunk (the messages of one request), and records its messages and outcomes in the ledger."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import anyio
import attrs

from smsapi_async.batch.beginning import begun_in_time
from smsapi_async.batch.chunks import BatchSettings, Chunk, LocalBulks
from smsapi_async.batch.in_flight import InFlightLimit
from smsapi_async.batch.ledger_claims import observed_claim
from smsapi_async.calls.api_options import ApiOptions
from smsapi_async.calls.caller import Caller
from smsapi_async.calls.resource_check import has_local_bulks
from smsapi_async.clock import Clock
from smsapi_async.errors import (
    MESSAGE_REJECTIONS,
    Forbidden,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    RequestRejected,
    ResourceNotFound,
    SmsApiError,
    UsageError,
)
from smsapi_async.http.exchange import Evidence
from smsapi_async.ledger.requests import InFlight, RequestAnswer
from smsapi_async.models import Message
from smsapi_async.outcomes import Outcome
from smsapi_async.privacy import Hidden

if TYPE_CHECKING:
    from smsapi_async.ledger import Ledger

logger = logging.getLogger("smsapi_async")
# Maximum number of attempts of a request that the gateway refuses with HTTP status 429 (too many requests).
_RATE_LIMITED_ATTEMPTS = 10
# Time in seconds to wait after a response with HTTP status 429 without the header `Retry-After`.
_RATE_LIMITED_PAUSE = 1.0
# Longest time in seconds to wait after HTTP status 429. If the gateway asks for more, the batch halts.
_RATE_LIMITED_LONGEST = 300.0
ONE_MESSAGE: tuple[type[RequestRejected], ...] = (*MESSAGE_REJECTIONS, Forbidden)
"""The refusals after which the messages of a bulk are isolated.

Code 7 does not say whether the gateway forbids one number or the whole account.
"""
ENDED_EARLY = "the batch ended before the response arrived"
# The number of messages that one call of the ledger records as pending. Each call is one transaction, which
# writes most pages of an index again.
_PENDING_AT_ONCE = 50_000


@attrs.define(eq=False)
class Result:
    """The result of one call of `ChunkSender.send`, that is, of sending one chunk.

    Attributes:
        finish: the function that passes the result on. It is called once, when the ledger has recorded the
            last answer, or could not record it.
        outcomes: the outcomes of the messages of the chunk.
        unsent: the parts of the chunk whose messages were not sent and so have no outcome.
        halt: the error for which the whole batch must halt, or None.
        rate_limited: the number of successive responses with HTTP status 429.
        unrecorded: the token and the answer of the last request, which the ledger has not recorded yet. The
            next claim of the same worker task records them, so that both need one commit.
        held: the number of places that the messages of the unrecorded answer hold.
        is_finished: whether `finish` was called.
    """

    finish: Callable[[Result], None]
    outcomes: list[Outcome] = attrs.field(factory=list)
    unsent: list[Chunk] = attrs.field(factory=list)
    halt: SmsApiError | None = None
    rate_limited: int = 0
    unrecorded: tuple[str, RequestAnswer] | None = None
    held: int = 0
    is_finished: bool = False

    def end(self) -> None:
        """Call `finish`, unless it was called before."""
        if not self.is_finished:
            self.is_finished = True
            self.finish(self)


@attrs.define(eq=False)
class ChunkWork:
    """What is left to do for one chunk.

    Attributes:
        result: the result of the chunk.
        scope: the cancel scope of the worker task.
        parts: the parts of the chunk that are not sent yet. The last part is sent first.
        elsewhere: the parts that another sender has claimed, each with the token of its claim.
        previous: the result of the previous chunk of the worker task, until its answer is recorded.
    """

    result: Result
    scope: anyio.CancelScope
    parts: list[Chunk]
    previous: Result | None = None
    elsewhere: list[tuple[Chunk, str]] = attrs.field(factory=list)

    def divide(self) -> None:
        """Divide the next part into single messages."""
        self.parts[-1:] = reversed(self.parts[-1].singles())

    def leave_unsent(self) -> None:
        """Move all parts to the unsent parts of the result."""
        self.result.unsent += [*self.parts, *(part for part, _ in self.elsewhere)]
        self.parts.clear()
        self.elsewhere.clear()


class ChunkSender:
    """Sends chunks. Each message is sent at most once.

    Call `send` in a shielded cancel scope: if `send` were cancelled before it records the outcomes, the
    outcomes would be lost. The method `stop` limits the time for which the shield delays a cancellation. One
    scope can serve many successive calls of `send`: `stop` and a halt cancel the scope, and the caller then
    makes no further calls.

    Args:
        caller: the `Caller` that sends the requests to the gateway.
        ledger: the ledger that records the messages, or None.
        clock: the clock for acceptance times and for the waits between attempts.
        settings: the settings of the batch, of which this class uses ``unknown_limit``, ``forbidden_limit``
            and ``max_in_flight``.
        api: the variant of the gateway's HTTP API.

    Attributes:
        ledger: the ledger, or None.
        settings: the settings of the batch.
        hub: gives events to the observers of the client.
        zone: the time zone of the gateway.
        local_bulks: whether messages with ``by_time_zone`` are sent in bulks.
    """

    def __init__(
        self,
        caller: Caller,
        ledger: Ledger | None,
        clock: Clock,
        settings: BatchSettings,
        api: ApiOptions,
    ) -> None:
        self._caller = caller
        self.hub = caller.hub
        self.ledger = ledger
        self._clock = clock
        self.settings = settings
        self._limit = InFlightLimit(settings.max_in_flight)
        self.zone = api.time_zone
        self.local_bulks = LocalBulks(api.bulk_by_time_zone)
        # Only one worker task makes the check of the resource.
        self._check = anyio.Lock()
        # Each claim has a token of its own. A call of the operating system for each random token would let
        # the thread of the ledger take the interpreter lock.
        self._token = f"{secrets.token_hex(8)}-"
        self._claims = count()
        # The first message of the batch, and its position in the report of the ledger.
        self._first: tuple[str, Message] | None = None
        self._origin: int | None = None
        self._origin_lock = anyio.Lock()
        self._unknown_in_a_row = 0
        # The numbers that the gateway has forbidden since it last accepted a request.
        self._forbidden: set[str] = set()
        # For each request in flight, `_in_flight` contains the cancel scope of its worker task, and the
        # `Evidence` with the trace events of the request. During a wait between two attempts, the `Evidence`
        # has no events. One scope for each worker task costs less CPU time than one scope for each request.
        self._in_flight: dict[anyio.CancelScope, Evidence] = {}
        self._ending = False
        self._cause: SmsApiError | None = None

    def begin_with(self, key: str, message: Message) -> None:
        """Note the first message of the batch. Later calls change nothing."""
        if self._first is None:
            self._first = (key, message)

    def stop(self, grace: float) -> None:
        """Start no more requests, and limit the time of the requests in flight.

        Args:
            grace: maximum time in seconds to finish a request that was already passed to the transport. All
                other requests are cancelled immediately.
        """
        self._ending = True
        deadline = anyio.current_time() + grace
        for scope, evidence in self._in_flight.items():
            if evidence.begun:
                scope.deadline = min(scope.deadline, deadline)
            else:
                scope.cancel()

    async def send(
        self, chunk: Chunk, result: Result, scope: anyio.CancelScope, previous: Result | None = None
    ) -> None:
        """Record a chunk in the ledger, send the chunk, and record its outcomes.

        The last answer stays in ``result.unrecorded``: pass the result to the next call of `send`, and to
        `record` after it.

        Args:
            chunk: the chunk to send.
            result: the object to which `send` adds the outcomes and the unsent messages. The result is
                complete even if `send` raises an exception.
            scope: the shielded cancel scope in which `send` is called. `stop` and a halt cancel this scope.
            previous: the result of the previous call of `send` in this scope, whose answer is recorded first.
        """
        work = ChunkWork(result, scope, [chunk], previous=previous)
        try:
            while not self._ending and (work.parts or work.elsewhere):
                if work.parts:
                    if work.parts[-1].is_local_bulk and not self.local_bulks.are_used:
                        work.divide()
                    limited = await self._send_one(work)
                    if limited is not None:
                        await self._wait_after_rate_limit(limited, work)
                else:
                    await self._wait_elsewhere(work)
        finally:
            work.leave_unsent()

    async def record(self, result: Result) -> None:
        """Record the last answer of a result, and pass the result on. A second call does nothing."""
        if not result.is_finished:
            try:
                await self._store(result)
            finally:
                result.end()

    async def _store(self, result: Result) -> None:
        """Record the answer of a result that is not recorded yet, and give its places back."""
        unrecorded, result.unrecorded = result.unrecorded, None
        held, result.held = result.held, 0
        try:
            if unrecorded is not None and self.ledger is not None:
                await self._settle(*unrecorded)
        except SmsApiError as error:
            # The outcomes stay in the result, so that the caller receives the outcomes.
            self._halt(error, result)
        finally:
            self._limit.release(held)

    async def record_pending(self, chunks: list[Chunk]) -> None:
        """Record messages that were read but not sent with the state pending.

        Raises:
            LedgerError: if the ledger cannot record the messages.
        """
        if self.ledger is None:
            return
        messages: list[tuple[str, Message]] = []
        positions: list[int] = []
        for chunk in chunks:
            origin = await self._position()
            messages += zip(chunk.keys, chunk.messages, strict=True)
            positions += [origin + place for place in chunk.places]
            if len(messages) >= _PENDING_AT_ONCE:
                await self.ledger.record_pending(messages, positions=positions)
                messages, positions = [], []
        if messages:
            await self.ledger.record_pending(messages, positions=positions)

    async def _send_one(self, work: ChunkWork) -> RateLimited | None:
        """Claim the next part and send it. Return the refusal if the gateway asks for fewer requests."""
        part = work.parts[-1]
        token = part.token or f"{self._token}{next(self._claims)}"
        await self._take_places(len(part), work)
        places = len(part)
        try:
            try:
                to_send = await self._claim(token, part, work)
            except SmsApiError as error:
                # If the ledger cannot record a part, the part is not sent. After a send without a record, a
                # later run would send the messages again.
                self._halt(error, work.result)
                return None
            work.parts.pop()
            limited = None if to_send is None else await self._attempt(token, to_send, work)
            places -= work.result.held
            return limited
        finally:
            self._limit.release(places)

    async def _take_places(self, count: int, work: ChunkWork) -> None:
        """Take places for a request. The unrecorded answer of the previous request hands over its places."""
        previous = work.previous
        if previous is not None and previous.held < count:
            # A task that held places and waited for more could wait for another such task, for ever.
            await self.record(previous)
        if previous is not None and previous.held:
            self._limit.release(previous.held - count)
            previous.held = 0
            return
        with self._waiting(work.scope):
            await self._limit.acquire(count)

    async def _attempt(self, token: str, part: Chunk, work: ChunkWork) -> RateLimited | None:
        """Send a part of a chunk, and record the outcomes of its messages.

        Returns:
            The refusal if the gateway asks for fewer requests. The part is then not sent yet.
        """
        if part.is_local_bulk and not self.local_bulks.are_possible:
            await self._prepare_local_bulk(token, part, work)
            return None
        evidence = Evidence()
        try:
            self._in_flight[work.scope] = evidence
            try:
                answer = await self._request(token, part, evidence)
            finally:
                del self._in_flight[work.scope]
        except ONE_MESSAGE as refusal:
            # The gateway refuses a whole bulk because of one message, and sends none of its messages. The two
            # halves of the part are therefore sent in two requests. Each refused half is divided again, until
            # each refused message is isolated.
            if len(part) > 1:
                # `send` takes the last part first, so the first half must be the last one in the list.
                await self._release(token, list(reversed(part.halves())), work)
                return None
            answer = self._rejection(part, refusal, work.result)
        except RateLimited as refusal:
            await self._release(token, [part], work)
            return refusal
        except (RequestRejected, NotSent, UsageError) as error:
            self._halt(error, work.result)
            await self._release(token, [part], work)
            return None
        except BaseException as error:
            # We must catch every exception. `stop` and `_halt` cancel the scope, `asyncio.Task.cancel`
            # cancels even inside a shielded scope of AnyIO, and a transport of the caller may raise any
            # exception.
            await self._interrupted(token, part, evidence, error, work)
            raise
        if answer is None:
            await self._release(token, [part], work)
        else:
            await self._keep(token, part, answer, work)
        if self._unknown_in_a_row >= self.settings.unknown_limit:
            reason = f"{self._unknown_in_a_row} requests in a row had an unknown outcome"
            self._halt(OutcomeUnknown(reason), work.result)
        return None

    async def _keep(self, token: str, part: Chunk, answer: RequestAnswer, work: ChunkWork) -> None:
        """Add the outcomes to the result, and record the answer, unless the next claim will record it."""
        work.result.rate_limited = 0
        work.result.outcomes += answer.outcomes(part.messages, part.outcome_keys)
        if self.ledger is not None:
            work.result.unrecorded = (token, answer)
            if work.parts or work.elsewhere:
                await self._store(work.result)
            else:
                work.result.held = len(part)

    async def _interrupted(
        self, token: str, part: Chunk, evidence: Evidence, error: BaseException, work: ChunkWork
    ) -> None:
        """Record the messages of a request that a cancellation or an unexpected exception ended."""
        is_cancelled = isinstance(error, anyio.get_cancelled_exc_class())
        if evidence.proves_not_sent(None if is_cancelled else error):
            await self._release(token, [part], work)
            return
        reason = f"the send was interrupted by {type(error).__name__}"
        if is_cancelled and self._ending:
            reason = ENDED_EARLY
        answer = RequestAnswer(state="unknown", at=self._clock.now(), reason=reason)
        work.result.outcomes += answer.outcomes(part.messages, part.outcome_keys)
        work.result.unrecorded = (token, answer)
        await self._store(work.result)

    async def _request(self, token: str, part: Chunk, evidence: Evidence) -> RequestAnswer | None:
        """Send a part in one request, and return the answer. None means that the claim must be renewed."""
        send = partial(self._caller.send, part.request(), evidence, may_start=self._may_start)
        try:
            # If the request was already passed to the transport, `_halt` does not cancel the scope. If such a
            # request then fails, `may_start` prevents another attempt.
            segment_ids = Hidden(await begun_in_time(send, evidence, self.ledger, token))
        except OutcomeUnknown as error:
            self._unknown_in_a_row += 1
            return unknown_answer(error, self._clock)
        except RequestRejected:
            self._unknown_in_a_row = 0
            raise
        if segment_ids.value is None:
            return None
        self._unknown_in_a_row = 0
        self._forbidden.clear()
        return RequestAnswer(state="accepted", at=self._clock.now(), segment_ids=segment_ids.value)

    def _rejection(self, part: Chunk, refusal: RequestRejected, result: Result) -> RequestAnswer:
        """Return the answer for a single message that the gateway refused."""
        if isinstance(refusal, Forbidden):
            # Many forbidden numbers in a row mean that the gateway forbids the whole account.
            self._forbidden.add(part.numbers[0])
            if len(self._forbidden) >= self.settings.forbidden_limit:
                self._halt(refusal, result)
        return rejected_answer(refusal, self._clock)

    def _halt(self, cause: SmsApiError, result: Result) -> None:
        self.halt(cause)
        result.halt = self._cause

    def halt(self, cause: SmsApiError) -> None:
        """Start no more requests because of an error. Requests that were passed to the transport end."""
        self._ending = True
        # A later error may be only an effect of the halt, for example the `NotSent` of a withdrawn request.
        self._cause = self._cause or cause
        # The gateway may accept a request that was already passed to the transport, so the batch waits for
        # the response to such a request. The batch cancels all other requests, and the waits between
        # attempts.
        for scope, evidence in self._in_flight.items():
            if not evidence.begun:
                scope.cancel()

    async def _claim(self, token: str, part: Chunk, work: ChunkWork) -> Chunk | None:
        """Set the messages of a part to the state ``sending`` in the ledger.

        Returns:
            A chunk with the messages that must be sent now; None if there is no such message. Outcomes that
            the ledger knows are added to the result, and messages of other senders to ``work.elsewhere``.
        """
        if self.ledger is None:
            return part
        origin = await self._position()
        previous, settle = work.previous, None
        if previous is not None:
            settle, previous.unrecorded = previous.unrecorded, None
        try:
            claim = self.ledger.claim(
                token,
                list(zip(part.keys, part.messages, strict=True)),
                positions=[origin + place for place in part.places],
                settle=settle,
            )
            claimed = await observed_claim(self.hub, self.ledger, token, len(part), claim)
        finally:
            if previous is not None:
                work.previous = None
                previous.end()
        if not any(claimed):
            return part
        unsent: list[int] = []
        elsewhere: dict[str, list[int]] = {}
        for index, known in enumerate(claimed):
            if known is None:
                unsent.append(index)
            elif isinstance(known, InFlight):
                elsewhere.setdefault(known.token, []).append(index)
            else:
                work.result.outcomes.append(known)
        work.elsewhere += [(part.pick(indexes), other) for other, indexes in elsewhere.items()]
        return part.pick(unsent) if unsent else None

    async def _position(self) -> int:
        """Return the position of the first message of the batch in the report of the ledger."""
        if self._origin is None:
            # Only one task asks: after a claim of another task, the answer would be another one.
            async with self._origin_lock:
                if self._origin is None:
                    assert self.ledger is not None  # noqa: S101 - a type checker needs this assertion
                    assert self._first is not None  # noqa: S101 - a type checker needs this assertion
                    self._origin = await self.ledger.first_position(*self._first)
        return self._origin

    async def _prepare_local_bulk(self, token: str, part: Chunk, work: ChunkWork) -> None:
        """Check before the first bulk at local times whether the gateway has the resource of such a bulk.

        The response to the bulk itself would come too late: HTTP status 404 does not prove that nothing was
        sent, because a proxy may have replaced the response. If nothing is proved, the part is divided.

        During the check, the messages are pending: if the process ends, they must not be unknown.
        """
        await self._release(token, [part], work)
        bulks = self.local_bulks
        with self._waiting(work.scope):
            async with self._check:
                if bulks.are_used and not bulks.are_possible and not self._ending:
                    await self._check_local_bulks()
        if not bulks.are_possible:
            work.divide()

    async def _check_local_bulks(self) -> None:
        """Check whether the gateway has the resource. If not, log a warning, and use no such bulks."""
        try:
            self.local_bulks.are_possible = await has_local_bulks(self._caller)
        except ResourceNotFound as error:
            self.local_bulks.are_used = False
            logger.warning("%s; the batch sends these messages one by one", error.summary())

    async def _wait_elsewhere(self, work: ChunkWork) -> None:
        """Wait until another sender has sent a part, or has given up. Then the part is claimed again."""
        assert self.ledger is not None  # noqa: S101 - a type checker needs this assertion
        part, token = work.elsewhere[-1]
        try:
            with self._waiting(work.scope):
                await self.ledger.wait(token)
        except SmsApiError as error:
            self._halt(error, work.result)
            return
        work.elsewhere.pop()
        work.parts.append(part)

    async def _release(self, token: str, parts: list[Chunk], work: ChunkWork) -> None:
        """Make the messages of a claim pending in the ledger, and add them to the parts that are not sent."""
        work.parts += parts
        if self.ledger is not None:
            try:
                await self._give_back(token)
            except SmsApiError as error:
                self._halt(error, work.result)

    async def _settle(self, token: str, answer: RequestAnswer) -> None:
        assert self.ledger is not None  # noqa: S101 - a type checker needs this assertion
        await self.ledger.settle(token, answer)

    async def _give_back(self, token: str) -> None:
        assert self.ledger is not None  # noqa: S101 - a type checker needs this assertion
        await self.ledger.release(token)

    async def _wait_after_rate_limit(self, refusal: RateLimited, work: ChunkWork) -> None:
        """Wait after HTTP status 429. This status proves that nothing was sent, so the part is sent again.

        During the wait, the messages are pending: if the process ends, they must not be unknown.
        """
        work.result.rate_limited += 1
        wait = _RATE_LIMITED_PAUSE if refusal.retry_after is None else refusal.retry_after
        is_last = work.result.rate_limited >= _RATE_LIMITED_ATTEMPTS
        if is_last or self._ending or wait > _RATE_LIMITED_LONGEST:
            self._halt(refusal, work.result)
            return
        try:
            with self._waiting(work.scope):
                await self._clock.sleep(wait)
        except SmsApiError as error:
            # The client was closed.
            self._halt(error, work.result)

    @contextmanager
    def _waiting(self, scope: anyio.CancelScope) -> Iterator[None]:
        """Let `stop` and `_halt` cancel a wait inside the block."""
        self._in_flight[scope] = Evidence()
        try:
            yield
        finally:
            del self._in_flight[scope]

    def _may_start(self) -> bool:
        """Return whether another request may start. Another task may end the batch at any wait."""
        return not self._ending


def unknown_answer(error: OutcomeUnknown, clock: Clock) -> RequestAnswer:
    """Return the answer of a request whose outcome is unknown."""
    reason = error.reason if not error.description else f"{error.reason}: {error.description}"
    return RequestAnswer(state="unknown", at=clock.now(), reason=reason, code=error.code)


def rejected_answer(refusal: RequestRejected, clock: Clock) -> RequestAnswer:
    """Return the answer of a request that the gateway refused."""
    reason = refusal.description or type(refusal).__name__
    return RequestAnswer(state="rejected", at=clock.now(), reason=reason, code=refusal.code)
