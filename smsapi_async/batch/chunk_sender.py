"""Claims a chunk in the ledger, sends the chunk, and settles its outcomes in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import anyio
import attrs

from smsapi_async.batch.chunks import Chunk
from smsapi_async.calls.caller import Caller
from smsapi_async.calls.sender import attribute
from smsapi_async.clock import Clock
from smsapi_async.errors import (
    MESSAGE_REJECTIONS,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    RequestRejected,
    SmsApiError,
    UsageError,
)
from smsapi_async.http.exchange import Evidence
from smsapi_async.outcomes import Accepted, Outcome, Rejected, Unknown
from smsapi_async.protocol.encoding import Request

if TYPE_CHECKING:
    from smsapi_async.ledger import Ledger

# Maximum number of attempts of a request that the gateway refuses with HTTP status 429.
_RATE_LIMITED_ATTEMPTS = 10
# Wait in seconds after a response with HTTP status 429 that has no header `Retry-After`.
_RATE_LIMITED_PAUSE = 1.0
# Maximum wait in seconds after HTTP status 429. If the gateway asks for a longer wait, the batch halts.
_RATE_LIMITED_LONGEST = 300.0


@attrs.define
class Result:
    """The result of a call of `ChunkSender.send`.

    Attributes:
        outcomes: the outcomes of the messages.
        unsent: chunks of the messages that have no outcome, because the messages were not sent.
        halt: the error because of which the batch must halt, or None.
    """

    outcomes: list[Outcome] = attrs.field(factory=list)
    unsent: list[Chunk] = attrs.field(factory=list)
    halt: SmsApiError | None = None


class ChunkSender:
    """Sends chunks. Each message is sent at most once.

    Call `send` in a shielded cancel scope: if `send` were cancelled between the claim and the settlement, the
    outcomes would be lost. The method `stop` limits the time for which the shield delays a cancellation.

    Args:
        caller: sends the requests.
        ledger: the ledger that records the messages, or None.
        clock: the clock for the times of acceptances and for the waits.
        unknown_limit: the batch halts after this number of successive requests with an unknown outcome.
    """

    def __init__(self, caller: Caller, ledger: Ledger | None, clock: Clock, unknown_limit: int) -> None:
        self._caller = caller
        self._ledger = ledger
        self._clock = clock
        self._unknown_limit = unknown_limit
        self._unknown_in_a_row = 0
        # The cancel scope of each request in flight and of each wait between two attempts. The values record
        # the trace events of the requests. A wait has a new `Evidence` without events.
        self._in_flight: dict[anyio.CancelScope, Evidence] = {}
        self._ending = False

    def stop(self, grace: float) -> None:
        """Start no more requests, and limit the time of the requests in flight.

        Args:
            grace: maximum time in seconds for a request that the transport has received. Any other request is
                cancelled immediately.
        """
        self._ending = True
        deadline = anyio.current_time() + grace
        for scope, evidence in self._in_flight.items():
            if evidence.begun:
                scope.deadline = min(scope.deadline, deadline)
            else:
                scope.cancel()

    async def send(self, chunk: Chunk, result: Result) -> None:
        """Claim, send and settle a chunk.

        Args:
            chunk: the chunk to send.
            result: this method adds the outcomes and the unsent messages to this object. The object is
                complete even if this method raises an exception.
        """
        parts = []
        try:
            parts.append(await self._claim(chunk, result))
        except SmsApiError as error:
            # The ledger could not record the chunk, so the chunk is not sent. If the chunk were sent without
            # a record, a later run would send the messages again.
            result.unsent.append(chunk)
            self._halt(error, result)
        except BaseException:
            result.unsent.append(chunk)
            raise
        try:
            while parts:
                part = parts.pop()
                if self._ending and len(part):
                    await self._release(part, result)
                elif len(part):
                    parts.extend(await self._attempt(part, result))
        except BaseException:
            result.unsent.extend(parts)
            raise

    async def _attempt(self, part: Chunk, result: Result) -> tuple[Chunk, ...]:
        """Send a part of a chunk.

        Returns:
            The two halves of the part, if the gateway refused the part because of one of its messages and the
            part has several messages. In all other cases an empty tuple.
        """
        evidence = Evidence()
        try:
            outcomes = await self._send_part(part, evidence)
        except MESSAGE_REJECTIONS as refusal:
            # The gateway refuses a whole bulk because of one message, and sends none of its messages. So the
            # two halves of the part are sent in two requests. If the gateway refuses a half, this half is
            # divided again, until each refused message is isolated.
            if len(part) > 1:
                # `send` takes the last part of its list first. We reverse the halves, so that the messages
                # are sent in their order.
                return tuple(reversed(part.halves()))
            outcomes = [_rejected(part, refusal)]
        except (RequestRejected, NotSent, UsageError) as error:
            self._halt(error, result)
            await self._release(part, result)
            return ()
        except BaseException as error:
            # We must catch every exception: `asyncio.Task.cancel` ignores the shield of AnyIO, and a
            # transport of the caller may raise any exception.
            if evidence.proves_not_sent(error):
                with anyio.CancelScope(shield=True):
                    await self._release(part, result)
            else:
                # We do not settle the messages in the ledger. The messages keep the state `sending`, and this
                # state becomes `unknown` when the ledger is opened the next time.
                cause = OutcomeUnknown(f"the send was interrupted by {type(error).__name__}")
                result.outcomes.extend(_unknown(part, cause))
            raise
        await self._settle(outcomes, result)
        if self._unknown_in_a_row >= self._unknown_limit:
            reason = f"{self._unknown_in_a_row} requests in a row had an unknown outcome"
            self._halt(OutcomeUnknown(reason), result)
        return ()

    def _halt(self, cause: SmsApiError, result: Result) -> None:
        self._ending = True
        result.halt = result.halt or cause
        # The gateway may accept a request that the transport has already received. So the batch waits for the
        # response to this request, and cancels only the other requests and the waits.
        for scope, evidence in self._in_flight.items():
            if not evidence.begun:
                scope.cancel()

    async def _claim(self, chunk: Chunk, result: Result) -> Chunk:
        """Claim the messages of a chunk in the ledger.

        Returns:
            A chunk with the messages that must be sent now. For each other message, `Ledger.claim` returned
            an outcome, and this method adds the outcome to the result.
        """
        if self._ledger is None:
            return chunk
        known = await self._ledger.claim(list(zip(chunk.keys, chunk.messages, strict=True)))
        result.outcomes.extend(outcome for outcome in known.values() if outcome is not None)
        return chunk.pick([index for index, key in enumerate(chunk.keys) if known[key] is None])

    async def _release(self, part: Chunk, result: Result) -> None:
        result.unsent.append(part)
        if self._ledger is not None:
            try:
                await self._ledger.release(part.keys)
            except SmsApiError as error:
                self._halt(error, result)

    async def _settle(self, outcomes: list[Outcome], result: Result) -> None:
        """Add outcomes to the result and settle the outcomes in the ledger.

        If the ledger raises an error, the outcomes stay in the result, so that the caller receives the
        outcomes.
        """
        result.outcomes.extend(outcomes)
        if self._ledger is not None:
            try:
                await self._ledger.settle(outcomes)
            except SmsApiError as error:
                self._halt(error, result)

    async def _send_part(self, part: Chunk, evidence: Evidence) -> list[Outcome]:
        """Send a part in one request, and return the outcome of each message.

        HTTP status 429 proves that nothing was sent. So this method waits and sends the request again.
        """
        request = part.request()
        for attempt in range(1, _RATE_LIMITED_ATTEMPTS + 1):
            try:
                segment_ids = await self._exchange(request, evidence)
            except OutcomeUnknown as error:
                self._unknown_in_a_row += 1
                return _unknown(part, error)
            except RateLimited as refusal:
                wait = _RATE_LIMITED_PAUSE if refusal.retry_after is None else refusal.retry_after
                if attempt == _RATE_LIMITED_ATTEMPTS or self._ending or wait > _RATE_LIMITED_LONGEST:
                    raise
            except RequestRejected:
                self._unknown_in_a_row = 0
                raise
            else:
                self._unknown_in_a_row = 0
                return _accepted(part, segment_ids, self._clock)
            evidence.reset()
            await self._pause(wait)
            if self._is_ending():
                break
        raise NotSent(
            "the gateway refused the request with HTTP status 429 (too many requests), and the batch ended"
            " before the request could be sent again"
        )

    def _is_ending(self) -> bool:
        # Another task may set the attribute while this task waits. A type checker assumes that the attribute
        # does not change between two checks in one function. So the second check calls this method.
        return self._ending

    async def _pause(self, seconds: float) -> None:
        with anyio.CancelScope() as scope:
            # In a new `Evidence`, `begun` is False. So `stop` and `_halt` cancel this wait immediately.
            self._in_flight[scope] = Evidence()
            try:
                await self._clock.sleep(seconds)
            finally:
                del self._in_flight[scope]

    async def _exchange(self, request: Request, evidence: Evidence) -> tuple[str, ...]:
        with anyio.CancelScope() as scope:
            self._in_flight[scope] = evidence
            try:
                return await self._caller.send(request, evidence)
            finally:
                del self._in_flight[scope]
        # This line is reached only if `stop` or `_halt` cancelled the scope, because the batch ends.
        if evidence.proves_not_sent():
            raise NotSent("the batch ended before the request was written")
        raise OutcomeUnknown("the batch ended before the response arrived")


def _accepted(part: Chunk, segment_ids: tuple[str, ...], clock: Clock) -> list[Outcome]:
    now = clock.now()
    shares = attribute(len(part), segment_ids)
    unattributed = shares is None
    keys: Sequence[str | None] = part.keys or [None] * len(part)
    return [
        Accepted(message=message, segment_ids=share, accepted_at=now, unattributed=unattributed, key=key)
        for message, key, share in zip(part.messages, keys, shares or [segment_ids] * len(part), strict=True)
    ]


def _unknown(part: Chunk, error: OutcomeUnknown) -> list[Outcome]:
    reason = error.reason if not error.description else f"{error.reason}: {error.description}"
    keys: Sequence[str | None] = part.keys or [None] * len(part)
    return [
        Unknown(message=message, reason=reason, code=error.code, key=key)
        for message, key in zip(part.messages, keys, strict=True)
    ]


def _rejected(part: Chunk, refusal: RequestRejected) -> Outcome:
    reason = refusal.description or type(refusal).__name__
    key = part.keys[0] if part.keys else None
    return Rejected(message=part.messages[0], reason=reason, code=refusal.code, key=key)
