"""One chunk: claim it in the ledger, send it, settle it. Knows nothing of who calls it."""

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

_RATE_LIMITED_ATTEMPTS = 10
_RATE_LIMITED_PAUSE = 1.0
_RATE_LIMITED_LONGEST = 300.0


@attrs.define
class Result:
    """What became of a chunk.

    Attributes:
        outcomes: one for each message that has one.
        unsent: those messages that were not sent and may be sent later.
        halt: why nothing more should be sent, or None.
    """

    outcomes: list[Outcome] = attrs.field(factory=list)
    unsent: list[Chunk] = attrs.field(factory=list)
    halt: SmsApiError | None = None


class ChunkSender:
    """Sends chunks, each message at most once.

    Call `send` under a shield: between the claim and the settlement a cancellation would leave
    messages in the ledger whose outcome is known to nobody. `stop` bounds how long that takes.

    Args:
        caller: makes the calls.
        ledger: the durable account, or None.
        clock: the time.
        unknown_limit: how many requests in a row may end unknown.
    """

    def __init__(self, caller: Caller, ledger: Ledger | None, clock: Clock, unknown_limit: int) -> None:
        self._caller = caller
        self._ledger = ledger
        self._clock = clock
        self._unknown_limit = unknown_limit
        self._unknown_in_a_row = 0
        self._in_flight: dict[anyio.CancelScope, Evidence] = {}
        self._ending = False

    def stop(self, grace: float) -> None:
        """Begin no request any more; wait at most `grace` seconds for those in flight."""
        self._ending = True
        deadline = anyio.current_time() + grace
        for scope, evidence in self._in_flight.items():
            if evidence.begun:
                scope.deadline = min(scope.deadline, deadline)
            else:
                scope.cancel()

    async def send(self, chunk: Chunk, result: Result) -> None:
        """Claim, send and settle a chunk; `result` is complete also when this is left by an exception."""
        parts = []
        try:
            parts.append(await self._claim(chunk, result))
        except SmsApiError as error:
            # What the ledger did not take is not sent.
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
        """Send a part; what is to be sent in its place, if it was refused for some of its messages."""
        evidence = Evidence()
        try:
            outcomes = await self._send_part(part, evidence)
        except MESSAGE_REJECTIONS as refusal:
            # A refusal is for the whole request, and nothing of it was sent: the culprits are found
            # by halving.
            if len(part) > 1:
                return tuple(reversed(part.halves()))
            outcomes = [_rejected(part, refusal)]
        except (RequestRejected, NotSent, UsageError) as error:
            self._halt(error, result)
            await self._release(part, result)
            return ()
        except BaseException as error:
            # Task.cancel() goes through the shield, and a transport may raise anything.
            if evidence.proves_not_sent(error):
                with anyio.CancelScope(shield=True):
                    await self._release(part, result)
            else:
                cause = OutcomeUnknown(f"the send was cut off by {type(error).__name__}")
                result.outcomes.extend(_unknown(part, cause))
            raise
        await self._settle(outcomes, result)
        if self._unknown_in_a_row >= self._unknown_limit:
            self._halt(OutcomeUnknown(f"{self._unknown_in_a_row} requests in a row ended unknown"), result)
        return ()

    def _halt(self, cause: SmsApiError, result: Result) -> None:
        self._ending = True
        result.halt = result.halt or cause
        for scope, evidence in self._in_flight.items():
            if not evidence.begun:
                scope.cancel()

    async def _claim(self, chunk: Chunk, result: Result) -> Chunk:
        """The part of a chunk that is to be sent now; what the ledger already knows is an outcome."""
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
        """The caller gets the outcomes also when the ledger does not take them."""
        result.outcomes.extend(outcomes)
        if self._ledger is not None:
            try:
                await self._ledger.settle(outcomes)
            except SmsApiError as error:
                self._halt(error, result)

    async def _send_part(self, part: Chunk, evidence: Evidence) -> list[Outcome]:
        """One request, and the outcome of each of its messages."""
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
        raise NotSent("the batch was left while the gateway refused for its rate")

    def _is_ending(self) -> bool:
        # A method, since it may have changed during the wait, which a type checker does not see.
        return self._ending

    async def _pause(self, seconds: float) -> None:
        with anyio.CancelScope() as scope:
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
        # Only `stop` cancels this scope.
        if evidence.proves_not_sent():
            raise NotSent("the batch was left before anything was written")
        raise OutcomeUnknown("the batch was left after the request had been written")


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
