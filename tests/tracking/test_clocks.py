"""A wrong clock and a wrong wait neither end the tracking of a message too early nor stop the tracking."""

from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest

from smsapi_async import AsyncSmsClient, Phase, Schedule
from smsapi_async.protocol.encoding import Request
from smsapi_async.protocol.resources import STATE
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan, run_fault_proxy
from tests.client.tools import port_of
from tests.tracking.support import NUMBER, START, JumpingClock, client, journey

pytestmark = pytest.mark.anyio


class WrongClock(JumpingClock):
    """A clock whose date is wrong by `error`. The seconds of `monotonic` are right."""

    error = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.error


def _client(sandbox: Sandbox, clock: JumpingClock, **options: Any) -> AsyncSmsClient:
    """Return a client. While a state request is in flight, the clock does not jump."""
    sms = client(sandbox, clock, **options)
    read = sms._caller.read_dated

    async def watched(request: Request, *arguments: Any, **options: Any) -> Any:
        if request.resource is not STATE:
            return await read(request, *arguments, **options)
        return await clock.watching(lambda _: read(request, *arguments, **options))("")

    sms._caller.read_dated = watched  # type: ignore[method-assign]
    return sms


def _sandbox() -> Sandbox:
    steps = journey((0, 255), (20, -1), (3600, 0))
    return Sandbox(start=START, journey=lambda _message, _index: steps)


@pytest.mark.parametrize("days", [-30, -3, 3, 30])
@pytest.mark.parametrize("wrong_at", ["the send", "the tracking", "both"])
async def test_the_clock_jumps(days: int, wrong_at: str, anyio_backend: str) -> None:
    """A message that is delivered after an hour is reported as delivered, whatever our clock shows."""
    sandbox = _sandbox()
    async with run_sandbox(sandbox):
        clock = WrongClock(sandbox)
        async with _client(sandbox, clock) as sms:
            clock.error = timedelta(days=0 if wrong_at == "the tracking" else days)
            sent = await sms.send(NUMBER, "text")
            clock.error = timedelta(days=0 if wrong_at == "the send" else days)
            delivery = await sms.wait_delivered(sent)
            assert (delivery.phase, delivery.is_final) == (Phase.DELIVERED, True)
            assert sandbox.now() - START < timedelta(hours=3)


@pytest.mark.parametrize("days", [-3, 3])
async def test_a_message_that_the_gateway_never_shows_still_ends(days: int, anyio_backend: str) -> None:
    """A message with state 255 for ever ends as unknown after 48 hours, although our clock has jumped."""
    sandbox = Sandbox(start=START, journey=lambda _message, _index: journey((0, 255)))
    async with run_sandbox(sandbox):
        clock = WrongClock(sandbox)
        async with _client(sandbox, clock) as sms:
            sent = await sms.send(NUMBER, "text")
            clock.error = timedelta(days=days)
            delivery = await sms.wait_delivered(sent)
            assert (delivery.phase, delivery.is_final) == (Phase.UNKNOWN, True)
            assert timedelta(hours=48) <= sandbox.now() - START <= timedelta(hours=48, minutes=11)


async def test_a_receipt_of_an_earlier_run_with_a_wrong_clock(anyio_backend: str) -> None:
    """A receipt from a machine without a time (1970) is tracked until its message is delivered."""
    sandbox = _sandbox()
    async with run_sandbox(sandbox), _client(sandbox, JumpingClock(sandbox)) as sms:
        sent = await sms.send(NUMBER, "text")
        sandbox.advance(minutes=3)
        old = attrs.evolve(sent, accepted_at=datetime.fromtimestamp(0, START.tzinfo))
        assert (await sms.wait_delivered(old)).phase is Phase.DELIVERED


async def test_an_endless_retry_after_does_not_stop_the_tracking(anyio_backend: str) -> None:
    """One response with ``Retry-After: 999999999`` pauses the tracking for 5 minutes and not for 31 years."""
    sandbox = _sandbox()
    plan = FaultPlan.script([Fault.TOO_MANY_REQUESTS_429], resource="Sms/State", retry_after=999_999_999)
    async with run_sandbox(sandbox), run_fault_proxy("127.0.0.1", port_of(sandbox), plan) as proxy:
        clock = JumpingClock(sandbox)
        async with _client(sandbox, clock, base_url=proxy.base_url) as sms:
            sent = await sms.send(NUMBER, "text")
            delivery = await sms.wait_delivered(sent, schedule=Schedule(maximum=60))
            assert delivery.phase is Phase.DELIVERED
            assert sandbox.now() - START < timedelta(hours=1, minutes=6)
