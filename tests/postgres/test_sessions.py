"""Tests of the session store of `Shared`: one login for all machines, and one refusal."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import anyio
import psycopg
import pytest

from smsapi_async import AsyncSmsClient, InvalidCredentials, LedgerError, Secret, Session, Unauthorized
from smsapi_async.errors import Forbidden
from smsapi_async.postgres import Shared, login_lock
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.session import LoginRefusal
from tests.client.tools import client_for, until
from tests.killable import Connection, Killable, at_once
from tests.postgres.server import PASSWORD, Server

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Return a sandbox that runs on its own thread."""
    async with run_sandbox() as sandbox:
        yield sandbox


PROCESSES, CALLS = 4, 10
WRONG = "wrong-Passw0rd"
RESUME = "UPDATE smsapi.sessions SET refused_at = NULL WHERE account_id = %s"
NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


async def _call(report: Connection, dsn: str, account: str, base_url: str, password: str) -> None:
    results: list[object] = []

    async def balance() -> None:
        try:
            results.append(str(await sms.balance()))
        except Unauthorized as error:
            results.append((type(error).__name__, error.retry_after is not None))

    async with (
        Shared.postgres(dsn, account) as shared,
        AsyncSmsClient("login", password, base_url=base_url, session_store=shared.sessions) as sms,
    ):
        report.send("open")
        report.recv()
        async with anyio.create_task_group() as group:
            for _ in range(CALLS):
                group.start_soon(balance)
    report.send(results)


def run_process(report: Connection, backend: str, *arguments: str) -> None:
    """Run a process that makes its calls at once when the test allows it, and reports their results."""
    anyio.run(partial(_call, report, *arguments), backend=backend)


async def _results(server: Server, account: str, sandbox: Sandbox, backend: str, password: str) -> list[Any]:
    arguments = (backend, server.dsn(), account, sandbox.base_url, password)
    reports = await at_once(run_process, *arguments, count=PROCESSES)
    return [result for report in reports for result in report]


@pytest.mark.parametrize("is_right", [True, False])
async def test_one_login_of_many_processes(
    server: Server, account: str, anyio_backend_name: str, is_right: bool
) -> None:
    """Forty calls in four processes need one login, and with a wrong password they cause one refusal."""
    async with run_sandbox(login="login", password="password", latency=0.05) as sandbox:
        password = "password" if is_right else WRONG
        results = await _results(server, account, sandbox, anyio_backend_name, password)
        assert len(results) == PROCESSES * CALLS
        if is_right:
            assert set(results) == {str(sandbox.balance)}
        else:
            assert {name for name, _ in results} == {"InvalidCredentials"}
        assert sandbox.account.logins == 1


@pytest.mark.timeout(60)
async def test_the_process_that_logs_in_is_killed(
    server: Server, account: str, anyio_backend_name: str
) -> None:
    """If a process is killed in the middle of its login, another process logs in less than a second later."""
    async with (
        run_sandbox(login="login", password="password") as sandbox,
        Shared.postgres(server.dsn(), account) as shared,
        client_for(sandbox, session_store=shared.sessions) as sms,
        anyio.create_task_group() as group,
    ):
        arguments = (anyio_backend_name, server.dsn(), account, sandbox.base_url, "password")
        with sandbox.hold("User/SessionId") as gate, Killable(run_process, *arguments) as process:
            assert await process.received() == "open"
            process.connection.send("go")
            await gate.arrived(1)
            group.start_soon(sms.balance)
            await until(lambda: _lock_users(server) == 2)
            assert sandbox.account.logins == 1
            process.kill()
            killed = time.monotonic()
            await gate.arrived(2)
            assert time.monotonic() - killed < 1
            gate.release()
    assert sandbox.account.logins == 2


def _lock_users(server: Server) -> int:
    """Return the number of connections that hold the lock of a login, or try to get the lock."""
    tried = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT true AS got FROM smsapi.rates%'"
    return int(server.rows(tried)[0][0])


def _is_held(server: Server, account: str) -> bool:
    """Return whether a machine holds the lock of the account."""
    row = f"FROM smsapi.rates WHERE name = 'login' AND account_id = {_account_id(server, account)}"
    assert server.rows(f"SELECT 1 {row}") == [(1,)]
    return not server.rows(f"SELECT 1 {row} FOR UPDATE SKIP LOCKED")


@asynccontextmanager
async def _clients(
    server: Server, account: str, sandbox: Sandbox, *passwords: str, **options: Any
) -> AsyncIterator[list[AsyncSmsClient]]:
    """Return one client for each password. Each client has connections of its own."""
    async with AsyncExitStack() as opened:
        clients = []
        for password in passwords:
            shared = await opened.enter_async_context(Shared.postgres(server.dsn(), account))
            sms = client_for(sandbox, session_store=shared.sessions, password=password, **options)
            clients.append(await opened.enter_async_context(sms))
        yield clients


async def _refused(sms: AsyncSmsClient) -> InvalidCredentials:
    with pytest.raises(InvalidCredentials) as caught:
        await sms.balance()
    return caught.value


def _account_id(server: Server, account: str) -> int:
    return int(server.rows("SELECT id FROM smsapi.accounts WHERE name = %s", account)[0][0])


async def test_resume_allows_another_login(server: Server, account: str, sandbox: Sandbox) -> None:
    """After a refused login, no client logs in until the refusal is removed, as `postgres resume` does.

    The error of the other clients is the error of the refused login, with the rest of the cool-down.
    """
    async with _clients(server, account, sandbox, WRONG, WRONG) as (one, two):
        first = await _refused(one)
        second = await _refused(two)
        assert (second.code, second.description, second.http_status, second.hint) == (
            first.code, first.description, first.http_status, first.hint
        )  # fmt: skip
        assert 30 < (second.retry_after or 0) <= 60
        await _refused(one)
        assert sandbox.account.logins == 1
        server.rows(RESUME, _account_id(server, account))
        await _refused(one)
        assert sandbox.account.logins == 2
        await _refused(two)
        assert sandbox.account.logins == 2


async def test_the_cool_down_ends_for_all(server: Server, account: str, sandbox: Sandbox) -> None:
    """When the cool-down after a refused login has passed, all clients together make one other login."""
    earlier = "UPDATE smsapi.sessions SET refused_at = refused_at - interval '61 s' WHERE account_id = %s"
    async with _clients(server, account, sandbox, WRONG, WRONG) as (one, two):
        await _refused(one)
        server.rows(earlier, _account_id(server, account))
        await _refused(two)
        await _refused(one)
        assert sandbox.account.logins == 2


async def test_another_password_is_tried_at_once(server: Server, account: str, sandbox: Sandbox) -> None:
    """After a refused login, a client with the right password logs in at once; others use its session."""
    async with _clients(server, account, sandbox, WRONG, sandbox.password) as (wrong, right):
        await _refused(wrong)
        await right.balance()
        await wrong.balance()
    assert sandbox.account.logins == 2


async def test_two_wrong_passwords(server: Server, account: str, sandbox: Sandbox) -> None:
    """Clients with different wrong passwords log in once each, although the store keeps one refusal."""
    async with _clients(server, account, sandbox, WRONG, "another wrong one") as clients:
        for _ in range(3):
            for sms in clients:
                await _refused(sms)
    assert sandbox.account.logins == 2


async def test_the_store_returns_what_was_saved(server: Server, account: str) -> None:
    """The store returns the session or the refusal that another machine saved last."""
    refusal = LoginRefusal(Forbidden(7, "no \0 \ud800", 403), "salt:mark")
    async with Shared.postgres(server.dsn(), account) as one, Shared.postgres(server.dsn(), account) as two:
        assert await two.sessions.load() is None
        assert await two.sessions.load_refusal() is None
        await one.sessions.save_refusal(refusal)
        found = await two.sessions.load_refusal()
        assert found is not None
        assert (type(found.error), found.error.args, found.mark) == (
            Forbidden, refusal.error.args, refusal.mark
        )  # fmt: skip
        assert 0 <= found.age < 60
        for number in range(2):
            session = Session(Secret(f"session {number}"), NOW + timedelta(hours=number))
            await one.sessions.save(session)
            assert await two.sessions.load() == session
            assert await two.sessions.load_refusal() is None


async def test_accounts_have_sessions_of_their_own(server: Server, account: str) -> None:
    """Two accounts in one database do not share a session, and do not wait for each other's logins."""
    async with (
        Shared.postgres(server.dsn(), account) as one,
        Shared.postgres(server.dsn(), f"{account} 2") as two,
    ):
        await one.sessions.save(Session(Secret("session"), NOW))
        assert await two.sessions.load() is None
        with anyio.fail_after(10):
            async with one.sessions.login_lock(), two.sessions.login_lock():
                pass


async def test_only_one_holds_the_lock(server: Server, account: str) -> None:
    """Of many tasks of two machines, one at a time holds the lock, and each gets the lock."""
    held: list[int] = []

    async def hold(shared: Shared, number: int) -> None:
        async with shared.sessions.login_lock():
            held.append(number)
            await anyio.sleep(0.01)
            assert held[-1] == number

    async with (
        Shared.postgres(server.dsn(), account) as one,
        Shared.postgres(server.dsn(), account) as two,
        anyio.create_task_group() as group,
    ):
        for number in range(8):
            group.start_soon(hold, (one, two)[number % 2], number)
    assert len(held) == 8


async def test_a_cancelled_wait_leaves_no_lock(server: Server, account: str) -> None:
    """If a task is cancelled while it waits for the lock, the next task gets the lock."""
    async with Shared.postgres(server.dsn(), account) as shared:
        async with shared.sessions.login_lock():
            with anyio.move_on_after(0.05) as scope:
                async with shared.sessions.login_lock():
                    raise AssertionError("two tasks hold the lock")
            assert scope.cancelled_caught
        with anyio.fail_after(10):
            async with shared.sessions.login_lock():
                assert _is_held(server, account)
            # The release has ended before the block ends.
            assert not _is_held(server, account)


async def test_a_role_that_ends_idle_transactions(server: Server, account: str) -> None:
    """A role whose idle transactions end after a tenth of a second does not lose the lock during a login."""
    server.rows("DROP ROLE IF EXISTS hasty")
    server.rows("CREATE ROLE hasty LOGIN SUPERUSER")
    for setting in ("idle_in_transaction_session_timeout = '100ms'", "default_transaction_read_only = on"):
        server.rows(f"ALTER ROLE hasty SET {setting}")
    async with Shared.postgres(server.dsn(user="hasty"), account) as shared, shared.sessions.login_lock():
        await anyio.sleep(0.3)
        assert _is_held(server, account)


async def test_the_database_is_away(
    server: Server, account: str, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """While the database is away, a client logs in on its own; the log has no password and no session id."""
    caplog.set_level(logging.DEBUG)
    async with _clients(server, account, sandbox, sandbox.password) as (sms,):
        with server.away():
            await sms.balance()
        assert "LedgerUnwritable" in caplog.text
        assert PASSWORD not in caplog.text
        (session_id,) = dict(sandbox.account.arrivals[-1].given).values()
        assert session_id not in caplog.text


async def test_the_lock_while_the_database_is_away(server: Server, account: str) -> None:
    """While the database is away, the lock raises an error that names the database without the password."""
    async with Shared.postgres(server.dsn(), account) as shared:
        lock = shared.sessions.login_lock()
        with server.away(), pytest.raises(LedgerError, match="cannot be used") as caught:
            await lock.__aenter__()
        assert PASSWORD not in repr(caught.value)
        async with shared.sessions.login_lock():
            # The server ends the connection of the holder: the lock is gone, and the block ends all the same.
            server.restart()


async def test_the_session_is_for_workers_alone(server: Server, account: str) -> None:
    """A role without rights on the tables, such as the role of a web backend, cannot read the session id."""
    server.rows("DROP ROLE IF EXISTS stranger")
    server.rows("CREATE ROLE stranger LOGIN")
    async with Shared.postgres(server.dsn(), account) as shared:
        await shared.sessions.save(Session(Secret("session"), NOW))
    with (
        psycopg.connect(server.dsn(user="stranger")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT session_id FROM smsapi.sessions")


async def test_other_roles_cannot_prevent_a_login(server: Server, account: str) -> None:
    """A role without rights on the tables cannot lock what a login locks."""
    server.rows("DROP ROLE IF EXISTS bystander")
    server.rows("CREATE ROLE bystander LOGIN")
    server.rows("GRANT USAGE ON SCHEMA smsapi TO bystander")
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    try:
        async with Shared.postgres(server.dsn(), account) as shared, shared.sessions.login_lock():
            assert server.rows(held) == [(0,)]
            with (
                psycopg.connect(server.dsn(user="bystander")) as connection,
                pytest.raises(psycopg.errors.InsufficientPrivilege),
            ):
                connection.execute("SELECT FROM smsapi.rates FOR UPDATE")
    finally:
        server.rows("DROP OWNED BY bystander")


async def test_a_lock_that_is_never_released_ends(
    server: Server, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock whose event loop has ended becomes free after some minutes, although the process continues."""
    monkeypatch.setattr(login_lock, "_LONGEST_HOLD", 0.05)
    async with Shared.postgres(server.dsn(), account) as shared:
        await shared.sessions.login_lock().__aenter__()
        with anyio.fail_after(10):
            async with shared.sessions.login_lock():
                pass
