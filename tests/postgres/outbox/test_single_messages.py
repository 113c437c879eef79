"""Tests of messages that were enqueued one by one: they have no request until somebody sends them."""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import anyio
import attrs
import psycopg
import pytest

from smsapi_async import BatchHalted, Message
from smsapi_async.ledger import Summary
from smsapi_async.postgres import enqueue
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.client.tools import client_for
from tests.ledger.tools import Place, message, recorded
from tests.postgres.server import Server
from tests.postgres.worker.tools import enqueue_each, messages

pytestmark = pytest.mark.anyio


def arrived(sandbox: Sandbox) -> list[str]:
    """Return the keys of the messages that the gateway accepted, in the order of their arrival."""
    return [f"order {int(each.destination_address[3:8])}" for each in sandbox.account.messages]


async def test_every_reading_finds_the_messages(server: Server, place: Place, account: str) -> None:
    """Before a worker has seen the messages, a ledger reads them as pending, also if it only reads."""
    given = [*messages(3), attrs.evolve(messages(1)[0], key=None)]
    async with place() as ledger:
        enqueue_each(server, account, given)
        expected = [(ledger.key_of(each), attrs.evolve(each, key=ledger.key_of(each))) for each in given]
    for read_only in (False, True):
        async with place(read_only=read_only) as ledger:
            assert await ledger.summary() == Summary(pending=4)
            assert await ledger.queued() == (4, False)  # type: ignore[attr-defined]
            assert await ledger.pending() == expected
            assert await ledger.pending(limit=2) == expected[:2]
            assert await ledger.states([*given, message(7)]) == ["pending"] * 4 + [None]
            records = [await ledger.records([each]) for each in ("order 1", given[1])]
            for record in [record for (record,) in records if record is not None]:
                assert (record.state, record.message, record.outcome) == ("pending", expected[1][1], None)
            assert [each.key async for each in ledger.report()] == [key for key, _ in expected]
            assert [each async for each in ledger.outcomes()] == []
            assert [each async for each in ledger.unknown()] == []


async def test_readings_of_both_kinds(server: Server, place: Place, account: str) -> None:
    """A report has the order in which the messages were enqueued, whether one by one or together."""
    given = messages(9)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        for part in (given[0], given[1:4], given[4], given[5:8], given[8]):
            enqueue(connection, part, account=account)
    async with place() as ledger:
        assert await ledger.summary() == Summary(pending=9)
        assert await ledger.queued() == (9, False)  # type: ignore[attr-defined]
        assert {key for key, _ in await ledger.pending()} == {each.key for each in given}
        assert len(await ledger.pending(limit=8)) == 8
        assert [each.key async for each in ledger.report()] == [each.key for each in given]


async def test_a_worker_sends_in_the_order_of_the_queue(server: Server, place: Place, account: str) -> None:
    """Priority and time count in the same way for messages that were enqueued one by one and together."""
    given = messages(6)
    later = "SELECT now() + interval '1 h'"
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        ((hour,),) = connection.execute(later).fetchall()
        enqueue(connection, given[0], account=account)
        enqueue(connection, given[1:3], account=account, priority=3)
        enqueue(connection, given[3], account=account, priority=5)
        enqueue(connection, given[4], account=account, priority=3)
        enqueue(connection, given[5], account=account, priority=9, not_before=hour)
    async with run_sandbox() as sandbox, place() as ledger, client_for(sandbox, concurrency=1) as sms:
        assert await sms.send_pending(ledger, once=True) == Summary(accepted=5, segments=5)
        assert arrived(sandbox) == [f"order {number}" for number in (3, 1, 2, 4, 0)]
        assert await ledger.summary() == Summary(pending=1, accepted=5, segments=5)
        assert await ledger.queued() == (1, False)  # type: ignore[attr-defined]


@pytest.mark.parametrize("together", [True, False])
async def test_workers_and_batches_send_each_message_once(
    server: Server, place: Place, account: str, together: bool
) -> None:
    """While messages are enqueued, four workers, a batch and sends by key send each message exactly once."""
    given = messages(240)
    every = {each.key for each in given}
    async with run_sandbox() as sandbox, anyio.create_task_group() as group:

        async def work() -> None:
            async with place() as ledger, client_for(sandbox, concurrency=3) as sms:
                await sms.send_pending(ledger)

        async def send_batch(some: Sequence[Message]) -> None:
            async with (
                place() as ledger,
                client_for(sandbox, concurrency=3) as sms,
                sms.send_many(some, ledger=ledger) as outcomes,
            ):
                assert {type(each).__name__ async for each in outcomes} == {"Accepted"}

        for _ in range(4):
            group.start_soon(work)
        parts = [given[first : first + 40] for first in range(0, 240, 40)]
        for part in parts:
            group.start_soon(send_batch, part[5:25])
            await anyio.to_thread.run_sync(enqueue_each, server, account, part)
            if together:
                group.start_soon(send_batch, part)
        async with place() as ledger:
            while len(await recorded(ledger)) < len(every):  # noqa: ASYNC110 - no event tells it
                await anyio.sleep(0.02)
            assert await ledger.summary() == Summary(accepted=240, segments=240)
        group.cancel_scope.cancel()
        assert Counter(arrived(sandbox)) == dict.fromkeys(every, 1)


async def test_a_message_that_is_sent_by_its_key(server: Server, place: Place, account: str) -> None:
    """A claim by key takes the message out of the queue, and a released message returns to the queue."""
    given = messages(3)
    enqueue_each(server, account, given)
    pairs = [(each.key or "", each) for each in given]
    async with run_sandbox() as sandbox, place() as ledger, client_for(sandbox) as sms:
        assert await ledger.claim("t", pairs[:2]) == [None, None]
        assert await ledger.summary() == Summary(pending=1, sending=2)
        assert await sms.send_pending(ledger, once=True) == Summary(accepted=1, segments=1)
        await ledger.release("t")
        assert await sms.send_pending(ledger, once=True) == Summary(accepted=2, segments=2)
        assert sorted(arrived(sandbox)) == ["order 0", "order 1", "order 2"]


async def test_another_message_with_the_key(server: Server, place: Place, account: str) -> None:
    """A batch with another message under the key gets a rejection, and the enqueued message stays pending."""
    enqueue_each(server, account, messages(1))
    other = attrs.evolve(messages(1)[0], text="Another text")
    async with run_sandbox() as sandbox, place() as ledger, client_for(sandbox) as sms:
        async with sms.send_many([other], ledger=ledger) as outcomes:
            assert [type(each).__name__ async for each in outcomes] == ["Rejected"]
        assert await ledger.summary() == Summary(pending=1)
        assert await sms.send_pending(ledger, once=True) == Summary(accepted=1, segments=1)
        assert [each.text for each in sandbox.account.messages] == ["text 0"]


async def test_a_fence(server: Server, place: Place, account: str) -> None:
    """`fence` makes these messages unknown too, so that no worker sends them."""
    enqueue_each(server, account, messages(5))
    async with run_sandbox() as sandbox, place() as ledger, client_for(sandbox) as sms:
        assert await ledger.fence() == 5  # type: ignore[attr-defined]
        assert await sms.send_pending(ledger, once=True) == Summary()
        assert await ledger.summary() == Summary(unknown=5)
        await ledger.resolve("order 3", sent=False)
        assert await sms.send_pending(ledger, once=True) == Summary(accepted=1, segments=1)
        assert arrived(sandbox) == ["order 3"]


async def test_a_paused_account(server: Server, place: Place, account: str) -> None:
    """Workers of a paused account leave the messages pending, and send them after `resume`."""
    async with run_sandbox() as sandbox, place() as ledger, client_for(sandbox) as sms:
        enqueue_each(server, account, messages(3))
        await ledger.pause("a test")  # type: ignore[attr-defined]
        with pytest.raises(BatchHalted, match="3 messages were not sent: a test"):
            await sms.send_pending(ledger, once=True)
        assert await ledger.summary() == Summary(pending=3)
        await ledger.resume()  # type: ignore[attr-defined]
        assert await sms.send_pending(ledger, once=True) == Summary(accepted=3, segments=3)


async def test_accounts_are_apart(server: Server, place: Place, account: str) -> None:
    """A worker sends only the messages of its own account."""
    enqueue_each(server, f"{account} 2", messages(2))
    enqueue_each(server, account, messages(2, first=5))
    async with run_sandbox() as sandbox, place() as ledger, client_for(sandbox) as sms:
        assert await ledger.summary() == Summary(pending=2)
        assert await sms.send_pending(ledger, once=True) == Summary(accepted=2, segments=2)
        assert sorted(arrived(sandbox)) == ["order 5", "order 6"]


@pytest.mark.parametrize(
    ("missing", "counts"),
    [
        (1, Summary(accepted=1, segments=1)),
        (2, Summary(accepted=1, segments=1)),
        (3, Summary(accepted=2, segments=2)),
        (4, Summary(accepted=1, rejected=1, segments=1)),
        (5, Summary(accepted=2, segments=2)),
    ],
    ids=["key", "number", "digest", "content", "priority"],
)
async def test_a_value_that_is_missing(
    server: Server, place: Place, account: str, missing: int, counts: Summary
) -> None:
    """A web backend that passes NULL to the function in the database does not stop the workers."""
    values: list[Any] = [account, "key", "79031234567", "digest", '{"text": "hi"}', 0, None]
    values[missing] = None
    async with run_sandbox() as sandbox, place() as ledger, client_for(sandbox) as sms:
        refusal = pytest.raises(psycopg.errors.NotNullViolation) if missing < 3 else nullcontext()
        with refusal:
            server.rows("SELECT smsapi.enqueue(%s)", json.dumps(values))
        enqueue_each(server, account, messages(1))
        await sms.send_pending(ledger, once=True)
        assert await ledger.summary() == counts
