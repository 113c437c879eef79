"""Tests of the limit for the rate of requests, with a clock that the test controls."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from smsapi_async import AsyncSmsClient
from smsapi_async.calls.limiter import Limiter, Priority
from smsapi_async.sandbox import Sandbox
from tests.client.tools import NUMBER, TEXT, ManualClock, client_for

pytestmark = pytest.mark.anyio


class _Clock(ManualClock):
    """A clock on which a cancelled wait does not change the time.

    Attributes:
        gives_up: the cancel scope that `sleep` cancels before the time of the clock changes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gives_up = anyio.CancelScope()

    async def sleep(self, seconds: float) -> None:
        self.gives_up.cancel()
        await checkpoint()
        await super().sleep(seconds)


async def test_requests_begin_evenly() -> None:
    """With two requests per second, one request starts every half second."""
    clock = _Clock()
    limiter = Limiter(10, 2, clock)
    begun: list[float] = []

    async def call() -> None:
        await limiter.acquire(Priority.SEND)
        begun.append(clock.monotonic())
        limiter.release()

    start = clock.monotonic()
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(call)
    assert [moment - start for moment in begun] == [0, 0.5, 1, 1.5, 2]


async def test_who_gives_up_takes_nobodys_place() -> None:
    """Calls that are cancelled while they wait do not delay later calls."""
    clock = _Clock()
    limiter = Limiter(10, 2, clock)
    await limiter.acquire(Priority.SEND)
    limiter.release()
    for _ in range(100):
        with anyio.CancelScope() as clock.gives_up:
            await limiter.acquire(Priority.SEND)
            raise AssertionError("the call did not wait")
    clock.gives_up = anyio.CancelScope()
    await limiter.acquire(Priority.SEND)
    assert clock.waits == [0.5]


async def _take_slots(limiter: Limiter, priority: Priority, count: int, order: list[Priority]) -> None:
    """Wait for slots in `count` tasks, and release each slot after the other tasks had a turn."""

    async def call() -> None:
        await limiter.acquire(priority)
        order.append(priority)
        await checkpoint()
        limiter.release()

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(call)


async def test_a_read_waits_for_one_send_at_most() -> None:
    """Although 100 sends wait for a slot, a read gets the next slot or the slot after the next."""
    limiter = Limiter(1, None, _Clock())
    order: list[Priority] = []
    await limiter.acquire(Priority.SEND)
    async with anyio.create_task_group() as group:
        group.start_soon(_take_slots, limiter, Priority.SEND, 100, order)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(_take_slots, limiter, Priority.READ, 10, order)
        await anyio.wait_all_tasks_blocked()
        limiter.release()
    assert order[:20].count(Priority.READ) == 10
    assert order.count(Priority.SEND) == 100


@pytest.mark.parametrize("priority", Priority)
async def test_a_cancelled_wait_loses_no_slot(priority: Priority) -> None:
    """A call that gets its slot in the moment of its cancellation gives the slot to the next call."""
    limiter = Limiter(1, None, _Clock())
    await limiter.acquire(Priority.SEND)
    scope = anyio.CancelScope()

    async def wait() -> None:
        with scope:
            await limiter.acquire(priority)

    for cancelled_first in (False, True):
        scope = anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            if cancelled_first:
                scope.cancel()
            limiter.release()
            scope.cancel()
        with anyio.fail_after(10):
            if not scope.cancelled_caught:
                limiter.release()
            await limiter.acquire(Priority.SEND)


@pytest.mark.parametrize("priority", [Priority.READ, Priority.SEND])
async def test_a_wait_that_is_too_long_ends(priority: Priority) -> None:
    """Calls whose time has passed get no slot, and the next call gets the slot that they waited for."""
    limiter = Limiter(1, None, _Clock())
    await limiter.acquire(Priority.SEND)
    got: list[bool] = []

    async def wait() -> None:
        got.append(await limiter.acquire(priority, 0.01))

    async with anyio.create_task_group() as group:
        for _ in range(1000):
            group.start_soon(wait)
    assert got == [False] * 1000
    limiter.release()
    assert await limiter.acquire(priority, 0.01)


async def test_a_health_probe_passes_waiting_sends(sandbox: Sandbox) -> None:
    """While 500 sends wait, `balance` gets its response after at most two more sends for each slot."""
    async with client_for(sandbox, concurrency=2) as sms, anyio.create_task_group() as group:
        await sms.balance()
        with sandbox.hold("Sms/Send") as gate:
            for _ in range(500):
                group.start_soon(sms.send, NUMBER, TEXT)
            await gate.arrived(2)
            group.start_soon(_probe, sms, sandbox)
            await anyio.wait_all_tasks_blocked()
            gate.release()
    assert len(sandbox.account.messages) == 500


async def _probe(sms: AsyncSmsClient, sandbox: Sandbox) -> None:
    await sms.balance()
    assert sandbox.account.count("Sms/Send") <= 2 + 2 * 2
