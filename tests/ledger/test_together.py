"""Tests of calls that wait for the ledger file at the same time.

Calls that wait at the same time share one transaction, but each call has its own result.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from anyio.lowlevel import checkpoint

from smsapi_async.ledger import InFlight, Ledger, LedgerError, LedgerInUse, LedgerUnwritable, Summary
from smsapi_async.ledger.sqlite import database
from smsapi_async.ledger.sqlite.request_records import ClaimOrder, RequestRecords
from smsapi_async.outcomes import Accepted, Unknown
from tests.ledger.tools import (
    accepted,
    claim_each,
    execute,
    held_by_another_program,
    keyed,
    message,
    until_at_work,
)

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
            group.start_soon(ledger.record_pending, [])
            await until_at_work(ledger)
            yield group
            # Let every call in the task group join the queue before the file is released.
            for _ in range(20):
                await checkpoint()


async def ending_of(work: Awaitable[object], endings: list[object]) -> None:
    """Await a call to a ledger. Append the result or the `LedgerError` of the call to `endings`."""
    try:
        endings.append(await work)
    except LedgerError as error:
        endings.append(error)


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that collects the statements that begin a write transaction of a ledger."""
    begun: list[str] = []
    connect = sqlite3.connect

    def traced_connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(
            lambda words: begun.append(words) if words == "BEGIN IMMEDIATE" else None
        )
        return connection

    monkeypatch.setattr("sqlite3.connect", traced_connect)
    # A second after a change, the ledger copies its log to the main file, which needs a transaction, too.
    monkeypatch.setattr(database, "_CHECKPOINT_SECONDS", 1000.0)
    return begun


async def test_one_failure_undoes_no_other(path: Path) -> None:
    """Calls that wait at the same time share one transaction. If one fails, the other calls still succeed."""
    good: list[object] = []
    twice: list[object] = []
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_each(ledger, 3)
        async with while_busy(ledger, path) as group:
            group.start_soon(ending_of, ledger.claim("good", keyed(ledger, 2, first=10)), good)
            group.start_soon(ending_of, ledger.claim("in flight", keyed(ledger, 2, first=2)), good)
            group.start_soon(ending_of, ledger.claim("twice", keyed(ledger, 1, first=50) * 2), twice)
            group.start_soon(ending_of, ledger.settle(keys[0], accepted()), good)
            group.start_soon(ending_of, ledger.release(keys[1]), good)
        assert len(good) == 4
        assert [None, None] in good
        assert [InFlight(keys[2]), None] in good
        assert isinstance(twice[0], LedgerError)
        assert await ledger.summary() == Summary(pending=1, sending=4, accepted=1, segments=1)


async def test_calls_that_wait_share_a_transaction(path: Path, transactions: list[str]) -> None:
    """Hundreds of claims, answers and releases that wait at the same time need one transaction.

    A claim gets the messages that a release of the same transaction made pending, and the outcomes of the
    answers. The second claim of a message gets the token of the first claim.
    """
    endings: dict[str, list[object]] = {}
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_each(ledger, 100)
        transactions.clear()
        async with while_busy(ledger, path) as group:
            for number, key in enumerate(keys):
                given = [(key, message(number))]
                for token in (f"first {number}", f"second {number}"):
                    group.start_soon(ending_of, ledger.claim(token, given), endings.setdefault(token, []))
            for key in keys[:50]:
                group.start_soon(ledger.settle, key, accepted())
            for key in keys[50:]:
                group.start_soon(ledger.release, key)
        # The other program and the call before have one transaction each.
        assert len(transactions) == 3
        assert await ledger.summary() == Summary(accepted=50, sending=50, segments=50)
    for number in range(50):
        for token in (f"first {number}", f"second {number}"):
            (ending,) = endings[token]
            assert isinstance(ending, list)
            assert isinstance(ending[0], Accepted)
    for number in range(50, 100):
        # The event loop of trio starts tasks in random order.
        found = {token: endings[token] for token in (f"first {number}", f"second {number}")}
        (winner,) = [token for token, ending in found.items() if ending == [[None]]]
        assert [[InFlight(winner)]] in found.values()


async def test_an_answer_counts_more_than_a_release(path: Path) -> None:
    """If a claim is settled and released at the same time, its message is accepted and is not sent again."""
    async with Ledger.sqlite(path) as ledger:
        (key,) = await claim_each(ledger, 1)
        async with while_busy(ledger, path) as group:
            group.start_soon(ledger.settle, key, accepted())
            group.start_soon(ledger.release, key)
        (claimed,) = await ledger.claim("again", keyed(ledger, 1))
    assert isinstance(claimed, Accepted)


@pytest.mark.parametrize("is_writable", [True, False])
async def test_an_answer_is_recorded_with_the_next_claim(
    path: Path, is_writable: bool, transactions: list[str]
) -> None:
    """A claim can settle an earlier claim in the same transaction. If this fails, nothing is claimed.

    In both cases, those who wait for the earlier claim are woken.
    """
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_each(ledger, 1)
        async with anyio.create_task_group() as group:
            group.start_soon(ledger.wait, keys[0])
            await anyio.wait_all_tasks_blocked()
            if is_writable:
                transactions.clear()
                claimed = await ledger.claim("next", keyed(ledger, 2), settle=(keys[0], accepted()))
                assert isinstance(claimed[0], Accepted)
                assert claimed[1] is None
                assert len(transactions) == 1
            else:
                await execute(ledger, "PRAGMA query_only = ON")
                with pytest.raises(LedgerUnwritable):
                    await ledger.claim("next", keyed(ledger, 1, 1), settle=(keys[0], accepted()))
        await execute(ledger, "PRAGMA query_only = OFF")
        if is_writable:
            assert await ledger.summary() == Summary(accepted=1, sending=1, segments=1)
        else:
            assert await ledger.claim("again", keyed(ledger, 2)) == [
                Unknown(message=message(), reason="the outcome was not recorded", key=keys[0], recorded=True),
                None,
            ]


@pytest.mark.parametrize("fault", ["key", "claim"])
async def test_a_claim_that_fails_still_records_the_answer(path: Path, fault: str) -> None:
    """If a claim with the answer of an earlier claim is refused, the answer is recorded nevertheless."""
    async with Ledger.sqlite(path) as ledger:
        (key,) = await claim_each(ledger, 1)
        wrong = (
            [("order 1", message(1, "\ud800", key="order 1"))] if fault == "key" else keyed(ledger, 1, 1) * 2
        )
        with pytest.raises(LedgerError):
            await ledger.claim("next", wrong, settle=(key, accepted()))
        assert await ledger.summary() == Summary(accepted=1, segments=1)


async def test_a_full_disk_costs_one_call(path: Path) -> None:
    """If the disk has too little space for one of several waiting calls, the other calls still succeed."""
    large: list[object] = []
    small: list[object] = []
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_each(ledger, 10)
        await execute(ledger, "PRAGMA max_page_count = 15")
        async with while_busy(ledger, path) as group:
            group.start_soon(ending_of, ledger.release(keys[0]), small)
            group.start_soon(ending_of, ledger.claim("large", keyed(ledger, 2000, first=10)), large)
            group.start_soon(ending_of, ledger.settle(keys[1], accepted()), small)
        assert small == [None, None]
        assert isinstance(large[0], LedgerUnwritable)
        assert await ledger.summary() == Summary(pending=1, sending=8, accepted=1, segments=1)


async def test_a_transaction_that_fails_is_done_in_parts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the shared transaction of several calls fails, each call runs again in a separate transaction."""
    run_together = RequestRecords.run_together

    def failing(self: RequestRecords, answers: Any, releases: Any, orders: Sequence[ClaimOrder]) -> Any:
        with self._database.writing():
            if len(orders) > 1:
                raise sqlite3.OperationalError("disk I/O error")
        return run_together(self, answers, releases, orders)

    monkeypatch.setattr(RequestRecords, "run_together", failing)
    endings: list[object] = []
    given = [(f"key {number}", message(number, f"text {number % 2}")) for number in range(4)]
    async with Ledger.sqlite(path) as ledger:
        async with while_busy(ledger, path) as group:
            for key, each in given:
                group.start_soon(ending_of, ledger.claim(key, [(key, each)]), endings)
        assert endings == [[None]] * 4
        for key, _ in given:
            await ledger.release(key)
        expected = {key: attrs.evolve(each, key=key) for key, each in given}
        assert dict(await ledger.pending()) == expected


async def test_nobody_returns_before_the_commit(path: Path) -> None:
    """A call returns only after its commit, so other programs can then read the changes of this call."""
    seen: list[object] = []

    async def claim(first: int) -> None:
        await ledger.claim(f"token {first}", keyed(ledger, 1, first=first))
        connection = sqlite3.connect(path)
        statement = "SELECT state FROM requests WHERE token = ?"
        seen.append(connection.execute(statement, (f"token {first}",)).fetchone())
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
                    claim = ledger.claim(str(first), keyed(ledger, 1, first=first))
                    group.start_soon(ending_of, claim, endings)
        assert [type(each) for each in endings] == [LedgerInUse] * 5
        assert len({id(each) for each in endings}) == 5
        assert await ledger.summary() == Summary()


async def test_closing_comes_after_the_calls_that_wait(path: Path) -> None:
    """If other calls wait for the ledger file, `aclose` closes the ledger only after these calls."""
    endings: list[object] = []
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_each(ledger, 5)
        async with while_busy(ledger, path) as group:
            for key in keys:
                group.start_soon(ending_of, ledger.settle(key, accepted()), endings)
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
            task = asyncio.ensure_future(ledger.claim("gone", keyed(ledger, 2)))
            group.start_soon(ending_of, ledger.claim("stays", keyed(ledger, 1, first=9)), endings)
            for _ in range(5):
                await checkpoint()
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert endings == [[None]]
        assert await ledger.summary() == Summary(sending=1)
