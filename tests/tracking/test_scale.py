"""A hundred thousand messages under way: memory, time, and tasks."""

import random
import tracemalloc
from time import perf_counter

import anyio
import pytest

from smsapi_async import SegmentState
from smsapi_async.tracking import DEADLINE, Schedule, Tracker
from tests.tracking.support import START, FakeGateway, collect, receipt, segment_state

MANY = 100_000
MEASURED = 10_000
NOW = START.timestamp()
LENGTH = DEADLINE.total_seconds()


def _ask_all(tracker: Tracker, code: int, now: float) -> int:
    """Answer everything that is due; how many messages were finished."""
    finished = 0
    while (ask := tracker.due(now)) is not None:
        delivery = tracker.answered(ask, SegmentState(ask.segment_id, code), now)
        finished += delivery is not None and delivery.is_final
    return finished


def test_memory_a_message() -> None:
    """100,000 messages under way take less than 600 bytes each beside their receipts, and give them back."""
    receipts = [receipt(number, segments=2) for number in range(MANY)]
    tracker = Tracker(Schedule(), LENGTH)
    for each in receipts[:-MEASURED]:
        tracker.add(each, NOW)
    tracemalloc.start()
    try:
        for each in receipts[-MEASURED:]:
            tracker.add(each, NOW)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / MEASURED < 600
    assert len(tracker) == MANY
    # Each is asked about, then finishes, and what it took is given back.
    assert _ask_all(tracker, -1, NOW + 6) == 0
    assert _ask_all(tracker, 0, NOW + 60) == MANY
    assert len(tracker) == len(tracker._asks) == 0
    assert len(tracker._deadlines) < 1100
    assert tracker.next_time() is None


def test_adding_and_finishing_is_logarithmic() -> None:
    """With 50 times the messages under way, a message costs about the same."""

    def cost(count: int) -> float:
        tracker = Tracker(Schedule(), LENGTH, chance=random.Random(1))
        receipts = [receipt(number) for number in range(count)]
        started = perf_counter()
        for each in receipts:
            tracker.add(each, NOW)
        assert _ask_all(tracker, 0, NOW + 60) == count
        return (perf_counter() - started) / count

    few = min(cost(1000) for _ in range(5))
    assert cost(50_000) < 8 * few


def test_a_stream_without_end_forgets_what_is_finished() -> None:
    """Messages that come and finish for hours leave nothing behind, though their deadlines are days ahead."""
    tracker = Tracker(Schedule(), LENGTH)
    now = NOW
    for number in range(20_000):
        tracker.add(receipt(number), now)
        now += 1
        _ask_all(tracker, 0, now)
    assert len(tracker) < 10
    assert len(tracker._deadlines) < 1100
    assert len(tracker._asks) < 20


@pytest.mark.anyio
async def test_one_timer_not_a_task_a_message() -> None:
    """Thousands of messages under way need no more tasks than one does."""
    gateway = FakeGateway(lambda _: 60.0)
    tasks: list[int] = []

    async def read(segment_id: str) -> SegmentState:
        tasks.append(len(anyio.get_running_tasks()))
        return await gateway.read(segment_id)

    workers = 5
    stream = gateway.track((receipt(number) for number in range(1000)), workers=workers)
    stream._read_state = gateway.clock.watching(read)
    deliveries = await collect(stream)
    assert sum(delivery.is_final for delivery in deliveries) == 1000
    # The test's own, those of the runner, two of the stream, its reader and its workers.
    assert max(tasks) <= workers + 8


def test_states_are_shared() -> None:
    """A delivery holds the states themselves, not copies."""
    tracker = Tracker(Schedule(), LENGTH)
    tracker.add(receipt(), NOW)
    ask = tracker.due(NOW + 60)
    assert ask is not None
    state = segment_state("1-0", -1)
    delivery = tracker.answered(ask, state, NOW + 60)
    assert delivery is not None
    assert delivery.states[0] is state
