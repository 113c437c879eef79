"""Sends a chunk (the messages of one request), and records its messages and outcomes in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import attrs

from smsapi_async.batch.chunks import BatchSettings, Chunk
from smsapi_async.calls.caller import Caller
from smsapi_async.calls.sender import attribute
from smsapi_async.clock import Clock
from smsapi_async.errors import (
    MESSAGE_REJECTIONS,
    Forbidden,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    RequestRejected,
    SmsApiError,
    UsageError,
)
from smsapi_async.http.exchange import Evidence
from smsapi_async.outcomes import Accepted, Outcome, Rejected, Unknown
from smsapi_async.privacy import Hidden

if TYPE_CHECKING:
    from smsapi_async.ledger import Ledger

# Maximum number of attempts of a request that the gateway refuses with HTTP status 429 (too many requests).
_RATE_LIMITED_ATTEMPTS = 10
# Time in seconds to wait after a response with HTTP status 429 without the header `Retry-After`.
_RATE_LIMITED_PAUSE = 1.0
# Longest time in seconds to wait after HTTP status 429. If the gateway asks for more, the batch halts.
_RATE_LIMITED_LONGEST = 300.0
# The refusals after which the messages of a bulk are isolated. Code 7 does not say whether the gateway
# forbids one number or the whole account.
_ONE_MESSAGE: tuple[type[RequestRejected], ...] = (*MESSAGE_REJECTIONS, Forbidden)
_ENDED_EARLY = "the batch ended before the response arrived"


@attrs.define
class Result:
    """The result of one call of `ChunkSender.send`, that is, of sending one chunk.

    Attributes:
        outcomes: the outcomes of the messages of the chunk.
        unsent: the parts of the chunk whose messages were not sent and so have no outcome.
        halt: the error for which the whole batch must halt, or None.
        rate_limited: the number of successive responses with HTTP status 429.
    """

    outcomes: list[Outcome] = attrs.field(factory=list)
    unsent: list[Chunk] = attrs.field(factory=list)
    halt: SmsApiError | None = None
    rate_limited: int = 0


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
        settings: the settings of the batch, of which this class uses ``unknown_limit`` and
            ``forbidden_limit``.
    """

    def __init__(self, caller: Caller, ledger: Ledger | None, clock: Clock, settings: BatchSettings) -> None:
        self._caller = caller
        self._ledger = ledger
        self._clock = clock
        self._settings = settings
        self._unknown_in_a_row = 0
        # The numbers that the gateway has forbidden since it last accepted a request.
        self._forbidden: set[str] = set()
        # For each request in flight, `_in_flight` contains the cancel scope of its worker task, and the
        # `Evidence` with the trace events of the request. During a wait between two attempts, the `Evidence`
        # has no events. One scope for each worker task costs less CPU time than one scope for each request.
        self._in_flight: dict[anyio.CancelScope, Evidence] = {}
        self._ending = False
        self._cause: SmsApiError | None = None

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

    async def send(self, chunk: Chunk, result: Result, scope: anyio.CancelScope) -> None:
        """Record a chunk in the ledger, send the chunk, and record its outcomes.

        Args:
            chunk: the chunk to send.
            scope: the shielded cancel scope in which `send` is called. `stop` and a halt cancel this scope.
            result: the object to which `send` adds the outcomes and the unsent messages. The result is
                complete even if `send` raises an exception.
        """
        parts: list[Chunk] = []
        try:
            parts += await self._claim(chunk, result)
        except SmsApiError as error:
            # If the ledger cannot record a chunk, the chunk is not sent. After a send without a record, a
            # later run would send the messages again.
            result.unsent.append(chunk)
            self._halt(error, result)
        except BaseException:
            result.unsent.append(chunk)
            raise
        try:
            while parts:
                part = parts.pop()
                if self._ending:
                    await self._release([part], result)
                else:
                    await self._attempt(part, parts, result, scope)
        except BaseException:
            await self._release(parts, result)
            raise

    async def _attempt(
        self, part: Chunk, others: list[Chunk], result: Result, scope: anyio.CancelScope
    ) -> None:
        """Send a part of a chunk, and record the outcomes of its messages.

        Args:
            part: the part to send.
            others: the other parts of the chunk. If the gateway refuses a part with several messages because
                of one of its messages, the two halves of the part are added.
            result: the result of the chunk.
            scope: the cancel scope of the worker task.
        """
        evidence = Evidence()
        limited: RateLimited | None = None
        outcomes: list[Outcome] = []
        try:
            self._in_flight[scope] = evidence
            try:
                outcomes = await self._send_part(part, evidence)
            finally:
                del self._in_flight[scope]
        except _ONE_MESSAGE as refusal:
            # The gateway refuses a whole bulk because of one message, and sends none of its messages. The two
            # halves of the part are therefore sent in two requests. Each refused half is divided again, until
            # each refused message is isolated.
            if len(part) > 1:
                # `send` takes the last part of its list first. We reverse the two halves, so that the first
                # half is sent first.
                others.extend(reversed(part.halves()))
                return
            outcomes = [self._rejected(part, refusal, result)]
        except RateLimited as refusal:
            limited = refusal
        except (RequestRejected, NotSent, UsageError) as error:
            self._halt(error, result)
            await self._release([part], result)
            return
        except BaseException as error:
            # We must catch every exception. `stop` and `_halt` cancel the scope, `asyncio.Task.cancel`
            # cancels even inside a shielded scope of AnyIO, and a transport of the caller may raise any
            # exception.
            await self._interrupted(part, evidence, error, result)
            raise
        if limited is not None:
            others.append(part)
            await self._after_rate_limit(others, limited, result, scope)
            return
        result.rate_limited = 0
        await self._settle(outcomes, result)
        if self._unknown_in_a_row >= self._settings.unknown_limit:
            reason = f"{self._unknown_in_a_row} requests in a row had an unknown outcome"
            self._halt(OutcomeUnknown(reason), result)

    async def _interrupted(
        self, part: Chunk, evidence: Evidence, error: BaseException, result: Result
    ) -> None:
        """Record the messages of a request that a cancellation or an unexpected exception ended."""
        is_cancelled = isinstance(error, anyio.get_cancelled_exc_class())
        if evidence.proves_not_sent(None if is_cancelled else error):
            await self._release([part], result)
        elif is_cancelled and self._ending:
            await self._settle(_unknown(part, OutcomeUnknown(_ENDED_EARLY)), result)
        else:
            # The messages keep the state `sending` in the ledger. When the ledger is opened the next time,
            # their state becomes `unknown`.
            cause = OutcomeUnknown(f"the send was interrupted by {type(error).__name__}")
            result.outcomes.extend(_unknown(part, cause))

    def _rejected(self, part: Chunk, refusal: RequestRejected, result: Result) -> Outcome:
        """Return the outcome of a single message that the gateway refused."""
        if isinstance(refusal, Forbidden):
            # Many forbidden numbers in a row mean that the gateway forbids the whole account.
            self._forbidden.add(part.numbers[0])
            if len(self._forbidden) >= self._settings.forbidden_limit:
                self._halt(refusal, result)
        reason = refusal.description or type(refusal).__name__
        (message,), (key,) = part.messages, part.outcome_keys
        return Rejected(message=message, reason=reason, code=refusal.code, key=key)

    def _halt(self, cause: SmsApiError, result: Result) -> None:
        self._ending = True
        # A later error may be only an effect of the halt, for example the `NotSent` of a withdrawn request.
        self._cause = self._cause or cause
        result.halt = self._cause
        # The gateway may accept a request that was already passed to the transport, so the batch waits for
        # the response to such a request. The batch cancels all other requests, and the waits between
        # attempts.
        for scope, evidence in self._in_flight.items():
            if not evidence.begun:
                scope.cancel()

    async def _claim(self, chunk: Chunk, result: Result) -> list[Chunk]:
        """Set the messages of a chunk to the state ``sending`` in the ledger.

        Returns:
            A chunk with the messages that must be sent now; no chunk if there is no such message. For all
            other messages, `Ledger.claim` returned outcomes, which this method adds to the result.
        """
        if self._ledger is None:
            return [chunk]
        known = await self._ledger.claim(list(zip(chunk.keys, chunk.messages, strict=True)))
        result.outcomes.extend(outcome for outcome in known.values() if outcome is not None)
        unsent = [index for index, key in enumerate(chunk.keys) if known[key] is None]
        return [chunk.pick(unsent)] if unsent else []

    async def _release(self, parts: list[Chunk], result: Result) -> None:
        """Add parts to the unsent parts, and make their messages pending in the ledger."""
        result.unsent.extend(parts)
        keys = [key for part in parts for key in part.keys]
        if self._ledger is not None and keys:
            try:
                # After `stop`, the deadline of the worker task's scope may pass at any time.
                with anyio.CancelScope(shield=True):
                    await self._ledger.release(keys)
            except SmsApiError as error:
                self._halt(error, result)

    async def _settle(self, outcomes: list[Outcome], result: Result) -> None:
        """Add outcomes to the result, and record the outcomes in the ledger.

        If the ledger raises an error, the outcomes stay in the result, so that the caller receives the
        outcomes.
        """
        result.outcomes.extend(outcomes)
        if self._ledger is not None:
            try:
                # After `stop`, the deadline of the worker task's scope may pass at any time.
                with anyio.CancelScope(shield=True):
                    await self._ledger.settle(outcomes)
            except SmsApiError as error:
                self._halt(error, result)

    async def _send_part(self, part: Chunk, evidence: Evidence) -> list[Outcome]:
        """Send a part in one request, and return the outcome of each message."""
        try:
            # If the request was already passed to the transport, `_halt` does not cancel the scope. If such a
            # request then fails, `may_start` prevents another attempt.
            segment_ids = Hidden(await self._caller.send(part.request(), evidence, may_start=self._may_start))
        except OutcomeUnknown as error:
            self._unknown_in_a_row += 1
            return _unknown(part, error)
        except RequestRejected:
            self._unknown_in_a_row = 0
            raise
        self._unknown_in_a_row = 0
        self._forbidden.clear()
        return _accepted(part, segment_ids, self._clock)

    async def _after_rate_limit(
        self, parts: list[Chunk], refusal: RateLimited, result: Result, scope: anyio.CancelScope
    ) -> None:
        """Wait after HTTP status 429. This status proves that nothing was sent, so the part is sent again.

        Args:
            parts: all parts of the chunk that are not sent yet. During the wait, the list is empty. If the
                batch does not end, the list then contains the parts, claimed again.
            refusal: the error of the request.
            result: the result of the chunk.
            scope: the cancel scope of the worker task.
        """
        result.rate_limited += 1
        wait = _RATE_LIMITED_PAUSE if refusal.retry_after is None else refusal.retry_after
        if result.rate_limited >= _RATE_LIMITED_ATTEMPTS or self._ending or wait > _RATE_LIMITED_LONGEST:
            self._halt(refusal, result)
            return
        # If the process ends during the wait, the messages must not be unknown. `_release` adds the parts to
        # the unsent parts, from which a part is removed when the batch has claimed its messages again.
        waiting = parts.copy()
        parts.clear()
        await self._release(waiting, result)
        self._in_flight[scope] = Evidence()
        try:
            await self._clock.sleep(wait)
        except SmsApiError as error:
            # The client was closed.
            self._halt(error, result)
        finally:
            del self._in_flight[scope]
        for part in waiting:
            if not self._may_start():
                return
            try:
                parts += await self._claim(part, result)
            except SmsApiError as error:
                self._halt(error, result)
                return
            result.unsent.remove(part)

    def _may_start(self) -> bool:
        """Return whether another request may start. Another task may end the batch at any wait."""
        return not self._ending


def _accepted(part: Chunk, ids: Hidden[tuple[str, ...]], clock: Clock) -> list[Outcome]:
    now = clock.now()
    segment_ids = ids.value
    shares = attribute(len(part), segment_ids)
    unattributed = shares is None
    each = zip(part.messages, part.outcome_keys, shares or [segment_ids] * len(part), strict=True)
    return [
        Accepted(message=message, segment_ids=share, accepted_at=now, unattributed=unattributed, key=key)
        for message, key, share in each
    ]


def _unknown(part: Chunk, error: OutcomeUnknown) -> list[Outcome]:
    reason = error.reason if not error.description else f"{error.reason}: {error.description}"
    return [
        Unknown(message=message, reason=reason, code=error.code, key=key)
        for message, key in zip(part.messages, part.outcome_keys, strict=True)
    ]
