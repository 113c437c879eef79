"""Tests of the memory, the CPU time and the number of tasks that many tracked messages need."""

import random
import tracemalloc
from time import thread_time

import anyio
import pytest

from smsapi_async import SegmentState
from smsapi_async.tracking import DEADLINE, Schedule, Tracker
from tests.tracking.support import START, FakeGateway, collect, receipt, segment_state, undated

MANY = 20_000
MEASURED = 5_000
NOW = START.timestamp()
LENGTH = DEADLINE.total_seconds()


def _ask_all(tracker: Tracker, code: int, now: float) -> int:
    """Respond to every due request with the state `code`.

    Return the number of messages that became final.
    """
    finished = 0
    while (ask := tracker.due(now)) is not None:
        delivery = tracker.responded(ask, SegmentState(ask.segment_id, code), now)
        finished += delivery is not None and delivery.is_final
    return finished


def test_memory_a_message() -> None:
    """Each of 20,000 tracked messages needs less than 600 bytes.

    When all messages are final, the tracker keeps fewer than 1,100 entries.
    """
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
    assert _ask_all(tracker, -1, NOW + 6) == 0
    assert _ask_all(tracker, 0, NOW + 60) == MANY
    assert len(tracker) == len(tracker._requests) == 0
    assert len(tracker._deadlines) < 1100
    assert tracker.next_time() is None


def test_adding_and_finishing_is_logarithmic() -> None:
    """With 20,000 messages, a message needs less than 8 times as much CPU time as with 1,000 messages."""

    def cost(count: int) -> float:
        tracker = Tracker(Schedule(), LENGTH, chance=random.Random(1))
        receipts = [receipt(number) for number in range(count)]
        # The test measures the CPU time of this thread, because other processes change only the elapsed time.
        started = thread_time()
        for each in receipts:
            tracker.add(each, NOW)
        assert _ask_all(tracker, 0, NOW + 60) == count
        return (thread_time() - started) / count

    few = min(cost(1000) for _ in range(5))
    assert cost(20_000) < 8 * few


def test_a_stream_without_end_forgets_what_is_finished() -> None:
    """If 20,000 messages become final one after the other, the tracker removes nearly all final messages."""
    tracker = Tracker(Schedule(), LENGTH)
    now = NOW
    for number in range(20_000):
        tracker.add(receipt(number), now)
        now += 1
        _ask_all(tracker, 0, now)
    assert len(tracker) < 10
    assert len(tracker._deadlines) < 1100
    assert len(tracker._requests) < 20


@pytest.mark.anyio
async def test_one_timer_not_a_task_a_message() -> None:
    """The number of tasks depends on the number of workers, and not on the number of tracked messages."""
    gateway = FakeGateway(lambda _: 60.0)
    tasks: list[int] = []

    async def read(segment_id: str) -> SegmentState:
        tasks.append(len(anyio.get_running_tasks()))
        return await gateway.read(segment_id)

    workers = 5
    stream = gateway.track((receipt(number) for number in range(300)), workers=workers)
    stream._read_state = undated(gateway.clock.watching(read))
    deliveries = await collect(stream)
    assert sum(delivery.is_final for delivery in deliveries) == 300
    # Besides the workers, the following tasks run: the tasks of the test and of the test runner, two tasks of
    # the stream, and one task that reads the receipts.
    assert max(tasks) <= workers + 8


def test_states_are_shared() -> None:
    """A delivery contains the same `SegmentState` object that the test passed to `responded`, not a copy."""
    tracker = Tracker(Schedule(), LENGTH)
    tracker.add(receipt(), NOW)
    ask = tracker.due(NOW + 60)
    assert ask is not None
    state = segment_state("1-0", -1)
    delivery = tracker.responded(ask, state, NOW + 60)
    assert delivery is not None
    assert delivery.states[0] is state
