"""Tests of the pace of `Shared`, for all machines together."""

import logging
import math
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from smsapi_async import AsyncSmsClient, LedgerError, Message, NotSent, TransportFailed, ValidationError
from smsapi_async.postgres import Shared, shared_pace
from smsapi_async.postgres.shared_pace import SharedPace
from smsapi_async.sandbox import run_sandbox
from tests.client.tools import NUMBER, TEXT, client_for, until
from tests.killable import Connection, at_once
from tests.postgres.server import PASSWORD, Server

pytestmark = pytest.mark.anyio
PROCESSES, CONCURRENCY, SENDS = 4, 10, 40
LIMIT = 50
SET_TIME = (
    "UPDATE smsapi.rates SET tat = clock_timestamp() + %s::interval"
    " WHERE account_id = (SELECT id FROM smsapi.accounts WHERE name = %s)"
)


@pytest.fixture
async def shared(server: Server, account: str) -> AsyncIterator[Shared]:
    """Return the open shared objects of the new account."""
    async with Shared.postgres(server.dsn(), account) as opened:
        yield opened


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list to which each reservation of the server adds its number of requests."""
    found: list[int] = []
    reserve = shared_pace._reserve

    def counting(transaction: Any, account_id: int, count: int, interval: float) -> Any:
        found.append(count)
        return reserve(transaction, account_id, count, interval)

    monkeypatch.setattr(shared_pace, "_reserve", counting)
    return found


async def _waits(pace: SharedPace, count: int, tasks: int = 1) -> list[float]:
    """Wait for the pace in several tasks, and return the sorted times of the permissions."""
    times: list[float] = []

    async def wait() -> None:
        for _ in range(count // tasks):
            await pace.wait()
            times.append(time.monotonic())

    async with anyio.create_task_group() as group:
        for _ in range(tasks):
            group.start_soon(wait)
    return sorted(times)


def most_in_a_second(times: list[float]) -> int:
    """Return the largest number of times in any second."""
    return max(sum(start <= each < start + 1 for each in times) for start in times)


async def _send(report: Connection, dsn: str, account: str, base_url: str) -> None:
    async with (
        Shared.postgres(dsn, account) as shared,
        AsyncSmsClient(
            "login",
            "password",
            base_url=base_url,
            source_address="Shop",
            concurrency=CONCURRENCY,
            session_store=shared.sessions,
            pace=shared.pace(per_second=LIMIT),
        ) as sms,
    ):
        report.send("open")
        report.recv()
        async with anyio.create_task_group() as group:
            for _ in range(SENDS):
                group.start_soon(sms.send, NUMBER, TEXT)
    report.send("sent")


def run_process(report: Connection, backend: str, *arguments: str) -> None:
    """Run a process that sends its messages when the test allows it."""
    anyio.run(partial(_send, report, *arguments), backend=backend)


async def _sends_of_processes(server: Server, account: str, backend: str) -> list[float]:
    """Send from four processes at the same time, and return the times at which the gateway got the sends."""
    async with run_sandbox(login="login", password="password") as sandbox:
        arguments = (backend, server.dsn(), account, sandbox.base_url)
        reports = await at_once(run_process, *arguments, count=PROCESSES)
        assert reports == ["sent"] * PROCESSES
        assert sandbox.account.logins <= 1
        return [each.at.timestamp() for each in sandbox.account.arrivals if each.resource == "Sms/Send"]


@pytest.mark.timeout(120)
async def test_four_processes(server: Server, account: str, anyio_backend_name: str) -> None:
    """Four processes that send as fast as they may never exceed the limit by more than 3 % in any second."""
    most: list[int] = []
    # On a busy machine, a request can need 50 ms from its process to the sandbox. No pace can prevent this.
    while len(most) < 3 and (not most or most[-1] > LIMIT * 1.03):
        # A new gateway would refuse the session of the gateway before.
        sends = await _sends_of_processes(server, f"{account} {len(most)}", anyio_backend_name)
        assert len(sends) == PROCESSES * SENDS
        most.append(most_in_a_second(sends))
    assert min(most) <= LIMIT * 1.03


async def test_two_machines(server: Server, account: str) -> None:
    """Two machines together get as many permissions as one machine, and no machine gets all of them."""
    async with Shared.postgres(server.dsn(), account) as one, Shared.postgres(server.dsn(), account) as two:
        times: list[list[float]] = [[], []]

        async def wait(shared: Shared, place: int) -> None:
            times[place] = await _waits(shared.pace(per_second=100), 60, tasks=6)

        started = time.monotonic()
        async with anyio.create_task_group() as group:
            group.start_soon(wait, one, 0)
            group.start_soon(wait, two, 1)
        assert times[0][0] < times[1][-1]
        assert times[1][0] < times[0][-1]
        assert time.monotonic() - started > 1.1


@pytest.mark.parametrize("tasks", [1, 20])
async def test_lots(shared: Shared, counts: list[int], tasks: int) -> None:
    """With 1,000 requests per second, one update of the database allows up to ten requests."""
    times = await _waits(shared.pace(per_second=1000), 400, tasks)
    assert times[-1] - times[0] > 0.35
    assert max(counts) >= 10
    assert len(counts) < 100


async def test_a_batch_needs_few_updates(shared: Shared, counts: list[int]) -> None:
    """A batch of 300 requests at 1,000 per second needs some 30 updates and not 300."""
    async with (
        run_sandbox() as sandbox,
        client_for(sandbox, pace=shared.pace(1000), session_store=shared.sessions) as sms,
        sms.send_many([Message(NUMBER, f"text {number}", key=str(number)) for number in range(300)]) as sent,
    ):
        assert len([outcome async for outcome in sent]) == 300
    assert len(counts) < 150


async def test_a_pause_earns_no_burst(shared: Shared) -> None:
    """After a pause, the requests begin as slowly as before: permissions that nobody used expire."""
    pace = shared.pace(per_second=10)
    await pace.wait()
    with anyio.move_on_after(0.08):
        # These waits reserve two times that nobody uses.
        await _waits(pace, 3, tasks=3)
    await anyio.sleep(0.5)
    times = await _waits(pace, 4, tasks=4)
    # Each request can be late by the lateness that the pace allows.
    assert times[-1] - times[0] >= 3 / 10 - 0.03


async def test_cancelled_waits_give_nothing_back(shared: Shared) -> None:
    """Cancelled waits make the other requests neither faster nor much slower."""
    pace = shared.pace(per_second=2)
    await pace.wait()
    for _ in range(20):
        with anyio.move_on_after(0.002):
            await pace.wait()
            raise AssertionError("the pace allowed a request too early")
    started = time.monotonic()
    times = await _waits(pace, 4, tasks=2)
    # The cancelled waits have reserved one time, or two, and not twenty.
    assert times[0] - started < 5
    assert times[-1] - times[0] >= 3 / 2 - 0.03


async def test_the_first_in_the_line(shared: Shared) -> None:
    """Calls get their permission in the order in which they asked."""
    pace, asked, order = shared.pace(per_second=200), list[int](), list[int]()

    async def wait(number: int) -> None:
        asked.append(number)
        await pace.wait()
        order.append(number)

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(wait, number)
    assert len(order) == 20
    assert order == asked


async def test_a_slow_event_loop(shared: Shared) -> None:
    """If the event loop reacts too late again and again, requests still begin."""

    async def block(cancelled: anyio.CancelScope) -> None:
        with cancelled:
            while True:
                time.sleep(0.06)  # noqa: ASYNC251 - the test blocks the event loop
                await anyio.lowlevel.checkpoint()

    scope = anyio.CancelScope()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(block, scope)
            await _waits(shared.pace(per_second=200), 10)
            scope.cancel()


async def test_many_machines_wait(shared: Shared, server: Server, account: str) -> None:
    """A machine waits if other machines have reserved the next second."""
    pace = shared.pace(per_second=100)
    await pace.wait()
    server.rows(SET_TIME, "1 s", account)
    started = time.monotonic()
    await pace.wait()
    assert time.monotonic() - started > 0.5


@pytest.mark.timeout(30)
async def test_a_clock_that_was_wrong(shared: Shared, server: Server, account: str) -> None:
    """If the clock of the server is set back by an hour, requests do not wait for an hour."""
    pace = shared.pace(per_second=100)
    await pace.wait()
    server.rows(SET_TIME, "1 h", account)
    for _ in range(3):
        await pace.wait()


async def test_a_slow_pace(shared: Shared) -> None:
    """With less than one request per second, only the first request begins soon."""
    pace = shared.pace(per_second=0.5)
    with anyio.fail_after(30):
        await pace.wait()
    with anyio.move_on_after(0.1) as scope:
        await pace.wait()
    assert scope.cancelled_caught


async def test_sends_wait_while_the_database_is_away(
    shared: Shared, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """While the database is away, a send waits, or is not sent after its timeout; then it is sent."""
    caplog.set_level(logging.DEBUG)
    async with run_sandbox() as sandbox, client_for(sandbox, pace=shared.pace(per_second=50)) as sms:
        await sms.send(NUMBER, TEXT)
        async with anyio.create_task_group() as group:
            with server.away():
                with pytest.raises(NotSent):
                    await sms.send(NUMBER, TEXT, timeout=0.3)
                group.start_soon(sms.send, NUMBER, TEXT)
                await until(lambda: "no request begins" in caplog.text)
                assert len(sandbox.account.messages) == 1
        assert len(sandbox.account.messages) == 2
    assert PASSWORD not in caplog.text


async def test_a_long_absence_is_an_error(
    shared: Shared, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the database stays away, a send raises `NotSent` and a read `TransportFailed`, with the cause."""
    monkeypatch.setattr(shared_pace, "PATIENCE", 0.2)
    async with run_sandbox() as sandbox, client_for(sandbox, pace=shared.pace(per_second=50)) as sms:
        await sms.balance()
        with server.away():
            with pytest.raises(
                NotSent, match=r"pace cannot be used: postgresql:.* no server listens"
            ) as sent:
                await sms.send(NUMBER, TEXT)
            with pytest.raises(TransportFailed, match="pace cannot be used"):
                await sms.balance()
        assert PASSWORD not in str(sent.value)
        await sms.send(NUMBER, TEXT)
    assert len(sandbox.account.messages) == 1


async def test_missing_tables_are_an_error_at_once(shared: Shared, server: Server) -> None:
    """If the tables are missing, a wait does not last for the time that an absence of the server may last."""
    pace = shared.pace(per_second=50)
    server.rows("ALTER TABLE smsapi.rates RENAME TO hidden")
    try:
        with anyio.fail_after(10), pytest.raises(LedgerError, match="postgres init"):
            await pace.wait()
    finally:
        server.rows("ALTER TABLE smsapi.hidden RENAME TO rates")
    await pace.wait()


async def test_a_locked_row_does_not_block_the_event_loop(shared: Shared, server: Server) -> None:
    """While another transaction holds the row, other tasks run, and the wait ends after the transaction."""
    pace = shared.pace(per_second=100)
    await pace.wait()
    import psycopg  # noqa: PLC0415 - the package may be missing

    with psycopg.connect(server.dsn()) as connection:
        connection.execute("SELECT * FROM smsapi.rates FOR UPDATE")
        with anyio.move_on_after(0.2) as scope:
            await pace.wait()
        assert scope.cancelled_caught
    await pace.wait()


async def test_the_settings_of_a_role(server: Server, account: str) -> None:
    """A role whose transactions are read-only or serializable can use the pace."""
    server.rows("DROP ROLE IF EXISTS strict_pace")
    server.rows("CREATE ROLE strict_pace LOGIN SUPERUSER")
    for setting in ("default_transaction_read_only = on", "default_transaction_isolation = 'serializable'"):
        server.rows(f"ALTER ROLE strict_pace SET {setting}")
    async with Shared.postgres(server.dsn(user="strict_pace"), account) as shared:
        assert len(await _waits(shared.pace(per_second=500), 20, tasks=4)) == 20


async def test_the_pace_of_a_closed_object(server: Server, account: str) -> None:
    """Before and after the block of `Shared`, a wait raises an error that says what to do."""
    shared = Shared.postgres(server.dsn(), account)
    pace = shared.pace(per_second=50)
    with pytest.raises(LedgerError, match="use `async with Shared"):
        await pace.wait()
    async with shared:
        await pace.wait()
    with pytest.raises(LedgerError, match="use `async with Shared"):
        await pace.wait()


@pytest.mark.parametrize(
    "per_second", [0, -1, True, None, "50", math.nan, math.inf, 1e-9, 1e9, 10**400], ids=ascii
)
async def test_a_bad_limit(server: Server, per_second: Any) -> None:
    """A limit that is not a usable number is refused before any request."""
    with pytest.raises(ValidationError, match="per_second"):
        Shared.postgres(server.dsn()).pace(per_second=per_second)


async def test_the_repr_of_a_pace(server: Server, account: str) -> None:
    """The repr of a pace shows the limit and the account, and not the password of the DSN."""
    shown = repr(Shared.postgres(server.dsn(), account).pace(per_second=0.5))
    assert "per_second=0.5" in shown
    assert account in shown
    assert PASSWORD not in shown
