"""Tests of the queue between the tasks of a batch."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from smsapi_async.batch.bounded_queue import BoundedQueue

pytestmark = pytest.mark.anyio


async def _settle() -> None:
    """Let each waiting task run until the task waits again."""
    for _ in range(10):
        await checkpoint()


async def test_a_full_queue_holds_back_every_task() -> None:
    """While nobody takes items, each task adds one item too many at most; all items arrive in order."""
    queue = BoundedQueue[int](3)
    added: list[int] = []

    async def add(start: int) -> None:
        for item in range(start, start + 100):
            added.append(item)
            await queue.put(item)

    async with anyio.create_task_group() as group:
        for start in (0, 1000, 2000, 3000):
            group.start_soon(add, start)
        await _settle()
        assert len(queue) == len(added) <= 3 + 4
        taken = [await queue.take() for _ in range(400)]
    assert taken == added
    queue.close()
    assert await queue.take() is None


async def test_every_waiting_task_goes_on() -> None:
    """If all items of a full queue are taken at once, no task that waited for room waits any longer."""
    queue = BoundedQueue[int](1)
    async with anyio.create_task_group() as group:
        for item in range(20):
            group.start_soon(queue.put, item)
        await _settle()
        first = [queue.pop() for _ in range(19)]
        with anyio.fail_after(10):
            assert {*first, await queue.take()} == set(range(20))
            await _settle()
            group.start_soon(queue.put, 20)
            assert await queue.take() == 20


@pytest.mark.parametrize("cancelled", range(5))
async def test_a_cancelled_wait_takes_no_item(cancelled: int) -> None:
    """An item that wakes a task in the moment of its cancellation goes to the next waiting task."""
    queue = BoundedQueue[int](10)
    taken: list[int | None] = []
    scopes = [anyio.CancelScope() for _ in range(5)]

    async def take(scope: anyio.CancelScope) -> None:
        with scope:
            taken.append(await queue.take())

    async with anyio.create_task_group() as group:
        for scope in scopes:
            group.start_soon(take, scope)
        await _settle()
        for item in range(4):
            await queue.put(item)
        scopes[cancelled].cancel()
        with anyio.fail_after(10):
            while len(taken) < 4:
                await checkpoint()
        queue.close()
    assert sorted(item for item in taken if item is not None) == list(range(4))


async def test_the_end_wakes_everybody() -> None:
    """When the queue is closed, tasks that wait for room or for items go on, and the items stay."""
    full, empty = BoundedQueue[int](1), BoundedQueue[int](1)
    taken: list[int | None] = []

    async def take() -> None:
        taken.append(await empty.take())

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for item in range(3):
                group.start_soon(full.put, item)
                group.start_soon(take)
            await _settle()
            full.close()
            empty.close()
    assert sorted(full.pop() for _ in range(3)) == [0, 1, 2]
    assert taken == [None] * 3
