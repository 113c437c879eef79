"""Tests of `max_in_flight`, and of what a batch records when it ends early."""

import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from smsapi_async import Accepted, Message
from smsapi_async.batch.in_flight import InFlightLimit
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.batch.large_batch import COUNT, batch
from tests.batch.test_send_many import messages, number, outcomes_of
from tests.client.tools import client_for, until
from tests.ledger.tools import Place

pytestmark = pytest.mark.anyio


def in_flight(sandbox: Sandbox) -> int:
    """Return the number of messages whose requests the sandbox has received and not answered."""
    waiting = {arrival.index for arrival in sandbox.account.arrivals if arrival.status is None}
    return sum(message.arrival in waiting for message in sandbox.account.messages)


def record_peak(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which the sandbox adds the number of messages in flight at each request."""
    counts: list[int] = []
    admit = sandbox.admit

    def counted(*arguments: Any) -> Any:
        admitted = admit(*arguments)
        counts.append(in_flight(sandbox))
        return admitted

    monkeypatch.setattr(sandbox, "admit", counted)
    return counts


@pytest.mark.parametrize("with_ledger", [True, False])
@pytest.mark.parametrize(("limit", "size"), [(1, 500), (3, 500), (10, 4), (25, 20), (1000, 7)])
async def test_never_more_in_flight_than_allowed(
    sandbox: Sandbox,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
    size: int,
    with_ledger: bool,
) -> None:
    """At no time are more messages in flight than `max_in_flight`; bulks and single messages all arrive."""
    counts = record_peak(sandbox, monkeypatch)
    sandbox.latency = 0.001
    own = [Message(number(100 + index), f"text {index}") for index in range(40)]
    given = [message for pair in zip(messages(40), own, strict=True) for message in pair] + messages(60)[40:]
    async with client_for(sandbox) as sms, place() as ledger:
        options = {"ledger": ledger} if with_ledger else {}
        outcomes = await outcomes_of(sms, given, recipients_per_request=size, max_in_flight=limit, **options)
    assert Counter(map(type, outcomes)) == {Accepted: 100}
    assert len(sandbox.account.messages) == 100
    assert max(counts) <= limit
    largest = Counter(message.arrival for message in sandbox.account.messages).most_common(1)[0][1]
    assert largest <= min(limit, size)


@pytest.mark.parametrize(("limit", "size", "reached"), [(1, 500, 1), (10, 4, 8), (25, 20, 20), (1000, 7, 70)])
async def test_the_limit_is_used(sandbox: Sandbox, limit: int, size: int, reached: int) -> None:
    """As many requests are in flight as `max_in_flight` and the 10 slots of the client allow."""
    async with client_for(sandbox) as sms:
        await sms.balance()
        with sandbox.hold("Sms/SendBulk" if size < 500 else "Sms/Send") as gate:
            async with anyio.create_task_group() as group:

                async def send() -> None:
                    await outcomes_of(
                        sms, messages(200), recipients_per_request=size, max_in_flight=limit, linger=60
                    )

                group.start_soon(send)
                await until(lambda: in_flight(sandbox) == reached)
                gate.release()
    assert len(sandbox.account.messages) == 200


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("options", "requests", "unknown"),
    [
        ({}, 2, 1000),
        ({"recipients_per_request": 20, "max_in_flight": 50}, 2, 40),
        ({"max_in_flight": 30}, 1, 30),
    ],
)
async def test_a_crash_leaves_few_messages_unknown(
    tmp_path: Path, anyio_backend: str, options: dict[str, int], requests: int, unknown: int
) -> None:
    """After a SIGKILL, the outcomes of at most `max_in_flight` messages are unknown; the default is 1,000.

    The next run sends all other messages, and no message twice.
    """
    path = tmp_path / "run.db"
    async with run_sandbox(login="sandbox", password="sandbox-password", balance=10**6) as sandbox:
        command = [sys.executable, "-m", "tests.batch.large_batch", sandbox.base_url, str(path)]
        with sandbox.hold("Sms/SendBulk") as gate:
            async with await anyio.open_process([*command, json.dumps(options)], stdout=None) as process:
                await gate.arrived(requests)
                # During these requests, a third bulk would arrive if the batch did not limit its requests.
                async with client_for(sandbox) as other:
                    for _ in range(5):
                        await other.balance()
                process.kill()
        async with Ledger.sqlite(path) as ledger:
            assert (await ledger.summary()).unknown == unknown
            assert len([each async for each in ledger.unknown()]) == unknown
        await anyio.run_process([*command, "{}"])
        async with Ledger.sqlite(path) as ledger:
            summary = await ledger.summary()
        assert (summary.accepted, summary.unknown) == (COUNT - unknown, unknown)
        sent = Counter(message.destination_address for message in sandbox.account.messages)
    assert max(sent.values()) == 1
    assert len(sent) == COUNT == len(batch())


async def test_a_large_request_is_not_overtaken_for_ever() -> None:
    """Requests get their places in the order in which they ask, also if a later request would fit."""
    limit, order = InFlightLimit(10), list[int]()

    async def request(count: int) -> None:
        await limit.acquire(count)
        order.append(count)

    await limit.acquire(6)
    async with anyio.create_task_group() as group:
        for count in (9, 2, 3):
            group.start_soon(request, count)
            await until(lambda count=count: any(each[0] == count for each in limit._waiting))  # type: ignore[misc]
        assert order == []
        limit.release(6)
        await until(lambda: order)
        assert order == [9]
        limit.release(9)
    assert sorted(order) == [2, 3, 9]


@pytest.mark.parametrize("cancelled", [9, 2])
async def test_a_cancelled_request_takes_no_places(cancelled: int) -> None:
    """If a request is cancelled while it waits for places, the requests behind it get their places."""
    limit, order = InFlightLimit(10), list[int]()
    scopes = {count: anyio.CancelScope() for count in (9, 2, 4)}

    async def request(count: int) -> None:
        with scopes[count]:
            await limit.acquire(count)
            order.append(count)
            limit.release(count)

    await limit.acquire(6)
    async with anyio.create_task_group() as group:
        for count in scopes:
            group.start_soon(request, count)
            await until(lambda count=count: any(each[0] == count for each in limit._waiting))  # type: ignore[misc]
        scopes[cancelled].cancel()
        if cancelled == 9:
            # The other two requests have enough places.
            await until(lambda: len(order) == 2)
        limit.release(6)
    assert sorted(order) == sorted(set(scopes) - {cancelled})
    await limit.acquire(10)


async def _endless(count: int) -> AsyncIterator[Message]:
    for index in range(count):
        yield Message(number(index), f"text {index % 1000}")
    await anyio.sleep_forever()


async def test_pending_messages_are_recorded_in_few_transactions(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends a batch quickly: 25,000 messages that were read and not sent need few transactions."""
    sizes: list[int] = []
    async with client_for(sandbox) as sms, Ledger.sqlite(tmp_path / "run.db") as ledger:
        record_pending = ledger.record_pending

        async def counted(keyed: Any, **options: Any) -> None:
            sizes.append(len(keyed))
            await record_pending(keyed, **options)

        monkeypatch.setattr(ledger, "record_pending", counted)
        async with sms.send_many(_endless(25_000), ledger=ledger, lookahead=100_000, linger=60) as outcomes:
            await until(lambda: outcomes.pending == 25_000)
        assert sum(sizes) == 25_000
        assert len(sizes) <= 3
        assert (await ledger.summary()).pending == 25_000
        records = [record.message.destination_address async for record in ledger.report()]
    assert records == [number(index) for index in range(25_000)]
    assert sandbox.account.messages == []
