"""The stream of deliveries that `AsyncSmsClient.track` returns.

`Tracker` decides which segment state to request and when. `Tracking` makes the requests with one timer and a
fixed number of worker tasks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from smsapi_async.calls.verdicts import Dated
from smsapi_async.clock import Clock
from smsapi_async.errors import (
    MESSAGE_REJECTIONS,
    ClientClosed,
    RateLimited,
    ReadFailed,
    StreamNotEntered,
    ValidationError,
)
from smsapi_async.models import Receipt, SegmentState
from smsapi_async.privacy import type_name
from smsapi_async.streams import StreamTasks, is_from_iterable, read_all
from smsapi_async.tracking.delivery import Delivery, DeliverySink
from smsapi_async.tracking.tracker import StateRequest, Tracker
from smsapi_async.tracking.waiting import DeliveryQueue, Timer

# Maximum number of lists of deliveries that wait for a slow consumer. If more deliveries follow, the stream
# reads no more receipts, so that its memory use stays bounded.
_BATCHES_HELD = 2

ReadState = Callable[[str], Awaitable[Dated[SegmentState]]]
"""The type of an async function that requests the state of one segment, given by its segment id."""


class Tracking(AsyncIterator[Delivery]):
    """An async iterator over the deliveries of many messages. `AsyncSmsClient.track` returns this object.

    Use the stream with ``async with``, and iterate inside the block::

        async with sms.track(receipts) as deliveries:
            async for delivery in deliveries:
                ...

    The stream returns a new `Delivery` each time a state or a price of a message changes. The last delivery
    of each message has ``is_final`` set. The stream ends after the last delivery of the last message.

    The gateway has no callbacks: the client must request each state, one segment per request. Two rules keep
    the number of state requests small:

    - While a message is enroute, the stream requests the state of one of its segments only. When that segment
      is final, the stream requests the states of the other segments. Shortly before the deadline, or before
      the gateway deletes states after 48 hours, the stream requests the states of all segments.
    - `Schedule` makes the requests less frequent as the message gets older.

    The clock of the gateway decides the 48 hours, if the responses have the header ``Date``. If the clock of
    this machine is wrong or changes, the tracking neither ends too early nor goes on for ever.

    Other calls of the same client, for example sends, have priority over the state requests.

    After `ReadFailed` or `RateLimited`, the stream makes the failed request again later. First, all requests
    of the stream pause for up to 60 seconds, or longer if the gateway asks for a longer wait. If the gateway
    refuses a request only because of its segment, the stream repeats the request at the next time of the
    schedule.

    With a ledger, the stream records each delivery before it returns the delivery. After a restart,
    ``sms.track(ledger)`` continues with all messages that are not final. The stream does not request the
    state of a final segment again. If you leave the block early, the stream first records the deliveries that
    you have not received yet.

    Before the stream raises an error, it first returns the deliveries that it has already recorded.

    The stream reads receipts only as fast as you take deliveries. An enroute message needs about 400 bytes of
    memory beside its receipt. All messages share one timer.

    Attributes:
        requests: the number of state requests so far. Several attempts of one request count as one request. A
            request that the stream repeats later counts again.

    Args:
        receipts: the messages to track. For a `Delivery` of an earlier run, tracking continues from its
            states. The stream returns a final `Delivery` at once, without a request.
        tracker: the `Tracker` that decides which segment state to request and when.
        read_state: an async function that requests the state of one segment.
        clock: the clock for the schedule and the deadline.
        workers: the number of worker tasks, which is the maximum number of requests in flight.
        ledger: the object that records each delivery before the stream returns the delivery.
        check_usable: a function that raises an error if the client is closed or belongs to another event
            loop.

    Raises:
        StreamNotEntered: if you iterate outside the ``async with`` block, or enter the stream twice.
        StreamLeftElsewhere: if you leave the block in another task than the task that entered it.
        RequestRejected: while iterating, if the gateway refused the credentials or the account.
        ClientClosed: while iterating, if the client was closed.
        LedgerError: while iterating, if the ledger could not record a delivery.
        ValidationError: while iterating, if an item of `receipts` is not a `Receipt` or a `Delivery`.
        Exception: while iterating, if the iterable `receipts` raised this error. Every error but
            `StreamNotEntered` ends the stream.
    """

    def __init__(
        self,
        receipts: Iterable[Receipt | Delivery] | AsyncIterable[Receipt | Delivery],
        tracker: Tracker,
        read_state: ReadState,
        *,
        clock: Clock,
        workers: int,
        ledger: DeliverySink | None = None,
        check_usable: Callable[[], None] = lambda: None,
    ) -> None:
        self._receipts = receipts
        self._tracker = tracker
        self._read_state = read_state
        self._clock = clock
        self._workers = workers
        self._ledger = ledger
        self._check_usable = check_usable
        self._tasks = StreamTasks()
        self._following: anyio.CancelScope | None = None
        self._timer: Timer
        self._deliveries: MemoryObjectReceiveStream[list[Delivery]]
        # The queue of a subclass has other items, which `_record` and `_deliveries_in` understand.
        self._queue: DeliveryQueue[Any]
        self._ready: deque[Delivery] = deque()
        self._busy = 0
        self.requests = 0
        self._all_read = False
        self._is_ledger_broken = False
        self._error: BaseException | None = None

    async def __aenter__(self) -> Self:
        self._check_usable()
        if self._tasks.are_started:
            raise StreamNotEntered
        self._timer = Timer(self._clock)
        self._queue = DeliveryQueue()
        batches, self._deliveries = anyio.create_memory_object_stream[list[Delivery]](_BATCHES_HELD)
        await self._tasks.enter(self._follow, partial(self._hand_out, batches))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._tasks.leave()
        finally:
            self._deliveries.close()
            # We record the queued deliveries, so that a later run does not request their states again. The
            # shielded scope makes sure that the deliveries are recorded even if the task is cancelled.
            if not self._is_ledger_broken:
                with anyio.CancelScope(shield=True):
                    await self._record(self._queue.rest())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        if not self._tasks.are_started:
            raise StreamNotEntered
        while not self._ready:
            try:
                self._ready.extend(await self._deliveries.receive())
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                error, self._error = self._error, None
                if error is not None:
                    raise error from None
                raise StopAsyncIteration from None
        return self._ready.popleft()

    async def last(self) -> Delivery:
        """Return the last delivery of a stream with one message. `last` enters and leaves the stream."""
        async with self:
            return [delivery async for delivery in self][-1]

    def _end_with(self, error: BaseException) -> None:
        """Stop all state requests. The consumer gets the queued deliveries first, then the given error."""
        if self._error is None:
            self._error = error
        if self._following is not None:
            self._following.cancel()

    async def _follow(self) -> None:
        asks, asked = anyio.create_memory_object_stream[StateRequest](self._workers)
        try:
            with asks, asked:
                async with anyio.create_task_group() as group:
                    self._following = group.cancel_scope
                    group.start_soon(self._read)
                    for _ in range(self._workers):
                        group.start_soon(self._work, asked)
                    try:
                        await self._dispatch(asks)
                    except ClientClosed as error:
                        self._end_with(error)
                    # Every message has its last delivery now. We cancel the requests in flight, because their
                    # responses cannot change a delivery.
                    group.cancel_scope.cancel()
        finally:
            self._queue.end()

    async def _read(self) -> None:
        try:
            await read_all(self._receipts, self._process)
        except BaseException as error:
            if not is_from_iterable(error):
                raise
            self._end_with(error)
        self._all_read = True
        self._timer.wake()

    async def _process(self, receipt: Receipt | Delivery) -> None:
        _check_kind(receipt)
        if isinstance(receipt, Receipt):
            last = self._tracker.add(receipt, self._timer.now())
        elif receipt.is_final:
            last = receipt
        else:
            last = self._tracker.add(receipt.receipt, self._timer.now(), receipt.states)
        self._timer.wake()
        if last is not None:
            self._queue.put(last)
            await self._queue.room()

    async def _dispatch(self, asks: MemoryObjectSendStream[StateRequest]) -> None:
        while True:
            now = self._timer.now()
            while (delivery := self._tracker.expired(now)) is not None:
                self._queue.put(delivery)
                await self._queue.room()
            self._start_requests(asks, now)
            if self._all_read and not self._tracker:
                return
            await self._timer.wait_until(self._next_time())

    def _start_requests(self, asks: MemoryObjectSendStream[StateRequest], now: float) -> None:
        while self._busy < self._workers and (ask := self._tracker.due(now)) is not None:
            self._busy += 1
            # `send_nowait` never fails: the memory stream can hold one request per worker, and at most one
            # request per worker is in progress.
            asks.send_nowait(ask)

    def _next_time(self) -> float | None:
        # If all workers are busy, no request can start, so the timer waits only for the next deadline.
        is_free = self._busy < self._workers
        return self._tracker.next_time() if is_free else self._tracker.next_deadline()

    async def _work(self, asked: MemoryObjectReceiveStream[StateRequest]) -> None:
        async for ask in asked:
            try:
                delivery = await self._ask(ask)
            except Exception as error:  # noqa: BLE001 - the consumer gets the error
                self._end_with(error)
                return
            if delivery is not None:
                self._queue.put(delivery)
                await self._queue.room()
            self._busy -= 1
            self._timer.wake()

    async def _ask(self, ask: StateRequest) -> Delivery | None:
        self.requests += 1
        try:
            answer = await self._read_state(ask.segment_id)
        except (RateLimited, ReadFailed) as error:
            self._tracker.failed(ask, self._timer.now(), retry_after=error.retry_after)
        except MESSAGE_REJECTIONS:
            self._tracker.refused(ask, self._timer.now())
        else:
            now = self._timer.now()
            if answer.answered_at is not None:
                self._tracker.learn(answer.answered_at.timestamp(), now)
            return self._tracker.responded(ask, answer.value, now)
        return None

    async def _hand_out(self, batches: MemoryObjectSendStream[list[Delivery]]) -> None:
        with batches:
            while batch := await self._queue.next_batch():
                try:
                    await self._record(batch)
                except Exception as error:  # noqa: BLE001 - any error of the caller's ledger
                    self._is_ledger_broken = True
                    self._end_with(error)
                    return
                self._queue.drop(len(batch))
                if deliveries := self._deliveries_in(batch):
                    await batches.send(deliveries)

    @staticmethod
    def _deliveries_in(batch: list[Any]) -> list[Delivery]:
        return batch

    async def _record(self, deliveries: list[Any]) -> None:
        if self._ledger is not None and deliveries:
            await self._ledger.record(deliveries)


def _check_kind(receipt: object) -> None:
    if not isinstance(receipt, Receipt | Delivery):
        hint = "pass a Receipt or a Delivery; for a segment id, call `state`"
        raise ValidationError("receipt", type_name(receipt), hint)
