"""How long a receiver remembers the ids of handled messages, and what the memory costs."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from smsapi_async import IncomingReceiver
from smsapi_async.inbox import MemoryCheckpoint
from smsapi_async.ledger import Ledger
from tests.inbox.pushing import TOKEN, Handler, Store, Ticking, push, push_of

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


def receiver_with(handler: Handler, clock: Ticking, checkpoint: Store | None = None) -> IncomingReceiver:
    """Return a receiver that keeps ids for an hour."""
    return IncomingReceiver(handler, token=TOKEN, memory=HOUR, clock=clock, checkpoint=checkpoint)


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_an_id_is_kept_for_the_memory_and_at_most_twice_as_long(
    is_restarted: bool, anyio_backend: str
) -> None:
    """An id is known for at least one hour, and is forgotten after at most two hours."""
    clock, handler, store = Ticking(), Handler(), Store()
    receiver = receiver_with(handler, clock, store)
    for minute in range(300):
        if is_restarted:
            receiver = receiver_with(handler, clock, store)
        await push(receiver, push_of(minute))
        await push(receiver, push_of(max(0, minute - 59)))
        assert len((await store.load()).ids) <= 122  # type: ignore[union-attr]
        clock.time += timedelta(minutes=1)
    assert handler.ids == [str(minute) for minute in range(300)]
    await push(receiver, push_of(170))
    assert handler.ids[-1] == "170"


async def test_a_long_stop_forgets_nothing_that_the_inbox_may_find(anyio_backend: str) -> None:
    """After a stop that is longer than the memory, the ids of the hour before the stop are still known."""
    clock, handler, store = Ticking(), Handler(), Store()
    first = receiver_with(handler, clock, store)
    for number in range(3):
        await push(first, push_of(number))
        clock.time += timedelta(minutes=20)
    clock.time += timedelta(days=30)
    second = receiver_with(handler, clock, store)
    await push(second, push_of(3))
    for number in range(4):
        await push(second, push_of(number))
    assert handler.ids == ["0", "1", "2", "3"]


@pytest.mark.parametrize("jump", [timedelta(days=30_000), timedelta(days=-3000)])
async def test_a_clock_that_jumps(jump: timedelta, anyio_backend: str) -> None:
    """If the clock jumps and comes back, the messages before and after the jump are not handled again."""
    clock, handler, store = Ticking(), Handler(), Store()
    receiver = receiver_with(handler, clock, store)
    await push(receiver, push_of(0))
    clock.time += jump
    await push(receiver, push_of(1))
    clock.time -= jump
    for number in (0, 1, 2):
        await push(receiver, push_of(number))
    receiver = receiver_with(handler, clock, store)
    for number in (0, 1, 2, 3):
        await push(receiver, push_of(number))
    assert handler.ids == ["0", "1", "2", "3"]


async def test_a_clock_that_was_ahead_does_not_stop_the_forgetting(anyio_backend: str) -> None:
    """If the first message arrives while the clock is ahead by a year, old ids are still forgotten."""
    clock, handler, store = Ticking(), Handler(), Store()
    receiver = receiver_with(handler, clock, store)
    clock.time += timedelta(days=365)
    await push(receiver, push_of("first"))
    clock.time -= timedelta(days=365)
    for number in range(30):
        await push(receiver, push_of(number))
        clock.time += timedelta(minutes=10)
    assert len((await store.load()).ids) <= 13  # type: ignore[union-attr]


async def test_a_reply_is_repeated_for_15_minutes(anyio_backend: str) -> None:
    """A repeat gets the reply for 15 minutes. Later, the receiver has forgotten the reply, but not the id."""
    clock, handler = Ticking(), Handler("thanks")
    receiver = receiver_with(handler, clock)
    for number in range(5):
        assert await push(receiver, push_of(number)) == (200, "{sms=thanks}")
        clock.time += timedelta(minutes=3)
    assert await push(receiver, push_of(0)) == (200, "{sms=thanks}")
    clock.time += timedelta(minutes=1)
    assert await push(receiver, push_of(5)) == (200, "{sms=thanks}")
    assert await push(receiver, push_of(0)) == (200, "")
    assert await push(receiver, push_of(1)) == (200, "{sms=thanks}")
    assert len(handler.messages) == 6


async def test_a_ledger_stores_only_the_new_id(tmp_path: Path, anyio_backend: str) -> None:
    """With thousands of ids, each push adds one small row to the ledger, and a restart knows all ids."""
    handler = Handler()
    async with Ledger.sqlite(tmp_path / "ledger.db") as ledger:
        first = IncomingReceiver(handler, token=TOKEN, checkpoint=ledger.checkpoint("pushes"))
        for number in range(300):
            await push(first, push_of(number))
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
            [(rows, longest)] = database.execute(
                "SELECT COUNT(*), MAX(LENGTH(change)) FROM checkpoint_changes"
            )
        assert (rows, longest < 400) == (300, True)
        position = await ledger.checkpoint("pushes").load()
        assert position is not None
        assert len(position.ids) == 300
        second = IncomingReceiver(handler, token=TOKEN, checkpoint=ledger.checkpoint("pushes"))
        for number in range(301):
            await push(second, push_of(number))
    assert handler.ids == [str(number) for number in range(301)]


async def test_many_ids_cost_no_more_time_for_each_message(anyio_backend: str) -> None:
    """A message after 20,000 messages needs no copy of the ids: a snapshot shares the log."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    checkpoint = MemoryCheckpoint()
    receiver = IncomingReceiver(Handler(), token=TOKEN, checkpoint=checkpoint, clock=Ticking(now))
    register = receiver.register
    logs = set()
    for number in range(20_000):
        turn = await register.take(str(number))
        assert turn is not None
        await turn.done()
        await register.save(str(number))
        assert checkpoint.position is not None
        logs.add(id(checkpoint.position._ids.log))  # type: ignore[union-attr]
    assert len(logs) == 1
    assert len(register) == 20_000
