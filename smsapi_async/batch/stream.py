"""The stream of the outcomes of a batch: reads messages lazily and sends them with bounded concurrency."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sized
from functools import partial
from types import TracebackType
from typing import Self

import anyio
import attrs

from smsapi_async.batch.batch_progress import ProgressCounts
from smsapi_async.batch.bounded_queue import BoundedQueue
from smsapi_async.batch.chunk_sender import ChunkSender, Result
from smsapi_async.batch.chunks import Chunk, Found, Grouper
from smsapi_async.errors import BatchHalted, SmsApiError, StreamNotEntered, ValidationError
from smsapi_async.eventloop import running_asyncio_loop
from smsapi_async.models import Message
from smsapi_async.outcomes import Outcome, Rejected
from smsapi_async.privacy import mask_key
from smsapi_async.protocol.addresses import checked_destination_address
from smsapi_async.streams import StreamTasks, is_from_iterable, read_all


class Batch(AsyncIterator[Outcome]):
    """An async iterator over the outcomes of a batch. `AsyncSmsClient.send_many` returns this object.

    Enter the batch once with ``async with``, and iterate inside the block::

        async with sms.send_many(messages, ledger=ledger) as outcomes:
            async for outcome in outcomes:
                ...

    Outcomes: a batch that is not halted returns one outcome for each message: `Accepted`, `Rejected` or
    `Unknown`. The outcomes arrive in the order in which the requests end, which may differ from the order of
    the messages. The batch reads messages only as fast as you take outcomes.

    Requests: messages of equal content (text, source address, date and validity) share one request of
    ``Sms/SendBulk``. A message with ``by_time_zone`` has a request of its own, unless the client was created
    with ``bulk_by_time_zone``: then such messages share one request of ``Sms/SendByTimeZoneToAddresses``.
    Before the first of these requests, a request without recipients checks whether the gateway has this
    resource. If the gateway does not have it, the batch logs one warning and sends these messages one by one.
    If the gateway refuses a bulk because of one message, the batch sends the two halves of the bulk in two
    requests. The batch divides each refused half again, until each refused message is isolated. Of the
    messages of a refused bulk, only the refused messages are `Rejected`. After HTTP status 429, the batch
    waits and sends the request again.

    Ledger: the ledger records each message before the first byte of its request is written, and records the
    outcome afterwards. After a crash, pass the same messages and the same ledger again. For a message that
    has an outcome in the ledger, the batch returns this outcome with ``recorded`` set and sends nothing. A
    message that was in flight during the crash is `Unknown` until `Ledger.resolve` changes its outcome. A
    rejected message is sent again only after `Ledger.retry_rejected`. If another batch or send in this
    process has claimed a message, the batch waits for its outcome and returns it. With a ledger, two messages
    without ``key`` have the same key if their contents and their destination addresses are equal. The batch
    sends only one of two messages with the same key. To send both messages, set a different `Message.key` for
    each message. Without a ledger, the batch sends every message that it reads.

    Halt: the batch starts no more requests if the next messages would probably also fail. The batch finishes
    the requests in flight, returns all outcomes, and then raises `BatchHalted`. The causes of a halt are:

    - The gateway refuses the account or its credentials: for example `NotEnoughCredits` or
      `InvalidCredentials`.
    - The gateway forbids ``forbidden_limit`` different recipients in a row with code 7 (`Forbidden`), and
      accepts no request meanwhile. These recipients are `Rejected`.
    - The gateway keeps refusing a request with HTTP status 429, or asks for a wait of more than 5 minutes.
      During a shorter wait, the messages of the request are pending in the ledger, not claimed.
    - A request ends as `NotSent`, for example because the gateway cannot be reached.
    - The number of successive requests with an unknown outcome reaches ``unknown_limit``.
    - The ledger raises an error, or the client is closed.

    Leaving early: if you leave the block early, for example with ``break``, the batch starts no more
    requests. The batch waits at most ``grace`` seconds for the requests in flight. If a request has no
    response after ``grace`` seconds, its messages have the outcome `Unknown`. The messages that were read but
    not sent get the state pending in the ledger.

    Attributes:
        unread: after the end of the ``async with`` block, the outcomes that you did not receive while
            iterating.

    Raises:
        StreamNotEntered: if you iterate outside the ``async with`` block, or enter the batch twice.
        StreamLeftElsewhere: if you leave the block in another task than the task that entered it. The batch
            ends first.
        BatchHalted: while iterating, after the last outcome, if the batch halted early.
        Exception: while iterating, after the last outcome, if the iterable ``messages`` raised this error.
        LedgerError: at the end of the block, if the ledger could not record the pending messages.
    """

    def __init__(
        self,
        messages: Iterable[Message] | AsyncIterable[Message],
        chunk_sender: ChunkSender,
        *,
        default_source_address: str | None,
        workers: int,
        check_usable: Callable[[], None],
    ) -> None:
        self._messages = messages
        self._chunk_sender = chunk_sender
        self._ledger = chunk_sender.ledger
        self._settings = settings = chunk_sender.settings
        self._progress = ProgressCounts(chunk_sender.hub)
        self._grouper = Grouper(settings, default_source_address, chunk_sender.zone, chunk_sender.local_bulks)
        self._workers = workers
        self._check_usable = check_usable
        self._time: Callable[[], float] = anyio.current_time
        # The chunks that wait for a worker task. A worker task that ends a request finds its next chunk here,
        # without a wait for the task that reads messages.
        self._chunks = BoundedQueue[Chunk](workers)
        # For each finished chunk, its outcomes. If the caller is slow, the queue is full, the worker tasks
        # wait, and the batch reads no more messages, so that the memory use stays bounded.
        self._outcomes = BoundedQueue[list[Outcome]](max(4, workers))
        self._tasks = StreamTasks(at_the_end=self._outcomes.close)
        self._reading = anyio.CancelScope()
        self._lingering = anyio.CancelScope()
        self._exhausted = False
        # The outcomes that were removed from the queue and wait for the next calls of `__anext__`.
        self._ready: deque[Outcome] = deque()
        # The chunks that were removed from the grouper and have no outcomes yet, by the `id` of each chunk.
        self._unfinished_chunks: dict[int, Chunk] = {}
        # The message in progress for each ledger key, and further messages with the same key. Only the first
        # message of each key is sent. Without a ledger, the dicts are empty.
        self._in_progress: dict[str, Message] = {}
        self._repetitions: dict[str, list[Message]] = {}
        # The number of messages with a key that were read and are not repetitions.
        self._read_count = 0
        self._returned = 0
        # `_halt` is None again after the caller has got the error.
        self._halt: SmsApiError | None = None
        self._cause: BaseException | None = None
        self._broken: BaseException | None = None
        self._stopped = False
        self.unread: list[Outcome] = []

    async def __aenter__(self) -> Self:
        self._check_usable()
        if self._tasks.are_started:
            raise StreamNotEntered
        # `anyio.current_time` looks for the event loop in each call, which takes longer than the rest of the
        # grouper's work.
        loop = running_asyncio_loop()
        self._time = anyio.current_time if loop is None else loop.time
        await self._tasks.enter(
            partial(self._run, self._read), *[partial(self._run, self._work)] * self._workers
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()
        try:
            await self._tasks.leave()
        finally:
            self._outcomes.close()
            while self._outcomes:
                self._ready.extend(self._outcomes.pop())
            self.unread.extend(self._ready)
            try:
                with anyio.CancelScope(shield=True):
                    await self._record_pending(is_failing=exc_type is not None)
            finally:
                self._progress.emit(has_ended=True, error=self._cause)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        if not self._tasks.are_started:
            raise StreamNotEntered
        while not self._ready:
            outcomes = await self._outcomes.take()
            if outcomes is None:
                self._raise_at_the_end()
                raise StopAsyncIteration
            self._ready.extend(outcomes)
        self._returned += 1
        return self._ready.popleft()

    @property
    def pending(self) -> int:
        """Number of messages that the batch has read and that have no outcome.

        After the end of the `async with` block, it is safe to send the pending messages, because they were
        not sent.
        """
        return (
            self._grouper.held
            + sum(map(len, self._unfinished_chunks.values()))
            + sum(map(len, self._repetitions.values()))
        )

    def _raise_at_the_end(self) -> None:
        broken, self._broken = self._broken, None
        if broken is not None:
            raise broken
        halt, self._halt = self._halt, None
        if halt is not None:
            given = self._messages
            unread = len(given) - self._returned if isinstance(given, Sized) else self.pending
            messages = [message for chunk in self._unfinished() for message in chunk.messages]
            raise BatchHalted(halt, unread, tuple(messages), has_more=not isinstance(given, Sized))

    def _stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._reading.cancel()
            self._chunks.close()
            self._outcomes.close()
            self._chunk_sender.stop(self._settings.grace)

    def _halt_for(self, cause: SmsApiError) -> None:
        """Read no more messages and start no more requests, but finish the requests in flight."""
        if self._halt is None:
            self._halt = self._cause = cause
            self._reading.cancel()

    async def _run(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except BaseException:
            # The other tasks must not begin requests any more, because the `async with` block ends.
            self._stop()
            raise

    async def _read(self) -> None:
        try:
            with self._reading:
                await self._read_all()
        finally:
            self._chunks.close()

    async def _read_all(self) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._flush_when_overdue)
            try:
                await read_all(self._messages, self._process)
            except BaseException as error:
                if not is_from_iterable(error):
                    raise
                # The batch first sends the messages that were read before the error, then the caller
                # receives the error. After a halt, the caller receives only the cause of the halt: the
                # error may come from our own cancellation of the iterable.
                self._broken = error if self._halt is None else None
                self._cause = self._cause or error
            # We cancel only the sleep of `_flush_when_overdue`. If we cancelled its whole task, a chunk
            # that the task has just removed from the grouper could be lost.
            self._exhausted = True
            self._lingering.cancel()
        while (chunk := self._grouper.take_oldest()) is not None:
            await self._hand_over(chunk)

    async def _process(self, message: Message) -> None:
        self._progress.read += 1
        key = None
        try:
            found = self._grouper.look_up(message)
            if self._ledger is not None:
                key = self._key_of(message, found)
                if key in self._in_progress:
                    # Another message with the same key is in progress. The batch does not send this message,
                    # and both messages get the same outcome.
                    _check_same(self._in_progress[key], message)
                    self._repetitions.setdefault(key, []).append(message)
                    return
            chunk = self._grouper.add(message, found, self._time, key, self._read_count)
        except ValidationError as error:
            self._give([Rejected(message=message, reason=str(error), key=key)])
            await self._outcomes.wait_for_room()
            return
        if key is not None:
            if not self._read_count:
                self._chunk_sender.begin_with(key, message)
            self._read_count += 1
            self._in_progress[key] = message
        if chunk is not None:
            await self._hand_over(chunk)

    def _key_of(self, message: Message, found: Found) -> str:
        _, number, chunk = found
        if message.key is None and chunk is not None and chunk.key_prefix is not None:
            return chunk.key_prefix + number
        assert self._ledger is not None  # noqa: S101 - a type checker needs this assertion
        return self._ledger.key_of(message)

    async def _hand_over(self, chunk: Chunk) -> None:
        # We register the chunk before the wait, so that the chunk is not lost if the wait is cancelled.
        self._unfinished_chunks[id(chunk)] = chunk
        self._chunks.add(chunk)
        await self._chunks.wait_for_room()

    async def _flush_when_overdue(self) -> None:
        """Send overdue chunks, so that a slow iterable does not delay messages that were already read."""
        while not self._exhausted:
            with anyio.CancelScope() as self._lingering:
                await anyio.sleep(self._settings.linger)
            # The batch takes one chunk at a time. A loop over thousands of overdue chunks would block the
            # event loop.
            now = self._time()
            while (chunk := self._grouper.take_overdue(now)) is not None:
                await self._hand_over(chunk)

    async def _work(self) -> None:
        # The shield is needed because outcomes would be lost if `ChunkSender.send` were cancelled before it
        # records them. `ChunkSender.stop` limits the time of a request, and the end of `_read` and `_stop`
        # close the queues, so that the shield does not delay a cancellation for longer.
        with anyio.CancelScope(shield=True) as scope:
            last: Result | None = None
            while (chunk := await self._next_chunk(last)) is not None:
                if self._halt is not None or self._stopped:
                    # An unsent chunk stays in `_unfinished_chunks`, and its messages count as pending.
                    continue
                result = Result(partial(self._finish, chunk))
                try:
                    await self._chunk_sender.send(chunk, result, scope, last)
                except BaseException:
                    await self._chunk_sender.record(result)
                    raise
                finally:
                    if last is not None:
                        await self._chunk_sender.record(last)
                last = result
                if result.unrecorded is None:
                    result.end()

    async def _next_chunk(self, last: Result | None) -> Chunk | None:
        """Return the next chunk, when there is room for outcomes.

        If the next chunk can be sent at once, its claim records the last answer. If the task must wait, the
        last answer is recorded first: nobody may wait for an answer that has arrived.
        """
        is_free = self._outcomes.has_room and len(self._chunks) > 0
        if last is not None and (not is_free or self._halt is not None or self._stopped):
            await self._chunk_sender.record(last)
        await self._outcomes.wait_for_room()
        return await self._chunks.take()

    def _finish(self, chunk: Chunk, result: Result) -> None:
        del self._unfinished_chunks[id(chunk)]
        for part in result.unsent:
            self._unfinished_chunks[id(part)] = part
        if result.halt is not None:
            self._halt_for(result.halt)
        self._give(self._with_repetitions(result))

    def _give(self, outcomes: list[Outcome]) -> None:
        """Give the outcomes of a request to the caller, and report the progress."""
        self._outcomes.add(outcomes)
        if self._progress.is_active and outcomes:
            self._progress.report(outcomes)

    def _with_repetitions(self, result: Result) -> list[Outcome]:
        if self._ledger is None:
            return result.outcomes
        for outcome in result.outcomes:
            self._in_progress.pop(outcome.key or "", None)
        if not self._repetitions:
            return result.outcomes
        outcomes: list[Outcome] = []
        for outcome in result.outcomes:
            outcomes.append(outcome)
            repeated = self._repetitions.pop(outcome.key or "", ())
            outcomes += [attrs.evolve(outcome, message=message, recorded=True) for message in repeated]
        return outcomes

    def _unfinished(self) -> list[Chunk]:
        return [*self._unfinished_chunks.values(), *self._grouper.groups()]

    async def _record_pending(self, *, is_failing: bool) -> None:
        try:
            await self._chunk_sender.record_pending(self._unfinished())
        except SmsApiError:
            # The pending messages were not sent, and a later run sends them even if the ledger does not
            # contain them. We therefore raise the error only if the `async with` block raised no exception of
            # its own.
            if not is_failing:
                raise


def _check_same(first: Message, second: Message) -> None:
    """Check that two messages with the same key are equal, and raise a ValidationError if not."""
    first_number, second_number = (
        checked_destination_address(message.destination_address) for message in (first, second)
    )
    if first_number != second_number or first.content() != second.content():
        hint = "another message of this batch has the same key; pass a unique key"
        raise ValidationError("key", mask_key(second.key), hint)
