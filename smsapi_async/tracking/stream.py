"""The stream of deliveries: one timer and a bounded number of requests around the tracker's decisions."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from smsapi_async.clock import Clock
from smsapi_async.errors import (
    MESSAGE_REJECTIONS,
    RateLimited,
    ReadFailed,
    StreamNotEntered,
    ValidationError,
)
from smsapi_async.models import Receipt, SegmentState
from smsapi_async.streams import read_all
from smsapi_async.tracking.delivery import Delivery, DeliverySink
from smsapi_async.tracking.tracker import StateRequest, Tracker
from smsapi_async.tracking.waiting import Changes, Timer

_BATCHES_HELD = 2

ReadState = Callable[[str], Awaitable[SegmentState]]
"""Asks the gateway about one segment."""


class Tracking(AsyncIterator[Delivery]):
    """The deliveries of many messages, as they change. Use it with ``async with``.

    Attributes:
        requests: how many times a state was asked for; a request that is attempted again counts once.

    Args:
        receipts: what to follow; a `Delivery` of an earlier run goes on from where it was.
        tracker: decides what is asked and when.
        read_state: asks about one segment.
        clock: the time.
        workers: requests in flight at once.
        ledger: where deliveries are recorded before they are given out.
        check_usable: raises where the client cannot be used.
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
        self._group: TaskGroup | None = None
        self._following: anyio.CancelScope | None = None
        self._timer: Timer
        self._deliveries: MemoryObjectReceiveStream[list[Delivery]]
        self._changes: Changes
        self._ready: deque[Delivery] = deque()
        self._busy = 0
        self.requests = 0
        self._all_read = False
        self._is_ledger_broken = False
        self._error: Exception | None = None

    async def __aenter__(self) -> Self:
        self._check_usable()
        if self._group is not None:
            raise StreamNotEntered
        self._timer = Timer(self._clock)
        self._changes = Changes()
        batches, self._deliveries = anyio.create_memory_object_stream[list[Delivery]](_BATCHES_HELD)
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._follow)
        self._group.start_soon(self._hand_out, batches)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._group is not None  # noqa: S101 - for the type checker
        self._group.cancel_scope.cancel()
        try:
            # The exception of the block is not handed over: the group would wrap it up.
            await self._group.__aexit__(None, None, None)
        finally:
            self._deliveries.close()
            if not self._is_ledger_broken:
                with anyio.CancelScope(shield=True):
                    await self._record(self._changes.rest())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        if self._group is None:
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
        """The last delivery of a stream of one message, which is entered and left here."""
        async with self:
            return [delivery async for delivery in self][-1]

    def _end_with(self, error: Exception) -> None:
        """StateRequest no more; what was noticed before is given out, then the error is raised."""
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
                    await self._dispatch(asks)
                    # Requests that are still in flight are about messages that are finished.
                    group.cancel_scope.cancel()
        finally:
            self._changes.end()

    async def _read(self) -> None:
        try:
            await read_all(self._receipts, self._take_in)
        except Exception as error:  # noqa: BLE001 - of the caller's own iterable, and raised to the caller
            self._end_with(error)
        self._all_read = True
        self._timer.wake()

    async def _take_in(self, receipt: Receipt | Delivery) -> None:
        _check_kind(receipt)
        if isinstance(receipt, Receipt):
            last = self._tracker.add(receipt, self._timer.now())
        elif receipt.is_final:
            last = receipt
        else:
            last = self._tracker.add(receipt.receipt, self._timer.now(), receipt.states)
        self._timer.wake()
        if last is not None:
            self._changes.put(last)
            await self._changes.room()

    async def _dispatch(self, asks: MemoryObjectSendStream[StateRequest]) -> None:
        while True:
            now = self._timer.now()
            while (delivery := self._tracker.expired(now)) is not None:
                self._changes.put(delivery)
                await self._changes.room()
            while self._busy < self._workers and (ask := self._tracker.due(now)) is not None:
                self._busy += 1
                asks.send_nowait(ask)
            if self._all_read and not self._tracker:
                return
            is_free = self._busy < self._workers
            await self._timer.wait_until(
                self._tracker.next_time() if is_free else self._tracker.next_deadline()
            )

    async def _work(self, asked: MemoryObjectReceiveStream[StateRequest]) -> None:
        async for ask in asked:
            try:
                delivery = await self._ask(ask)
            except Exception as error:  # noqa: BLE001 - nothing is sent here; it is raised to the caller
                self._end_with(error)
                return
            if delivery is not None:
                self._changes.put(delivery)
                await self._changes.room()
            self._busy -= 1
            self._timer.wake()

    async def _ask(self, ask: StateRequest) -> Delivery | None:
        self.requests += 1
        try:
            state = await self._read_state(ask.segment_id)
        except RateLimited as error:
            self._tracker.failed(ask, self._timer.now(), retry_after=error.retry_after)
        except ReadFailed:
            self._tracker.failed(ask, self._timer.now())
        except MESSAGE_REJECTIONS:
            self._tracker.refused(ask, self._timer.now())
        else:
            return self._tracker.answered(ask, state, self._timer.now())
        return None

    async def _hand_out(self, batches: MemoryObjectSendStream[list[Delivery]]) -> None:
        with batches:
            while batch := await self._changes.next_batch():
                try:
                    await self._record(batch)
                except Exception as error:  # noqa: BLE001 - of the caller's own ledger, and raised to the caller
                    self._is_ledger_broken = True
                    self._end_with(error)
                    return
                self._changes.drop(len(batch))
                await batches.send(batch)

    async def _record(self, deliveries: list[Delivery]) -> None:
        if self._ledger is not None and deliveries:
            await self._ledger.record(deliveries)


def _check_kind(receipt: object) -> None:
    if not isinstance(receipt, Receipt | Delivery):
        hint = "pass a Receipt or a Delivery; `state` takes the id of a segment"
        raise ValidationError("receipt", f"<{type(receipt).__name__}>", hint)
