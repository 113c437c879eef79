"""A clock that jumps, a gateway without sockets, and helper functions for the tests of tracking."""

import math
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from smsapi_async import AsyncSmsClient, Message, Receipt, RetryPolicy, SegmentState
from smsapi_async.calls.verdicts import Dated
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.journeys import Journey
from smsapi_async.settings import checked_seconds
from smsapi_async.states import known_state
from smsapi_async.tracking import DEADLINE, Delivery, DeliverySink, Schedule, Tracker, Tracking

_Answer = TypeVar("_Answer")
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NUMBER = "79031234567"
FIVE_SEGMENTS = "a" * (4 * 153 + 1)


class Advances(Protocol):
    """The interface of a clock that a test can move forward."""

    def now(self) -> datetime: ...

    def advance(self, by: timedelta, /) -> None: ...


class JumpingClock:
    """A clock for the client. `sleep` waits until no request is in flight, and then moves the clock forward.

    Args:
        time: the clock that `sleep` moves forward.
    """

    def __init__(self, time: Advances) -> None:
        self._time = time
        self._in_flight = 0
        self._idle = anyio.Event()

    def now(self) -> datetime:
        return self._time.now()

    def monotonic(self) -> float:
        return self._time.now().timestamp()

    async def sleep(self, seconds: float) -> None:
        while True:
            # Let the other tasks run, because another task may be about to start a request, which must count
            # as a request in flight.
            for _ in range(10):
                await checkpoint()
            if not self._in_flight:
                break
            await self._idle.wait()
        # Add one microsecond to the sleep, because a float stores the current time with an error of up to a
        # quarter of a microsecond, and the clock could show a time shortly before the end of the sleep.
        self._time.advance(timedelta(microseconds=math.ceil(seconds * 1e6) + 1))

    def watching(self, read: Callable[[str], Awaitable[_Answer]]) -> Callable[[str], Awaitable[_Answer]]:
        """Return a wrapper of `read`. While a wrapped request is in flight, the clock does not jump."""

        async def watched(segment_id: str) -> _Answer:
            self._in_flight += 1
            try:
                return await read(segment_id)
            finally:
                self._in_flight -= 1
                self._idle.set()
                self._idle = anyio.Event()

        return watched


class Time:
    """A clock that moves only when the method `advance` is called."""

    def __init__(self) -> None:
        self.moment = START

    def now(self) -> datetime:
        return self.moment

    def advance(self, by: timedelta, /) -> None:
        self.moment += by


class FakeGateway:
    """A gateway without sockets. Each segment becomes final at a given time after `START`.

    Args:
        final_after: a function that returns the seconds from `START` to the final state of a segment. The
            argument is the segment id.
        state: the final state of all segments.

    Attributes:
        asked: the number of requests for each segment.
        asked_when_known: the id of a segment for each request that followed a response with the final state
            of the segment.
    """

    def __init__(self, final_after: Callable[[str], float], state: int = 0) -> None:
        self.time = Time()
        self.clock = JumpingClock(self.time)
        self.asked: Counter[str] = Counter()
        self.asked_when_known: list[str] = []
        self._known: set[str] = set()
        self._final_after = final_after
        self._state = state

    @property
    def responded(self) -> int:
        """The number of segments with a final state in a response."""
        return len(self._known)

    async def read(self, segment_id: str) -> SegmentState:
        self.asked[segment_id] += 1
        if segment_id in self._known:
            self.asked_when_known.append(segment_id)
        await checkpoint()
        age = (self.time.now() - START).total_seconds()
        if age < self._final_after(segment_id):
            return segment_state(segment_id, -1)
        self._known.add(segment_id)
        return segment_state(segment_id, self._state, price="1.50")

    def track(self, receipts: Any, **options: Any) -> Tracking:
        return tracking(receipts, self.read, self.clock, **options)


def tracking(
    receipts: Iterable[Receipt | Delivery] | AsyncIterable[Receipt | Delivery],
    read: Callable[[str], Awaitable[SegmentState]],
    clock: JumpingClock,
    *,
    schedule: Schedule | None = None,
    deadline: timedelta = DEADLINE,
    timeout: float | None = None,
    workers: int = 10,
    ledger: DeliverySink | None = None,
) -> Tracking:
    """Return a stream of deliveries. While a state request is in flight, the clock does not jump.

    Args:
        receipts: the messages to track.
        read: an async function that returns the state of the segment with the given id.
        clock: the clock of the stream.
        schedule: the schedule of the requests. None means the default schedule.
        deadline: the deadline of each message.
        timeout: the timeout of `Tracker` in seconds, or None.
        workers: the maximum number of requests in flight.
        ledger: the object that records the deliveries. With None, no deliveries are recorded.
    """
    tracker = Tracker(schedule or Schedule(), checked_seconds("deadline", deadline), timeout=timeout)
    dated = undated(clock.watching(read))
    return Tracking(receipts, tracker, dated, clock=clock, workers=workers, ledger=ledger)


def undated(
    read: Callable[[str], Awaitable[SegmentState]],
) -> Callable[[str], Awaitable[Dated[SegmentState]]]:
    """Return a wrapper of `read` for a gateway whose responses have no header ``Date``."""

    async def read_undated(segment_id: str) -> Dated[SegmentState]:
        return Dated(await read(segment_id), None)

    return read_undated


def client(sandbox: Sandbox, clock: JumpingClock, **options: Any) -> AsyncSmsClient:
    """Return a client that uses `clock` and makes one attempt per request.

    Args:
        sandbox: the sandbox that the client calls.
        clock: the clock of the client.
        options: more parameters of `AsyncSmsClient`. These parameters replace the default values.
    """
    return AsyncSmsClient(
        **{
            "login": sandbox.login,
            "password": sandbox.password,
            "base_url": sandbox.base_url,
            "source_address": "ACME",
            "retry": RetryPolicy(attempts=1),
            "clock": clock,
            **options,
        }
    )


@asynccontextmanager
async def running(sandbox: Sandbox, **options: Any) -> AsyncIterator[tuple[AsyncSmsClient, JumpingClock]]:
    """Serve the sandbox on a socket, and yield a client and the clock of this client.

    Args:
        sandbox: the sandbox. Its time moves with the clock of the client.
        options: more parameters of `AsyncSmsClient`.
    """
    async with run_sandbox(sandbox):
        clock = JumpingClock(sandbox)
        async with client(sandbox, clock, **options) as sms:
            yield sms, clock
            # When the server ends, it closes only accepted connections. A response to `balance` shows that
            # the server has accepted all earlier connections, also the connections of cancelled requests.
            await sms.balance()


async def collect(stream: Tracking) -> list[Delivery]:
    """Iterate over a stream of deliveries until the stream ends, and return all deliveries."""
    async with stream as deliveries:
        return [delivery async for delivery in deliveries]


def segment_state(segment_id: str, code: int, price: str | None = None, **dates: Any) -> SegmentState:
    """Return the state of a segment.

    Args:
        segment_id: the segment id.
        code: the number of the state.
        price: the price of the segment; None means that the state has no price.
        dates: the dates of the state, as fields of `SegmentState`.
    """
    return SegmentState(
        segment_id, known_state(code), price=None if price is None else Decimal(price), **dates
    )


def receipt(number: int | str = 1, segments: int = 1, **options: Any) -> Receipt:
    """Return the receipt of a message that was accepted at `START`.

    Args:
        number: the first part of each segment id.
        segments: the number of segments.
        options: more fields of the message.
    """
    ids = tuple(f"{number}-{index}" for index in range(segments))
    return Receipt(Message(NUMBER, "text", **options), ids, START)


def journey(*steps: tuple[float, int]) -> Journey:
    """Return a journey: the states of one segment in the sandbox.

    Args:
        steps: pairs of a time and a state. The time is the number of seconds from the acceptance to the
            state.
    """
    return [(timedelta(seconds=after), state) for after, state in steps]


def journeys(*each: Journey) -> Any:
    """Return a function for the parameter `journey` of `Sandbox`.

    Args:
        each: the journeys of the segments in order. The last journey also applies to all further segments.
    """
    return lambda _message, index: each[min(index, len(each) - 1)]


def asked_ids(sandbox: Sandbox) -> Sequence[str]:
    """Return the segment id of each state request that the sandbox received, in the order of arrival."""
    return [
        arrival.target.partition("messageId=")[2].partition("&")[0]
        for arrival in sandbox.account.arrivals
        if arrival.resource == "Sms/State"
    ]
