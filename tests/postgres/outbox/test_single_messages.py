"""Tests of messages that were enqueued one by one: they have no request until somebody sends them."""

import json
import secrets
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import attrs
import psycopg
import pytest

from smsapi_async import BatchHalted, Delivery, Message, Phase, Receipt
from smsapi_async.ledger import LedgerError, Summary
from smsapi_async.ledger.postgres import claims, stored_messages
from smsapi_async.ledger.postgres.queue_statements import READ_ACCOUNT_AND_LOCK_CLAIM
from smsapi_async.postgres import enqueue
from smsapi_async.postgres.schema import create_tables
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.client.tools import client_for
from tests.ledger.tools import ACCEPTED_AT, Place, message, recorded
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
    enqueue_each(server, account, [])
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
    enqueue_each(server, account, [])
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


async def test_a_message_that_comes_during_a_claim(
    server: Server, place: Place, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim also gets a message that is enqueued between two look-ups of the claim."""
    given = messages(3)
    enqueue_each(server, account, given[:1])
    find, later = stored_messages.find, given[1:]

    def find_late(*arguments: Any) -> None:
        find(*arguments)
        enqueue_each(server, account, [later.pop(0)] if later else [])

    async with place() as ledger:
        monkeypatch.setattr(claims, "find", find_late)
        assert await ledger.claim("t", [(each.key or "", each) for each in given]) == [None] * 3
        monkeypatch.undo()
        assert await ledger.summary() == Summary(sending=3)
        assert server.rows(
            "SELECT count(*), count(DISTINCT request_id) FROM smsapi.messages m"
            " JOIN smsapi.accounts a ON a.id = m.account_id WHERE a.name = %s",
            account,
        ) == [(3, 1)]


async def test_a_delivery_of_a_message_that_nobody_has_sent(
    server: Server, place: Place, account: str
) -> None:
    """The ledger refuses a delivery of a message that is still pending."""
    (given,) = messages(1)
    enqueue_each(server, account, [given])
    delivery = Delivery(Receipt(given, ("1",), ACCEPTED_AT), Phase.ENROUTE, (None,), False, ACCEPTED_AT)
    async with place() as ledger:
        with pytest.raises(LedgerError, match="1 of 1 deliveries were not recorded"):
            await ledger.record([delivery])
        assert await ledger.summary() == Summary(pending=1)


@pytest.mark.parametrize("fences", [False, True])
async def test_a_caller_does_not_wait_for_a_claim(
    server: Server, place: Place, account: str, fences: bool
) -> None:
    """A caller that repeats a message does not wait for a batch or a fence that waits for the caller."""
    alone, own, with_request, _ = messages(4)
    enqueue_each(server, account, [alone])
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        enqueue(connection, messages(4)[2:], account=account)
    batch = [own, with_request] if fences else [alone, own, with_request]
    async with place() as ledger, place() as second:
        async with anyio.create_task_group() as group:
            with psycopg.connect(server.dsn()) as caller:
                enqueue(caller, own, account=account)
                group.start_soon(ledger.claim, "t", [(each.key or "", each) for each in batch])
                await _waiting(server, 1)
                if fences:
                    group.start_soon(second.fence)  # type: ignore[attr-defined]
                    await _waiting(server, 2)
                caller.execute("SET lock_timeout = '1ms'")
                enqueue(caller, alone, account=account)
                caller.commit()
        states = [each.state async for each in ledger.report()]
    if fences:
        # The batch and the fence then compete for the message of the caller.
        assert states in (["unknown"] * 4, ["unknown", "unknown", "unknown", "sending"])
    else:
        assert sorted(states) == ["pending", "sending", "sending", "sending"]


async def _waiting(server: Server, count: int) -> None:
    """Wait until a number of sessions of the server wait for a lock."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while server.rows(asked) != [(count,)]:  # noqa: ASYNC110 - no event tells it
        await anyio.sleep(0.01)


async def test_equal_times_keep_the_order_of_the_calls(server: Server, place: Place, account: str) -> None:
    """Messages with one time are sent in the order in which they were enqueued, one by one or together."""
    given = messages(6)
    enqueue_each(server, account, [])
    at = datetime.now(UTC) - timedelta(seconds=5)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        for part in (given[0], given[1:3], given[3], given[4:]):
            enqueue(connection, part, account=account, not_before=at)
    async with run_sandbox() as sandbox, place() as ledger, client_for(sandbox, concurrency=1) as sms:
        await sms.send_pending(ledger, once=True)
        assert arrived(sandbox) == [each.key for each in given]


async def test_a_poll_reads_no_whole_table(server: Server) -> None:
    """A worker that looks for new messages uses the index, also if most messages have no request."""
    database = f"plans_{secrets.token_hex(4)}"
    server.rows(f"CREATE DATABASE {database}")
    try:
        create_tables(server.dsn(database=database))
        server.rows(
            "INSERT INTO smsapi.messages (account_id, position, place, key, number, digest, content,"
            " priority, not_before, reserved_id) SELECT 2, n, 0, n::text, '79031234567', '', '{}', 0,"
            " now(), n FROM generate_series(1, 20000) n",
            database=database,
        )
        server.rows("ANALYZE smsapi.messages", database=database)
        statement = READ_ACCOUNT_AND_LOCK_CLAIM.replace("%s", "{}").format("NULL", 1)
        plan = server.rows(f"EXPLAIN {statement}", database=database)
        assert "messages_queue" in str(plan)
        assert "Seq Scan on messages" not in str(plan)
    finally:
        server.rows(f"DROP DATABASE {database} WITH (FORCE)")


async def test_a_number_that_no_index_can_take(server: Server, place: Place, account: str) -> None:
    """A web backend that passes a long number gets an error, and stops neither the workers nor `fence`."""
    number = secrets.token_hex(5000)
    values: list[Any] = [account, "key", number, "digest", '{"text": "hi"}', 0, None]
    async with run_sandbox() as sandbox, place() as ledger, client_for(sandbox) as sms:
        with pytest.raises(psycopg.errors.ProgramLimitExceeded):
            server.rows("SELECT smsapi.enqueue(%s)", json.dumps(values))
        enqueue_each(server, account, messages(1))
        assert await sms.send_pending(ledger, once=True) == Summary(accepted=1, segments=1)
        assert await ledger.fence() == 0  # type: ignore[attr-defined]


async def test_a_message_that_is_never_due(server: Server, place: Place, account: str) -> None:
    """A message whose time never comes is pending, and does not belong to the queue."""
    values: list[Any] = [account, "key", "79031234567", "digest", '{"text": "hi"}', 0, "infinity"]
    async with place() as ledger:
        server.rows("SELECT smsapi.enqueue(%s)", json.dumps(values))
        assert await ledger.queued() == (0, False)  # type: ignore[attr-defined]
        assert await ledger.summary() == Summary(pending=1)


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
