"""Tests of calls that wait for the ledger file at the same time.

Calls that wait at the same time share one transaction, but each call has its own result.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import attrs
import pytest
from anyio.lowlevel import checkpoint

from smsapi_async.ledger import Ledger, LedgerError, LedgerInUse, LedgerUnwritable, Summary
from smsapi_async.ledger.sqlite.database import Database
from smsapi_async.ledger.sqlite.sqlite_ledger import SqliteLedger
from tests.ledger.test_threads import until_at_work
from tests.ledger.tools import accepted, claim_many, execute, held_by_another_program, keyed, message

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def while_busy(ledger: Ledger, path: Path) -> AsyncIterator[anyio.abc.TaskGroup]:
    """Lock the ledger file during the block, and yield a task group for calls to the ledger.

    The function first starts one call, which waits for the file. The calls in the task group wait until the
    first call has ended.

    Args:
        ledger: the ledger that the calls use.
        path: the path of the ledger file.
    """
    async with anyio.create_task_group() as group:
        with held_by_another_program(path):
            group.start_soon(ledger.release, [])
            await until_at_work(ledger)
            yield group
            assert isinstance(ledger, SqliteLedger)
            # Let every call in the task group join the queue before the file is released.
            for _ in range(20):
                await checkpoint()


async def ending_of(work: Awaitable[object], endings: list[object]) -> None:
    """Await a call to a ledger. Append the result or the `LedgerError` of the call to `endings`."""
    try:
        endings.append(await work)
    except LedgerError as error:
        endings.append(error)


async def test_one_failure_undoes_no_other(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Calls that wait at the same time share one transaction.

    If one call fails, the other calls still succeed.
    """
    caplog.set_level(logging.INFO, "sqlalchemy.engine")
    bad: list[object] = []
    twice: list[object] = []
    good: list[object] = []
    half: list[object] = []
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 3)
        caplog.clear()
        async with while_busy(ledger, path) as group:
            group.start_soon(ending_of, ledger.claim(keyed(ledger, 2, first=10)), good)
            group.start_soon(ending_of, ledger.claim(keyed(ledger, 4, first=2)), bad)
            group.start_soon(ending_of, ledger.claim(keyed(ledger, 1, first=50) * 2), twice)
            group.start_soon(ending_of, ledger.settle([accepted(keys[0]), accepted("x")]), half)
            group.start_soon(ending_of, ledger.release([keys[1]]), good)
        begun = [each for each in caplog.records if each.getMessage() == "BEGIN IMMEDIATE"]
        assert len(begun) == 2
        assert len(good) == 2
        assert None in good
        assert dict.fromkeys(key for key, _ in keyed(ledger, 2, first=10)) in good
        assert "already in flight" in str(bad[0])
        assert isinstance(twice[0], LedgerError)
        assert "1 of 2 outcomes" in str(half[0])
        assert await ledger.summary() == Summary(pending=1, sending=3, accepted=1, segments=1)


async def test_a_full_disk_costs_one_call(path: Path) -> None:
    """If the disk has too little space for one of several waiting calls, the other calls still succeed."""
    large: list[object] = []
    small: list[object] = []
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 10)
        await execute(ledger, "PRAGMA max_page_count = 14")
        async with while_busy(ledger, path) as group:
            group.start_soon(ending_of, ledger.release(keys[:1]), small)
            group.start_soon(ending_of, ledger.claim(keyed(ledger, 2000, first=10)), large)
            group.start_soon(ending_of, ledger.settle([accepted(keys[1])]), small)
        assert small == [None, None]
        assert isinstance(large[0], LedgerUnwritable)
        assert await ledger.summary() == Summary(pending=1, sending=8, accepted=1, segments=1)


async def test_a_transaction_that_fails_is_done_in_parts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the shared transaction of several calls fails, each call runs again in a separate transaction."""
    together = Database.together

    @contextmanager
    def failing(self: Database) -> Iterator[None]:
        with together(self):
            yield
            raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Database, "together", failing)
    endings: list[object] = []
    given = [(f"key {number}", message(number, f"text {number % 2}")) for number in range(4)]
    async with Ledger.sqlite(path) as ledger:
        async with while_busy(ledger, path) as group:
            for each in given:
                group.start_soon(ending_of, ledger.claim([each]), endings)
        assert len(endings) == 4
        assert all({key: None} in endings for key, _ in given)
        await ledger.release([key for key, _ in given])
        expected = {key: attrs.evolve(each, key=key) for key, each in given}
        assert dict(await ledger.pending()) == expected


async def test_nobody_returns_before_the_commit(path: Path) -> None:
    """A call returns only after its commit, so other programs can then read the changes of this call."""
    seen: list[object] = []

    async def claim(first: int) -> None:
        ((key, _),) = given = keyed(ledger, 1, first=first)
        await ledger.claim(given)
        connection = sqlite3.connect(path)
        seen.append(connection.execute("SELECT state FROM messages WHERE key = ?", (key,)).fetchone())
        connection.close()

    async with Ledger.sqlite(path) as ledger:
        async with while_busy(ledger, path) as group:
            for first in range(10):
                group.start_soon(claim, first)
        assert seen == [("sending",)] * 10


async def test_a_file_that_stays_busy_is_told_to_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another program keeps the ledger file locked, each waiting call raises `LedgerInUse`.

    Each of the waiting calls raises a separate exception object.
    """
    monkeypatch.setattr("smsapi_async.ledger.sqlite.database._PATIENCE", 0.01)
    endings: list[object] = []
    async with Ledger.sqlite(path) as ledger:
        with held_by_another_program(path):
            async with anyio.create_task_group() as group:
                for first in range(5):
                    group.start_soon(ending_of, ledger.claim(keyed(ledger, 1, first=first)), endings)
        assert [type(each) for each in endings] == [LedgerInUse] * 5
        assert len({id(each) for each in endings}) == 5
        assert await ledger.summary() == Summary()


async def test_closing_comes_after_the_calls_that_wait(path: Path) -> None:
    """If other calls wait for the ledger file, `aclose` closes the ledger only after these calls."""
    endings: list[object] = []
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 5)
        async with while_busy(ledger, path) as group:
            for key in keys:
                group.start_soon(ending_of, ledger.settle([accepted(key)]), endings)
            await checkpoint()
            await checkpoint()
            group.start_soon(ledger.aclose)
    assert endings == [None] * 5
    async with Ledger.sqlite(path) as ledger:
        assert await ledger.summary() == Summary(accepted=5, segments=5)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_claim_that_waited_and_is_gone_claims_nothing(path: Path) -> None:
    """If `asyncio.Task.cancel` cancels a claim that waits in the queue, this claim claims no message.

    The other calls in the queue still succeed.
    """
    endings: list[object] = []
    async with Ledger.sqlite(path) as ledger:
        async with while_busy(ledger, path) as group:
            task = asyncio.ensure_future(ledger.claim(keyed(ledger, 2)))
            group.start_soon(ending_of, ledger.claim(keyed(ledger, 1, first=9)), endings)
            for _ in range(5):
                await checkpoint()
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(endings) == 1
        assert (await ledger.summary()).sending == 1
