"""Reads the state of a segment, for the method `AsyncSmsClient.state` and for `Tracking`."""

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Protocol

from smsapi_async.calls.caller import Caller
from smsapi_async.calls.limiter import Priority
from smsapi_async.calls.verdicts import Dated
from smsapi_async.clock import Clock
from smsapi_async.models import Receipt, SegmentState
from smsapi_async.privacy import Hidden
from smsapi_async.protocol.decoding import decode_state
from smsapi_async.protocol.encoding import state_request
from smsapi_async.schedule import Schedule
from smsapi_async.settings import checked_instance, checked_seconds, checked_timeout
from smsapi_async.tracking.delivery import Delivery, DeliverySink
from smsapi_async.tracking.paged_stream import PagedTracking
from smsapi_async.tracking.stream import Tracking
from smsapi_async.tracking.tracker import Tracker
from smsapi_async.tracking.visits import VisitStore, VisitTracker


async def read_state(
    caller: Caller,
    segment_id: Hidden[str],
    *,
    priority: Priority = Priority.READ,
    timeout: object = None,  # noqa: ASYNC109
) -> Dated[SegmentState]:
    """Return the state of a segment with the time of the response on the clock of the gateway.

    Args:
        caller: makes the request.
        segment_id: the id of the segment.
        priority: the priority of the request in the line for a slot of the limiter.
        timeout: the maximum time of the call; None means no limit.

    Raises:
        ValidationError: if the id or the timeout is wrong.
        RequestRejected: if the gateway refused the request or the login.
        ReadFailed: if no usable response arrived.
    """
    request = state_request(segment_id.value)
    decode = partial(_decode, segment_id)
    return await caller.read_dated(request, decode, priority=priority, seconds=checked_timeout(timeout))


def tracker_for(
    schedule: Schedule | None, default: Callable[[], Schedule], deadline: object, *, timeout: object = None
) -> Tracker:
    """Return the tracker of a stream of deliveries.

    Args:
        schedule: the time between two requests for a state; None means the default.
        default: returns the default.
        deadline: the time after which the tracking of a message ends.
        timeout: the maximum time of `AsyncSmsClient.wait_delivered`; None means no limit.

    Raises:
        ValidationError: if a parameter is wrong.
    """
    seconds = checked_timeout(timeout)
    checked = checked_instance("schedule", schedule, Schedule, default())
    return Tracker(checked, checked_seconds("deadline", deadline), timeout=seconds)


class StartTracking(Protocol):
    """A function that returns a stream of deliveries, which is not entered yet."""

    def __call__(
        self,
        receipts: Iterable[Receipt | Delivery] | AsyncIterable[Receipt | Delivery],
        tracker: Tracker,
        *,
        workers: int,
        ledger: DeliverySink | None = None,
    ) -> Tracking:
        """Return the stream. See `Tracking` for the parameters."""


def tracking_with(caller: Caller, clock: Clock, check_usable: Callable[[], None]) -> StartTracking:
    """Return a function that makes the streams of deliveries of a client.

    If a ledger supplies the messages page by page and also records the deliveries, the stream keeps only the
    messages of one page in memory.

    Args:
        caller: makes the requests.
        clock: the clock of the streams.
        check_usable: raises an error if the client is closed.
    """

    def read(segment_id: str) -> Awaitable[Dated[SegmentState]]:
        check_usable()
        return read_state(caller, Hidden(segment_id), priority=Priority.BACKGROUND)

    def start(
        receipts: Iterable[Receipt | Delivery] | AsyncIterable[Receipt | Delivery],
        tracker: Tracker,
        *,
        workers: int,
        ledger: DeliverySink | None = None,
    ) -> Tracking:
        options: Any = {"clock": clock, "workers": workers, "check_usable": check_usable}
        store: VisitStore | None = getattr(receipts, "visits", None)
        if store is not None and getattr(receipts, "ledger", None) is ledger:
            return PagedTracking(store, VisitTracker.like(tracker), read, **options)
        return Tracking(receipts, tracker, read, ledger=ledger, **options)

    return start


def _decode(segment_id: Hidden[str], body: bytes) -> SegmentState:
    return decode_state(body, segment_id.value)
