"""One call of `AsyncSmsClient.send_pending`: claim the due requests of a queue, and send them."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, TypeVar

import anyio
import attrs

from smsapi_async.batch.batch_progress import ProgressCounts
from smsapi_async.batch.ledger_claims import claim_due
from smsapi_async.batch.queue_sender import QueueSender
from smsapi_async.calls.event_hub import EventHub
from smsapi_async.errors import (
    BatchHalted,
    InvalidSession,
    LedgerError,
    NotSent,
    RateLimited,
    RequestRejected,
    SmsApiError,
)
from smsapi_async.ledger.queue import DueClaim, DuePart, DueRequest, RequestQueue
from smsapi_async.ledger.summaries import Summary
from smsapi_async.outcomes import Accepted, Outcome, Rejected
from smsapi_async.postgres.server_errors import is_away

_logger = logging.getLogger("smsapi_async")
_Value = TypeVar("_Value")
# The waits between two questions to an empty queue, in seconds. An empty claim costs 0.07 ms.
_FIRST_POLL, _LONGEST_POLL = 0.01, 1.0
# The wait after the server was away.
_AWAY_PAUSE = 0.5
# The waits after an error that may end by itself, for example if the gateway cannot be reached.
_FIRST_BACKOFF, _LONGEST_BACKOFF = 1.0, 30.0
_LONGEST_WAIT = 300.0
_PASSING = (NotSent, RateLimited, InvalidSession)


@attrs.define(eq=False)
class QueueRun:
    """Sends the pending requests of a queue until cancelled, or until nothing is due.

    Attributes:
        queue: the queue.
        new_sender: a function that returns a sender, and gets the function for its outcomes.
        room: the maximum number of messages in flight.
        unknown_limit: the number of successive unknown requests of all workers after which the account is
            paused.
        grace: the maximum time in seconds to wait for the requests in flight after a cancellation.
        once: whether the run ends when nothing is due.
        on_poll: a function that is called after each claim with the counts of the outcomes, or None.
        hub: gives events to the observers of the client.
    """

    queue: RequestQueue
    new_sender: Callable[[Callable[[list[Outcome]], None]], QueueSender]
    room: int
    unknown_limit: int
    grace: float
    once: bool
    on_poll: Callable[[Summary], object] | None
    hub: EventHub
    _slots: int = 1
    _counts: Summary = attrs.field(factory=Summary)
    _token: str = attrs.field(factory=lambda: f"{secrets.token_hex(8)}-")
    _claims: Any = attrs.field(factory=count)
    # The requests in flight, with the number of their messages.
    _in_flight: dict[str, int] = attrs.field(factory=dict)
    _changed: anyio.Event = attrs.field(factory=anyio.Event)
    # A claim that failed, and may have claimed requests.
    _unclear: DuePart | None = None
    _broken: BaseException | None = None
    _is_away: bool = False
    _progress: ProgressCounts = attrs.field(
        init=False, default=attrs.Factory(lambda run: ProgressCounts(run.hub), takes_self=True)
    )

    async def run(self, slots: int) -> Summary:
        """Send the due requests, and return the counts of the outcomes.

        Args:
            slots: the maximum number of requests in flight.

        Raises:
            BatchHalted: if the account is paused, or if `once` is true and the gateway cannot be used now.
            LedgerError: if the ledger cannot be used, and not only because its server is away.
        """
        self._slots = slots
        try:
            return await self._rounds()
        except Exception as error:
            self._broken = self._broken or error
            raise
        finally:
            try:
                # The requests in flight at a cancellation have ended after the last claim.
                self._poll()
            finally:
                await self._give_up_claim()
                self._progress.emit(sum(self._in_flight.values()), has_ended=True, error=self._broken)

    async def _rounds(self) -> Summary:
        """Send the due requests, and return the counts. The errors are those of `run`."""
        backoff = 0.0
        while True:
            before = self._counts
            cause = await self._round()
            if cause is None:
                return self._counts
            if self.once or not _passes(cause):
                self._broken = cause
                raise await self._halted(cause)
            has_sent = self._counts != before
            backoff = _FIRST_BACKOFF if has_sent or not backoff else min(2 * backoff, _LONGEST_BACKOFF)
            _logger.warning("nothing is sent for some seconds: %s", cause.summary())
            await self._wait(max(backoff, min(cause.retry_after or 0.0, _LONGEST_WAIT)))

    async def _round(self) -> SmsApiError | None:
        """Send requests with one sender. Return the error that ended the sending; None if nothing is due."""
        sender = self.new_sender(self._count)
        async with anyio.create_task_group() as group:
            try:
                await self._dispatch(sender, group)
            except Exception as error:  # noqa: BLE001 - the task group would wrap the error in a group
                self._broken = self._broken or error
            finally:
                sender.stop(self.grace)
        if self._broken is not None:
            raise self._broken
        return sender.cause

    async def _dispatch(self, sender: QueueSender, group: anyio.abc.TaskGroup) -> None:
        """Claim requests and start a task for each of them, until an error or until nothing is due."""
        poll = _FIRST_POLL
        while sender.cause is None and self._broken is None:
            self._changed = anyio.Event()
            claim = await self._claim()
            if claim is None:
                continue
            for request in claim.requests:
                self._in_flight[request.token] = len(request.messages)
                group.start_soon(self._send, request, sender)
            # If `on_poll` raises an exception, the tasks give the claimed messages back.
            self._poll()
            if claim.pause is not None:
                sender.halt(claim.pause.cause)
                break
            if self.once and not claim.has_more and not self._in_flight:
                return
            poll = _FIRST_POLL if claim.requests else min(2 * poll, _LONGEST_POLL)
            await self._until_next_claim(
                sender, poll, waits_for_slot=claim.has_more and bool(self._in_flight)
            )
        else:
            await self._pause_account(sender.cause)
        while self._in_flight:
            self._changed = anyio.Event()
            await self._changed.wait()

    async def _until_next_claim(self, sender: QueueSender, poll: float, *, waits_for_slot: bool) -> None:
        """Wait for some seconds, or until a request of this worker ends if more requests are due.

        A worker whose slots are all in use asks once a second whether the account is paused.
        """
        with anyio.move_on_after(_LONGEST_POLL if waits_for_slot else poll):
            while True:
                await self._changed.wait()
                is_done = self.once and not self._in_flight
                if waits_for_slot or is_done or sender.cause is not None or self._broken is not None:
                    return
                self._changed = anyio.Event()

    async def _claim(self) -> DueClaim | None:
        """Claim requests for the free slots. Return None if the server is away."""
        part = self._unclear or DuePart(
            [f"{self._token}{next(self._claims)}" for _ in range(self._slots - len(self._in_flight))],
            room=self.room - sum(self._in_flight.values()),
            is_alone=not self._in_flight,
            unknown_limit=self.unknown_limit,
        )
        claim = await self._if_there(lambda: claim_due(self.hub, self.queue, part), part)
        self._unclear = part if part.may_be_committed else None
        return claim

    async def _if_there(
        self, call: Callable[[], Awaitable[_Value]], part: DuePart | None = None
    ) -> _Value | None:
        """Call a method of the queue. If the server is away, wait, and return None."""
        try:
            value = await call()
        except LedgerError as error:
            if part is not None and part.may_be_committed:
                self._unclear = part
            if not is_away(error):
                raise
            if not self._is_away:
                _logger.warning("the worker waits for the ledger: %s", error.reason)
            self._is_away = True
        else:
            if self._is_away:
                _logger.warning("the ledger is back; the worker goes on")
            self._is_away = False
            return value
        self._poll()
        await anyio.sleep(_AWAY_PAUSE)
        return None

    async def _send(self, request: DueRequest, sender: QueueSender) -> None:
        # The shield is needed because outcomes would be lost if a request were cancelled before they are
        # recorded. `QueueSender.stop` limits the time of the request.
        try:
            with anyio.CancelScope(shield=True) as scope:
                await sender.send_request(request, scope)
        except Exception as error:  # noqa: BLE001 - `_round` raises the error
            self._broken = self._broken or error
        finally:
            del self._in_flight[request.token]
            self._changed.set()
            self._progress.emit(sum(self._in_flight.values()))

    async def _pause_account(self, cause: SmsApiError | None) -> None:
        """Stop the workers of all machines, if the gateway refused the account.

        After too many unknown requests, the ledger has paused the account already.
        """
        if not isinstance(cause, RequestRejected) or _passes(cause):
            return
        reason, code = cause.description or type(cause).__name__, cause.code
        while await self._if_there(lambda: self.queue.pause(reason, code)) is None:
            pass

    async def _halted(self, cause: SmsApiError) -> SmsApiError:
        """Return the error that the run raises for a cause."""
        if isinstance(cause, LedgerError):
            return cause
        pending, has_more = 0, True
        try:
            pending, has_more = await self.queue.queued()
        except LedgerError:
            _logger.warning("the number of pending messages is not known, because the ledger is away")
        return BatchHalted(cause, pending, has_more=has_more)

    async def _give_up_claim(self) -> None:
        """Give back what a failed claim may have claimed."""
        part, self._unclear = self._unclear, None
        if part is not None:
            with anyio.CancelScope(shield=True):
                try:
                    await self.queue.release_due(part.tokens)
                except LedgerError as error:
                    _logger.warning("messages that were not sent may be unknown: %s", error.reason)

    async def _wait(self, seconds: float) -> None:
        """Wait, and report that the worker lives."""
        end = anyio.current_time() + seconds
        while (left := end - anyio.current_time()) > 0:
            self._poll()
            await anyio.sleep(min(left, _LONGEST_POLL))

    def _poll(self) -> None:
        if self.on_poll is not None:
            self.on_poll(self._counts)

    def _count(self, outcomes: list[Outcome]) -> None:
        """Count the outcomes of one request. Recorded outcomes are those of another sender."""
        if self._progress.is_active:
            self._progress.add(outcomes)
        own = [each for each in outcomes if not each.recorded]
        accepted = [each for each in own if isinstance(each, Accepted)]
        rejected = sum(isinstance(each, Rejected) for each in own)
        ids = {each.segment_ids for each in accepted}
        self._counts = Summary(
            accepted=self._counts.accepted + len(accepted),
            rejected=self._counts.rejected + rejected,
            unknown=self._counts.unknown + len(own) - len(accepted) - rejected,
            segments=self._counts.segments + sum(map(len, ids)),
        )


def _passes(cause: SmsApiError) -> bool:
    """Return whether an error may end without a change by a person."""
    return isinstance(cause, _PASSING) or is_away(cause)
