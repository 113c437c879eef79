"""Tests of a server that crashes, stops or loses connections while a ledger is in use: nothing is lost."""

import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import attrs
import pytest

from smsapi_async.ledger import Ledger, LedgerError, LedgerUnwritable, Resolution, Summary
from smsapi_async.ledger.postgres import ledger_connection
from smsapi_async.postgres import connection_threads, transactions
from smsapi_async.postgres.address import Address
from tests.ledger.tools import Place, accepted, claim_many, keyed, message, recorded, unknown
from tests.postgres.server import PASSWORD, Server

pytestmark = pytest.mark.anyio
WORKERS, RESTARTS = 5, 3


async def test_restarts_in_the_middle_of_claims(server: Server, place: Place) -> None:
    """If the server crashes during claims and answers, each message gets an outcome, and none is unknown."""
    done = anyio.Event()
    claimed: list[int] = []

    async def send(worker: int) -> None:
        number = worker
        while not done.is_set() or number < 20 * WORKERS:
            token = f"token {number}"
            assert await ledger.claim(token, keyed(ledger, 2, 2 * number)) == [None, None]
            claimed.append(number)
            if number % 7 == 0:
                await ledger.release(token)
                assert await ledger.claim(f"{token} again", keyed(ledger, 2, 2 * number)) == [None, None]
                token = f"{token} again"
            await ledger.settle(token, accepted(f"{number}-1", f"{number}-2"))
            number += WORKERS

    async with place() as ledger:
        async with anyio.create_task_group() as group:
            for worker in range(WORKERS):
                group.start_soon(send, worker)
            for restart in range(RESTARTS):
                before = len(claimed)
                await anyio.to_thread.run_sync(server.restart, 0.2 * restart)
                while len(claimed) < before + 2 * WORKERS:  # noqa: ASYNC110 - an event would need a count
                    await anyio.sleep(0.01)
            done.set()
        count = 2 * len(claimed)
        assert await ledger.summary() == Summary(accepted=count, segments=count)
        outcomes = await recorded(ledger)
        assert {each.segment_ids for each in outcomes.values()} == {  # type: ignore[union-attr]
            (f"{number}-{part}",) for number in claimed for part in (1, 2)
        }


async def test_answers_wait_for_the_server(
    server: Server, place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the server is away, answers and releases wait for it, and other calls fail after their time."""
    monkeypatch.setattr(connection_threads, "PATIENCE", 0.2)
    async with place() as ledger:
        await claim_many(ledger, 1, token="a")
        await claim_many(ledger, 1, 1, token="b")
        with server.away():
            async with anyio.create_task_group() as group:
                group.start_soon(ledger.settle, "a", accepted("1"))
                group.start_soon(ledger.release, "b")
                for work in (ledger.summary(), ledger.claim("c", keyed(ledger, 1, 2))):
                    with pytest.raises(LedgerError, match="cannot be used") as caught:
                        await work
                    assert caught.value.__context__ is None
                await anyio.to_thread.run_sync(server.start)
        assert await ledger.summary() == Summary(accepted=1, pending=1, segments=1)
    assert "trying again" in caplog.text
    assert PASSWORD not in caplog.text


async def test_an_answer_gives_up_at_the_end(
    server: Server, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the server does not come back in time, `settle` fails, and a later answer can still be recorded."""
    monkeypatch.setattr(ledger_connection, "SETTLE_PATIENCE", 0.1)
    async with place() as ledger:
        await claim_many(ledger, 1, token="a")
        with server.away(), pytest.raises(LedgerUnwritable):
            await ledger.settle("a", accepted("1"))
        await ledger.settle("a", accepted("2"))
        assert await ledger.summary() == Summary(accepted=1, segments=1)


async def test_the_end_of_the_server_is_the_end_of_no_program(
    server: Server, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger can be closed while the server is away. Its claims are unknown when their time has passed."""
    monkeypatch.setattr(ledger_connection, "SETTLE_PATIENCE", 0.1)
    ledger = await place().__aenter__()
    await claim_many(ledger, 1)
    with server.away(), anyio.fail_after(10):
        await ledger.aclose()
    async with place() as other:
        assert await other.summary() == Summary(sending=1)


WRITES: dict[str, Callable[[Ledger, list[str]], Awaitable[Any]]] = {
    "claim": lambda ledger, _: ledger.claim("next", keyed(ledger, 2, 5)),
    "claim of pending": lambda ledger, keys: ledger.claim("next", [(keys[2], message(2))]),
    "settle": lambda ledger, _: ledger.settle("a", accepted("1")),
    "release": lambda ledger, _: ledger.release("a"),
    "settle with a claim": lambda ledger, _: ledger.claim(
        "next", keyed(ledger, 1, 5), settle=("a", accepted("1"))
    ),
    "record_pending": lambda ledger, _: ledger.record_pending(keyed(ledger, 2, 5)),
}
EXPECTED = {
    "claim": Summary(sending=3, unknown=1, pending=1),
    "claim of pending": Summary(sending=2, unknown=1),
    "settle": Summary(accepted=1, unknown=1, pending=1, segments=1),
    "release": Summary(unknown=1, pending=2),
    "settle with a claim": Summary(accepted=1, sending=1, unknown=1, pending=1, segments=1),
    "record_pending": Summary(sending=1, unknown=1, pending=3),
}


class LostCommit:
    """Lets the connection be lost in the next commit, before or after the server has done it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, server: Server, *, is_committed: bool) -> None:
        self.losses = 0
        self._server = server
        self._is_committed = is_committed
        original = transactions.ServerConnection._commit
        lock = threading.Lock()

        def commit(opened: Any) -> None:
            with lock:
                is_first = self.losses == 0
                self.losses += 1
            if is_first and self._is_committed:
                original(opened)
            if is_first:
                self._server.rows(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                    " AND application_name = 'smsapi-async'"
                )
            original(opened)

        monkeypatch.setattr(transactions.ServerConnection, "_commit", staticmethod(commit))


async def prepared(ledger: Ledger) -> list[str]:
    """Claim a message, make one unknown and one pending, and return their keys."""
    keys = await claim_many(ledger, 1, token="a") + await claim_many(ledger, 1, 1, token="b")
    await ledger.settle("b", unknown())
    await ledger.record_pending(keyed(ledger, 1, 2))
    return [*keys, keyed(ledger, 1, 2)[0][0]]


@pytest.mark.parametrize("is_committed", [False, True])
@pytest.mark.parametrize("name", WRITES)
async def test_a_connection_that_is_lost_in_a_commit(
    server: Server,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    is_committed: bool,
) -> None:
    """If the connection is lost in a commit, the call is repeated, and its result is that of one call."""
    async with place() as ledger:
        keys = await prepared(ledger)
        caplog.clear()
        lost = LostCommit(monkeypatch, server, is_committed=is_committed)
        result = await WRITES[name](ledger, keys)
        assert lost.losses >= 2
        if "claim" in name:
            assert set(result) == {None}
        assert await ledger.summary() == EXPECTED[name]
        if "claim" in name:
            await ledger.settle("next", accepted("x", "y"))
            assert (await ledger.summary()).sending == EXPECTED[name].sending - len(result)
    assert "too late" not in caplog.text
    warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert all("trying again" in each.getMessage() for each in warnings)


async def test_a_claim_whose_result_is_never_known(
    server: Server, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a claim fails because the server is away after its commit, its messages become pending later."""
    monkeypatch.setattr(connection_threads, "PATIENCE", 0.0)
    async with place() as ledger:
        await prepared(ledger)
        LostCommit(monkeypatch, server, is_committed=True)
        stop = transactions.ServerConnection.transaction

        def away(connection: transactions.ServerConnection, work: Any, **options: Any) -> Any:
            if options["is_repeat"] and not is_back.is_set():
                server.stop()
            return stop(connection, work, **options)

        is_back = threading.Event()
        monkeypatch.setattr(transactions.ServerConnection, "transaction", away)
        try:
            with pytest.raises(LedgerUnwritable):
                await ledger.claim("lost", keyed(ledger, 2, 5))
        finally:
            is_back.set()
            server.start()
        with anyio.fail_after(10):
            while await ledger.claim("next", keyed(ledger, 2, 5)) != [None, None]:
                await ledger.wait("lost")
        assert await ledger.summary() == Summary(sending=3, unknown=1, pending=1)


async def test_a_decision_whose_commit_is_lost_is_not_repeated(
    server: Server, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the connection is lost during the commit of `resolve`, the error says that the result is unclear."""
    async with place() as ledger:
        keys = await prepared(ledger)
        LostCommit(monkeypatch, server, is_committed=True)
        with pytest.raises(LedgerError, match="may or may not be recorded"):
            await ledger.resolve_many([Resolution(keys[1], sent=True)])
        assert await ledger.summary() == Summary(sending=1, accepted=1, pending=1)


@pytest.mark.parametrize("name", ["summary", "outcomes", "report"])
async def test_a_read_outlives_a_restart(server: Server, place: Place, name: str) -> None:
    """A read after a crash of the server connects again. A list goes on where it was."""
    async with place() as ledger:
        await claim_many(ledger, 1200)
        await ledger.settle("many", accepted())
        if name == "summary":
            await anyio.to_thread.run_sync(server.restart)
            assert (await ledger.summary()).accepted == 1200
            return
        found = []
        async for each in getattr(ledger, name)():
            found.append(each)
            if len(found) == 10:
                await anyio.to_thread.run_sync(server.restart)
        assert len(found) == 1200


async def test_a_pooler_without_prepared_statements(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """If the prepared statements of a connection are gone, each call works without them."""
    async with place() as ledger:
        for number in range(10):
            await claim_many(ledger, 1, number, token=str(number))
        threads = ledger._state.threads  # type: ignore[attr-defined]
        jobs = [connection_threads.DatabaseJob(_forget_statements) for _ in range(20)]
        for job in jobs:
            threads.add(job)
        for number in range(10):
            await ledger.settle(str(number), accepted("1"))
        assert await ledger.summary() == Summary(accepted=10, segments=10)
        assert all(job.error is None for job in jobs)
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def _forget_statements(transaction: transactions.Transaction) -> None:
    transaction.script("DEALLOCATE ALL")


async def test_the_settings_of_a_role_change_nothing(server: Server, account: str) -> None:
    """A role whose transactions are read-only or serializable can use a ledger."""
    server.rows("DROP ROLE IF EXISTS strict")
    server.rows("CREATE ROLE strict LOGIN SUPERUSER")
    for setting in (
        "default_transaction_read_only = on",
        "default_transaction_isolation = 'serializable'",
        "TimeZone = 'Asia/Kolkata'",
        "DateStyle = 'German'",
        "client_encoding = 'LATIN1'",
        "search_path = nothing",
    ):
        server.rows(f"ALTER ROLE strict SET {setting}")
    async with Ledger.postgres(server.dsn(user="strict"), account=account) as ledger:
        given = message(text="Привет €")
        assert await ledger.claim("a", [("order 1", given)]) == [None]
        await ledger.settle("a", accepted("1"))
        (outcome,) = (await recorded(ledger)).values()
    assert outcome == accepted("1").outcome(
        attrs.evolve(given, key="order 1"), "order 1", ("1",), recorded=True
    )


async def test_the_defaults_end_a_dead_connection() -> None:
    """By default, a connection over a dead network ends after less than a minute."""
    address = Address.of("postgresql://db.example/shop?keepalives_idle=7")
    assert address.parameters["keepalives_idle"] == "7"
    assert int(address.parameters["tcp_user_timeout"]) <= 30_000
    assert int(address.parameters["connect_timeout"]) <= 15
    assert address.parameters["keepalives"] == "1"
    assert connection_threads.PATIENCE >= 10
