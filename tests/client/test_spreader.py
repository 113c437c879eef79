"""Tests of the wait that spreads calls over several iterations of the event loop."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from smsapi_async.calls.spreader import Spreader

pytestmark = pytest.mark.anyio


async def test_other_tasks_run_between_the_groups() -> None:
    """When 3,000 calls begin at once, another task runs at least once for each 100 calls."""
    spreader = Spreader()
    gone_on: list[int] = []
    seen: set[int] = set()

    async def call(number: int) -> None:
        await spreader.wait()
        gone_on.append(number)

    async with anyio.create_task_group() as group:
        for number in range(3000):
            group.start_soon(call, number)
        while len(gone_on) < 3000:
            seen.add(len(gone_on))
            await checkpoint()
    assert len(seen) >= 30
    assert sorted(gone_on) == list(range(3000))


@pytest.mark.parametrize("groups_gone_on", range(4))
async def test_cancelled_calls_hold_nobody_back(groups_gone_on: int) -> None:
    """Although half of the calls are cancelled while they wait, each other call goes on."""
    spreader = Spreader()
    gone_on = 0

    async def call() -> None:
        nonlocal gone_on
        await spreader.wait()
        gone_on += 1

    async def call_in_scope(scope: anyio.CancelScope) -> None:
        with scope:
            await call()

    scopes = [anyio.CancelScope() for _ in range(500)]
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for scope in scopes:
                group.start_soon(call_in_scope, scope)
                group.start_soon(call)
            for _ in range(2 + groups_gone_on):
                await checkpoint()
            for scope in scopes:
                scope.cancel()
        assert gone_on >= 500
        await spreader.wait()
