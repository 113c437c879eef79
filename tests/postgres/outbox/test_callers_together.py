"""Tests of several callers at the same time: nobody waits without need, and no deadlock ends a call."""

import asyncio
import errno
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
import pytest

from smsapi_async import LedgerError, LedgerInUse, ValidationError
from smsapi_async.postgres import aenqueue, enqueue
from tests.ledger.tools import message
from tests.postgres.outbox.callers import ASYNC_CALLERS, CALLERS, keys
from tests.postgres.server import Server

pytestmark = pytest.mark.anyio
CLIENTS, ROUNDS = 8, 10
# A statement that waits for a lock fails at once.
NO_WAITS = "SET lock_timeout = '1ms'"


@pytest.fixture
def used_account(server: Server, account: str) -> str:
    """Return the name of a new account that exists already."""
    server.rows("INSERT INTO smsapi.accounts (name) VALUES (%s)", account)
    return account


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_open_transactions_do_not_wait(level: str, server: Server, used_account: str) -> None:
    """Open transactions that enqueue one text to different numbers do not wait for each other."""
    with ExitStack() as stack:
        callers = [stack.enter_context(CALLERS["psycopg"](server.dsn())) for _ in range(4)]
        for number, caller in enumerate(callers):
            caller.execute(NO_WAITS)
            caller.commit()
            caller.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
            enqueue(caller.connection, [message(number), message(number + 10)], account=used_account)
        for caller in reversed(callers):
            caller.commit()
    assert len(keys(server, used_account)) == 8


def test_the_default_account_lets_nobody_wait(server: Server) -> None:
    """The first messages of the account "main" do not wait for each other."""
    with CALLERS["psycopg"](server.dsn()) as first, CALLERS["psycopg"](server.dsn()) as second:
        for number, caller in enumerate((first, second)):
            caller.execute(NO_WAITS)
            enqueue(caller.connection, message(number))


def test_an_open_transaction_with_the_key(server: Server, used_account: str) -> None:
    """A caller waits for an open transaction with an equal key. If it takes too long, the error says so."""
    with CALLERS["psycopg"](server.dsn()) as first, CALLERS["Session over psycopg"](server.dsn()) as second:
        enqueue(first.connection, message(), account=used_account)
        second.execute(NO_WAITS)
        second.execute("SAVEPOINT here")
        with pytest.raises(LedgerInUse, match="repeat the whole transaction") as caught:
            enqueue(second.connection, message(), account=used_account)
        assert caught.value.is_retryable
        second.execute("ROLLBACK TO here")
        first.rollback()
        enqueue(second.connection, message(), account=used_account)
        second.commit()
    assert len(keys(server, used_account)) == 1


@pytest.mark.parametrize("ends", ["commits", "rolls back", "commits another"])
def test_who_waits_learns_the_end(ends: str, server: Server, used_account: str) -> None:
    """A caller that waited for another transaction enqueues the message if nobody has done so."""
    with (
        CALLERS["psycopg"](server.dsn()) as first,
        CALLERS["psycopg"](server.dsn()) as second,
        ThreadPoolExecutor(1) as pool,
    ):
        text = "Another" if ends == "commits another" else "Equal"
        enqueue(first.connection, message(1, text, key="a"), account=used_account)
        own = [message(1, "Equal", key="a"), message(2, "Equal", key="b")]
        waiting = pool.submit(enqueue, second.connection, own, account=used_account)
        while not server.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            pass
        (first.rollback if ends == "rolls back" else first.commit)()
        if ends == "commits another":
            with pytest.raises(ValidationError, match="another message already has this key"):
                waiting.result()
        else:
            waiting.result()
        second.commit()
    expected = ["a"] if ends == "commits another" else ["a", "b"]
    assert sorted(keys(server, used_account)) == expected
    sizes = server.rows(
        "SELECT (SELECT coalesce(sum(size), 0) FROM smsapi.requests WHERE account_id = a.id)"
        " + (SELECT count(*) FROM smsapi.messages WHERE account_id = a.id AND request_id IS NULL)"
        " FROM smsapi.accounts a WHERE name = %s",
        used_account,
    )
    assert sizes == [(len(expected),)]


def _run_clients(work: Callable[[int], None]) -> None:
    start = threading.Barrier(CLIENTS)

    def run(client: int) -> None:
        start.wait()
        work(client)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(run, range(CLIENTS)))


@pytest.mark.parametrize("texts", [1, 50])
def test_no_deadlock(texts: int, server: Server, account: str) -> None:
    """Eight clients enqueue equal messages in opposite orders. Each message is enqueued once."""
    many = [message(number, f"Text {number % texts}") for number in range(50)]

    def work(client: int) -> None:
        orders = random.Random(client)
        with psycopg.connect(server.dsn()) as connection:
            for number in range(ROUNDS):
                order = many[:: 1 if client % 2 else -1] if number % 2 else orders.sample(many, 40)
                enqueue(connection, order, account=f"{account} {number}")
                connection.commit()

    _run_clients(work)
    for number in range(ROUNDS):
        found = keys(server, f"{account} {number}")
        assert len(set(found)) == len(found) == 50


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_strict_transaction_reports_the_conflict(level: str, server: Server, used_account: str) -> None:
    """If a strict transaction cannot see a message that another one has enqueued, the error says so."""
    with CALLERS["psycopg"](server.dsn()) as caller:
        caller.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        caller.execute("SELECT 1")
        with CALLERS["psycopg"](server.dsn()) as other:
            enqueue(other.connection, message(), account=used_account)
            other.commit()
        with pytest.raises(LedgerInUse, match="repeat the whole transaction"):
            enqueue(caller.connection, message(), account=used_account)
        caller.rollback()
        enqueue(caller.connection, message(), account=used_account)
        caller.commit()
    assert len(keys(server, used_account)) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("library", ASYNC_CALLERS)
async def test_a_cancelled_call(library: str, server: Server, used_account: str) -> None:
    """If a call is cancelled while it waits, its transaction can be rolled back, and nothing is enqueued."""
    with CALLERS["psycopg"](server.dsn()) as other:
        enqueue(other.connection, message(5), account=used_account)
        async with ASYNC_CALLERS[library](server.dsn()) as caller:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(
                    aenqueue(caller.connection, [message(4), message(5)], account=used_account), 0.2
                )
            await caller.rollback()
            await caller.execute("SELECT 1")
        other.rollback()
    assert keys(server, used_account) == []


def test_a_statement_timeout(server: Server, used_account: str) -> None:
    """A statement that PostgreSQL cancels raises `LedgerError`."""
    with CALLERS["psycopg"](server.dsn()) as other, CALLERS["Django"](server.dsn()) as caller:
        enqueue(other.connection, message(), account=used_account)
        caller.execute("SET statement_timeout = '10ms'")
        with pytest.raises(LedgerError, match="statement_timeout"):
            enqueue(caller.connection, message(), account=used_account)


@pytest.mark.parametrize(
    ("error", "is_of_the_database"),
    [
        (ConnectionResetError(errno.ECONNRESET, "reset"), True),
        (BrokenPipeError(errno.EPIPE, "pipe"), True),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), True),
        (TimeoutError(), False),
        (TimeoutError("of the caller"), False),
        (KeyError("of the caller"), False),
    ],
    ids=repr,
)
async def test_errors_of_the_socket(error: Exception, is_of_the_database: bool) -> None:
    """An error of the socket, which some drivers let pass, becomes a `LedgerError`. Other errors pass."""

    class Connection:
        async def fetchval(self, *arguments: object) -> str:  # noqa: ARG002 - the method of asyncpg
            raise error

    Connection.__module__ = "asyncpg.connection"
    with pytest.raises(LedgerError if is_of_the_database else type(error)) as caught:
        await aenqueue(Connection(), message())
    if is_of_the_database:
        assert "cannot be used" in str(caught.value)
        assert caught.value.__context__ is None
    else:
        assert caught.value is error


@pytest.mark.parametrize("library", CALLERS)
def test_a_lost_connection(library: str, server: Server, used_account: str) -> None:
    """If the connection was lost, `enqueue` raises `LedgerError`."""
    with CALLERS[library](server.dsn()) as caller:
        caller.execute("SELECT set_config('application_name', 'lost one', false)")
        server.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lost one'"
        )
        with pytest.raises(LedgerError, match="cannot be used"):
            enqueue(caller.connection, message(), account=used_account)
    assert keys(server, used_account) == []
