"""Tests that cancel a call at every `await`. Each request that has begun has exactly one end."""

import asyncio
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from smsapi_async import AsyncSmsClient, Message, NotSent, OutcomeUnknown
from smsapi_async.ledger import Ledger
from smsapi_async.observers import BatchProgress, RequestEnded, RequestNotMade
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.batch.test_cancellation import CancelledAt, settled
from tests.client.tools import client_of_version
from tests.observers.tools import Collected

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
NUMBER = "79031234567"
WAYS = [("asyncio", None), ("trio", None), ("asyncio", 1), ("asyncio", 2)]


async def _cancelled(call: Any, at: int, times: int | None) -> int:
    """Make a call, and cancel it at its wait with the number `at`. Return the number of its waits."""
    counts: list[int] = []

    async def run(scope: Any) -> None:
        counted = CancelledAt(call, scope, at, times or 1)
        try:
            await counted
        except (NotSent, OutcomeUnknown):
            pass
        finally:
            counts.append(counted.waits)

    if times is None:
        with anyio.CancelScope() as scope:
            await run(scope)
    else:

        async def in_task() -> None:
            await run(asyncio.current_task())

        await asyncio.wait([asyncio.ensure_future(in_task())])
    return counts[0]


@pytest.mark.parametrize("dialect", ["contract", "latest"])
@pytest.mark.parametrize("limit", [None, 60])
@pytest.mark.parametrize(("anyio_backend", "times"), WAYS)
async def test_a_send_cancelled_at_every_await(
    anyio_backend: str, times: int | None, limit: float | None, dialect: Any
) -> None:
    """A cancelled send has one end: `accepted`, `unknown` or `not_sent`, as the gateway shows."""
    at = waits = 0
    outcomes = set()
    while waits >= at:
        at += 1
        seen = Collected()
        async with run_sandbox(dialect=dialect) as sandbox:
            async with client_of_version(sandbox, observers=[seen]) as sms:
                waits = await _cancelled(sms.send(NUMBER, "hello", timeout=limit), at, times)
                await settled(sandbox)
                stats = sms.stats
            assert (stats.in_flight, stats.waiting) == (0, 0)
            ends = [*seen.pairs()]
            found = [ended.outcome for _, ended in ends] + [
                event.outcome for event in seen.of(RequestNotMade)
            ]
            assert len(found) == 1
            assert stats.by_outcome == {found[0]: 1}
            outcomes.add(found[0])
            if sandbox.account.messages:
                assert found[0] in {"accepted", "unknown"}
            if found[0] == "accepted":
                assert sandbox.account.messages
    assert {"not_sent", "unknown", "accepted"} >= outcomes >= {"not_sent", "accepted"}


@pytest.mark.parametrize(("anyio_backend", "times"), WAYS)
async def test_a_read_cancelled_at_every_await(anyio_backend: str, times: int | None) -> None:
    """A cancelled read has one end: `succeeded` or `cancelled`. The error has one name on each backend."""
    at = waits = 0
    while waits >= at:
        at += 1
        seen = Collected()
        async with run_sandbox() as sandbox, client_of_version(sandbox, observers=[seen]) as sms:
            waits = await _cancelled(sms.balance(), at, times)
            ((outcome, number),) = sms.stats.by_outcome.items()
            assert number == 1
        found = [ended.outcome for _, ended in seen.pairs()]
        found += [event.outcome for event in seen.of(RequestNotMade)]
        assert found == [outcome]
        assert outcome in {"succeeded", "cancelled"}
        if outcome == "cancelled":
            names = [ended.error_type for ended in seen.of(RequestEnded)]
            names += [event.error_type for event in seen.of(RequestNotMade)]
            assert names == ["CancelledError"]


async def _batch(sms: AsyncSmsClient, ledger: Ledger) -> None:
    messages = [Message(f"7903123456{index}", f"hello {index % 2}") for index in range(4)]
    async with sms.send_many(messages, ledger=ledger, grace=0) as outcomes:
        async for _ in outcomes:
            pass


@pytest.mark.parametrize(("anyio_backend", "times"), WAYS[:3])
async def test_a_batch_cancelled_at_every_await(
    anyio_backend: str, times: int | None, tmp_path: Path
) -> None:
    """A cancelled batch has one end, and each of its requests has one end."""
    at = waits = 0
    while waits >= at:
        at += 1
        seen = Collected()
        async with (
            run_sandbox() as sandbox,
            client_of_version(sandbox, observers=[seen]) as sms,
            Ledger.sqlite(tmp_path / f"{at}.db") as ledger,
        ):
            waits = await _cancelled(_batch(sms, ledger), at, times)
            await settled(sandbox)
            summary = await ledger.summary()
        assert all(ended.elapsed >= 0 for _, ended in seen.pairs())
        ends = [event.has_ended for event in seen.of(BatchProgress)]
        assert ends == [False] * (len(ends) - 1) + [True]
        last = seen.of(BatchProgress)[-1]
        assert (last.accepted, last.unknown) == (summary.accepted, summary.unknown)


async def test_a_crowd_that_is_cancelled(sandbox_held: Sandbox) -> None:
    """Each of many calls that are cancelled at once has one end, also if it has done no work yet."""
    seen = Collected()
    calls = 130
    async with client_of_version(sandbox_held, observers=[seen], concurrency=1) as sms:
        with sandbox_held.hold("User/SessionId") as gate:
            async with anyio.create_task_group() as group:
                for index in range(calls):
                    group.start_soon(sms.send, NUMBER, f"hello {index}")
                await gate.arrived()
                group.start_soon(sms.send_bulk, [NUMBER, "79031234568"], "to two")
                group.start_soon(sms.balance)
                group.start_soon(sms.send, NUMBER, "")
                await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            gate.release()
        # The message without a text is invalid, so it does not count.
        assert sms.stats.by_resource == {
            "Sms/Send": {"not_sent": calls},
            "Sms/SendBulk": {"not_sent": 1},
            "User/Balance": {"cancelled": 1},
        }
        assert (sms.stats.in_flight, sms.stats.waiting) == (0, 0)
    assert len(seen.of(RequestNotMade)) == calls + 2
    (bulk,) = seen.of(RequestNotMade, resource="Sms/SendBulk")
    assert (bulk.recipients, bulk.segments) == (2, 2)


async def test_a_client_that_is_closed(sandbox_held: Sandbox) -> None:
    """A send in flight at the end of the client has one end, with the class of its error."""
    seen = Collected()
    async with client_of_version(sandbox_held, observers=[seen]) as sms:
        with sandbox_held.hold("Sms/Send") as gate:
            async with anyio.create_task_group() as group:

                async def send() -> None:
                    with pytest.raises(OutcomeUnknown):
                        await sms.send(NUMBER, "hello")

                group.start_soon(send)
                await gate.arrived()
                await sms.aclose()
            gate.release()
        assert sms.stats.by_outcome == {"unknown": 1}
    ((_, ended),) = seen.pairs()
    assert (ended.outcome, ended.error_type) == ("unknown", "OutcomeUnknown")


@pytest.fixture
async def sandbox_held(anyio_backend: str) -> Any:
    """Serve a sandbox on a socket during the test."""
    async with run_sandbox() as running:
        yield running
