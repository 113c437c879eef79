"""A clock that moves a sandbox, a gateway without a socket, and deliveries collected."""

import math
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

import anyio
from anyio.lowlevel import checkpoint

from smsapi_async import AsyncSmsClient, Message, Receipt, RetryPolicy, SegmentState
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.journeys import Journey
from smsapi_async.settings import checked_seconds
from smsapi_async.states import known_state
from smsapi_async.tracking import DEADLINE, Delivery, DeliverySink, Schedule, Tracker, Tracking

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NUMBER = "79031234567"
FIVE_SEGMENTS = "a" * (4 * 153 + 1)


class Advances(Protocol):
    """Whatever keeps the time."""

    def now(self) -> datetime: ...

    def advance(self, by: timedelta, /) -> None: ...


class JumpingClock:
    """Jumps to the end of a wait as soon as no request is in flight."""

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
            for _ in range(10):
                await checkpoint()
            if not self._in_flight:
                break
            await self._idle.wait()
        # A float of this size is exact to a quarter of a microsecond; a wait must not end too soon.
        self._time.advance(timedelta(microseconds=math.ceil(seconds * 1e6) + 1))

    def watching(
        self, read: Callable[[str], Awaitable[SegmentState]]
    ) -> Callable[[str], Awaitable[SegmentState]]:
        """The same request; time stands still while it is in flight."""

        async def watched(segment_id: str) -> SegmentState:
            self._in_flight += 1
            try:
                return await read(segment_id)
            finally:
                self._in_flight -= 1
                self._idle.set()
                self._idle = anyio.Event()

        return watched


class Time:
    """A moment that can be moved."""

    def __init__(self) -> None:
        self.moment = START

    def now(self) -> datetime:
        return self.moment

    def advance(self, by: timedelta, /) -> None:
        self.moment += by


class FakeGateway:
    """Answers by the time alone: each segment becomes final after so many seconds; no sockets."""

    def __init__(self, final_after: Callable[[str], float], state: int = 0) -> None:
        self.time = Time()
        self.clock = JumpingClock(self.time)
        self.asked: Counter[str] = Counter()
        self.asked_when_known: list[str] = []
        self._known: set[str] = set()
        self._final_after = final_after
        self._state = state

    @property
    def answered(self) -> int:
        """How many segments were told as final."""
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
    """A stream over a clock that jumps."""
    tracker = Tracker(schedule or Schedule(), checked_seconds("deadline", deadline), timeout=timeout)
    return Tracking(receipts, tracker, clock.watching(read), clock=clock, workers=workers, ledger=ledger)


def client(sandbox: Sandbox, clock: JumpingClock, **options: Any) -> AsyncSmsClient:
    """A client on the sandbox's time that makes each request once."""
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
    """A client of a sandbox on a socket, on the sandbox's time."""
    async with run_sandbox(sandbox):
        clock = JumpingClock(sandbox)
        async with client(sandbox, clock, **options) as sms:
            yield sms, clock
            # Its answer shows that the server has taken in every connection that was made before, also
            # those of requests that were cancelled; at its end it closes them all.
            await sms.balance()


async def collect(stream: Tracking) -> list[Delivery]:
    """Every delivery of a stream."""
    async with stream as deliveries:
        return [delivery async for delivery in deliveries]


def segment_state(segment_id: str, code: int, price: str | None = None, **dates: Any) -> SegmentState:
    """What the gateway says of a segment."""
    return SegmentState(
        segment_id, known_state(code), price=None if price is None else Decimal(price), **dates
    )


def receipt(number: int | str = 1, segments: int = 1, **options: Any) -> Receipt:
    """A message accepted at the start; its segments are named after it."""
    ids = tuple(f"{number}-{index}" for index in range(segments))
    return Receipt(Message(NUMBER, "text", **options), ids, START)


def journey(*steps: tuple[float, int]) -> Journey:
    """Steps of (seconds, state)."""
    return [(timedelta(seconds=after), state) for after, state in steps]


def journeys(*each: Journey) -> Any:
    """A rule of the sandbox: a journey for each segment; the last serves the rest."""
    return lambda _message, index: each[min(index, len(each) - 1)]


def asked_ids(sandbox: Sandbox) -> Sequence[str]:
    """The segments asked about, in order."""
    return [
        arrival.target.partition("messageId=")[2].partition("&")[0]
        for arrival in sandbox.account.arrivals
        if arrival.resource == "Sms/State"
    ]
