"""Tests that a ledger never blocks the event loop, and that a cancelled write is still committed."""

import asyncio
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
from smsapi_async.ledger.sqlite.sqlite_ledger import SqliteLedger
from smsapi_async.models import Receipt
from smsapi_async.states import Phase
from smsapi_async.tracking import Delivery
from tests.ledger.tools import (
    ACCEPTED_AT,
    accepted,
    claim_many,
    held_by_another_program,
    keyed,
    message,
    open_messages,
    recorded,
    unknown,
)

pytestmark = pytest.mark.anyio

Work = Callable[[Ledger, list[str]], Awaitable[object]]


def at_work(ledger: Ledger) -> bool:
    """Return whether a worker thread is using the file of the ledger."""
    assert isinstance(ledger, SqliteLedger)
    assert ledger._store is not None
    return ledger._store._one_at_a_time.locked()


async def until_at_work(ledger: Ledger) -> None:
    """Wait until a worker thread uses the file of the ledger. Other tasks run during this wait."""
    while not at_work(ledger):
        await checkpoint()


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
    """A ledger opens, uses and closes its file only in worker threads.

    The event loop runs in a thread that never touches the file.
    """
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 3)
        await ledger.settle([accepted(keys[0]), unknown(keys[1])])
        await ledger.release(keys[2:])
        await ledger.record_pending(keyed(ledger, 1, first=9))
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
    with pytest.raises(LedgerError):
        await Ledger.sqlite(path.parent).__aenter__()
    assert threads
    assert threading.get_ident() not in threads


async def test_the_loop_goes_on_while_the_file_is_busy(path: Path) -> None:
    """While `claim` waits for a file that another program has locked, other tasks run.

    When the other program has released the file, the claim succeeds.
    """
    async with Ledger.sqlite(path) as ledger, anyio.create_task_group() as group:
        with held_by_another_program(path):
            group.start_soon(ledger.claim, keyed(ledger, 1))
            await until_at_work(ledger)
            for _ in range(1000):
                await checkpoint()
            assert at_work(ledger)
    async with Ledger.sqlite(path) as ledger:
        assert await ledger.summary() == Summary(unknown=1)


WRITES: dict[str, tuple[Work, Summary]] = {
    "claim": (lambda ledger, _: ledger.claim(keyed(ledger, 1, first=5)), Summary(sending=2, unknown=1)),
    "settle": (
        lambda ledger, keys: ledger.settle([accepted(keys[0])]),
        Summary(accepted=1, unknown=1, segments=1),
    ),
    "release": (lambda ledger, keys: ledger.release(keys[:1]), Summary(pending=1, unknown=1)),
    "record_pending": (
        lambda ledger, _: ledger.record_pending(keyed(ledger, 1, first=5)),
        Summary(pending=1, sending=1, unknown=1),
    ),
    "resolve": (lambda ledger, keys: ledger.resolve(keys[1], sent=False), Summary(sending=1, pending=1)),
    "retry_rejected": (lambda ledger, _: ledger.retry_rejected(), Summary(sending=1, unknown=1)),
}


@pytest.mark.parametrize("moment", ["before", "in the middle", "while another is at work"])
@pytest.mark.parametrize("name", WRITES)
async def test_a_cancelled_write_is_written(path: Path, name: str, moment: str) -> None:
    """If the caller of a write is cancelled, the write is still committed, and the call still returns."""
    work, expected = WRITES[name]
    finished: list[object] = []

    async def write() -> None:
        if moment == "before":
            scope.cancel()
        with scope:
            finished.append(await work(ledger, keys) or "done")

    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 2)
        await ledger.settle([unknown(keys[1])])
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
        assert len(finished) == 1
        assert await ledger.summary() == expected


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("name", [name for name in WRITES if name != "claim"])
async def test_a_write_outlives_its_task(path: Path, name: str) -> None:
    """A write is committed even if `asyncio.Task.cancel` cancels the calling task.

    `asyncio.Task.cancel` also cancels a task inside a shielded cancel scope of AnyIO.
    """
    work, expected = WRITES[name]
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 2)
        await ledger.settle([unknown(keys[1])])
        with held_by_another_program(path):
            task = asyncio.ensure_future(work(ledger, keys))
            await until_at_work(ledger)
            task.cancel()
            await checkpoint()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await ledger.summary() == expected


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_claim_whose_task_is_gone_is_given_back(path: Path) -> None:
    """If `asyncio.Task.cancel` cancels a call of `claim`, the claimed messages become pending again."""
    async with Ledger.sqlite(path) as ledger:
        with held_by_another_program(path):
            task = asyncio.ensure_future(ledger.claim(keyed(ledger, 2)))
            await until_at_work(ledger)
            task.cancel()
            await checkpoint()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await ledger.summary() == Summary(pending=2)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_opening_whose_task_is_gone_leaves_no_lock(path: Path) -> None:
    """If `asyncio.Task.cancel` cancels the task that opens a ledger, the lock of the file is released.

    After this cancellation, the file can be opened again.
    """
    async with Ledger.sqlite(path):
        pass
    ledger = Ledger.sqlite(path)
    with held_by_another_program(path):
        task = asyncio.ensure_future(ledger.__aenter__())
        await checkpoint()
        await until_at_work(ledger)
        task.cancel()
        await checkpoint()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with Ledger.sqlite(path) as other:
        assert await other.summary() == Summary()


async def test_many_tasks_share_a_ledger(path: Path) -> None:
    """Several tasks can call one ledger at the same time, and every call succeeds."""
    async with Ledger.sqlite(path) as ledger:

        async def run(first: int) -> None:
            claimed = await ledger.claim(keyed(ledger, 20, first=first))
            await ledger.settle([accepted(key) for key in claimed])

        async with anyio.create_task_group() as group:
            for first in range(0, 400, 20):
                group.start_soon(run, first)
        assert await ledger.summary() == Summary(accepted=400, segments=400)
