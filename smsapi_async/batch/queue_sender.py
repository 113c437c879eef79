"""Sends the claimed requests of a queue. Each message is sent at most once."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import anyio
import attrs

from smsapi_async.batch.chunk_sender import ChunkSender, ChunkWork, Result
from smsapi_async.batch.chunks import BatchSettings, Chunk
from smsapi_async.calls.api_options import ApiOptions
from smsapi_async.calls.caller import Caller
from smsapi_async.clock import Clock
from smsapi_async.errors import LedgerError, SmsApiError, ValidationError
from smsapi_async.ledger.queue import DueRequest, RequestQueue
from smsapi_async.ledger.requests import RequestAnswer
from smsapi_async.models import Message
from smsapi_async.outcomes import Outcome
from smsapi_async.postgres.server_errors import is_away
from smsapi_async.protocol.addresses import checked_destination_address
from smsapi_async.protocol.encoding import common_form, prepared

_logger = logging.getLogger("smsapi_async")
# For how many seconds no other worker claims the messages that this worker sends in other requests. If this
# worker ends, the others send them after this time.
_HELD = 60.0
# For how many seconds one attempt to record an answer takes while the server is away. A longer attempt would
# block the connections.
_PATIENCE = 1.0
_PAUSE = 0.5
_Value = TypeVar("_Value")
_Keyed = tuple[str, Message]


@attrs.frozen(eq=False)
class _Group:
    """Messages of a claimed request that are sent in one request, or that cannot be sent.

    Attributes:
        messages: the messages with their keys.
        chunk: the chunk, or None.
        problem: why the messages cannot be sent; "" for a chunk.
    """

    messages: list[_Keyed]
    chunk: Chunk | None = None
    problem: str = ""


class QueueSender(ChunkSender):
    """Sends requests that a worker has claimed from a queue.

    Args:
        caller: the `Caller` that sends the requests to the gateway.
        queue: the ledger with the queue.
        clock: the clock for acceptance times and for the waits between attempts.
        settings: the settings of the worker.
        api: the variant of the gateway's HTTP API.
        default_source_address: the source address for messages without a source address, or None.
        on_outcomes: a function that is called with the outcomes of each request of this worker.
    """

    def __init__(
        self,
        caller: Caller,
        queue: RequestQueue,
        clock: Clock,
        settings: BatchSettings,
        api: ApiOptions,
        *,
        default_source_address: str | None,
        on_outcomes: Callable[[list[Outcome]], None],
    ) -> None:
        # The queue counts the unknown requests of all workers, and the worker limits the messages in flight.
        own = attrs.evolve(settings, unknown_limit=1_000_000_000, max_in_flight=1_000_000)
        super().__init__(caller, queue, clock, own, api)
        self._queue = queue
        self._unknown_limit = settings.unknown_limit
        self._largest = settings.largest_request
        self._default_source_address = default_source_address
        self._on_outcomes = on_outcomes
        self._has_warned = False
        self._is_stopped = False

    @property
    def cause(self) -> SmsApiError | None:
        """The error for which no more requests start, or None."""
        return self._cause

    async def send_request(self, request: DueRequest, scope: anyio.CancelScope) -> None:
        """Send the messages of a claimed request, and record their outcomes.

        Args:
            request: the claimed request.
            scope: the shielded cancel scope in which the method is called.
        """
        token = request.token
        if self._default_source_address is None and any(
            message.source_address is None for _, message in request.messages
        ):
            self._warn_of_source()
            await self._give_back(token)
            return
        groups = self._groups(request.messages)
        if len(groups) == 1 and not self._needs_division(groups[0].chunk):
            await self._send_group(groups[0], token, scope)
            return
        # Each group gets a request of its own in the ledger.
        await self._give_back(token)
        for group in groups:
            if not self._ending:
                await self._send_group(group, None, scope)

    async def _send_group(self, group: _Group, token: str | None, scope: anyio.CancelScope) -> None:
        result = Result(lambda result: self._on_outcomes(result.outcomes))
        try:
            if group.chunk is None:
                await self._reject(group, token, result)
            else:
                group.chunk.token = token
                await self.send(group.chunk, result, scope)
        finally:
            await self.record(result)
            if token is not None and any(part.token == token for part in result.unsent):
                # The sending has ended before the request began.
                await self._give_back(token)

    async def _reject(self, group: _Group, token: str | None, result: Result) -> None:
        """Record that messages cannot be sent."""
        messages = group.messages
        if token is None:
            token = secrets.token_hex(8)
            try:
                claimed = await self._queue.claim(token, messages)
            except SmsApiError as error:
                self._halt(error, result)
                return
            messages = [each for each, known in zip(messages, claimed, strict=True) if known is None]
            if not messages:
                return
        answer = RequestAnswer(state="rejected", at=self._clock.now(), reason=group.problem)
        result.outcomes += answer.outcomes([each for _, each in messages], [key for key, _ in messages])
        result.unrecorded = (token, answer)

    def _groups(self, messages: list[_Keyed]) -> list[_Group]:
        """Group the messages of a request by their content. An ordinary request has one group."""
        groups: list[_Group] = []
        chunks: dict[tuple[object, ...], Chunk] = {}
        invalid: dict[str, list[_Keyed]] = {}
        for key, message in messages:
            try:
                content = message.content()
                number = checked_destination_address(message.destination_address)
                chunk = chunks.get(content)
                if chunk is None or len(chunk) >= self._largest:
                    template = prepared(message, self._default_source_address)
                    chunk = chunks[content] = Chunk(template, common_form(template, self.zone))
                    groups.append(_Group([], chunk))
            except ValidationError as error:
                invalid.setdefault(str(error), []).append((key, message))
                continue
            chunk.messages.append(message)
            chunk.numbers.append(number)
            chunk.keys.append(key)
        return groups + [_Group(several, problem=problem) for problem, several in invalid.items()]

    def _needs_division(self, chunk: Chunk | None) -> bool:
        return chunk is not None and chunk.is_local_bulk and not self.local_bulks.are_used

    def _warn_of_source(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            _logger.warning(
                "messages without a source address stay pending, because the client of this worker has no"
                " default; pass source_address, or set SMSAPI_SOURCE_ADDRESS; workers try these messages"
                " again after %g seconds",
                _HELD,
            )

    def stop(self, grace: float) -> None:
        """Start no more requests; see `ChunkSender.stop`. An answer is then recorded within 3 minutes."""
        self._is_stopped = True
        super().stop(grace)

    async def _claim(self, token: str, part: Chunk, work: ChunkWork) -> Chunk | None:
        # The copy has no token: if it is released, its messages are claimed by their keys.
        return part.pick(range(len(part))) if part.token == token else await super()._claim(token, part, work)

    async def _position(self) -> int:
        # The messages are in the ledger, so they have their positions.
        return 0

    async def _settle(self, token: str, answer: RequestAnswer) -> None:
        """Record an answer.

        Raises:
            OutcomeUnknown: if too many successive requests of all workers had an unknown outcome.
            LedgerError: if the answer cannot be recorded.
        """
        # The gateway has not seen a message that this package rejected.
        is_counted = answer.state != "rejected" or answer.code is not None
        limit = self._unknown_limit if is_counted else None
        pause = await self._repeated(partial(self._queue.settle_due, token, answer, unknown_limit=limit))
        if pause is not None:
            raise pause.cause

    async def _give_back(self, token: str) -> None:
        # This worker sends the messages in other requests, unless the sending ends.
        delay = 0.0 if self._ending else _HELD
        await self._repeated(partial(self._queue.release_due, [token], delay=delay))

    async def _repeated(self, call: Callable[..., Awaitable[_Value]]) -> _Value:
        """Call a method of the queue. While the server is away, call the method again."""
        values: list[_Value] = []
        # The scope of the request may be cancelled, and what became of the request must be recorded.
        with anyio.CancelScope(shield=True):
            while not values:
                is_last = self._is_stopped
                try:
                    values.append(await call(patience=None if is_last else _PATIENCE))
                except LedgerError as error:
                    if is_last or not is_away(error):
                        raise
                    await anyio.sleep(_PAUSE)
        return values[0]
