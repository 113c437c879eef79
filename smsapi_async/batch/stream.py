"""A batch: reads messages lazily, sends them with bounded concurrency, and gives one outcome for each."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sized
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import attrs
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from smsapi_async.batch.chunk_sender import ChunkSender, Result
from smsapi_async.batch.chunks import BatchSettings, Chunk, Grouper
from smsapi_async.errors import BatchHalted, LedgerError, SmsApiError, StreamNotEntered, ValidationError
from smsapi_async.models import Message
from smsapi_async.outcomes import Outcome, Rejected
from smsapi_async.privacy import mask_key
from smsapi_async.streams import read_all

if TYPE_CHECKING:
    from smsapi_async.ledger import Ledger

_OUTCOMES_HELD = 4


class Batch(AsyncIterator[Outcome]):
    """The outcomes of many messages, as they come. Use it with ``async with``.

    Attributes:
        pending: after the block: how many messages were read and not sent.
        unread: after the block: outcomes that came when nobody was iterating any more.
    """

    def __init__(
        self,
        messages: Iterable[Message] | AsyncIterable[Message],
        chunk_sender: ChunkSender,
        *,
        ledger: Ledger | None,
        settings: BatchSettings,
        default_source_address: str | None,
        workers: int,
        check_usable: Callable[[], None],
    ) -> None:
        self._messages = messages
        self._chunk_sender = chunk_sender
        self._ledger = ledger
        self._settings = settings
        self._grouper = Grouper(settings, default_source_address)
        self._workers = workers
        self._check_usable = check_usable
        self._group: TaskGroup | None = None
        self._outcomes: MemoryObjectReceiveStream[None]
        self._reading = anyio.CancelScope()
        self._lingering = anyio.CancelScope()
        self._exhausted = False
        self._ready: deque[Outcome] = deque()
        self._open: dict[int, Chunk] = {}
        self._waiting: dict[str, list[Message]] = {}
        self._given = 0
        self._halt: SmsApiError | None = None
        self._broken: Exception | None = None
        self._stopped = False
        self.unread: list[Outcome] = []

    async def __aenter__(self) -> Self:
        self._check_usable()
        if self._group is not None:
            raise StreamNotEntered
        chunks_in, chunks_out = anyio.create_memory_object_stream[Chunk](0)
        outcomes_in, self._outcomes = anyio.create_memory_object_stream[None](_OUTCOMES_HELD)
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        with chunks_out, outcomes_in:
            self._group.start_soon(self._read, chunks_in, outcomes_in.clone())
            for _ in range(self._workers):
                self._group.start_soon(self._work, chunks_out.clone(), outcomes_in.clone())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._group is not None  # noqa: S101 - for the type checker
        self._stop()
        self._group.cancel_scope.cancel()
        try:
            # The exception of the block is not handed over: the group would wrap it up.
            await self._group.__aexit__(None, None, None)
        finally:
            self.unread.extend(self._ready)
            self._outcomes.close()
            with anyio.CancelScope(shield=True):
                await self._record_pending(is_failing=exc_type is not None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        if self._group is None:
            raise StreamNotEntered
        while not self._ready:
            try:
                # A token alone: what is handed to a task that is being cancelled would be lost.
                await self._outcomes.receive()
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                # An outcome may be there whose token was cancelled; the halt comes after the last one.
                if not self._ready:
                    self._raise_at_the_end()
                    raise StopAsyncIteration from None
        self._given += 1
        return self._ready.popleft()

    @property
    def pending(self) -> int:
        """How many messages have been read and have no outcome."""
        return (
            self._grouper.held
            + sum(map(len, self._open.values()))
            + sum(len(same) - 1 for same in self._waiting.values())
        )

    def _raise_at_the_end(self) -> None:
        broken, self._broken = self._broken, None
        if broken is not None:
            raise broken
        halt, self._halt = self._halt, None
        if halt is not None:
            given = self._messages
            unread = len(given) - self._given if isinstance(given, Sized) else self.pending
            messages = [message for chunk in self._unfinished() for message in chunk.messages]
            raise BatchHalted(halt, unread, tuple(messages), has_more=not isinstance(given, Sized))

    def _stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._reading.cancel()
            self._chunk_sender.stop(self._settings.grace)

    def _halt_for(self, cause: SmsApiError) -> None:
        """Read no more and begin no more; what is in flight is finished."""
        if self._halt is None:
            self._halt = cause
            self._reading.cancel()

    async def _read(
        self, chunks: MemoryObjectSendStream[Chunk], outcomes: MemoryObjectSendStream[None]
    ) -> None:
        with chunks, outcomes, self._reading:
            async with anyio.create_task_group() as group:
                group.start_soon(self._flush_when_overdue, chunks)
                try:
                    await read_all(self._messages, partial(self._take_in, chunks=chunks, outcomes=outcomes))
                except Exception as error:  # noqa: BLE001 - the caller's own iterable; nothing is sent here
                    # What was read before goes out; the caller gets the error at the end, unless a halt
                    # came first, which the source may have taken amiss.
                    self._broken = error if self._halt is None else None
                # The flusher is woken, not cancelled: it may hold a chunk that nobody else has.
                self._exhausted = True
                self._lingering.cancel()
            await self._hand_over(self._grouper.rest(), chunks)

    async def _take_in(
        self,
        message: Message,
        chunks: MemoryObjectSendStream[Chunk],
        outcomes: MemoryObjectSendStream[None],
    ) -> None:
        key = None
        try:
            if self._ledger is not None and isinstance(message, Message):
                key = self._ledger.key_of(message)
                if key in self._waiting:
                    # The same message is under way; it is sent once, and its outcome serves both.
                    _check_same(self._waiting[key][0], message)
                    self._waiting[key].append(message)
                    return
            chunk = self._grouper.add(message, key, anyio.current_time)
        except ValidationError as error:
            self._ready.append(Rejected(message=message, reason=str(error), key=key))
            await outcomes.send(None)
            return
        if key is not None:
            self._waiting[key] = [message]
        if chunk is not None:
            await self._hand_over([chunk], chunks)

    async def _hand_over(self, ready: list[Chunk], chunks: MemoryObjectSendStream[Chunk]) -> None:
        # All are noted down before the first wait: whatever happens meanwhile, none is forgotten.
        for chunk in ready:
            self._open[id(chunk)] = chunk
        for chunk in ready:
            await chunks.send(chunk)

    async def _flush_when_overdue(self, chunks: MemoryObjectSendStream[Chunk]) -> None:
        """A slow source does not hold back what was read from it."""
        while not self._exhausted:
            with anyio.CancelScope() as self._lingering:
                await anyio.sleep(self._settings.linger)
            await self._hand_over(self._grouper.overdue(anyio.current_time()), chunks)

    async def _work(
        self, chunks: MemoryObjectReceiveStream[Chunk], results: MemoryObjectSendStream[None]
    ) -> None:
        with chunks, results:
            async for chunk in chunks:
                if self._halt is not None or self._stopped:
                    continue
                await self._send(chunk)
                await results.send(None)

    async def _send(self, chunk: Chunk) -> None:
        result = Result()
        # Between the claim and the settlement a cancellation would lose an outcome; `ChunkSender.stop`
        # bounds how long this takes.
        try:
            with anyio.CancelScope(shield=True):
                await self._chunk_sender.send(chunk, result)
        finally:
            del self._open[id(chunk)]
            for part in result.unsent:
                self._open[id(part)] = part
            self._ready.extend(self._with_repetitions(result))
        if result.halt is not None:
            self._halt_for(result.halt)

    def _with_repetitions(self, result: Result) -> list[Outcome]:
        if self._ledger is None:
            return result.outcomes
        outcomes: list[Outcome] = []
        for outcome in result.outcomes:
            outcomes.append(outcome)
            given = self._waiting.pop(outcome.key or "", None)
            if given is not None and len(given) > 1:
                outcomes += [attrs.evolve(outcome, message=message, recorded=True) for message in given[1:]]
        return outcomes

    def _unfinished(self) -> list[Chunk]:
        return [*self._open.values(), *self._grouper.groups()]

    async def _record_pending(self, *, is_failing: bool) -> None:
        if self._ledger is None:
            return
        try:
            for chunk in self._unfinished():
                await self._ledger.record_pending(list(zip(chunk.keys, chunk.messages, strict=True)))
        except LedgerError:
            # What the ledger does not know was not sent either; it must not hide why the block was left.
            if not is_failing:
                raise


def _check_same(first: Message, second: Message) -> None:
    """Raise ValidationError where one key names two different messages."""
    first_number, second_number = (
        message.destination_address.removeprefix("+") for message in (first, second)
    )
    if first_number != second_number or first.content() != second.content():
        raise ValidationError("key", mask_key(second.key), "it names another message of this batch")
