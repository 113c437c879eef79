"""Tests that a ledger never blocks the event loop, and that a cancelled write is still committed."""

import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from smsapi_async.inbox import Position
from smsapi_async.ledger import Ledger, LedgerError, Summary
from smsapi_async.models import Receipt
from smsapi_async.states import Phase
from smsapi_async.tracking import Delivery
from tests.ledger.tools import (
    ACCEPTED_AT,
    Place,
    accepted,
    accepted_receipts,
    at_work,
    claim_each,
    held_by_another_program,
    keyed,
    message,
    open_messages,
    recorded,
    settle_each,
    unknown,
    until_at_work,
)

pytestmark = pytest.mark.anyio

Work = Callable[[Ledger, list[str]], Awaitable[object]]


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Return a set that collects the ids of the threads that call SQLite or open a file."""
    seen: set[int] = set()
    connect, os_open = sqlite3.connect, os.open

    class Watched(sqlite3.Connection):
        def close(self) -> None:
            seen.add(threading.get_ident())
            super().close()

        def commit(self) -> None:
            seen.add(threading.get_ident())
            super().commit()

    def watched_connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        seen.add(threading.get_ident())
        connection = connect(*arguments, factory=Watched, **options)
        connection.set_trace_callback(lambda _: seen.add(threading.get_ident()))
        return connection

    def watched_open(*arguments: Any, **options: Any) -> int:
        seen.add(threading.get_ident())
        return os_open(*arguments, **options)

    monkeypatch.setattr("sqlite3.connect", watched_connect)
    monkeypatch.setattr("os.open", watched_open)
    return seen


async def test_no_file_is_touched_in_the_event_loop(path: Path, threads: set[int]) -> None:
    """A ledger opens, uses and closes its file in one thread of its own, and never in the event loop."""
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_each(ledger, 3)
        await settle_each(ledger, {keys[0]: accepted(), keys[1]: unknown()})
        await ledger.release(keys[2])
        await ledger.record_pending(keyed(ledger, 1, first=9))
        assert len([each async for each in ledger.unknown()]) == 1
        assert len([each async for each in ledger.report()]) == 4
        await ledger.states([message()])
        await ledger.records([message()])
        await ledger.other_texts([message(text="another")])
        await ledger.resolve(keys[1], sent=False)
        await ledger.pending()
        await ledger.summary()
        await recorded(ledger)
        (receipt,) = await open_messages(ledger)
        assert isinstance(receipt, Receipt)
        await ledger.record([Delivery(receipt, Phase.ENROUTE, (None,), False, ACCEPTED_AT)])
        await ledger.deliveries_summary()
        await ledger.checkpoint().save(Position(ACCEPTED_AT))
        await ledger.checkpoint().load()
    assert len(threads) == 1
    with pytest.raises(LedgerError):
        await Ledger.sqlite(path.parent).__aenter__()
    assert threading.get_ident() not in threads


async def test_the_loop_goes_on_while_the_file_is_busy(path: Path) -> None:
    """While `claim` waits for a file that another program has locked, other tasks run.

    When the other program has released the file, the claim succeeds.
    """
    async with Ledger.sqlite(path) as ledger, anyio.create_task_group() as group:
        with held_by_another_program(path):
            group.start_soon(ledger.claim, "a", keyed(ledger, 1))
            await until_at_work(ledger)
            for _ in range(1000):
                await checkpoint()
            assert at_work(ledger)
    async with Ledger.sqlite(path) as ledger:
        assert await ledger.summary() == Summary(unknown=1)


WRITES: dict[str, tuple[Work, Summary]] = {
    "settle": (
        lambda ledger, keys: ledger.settle(keys[0], accepted()),
        Summary(accepted=1, unknown=1, segments=1),
    ),
    "release": (lambda ledger, keys: ledger.release(keys[0]), Summary(pending=1, unknown=1)),
    "record_pending": (
        lambda ledger, _: ledger.record_pending(keyed(ledger, 1, first=5)),
        Summary(pending=1, sending=1, unknown=1),
    ),
    "resolve": (lambda ledger, keys: ledger.resolve(keys[1], sent=False), Summary(sending=1, pending=1)),
    "resolve_all": (lambda ledger, _: ledger.resolve_all(sent=False), Summary(sending=1, pending=1)),
    "retry_rejected": (lambda ledger, _: ledger.retry_rejected(), Summary(sending=1, unknown=1)),
}


@pytest.mark.parametrize("moment", ["before", "in the middle", "while another is at work"])
@pytest.mark.parametrize("name", WRITES)
async def test_a_cancelled_write_is_written(path: Path, name: str, moment: str) -> None:
    """If the caller of a write is cancelled, the write is still committed."""
    work, expected = WRITES[name]

    async def write() -> None:
        if moment == "before":
            scope.cancel()
        with scope:
            await work(ledger, keys)

    async with Ledger.sqlite(path) as ledger:
        keys = await claim_each(ledger, 2)
        await ledger.settle(keys[1], unknown())
        scope = anyio.CancelScope()
        async with anyio.create_task_group() as group:
            with held_by_another_program(path):
                if moment == "while another is at work":
                    group.start_soon(ledger.record_pending, [(keys[0], message())])
                    await until_at_work(ledger)
                group.start_soon(write)
                await until_at_work(ledger)
                scope.cancel()
                await checkpoint()
        assert await ledger.summary() == expected


@pytest.mark.parametrize("moment", ["before", "in the middle"])
async def test_a_cancelled_claim_claims_nothing(path: Path, moment: str) -> None:
    """If a call of `claim` is cancelled, its messages can be claimed again at once."""
    async with Ledger.sqlite(path) as ledger:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                with held_by_another_program(path):
                    if moment == "before":
                        scope.cancel()
                    group.start_soon(ledger.claim, "gone", keyed(ledger, 2))
                    if moment == "in the middle":
                        await until_at_work(ledger)
                        scope.cancel()
        assert await ledger.claim("next", keyed(ledger, 2)) == [None, None]
        await ledger.release("next")
    async with Ledger.sqlite(path) as ledger:
        assert await ledger.summary() == Summary(pending=2)


async def test_a_cancelled_record_is_written(path: Path) -> None:
    """`record` stores the deliveries even if the task that calls `record` is cancelled."""
    async with Ledger.sqlite(path) as ledger:
        first, second = [
            Delivery(each, Phase.ENROUTE, (None,), False, ACCEPTED_AT)
            for each in await accepted_receipts(ledger, 2)
        ]
        with anyio.CancelScope() as scope:
            scope.cancel()
            await ledger.record([first])
        async with anyio.create_task_group() as group:
            with held_by_another_program(path):
                group.start_soon(ledger.record, [second])
                await until_at_work(ledger)
                group.cancel_scope.cancel()
        assert await open_messages(ledger) == [first, second]


async def test_many_tasks_share_a_ledger(place: Place) -> None:
    """Several tasks can call one ledger at the same time, and every call succeeds."""
    async with place() as ledger:

        async def run(first: int) -> None:
            assert await ledger.claim(str(first), keyed(ledger, 20, first=first)) == [None] * 20
            await ledger.settle(str(first), accepted(*map(str, range(20))))

        async with anyio.create_task_group() as group:
            for first in range(0, 400, 20):
                group.start_soon(run, first)
        assert await ledger.summary() == Summary(accepted=400, segments=400)
