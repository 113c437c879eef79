"""Tests of the parameter `pace` of the client, with paces that the test controls."""

import anyio
import pytest

from smsapi_async import NotSent, TransportFailed
from smsapi_async.sandbox import Sandbox
from tests.client.tools import NUMBER, TEXT, ManualClock, client_for, until

pytestmark = pytest.mark.anyio


class _GatedPace:
    """Allows a request when the test calls `allow`.

    Attributes:
        waiting: the number of calls that wait.
        asked: the number of calls so far.
    """

    def __init__(self) -> None:
        self.waiting = self.asked = 0
        self._allowed = anyio.Semaphore(0)

    def allow(self) -> None:
        self._allowed.release()

    async def wait(self) -> None:
        self.asked += 1
        self.waiting += 1
        try:
            await self._allowed.acquire()
        finally:
            self.waiting -= 1


class _BrokenPace:
    async def wait(self) -> None:
        raise RuntimeError("with a secret")


async def test_each_request_except_logins_waits_for_the_pace(sandbox: Sandbox) -> None:
    """A client with a pace makes a request when the pace allows it, and logs in without the pace."""
    pace = _GatedPace()
    async with client_for(sandbox, pace=pace) as sms, anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(sms.send, NUMBER, TEXT)
        group.start_soon(sms.balance)
        # All calls have a session before they ask the pace, so that an allowed request begins at once.
        await until(lambda: pace.waiting == 4)
        assert sandbox.account.logins == len(sandbox.account.arrivals) == 1
        for _ in range(4):
            pace.allow()
    assert pace.asked == 4
    assert len(sandbox.account.messages) == 3


async def test_a_repeated_attempt_waits_again(sandbox: Sandbox) -> None:
    """If the gateway refuses a session, the repeated request waits for the pace again."""
    pace = _GatedPace()
    for _ in range(10):
        pace.allow()
    async with client_for(sandbox, pace=pace) as sms:
        await sms.send(NUMBER, TEXT)
        sandbox.expire_sessions()
        await sms.send(NUMBER, TEXT)
    assert pace.asked == 3


async def test_both_limits_apply(sandbox: Sandbox) -> None:
    """With `pace` and `requests_per_second`, a request waits for both."""
    pace, clock = _GatedPace(), ManualClock()
    for _ in range(3):
        pace.allow()
    async with client_for(sandbox, pace=pace, clock=clock, requests_per_second=2) as sms:
        for _ in range(3):
            await sms.send(NUMBER, TEXT)
    assert clock.waits == [0.5, 0.5]
    assert pace.asked == 3


async def test_a_send_that_waits_too_long_is_not_sent(sandbox: Sandbox) -> None:
    """If the pace allows no request within the timeout, a send raises `NotSent`, and a read its own error."""
    async with client_for(sandbox, pace=_GatedPace()) as sms:
        with pytest.raises(NotSent, match=r"timeout of 0\.05 seconds"):
            await sms.send(NUMBER, TEXT, timeout=0.05)
        with pytest.raises(TransportFailed, match=r"timeout of 0\.05 seconds"):
            await sms.balance(timeout=0.05)
    assert sandbox.account.messages == []


async def test_a_close_ends_the_wait(sandbox: Sandbox) -> None:
    """If the client is closed while a send waits for the pace, the send raises `NotSent`."""
    pace = _GatedPace()
    sms = client_for(sandbox, pace=pace)

    async def send() -> None:
        with pytest.raises(NotSent, match="closed"):
            await sms.send(NUMBER, TEXT)

    async with anyio.create_task_group() as group:
        group.start_soon(send)
        await until(lambda: pace.waiting)
        await sms.aclose()
    assert sandbox.account.messages == []


async def test_a_pace_that_fails(sandbox: Sandbox) -> None:
    """If the pace raises an exception, nothing is sent, and the error shows only its type."""
    async with client_for(sandbox, pace=_BrokenPace()) as sms:
        with pytest.raises(NotSent, match=r"the pace cannot be used: RuntimeError$") as caught:
            await sms.send(NUMBER, TEXT)
        assert caught.value.__context__ is None
        with pytest.raises(TransportFailed, match="RuntimeError"):
            await sms.balance()
    assert sandbox.account.messages == []
