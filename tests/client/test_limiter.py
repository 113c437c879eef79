"""Tests of the limit for the rate of requests, with a clock that the test controls."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from smsapi_async.calls.limiter import Limiter
from tests.client.tools import ManualClock

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
        async with limiter:
            begun.append(clock.monotonic())

    start = clock.monotonic()
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(call)
    assert [moment - start for moment in begun] == [0, 0.5, 1, 1.5, 2]


async def test_who_gives_up_takes_nobodys_place() -> None:
    """Calls that are cancelled while they wait do not delay later calls."""
    clock = _Clock()
    limiter = Limiter(10, 2, clock)
    async with limiter:
        pass
    for _ in range(100):
        with anyio.CancelScope() as clock.gives_up:
            async with limiter:
                raise AssertionError("the call did not wait")
    clock.gives_up = anyio.CancelScope()
    async with limiter:
        assert clock.waits == [0.5]
