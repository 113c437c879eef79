"""Tests of workers that are killed or suspended, and of a server that crashes while workers send."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest

from smsapi_async import AsyncSmsClient
from smsapi_async.http.choice import Kind
from smsapi_async.ledger import Ledger, Summary
from smsapi_async.ledger.postgres import claims
from smsapi_async.ledger.postgres.postgres_queue import PostgresQueue
from smsapi_async.ledger.queue import DueClaim, DuePart
from smsapi_async.postgres import transactions
from smsapi_async.sandbox import run_sandbox
from tests.killable import Connection, Killable
from tests.ledger.tools import Place
from tests.postgres.server import Server
from tests.postgres.worker.kills import CONCURRENCY, killed_workers, restarted_server
from tests.postgres.worker.tools import change_request, end_claims, fill, messages

pytestmark = pytest.mark.anyio


@pytest.mark.timeout(150)
@pytest.mark.parametrize("kind", ["asyncio", "httpcore"])
async def test_killed_workers(server: Server, anyio_backend: str, kind: Kind) -> None:
    """After kills of workers that have sent, no message is sent twice or lost, and few are unknown."""
    if (anyio_backend, kind) == ("trio", "asyncio"):
        pytest.skip("the transport needs asyncio")
    found = await killed_workers(server, 4, 2, backend=anyio_backend, transport=kind)
    assert (found.duplicates, found.lost) == (0, 0)
    assert found.unknown_requests <= found.kills * CONCURRENCY
    assert found.summary.pending == found.summary.sending == 0


@pytest.mark.timeout(150)
async def test_a_server_that_crashes_loses_nothing(server: Server) -> None:
    """After crashes of the server, every message is sent once, and none is unknown."""
    found = await restarted_server(server, 3, 2)
    assert (found.duplicates, found.lost, found.unknown_requests) == (0, 0, 0)
    assert found.summary.accepted == 180


@pytest.mark.parametrize("is_committed", [True, False])
async def test_a_claim_whose_commit_is_lost(
    server: Server, place: Place, account: str, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    """If the connection is lost in the commit of a claim, its messages are sent once, and none is unknown."""
    commit = transactions.ServerConnection._commit
    losses = 3

    def lose(connection: Any) -> None:
        nonlocal losses
        if losses:
            losses -= 1
            if is_committed:
                commit(connection)
            connection.close()
        commit(connection)

    async with (
        run_sandbox() as sandbox,
        place() as ledger,
        AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url) as sms,
    ):
        await fill(server, account, ledger, messages(30))
        monkeypatch.setattr(transactions.ServerConnection, "_commit", staticmethod(lose))
        assert await sms.send_pending(ledger, once=True) == Summary(accepted=30, segments=30)
        assert losses == 0
        assert len({each.destination_address for each in sandbox.account.messages}) == 30
        assert await ledger.summary() == Summary(accepted=30, segments=30)


@pytest.fixture
def slow_commit(server: Server) -> Iterator[None]:
    """Let the server work for half a second on the commit of a claim of a request with the priority 7."""
    server.rows(
        "CREATE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$;"
        " CREATE CONSTRAINT TRIGGER slow_commit AFTER UPDATE ON smsapi.requests DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW WHEN (NEW.priority = 7 AND OLD.state = 'pending' AND NEW.state = 'sending')"
        " EXECUTE FUNCTION slow_commit()"
    )
    yield
    server.rows("DROP FUNCTION slow_commit CASCADE")


@pytest.mark.usefixtures("slow_commit")
async def test_a_commit_that_ends_after_its_connection(
    server: Server, place: Place, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the server commits a claim after the connection was lost, all messages are sent once."""
    commit, cuts = transactions.ServerConnection._commit, 0

    def cut(connection: Any) -> None:
        nonlocal cuts
        if not cuts:
            cuts += 1
            connection.pgconn.send_query(b"COMMIT")
            connection.close()
        commit(connection)

    async with (
        run_sandbox(latency=0.7) as sandbox,
        place() as ledger,
        AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url, concurrency=2) as sms,
    ):
        await fill(server, account, ledger, messages(6))
        change_request(server, account, "order 0", "priority = 7")
        monkeypatch.setattr(transactions.ServerConnection, "_commit", staticmethod(cut))
        assert await sms.send_pending(ledger, once=True) == Summary(accepted=6, segments=6)
        assert cuts == 1
        assert len({each.destination_address for each in sandbox.account.messages}) == 6
        assert await ledger.summary() == Summary(accepted=6, segments=6)


@pytest.mark.usefixtures("slow_commit")
async def test_a_release_waits_for_the_commit_of_its_claim(
    server: Server, place: Place, account: str
) -> None:
    """A claim that is given back during its slow commit is pending afterwards, and not unknown."""
    asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    async with place() as ledger, place() as other:
        await fill(server, account, ledger, messages(1))
        change_request(server, account, "order 0", "priority = 7")
        part = DuePart(["a", "b"], room=100, is_alone=True, unknown_limit=5)
        async with anyio.create_task_group() as group:
            group.start_soon(ledger.claim_due, part)  # type: ignore[attr-defined]
            with anyio.fail_after(10):
                while not server.rows(asleep):  # noqa: ASYNC110 - no event tells it
                    await anyio.sleep(0.01)
            await other.release_due(["a", "b"])  # type: ignore[attr-defined]
        assert await ledger.summary() == Summary(pending=1)


async def test_a_worker_that_is_cancelled_while_the_server_is_away(
    server: Server, place: Place, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that stops after a claim whose commit was lost gives the claimed messages back."""
    commit = transactions.ServerConnection._commit
    is_lost = anyio.Event()

    def lose(connection: Any) -> None:
        commit(connection)
        connection.close()
        commit(connection)

    async with (
        run_sandbox() as sandbox,
        place() as ledger,
        AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url) as sms,
    ):
        await fill(server, account, ledger, messages(5))
        monkeypatch.setattr(transactions.ServerConnection, "_commit", staticmethod(lose))
        async with anyio.create_task_group() as group:
            group.start_soon(partial(sms.send_pending, ledger, on_poll=lambda _: is_lost.set()))
            await is_lost.wait()
            monkeypatch.setattr(transactions.ServerConnection, "_commit", staticmethod(commit))
            group.cancel_scope.cancel()
    async with place() as ledger:
        assert await ledger.summary() == Summary(pending=5 - len(sandbox.account.messages))
        assert len(sandbox.account.messages) == 0


async def test_an_answer_that_comes_while_the_server_is_away(
    server: Server, place: Place, account: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker holds an answer while the server is away, records it later, and goes on."""
    async with (
        run_sandbox(latency=0.5) as sandbox,
        place() as ledger,
        AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url, concurrency=2) as sms,
    ):
        await fill(server, account, ledger, messages(4))
        async with anyio.create_task_group() as group:
            group.start_soon(sms.send_pending, ledger)
            with anyio.fail_after(10):
                while len(sandbox.account.messages) < 2:  # noqa: ASYNC110 - no event tells it
                    await anyio.sleep(0.01)
            await anyio.to_thread.run_sync(partial(server.restart, 2.5))
            with anyio.fail_after(20):
                while (await ledger.summary()).accepted < 4:  # noqa: ASYNC110 - no event tells it
                    await anyio.sleep(0.05)
            group.cancel_scope.cancel()
        assert await ledger.summary() == Summary(accepted=4, segments=4)
        assert len(sandbox.account.messages) == 4
    assert [each.getMessage() for each in caplog.records if "is back" in each.getMessage()]


async def _claim_once(report: Connection, dsn: str, account: str) -> None:
    async with Ledger.postgres(dsn, account=account) as ledger:
        part = DuePart(["a", "b"], room=100, is_alone=True, unknown_limit=5)
        claim = await ledger.claim_due(part)  # type: ignore[attr-defined]
        report.send(len(claim.requests))
        await anyio.sleep_forever()


def claiming_process(report: Connection, backend: str, *arguments: str) -> None:
    """Run a process that claims two requests and waits."""
    anyio.run(partial(_claim_once, report, *arguments), backend=backend)


async def test_durable_claims(server: Server, place: Place, account: str, anyio_backend: str) -> None:
    """A claim survives a crash of the server right after the claim, also with `synchronous_commit=off`."""
    server.rows("DROP ROLE IF EXISTS hasty")
    server.rows("CREATE ROLE hasty LOGIN SUPERUSER")
    server.rows("ALTER ROLE hasty SET synchronous_commit = off")
    async with place() as ledger:
        await fill(server, account, ledger, messages(3))
        with Killable(claiming_process, anyio_backend, server.dsn(user="hasty"), account) as process:
            assert await process.received() == 2
            await anyio.to_thread.run_sync(server.restart)
        assert await ledger.summary() == Summary(pending=1, sending=2)


async def _send_late(report: Connection, dsn: str, account: str, base_url: str, transport: Kind) -> None:
    async with (
        Ledger.postgres(dsn, account=account) as ledger,
        AsyncSmsClient("login", "password", base_url=base_url, transport=transport) as sms,
    ):
        await sms.balance()
        await sms.send_pending(ledger, on_poll=lambda _: report.send("poll"))


def suspended_worker(report: Connection, backend: str, *arguments: Any) -> None:
    """Run a worker that stops itself immediately after its first claim."""
    claims.CLAIM_SECONDS = 1.0  # type: ignore[misc]
    claim_due = PostgresQueue.claim_due
    is_first = True

    async def claim_and_stop(queue: PostgresQueue, part: DuePart) -> DueClaim:
        nonlocal is_first
        claim = await claim_due(queue, part)
        if is_first:
            is_first = False
            report.send("claimed")
            os.kill(os.getpid(), signal.SIGSTOP)
        return claim

    PostgresQueue.claim_due = claim_and_stop  # type: ignore[method-assign, assignment]
    anyio.run(partial(_send_late, report, *arguments), backend=backend)


@pytest.mark.parametrize("kind", ["asyncio", "httpcore"])
async def test_a_suspended_worker(
    server: Server, place: Place, account: str, anyio_backend: str, kind: Kind
) -> None:
    """A worker that was suspended until the end of its claim begins no request when it wakes."""
    if (anyio_backend, kind) == ("trio", "asyncio"):
        pytest.skip("the transport needs asyncio")
    async with run_sandbox(login="login", password="password") as sandbox, place() as ledger:
        await fill(server, account, ledger, messages(3))
        arguments = (anyio_backend, server.dsn(), account, sandbox.base_url, kind)
        with Killable(suspended_worker, *arguments) as process:
            assert await process.received() == "claimed"
            with anyio.fail_after(10):
                while (await ledger.summary()) != Summary(unknown=3):  # noqa: ASYNC110 - no event tells it
                    await anyio.sleep(0.05)
            process.signal(signal.SIGCONT)
            for _ in range(2):
                assert await process.received() == "poll"
        assert sandbox.account.messages == []
        end_claims(server, account)
        assert await ledger.summary() == Summary(unknown=3)


async def test_two_workers_of_one_ledger(server: Server, place: Place, account: str) -> None:
    """Two calls with one `Ledger` object send each message once."""
    async with (
        run_sandbox(latency=0.005) as sandbox,
        place() as ledger,
        AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url) as sms,
    ):
        await fill(server, account, ledger, messages(100))
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(partial(sms.send_pending, ledger, once=True))
        assert len(sandbox.account.messages) == 100
        assert await ledger.summary() == Summary(accepted=100, segments=100)
