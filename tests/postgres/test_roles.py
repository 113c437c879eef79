"""Tests of roles: exactly one worker holds a role, and another takes over after a kill."""

import signal
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import anyio
import pytest

from smsapi_async.errors import LedgerError, LedgerInUse, ValidationError
from smsapi_async.ledger import Ledger
from smsapi_async.ledger.postgres import roles
from tests.killable import Connection, Killable
from tests.ledger.tools import PLACES, Place
from tests.postgres.server import Server

pytestmark = pytest.mark.anyio
KILLS = 3
LEASE = 3.0


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the lease short, so that a test does not wait for long."""
    monkeypatch.setattr(roles, "LEASE_SECONDS", LEASE)


async def hold(report: Connection, dsn: str, account: str) -> None:
    """Wait for the role, and report the beginning and the end of the work."""
    async with Ledger.postgres(dsn, account=account) as ledger:
        while True:
            try:
                async with ledger.role("follow"):
                    try:
                        report.send("begun")
                        await anyio.sleep_forever()
                    finally:
                        report.send("ended")
            except LedgerInUse:
                report.send("lost")


def run_process(report: Connection, backend: str, dsn: str, account: str) -> None:
    """Run a process that holds the role as soon as it is free."""
    roles.LEASE_SECONDS = LEASE  # type: ignore[misc]
    anyio.run(partial(hold, report, dsn, account), backend=backend)


async def first_to_send(processes: list[Killable]) -> Killable:
    """Return the first process that sends something, without receiving it."""
    found: list[Killable] = []

    async def wait(process: Killable) -> None:
        await anyio.wait_readable(process.connection.fileno())
        found.append(process)
        group.cancel_scope.cancel()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for process in processes:
                group.start_soon(wait, process)
    return found[0]


async def test_changes_of_holder_are_kills(
    server: Server, place: Place, account: str, anyio_backend_name: str
) -> None:
    """Exactly one of several workers holds the role. The next one begins only after a kill of the holder."""
    async with place():
        pass
    arguments = (anyio_backend_name, server.dsn(), account)
    holders = 0
    async with AsyncExitStack() as stack:
        processes = [stack.enter_context(Killable(run_process, *arguments)) for _ in range(KILLS + 1)]
        while processes:
            holder = await first_to_send(processes)
            assert await holder.received() == "begun"
            holders += 1
            # Longer than a lease, nobody else begins.
            await anyio.sleep(LEASE + 0.5)
            assert not any(each.connection.poll() for each in processes)
            processes.remove(holder)
            holder.kill()
    assert holders == KILLS + 1


async def test_a_suspended_holder(
    server: Server, place: Place, account: str, anyio_backend_name: str
) -> None:
    """A holder that was suspended for longer than its lease ends its work when it continues."""
    async with place() as ledger:
        with Killable(run_process, anyio_backend_name, server.dsn(), account) as process:
            assert await process.received() == "begun"
            process.signal(signal.SIGSTOP)
            async with ledger.role("follow", timeout=30):
                process.signal(signal.SIGCONT)
                assert await process.received() == "ended"
                assert await process.received() == "lost"
            assert await process.received() == "begun"


async def test_the_end_of_the_block_frees_the_role(place: Place) -> None:
    """When the holder leaves its block, the next worker begins at once, and one worker works at a time."""
    working, most, done = 0, 0, 0

    async def work() -> None:
        nonlocal working, most, done
        async with place() as ledger, ledger.role("follow"):
            working += 1
            most = max(most, working)
            await anyio.sleep(0.05)
            working -= 1
            done += 1

    with anyio.fail_after(roles.LEASE_SECONDS):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(work)
    assert (most, done) == (1, 3)


@pytest.mark.usefixtures("short_lease")
async def test_a_lost_role_ends_the_work(server: Server, place: Place) -> None:
    """If the server is away for longer than the lease, the block is cancelled, and the error tells why."""
    is_cancelled = False
    async with place() as ledger:
        with pytest.raises(LedgerInUse, match="the role 'follow' was lost"):
            async with ledger.role("follow"):
                with server.away():
                    try:
                        await anyio.sleep(60)
                    except anyio.get_cancelled_exc_class():
                        is_cancelled = True
                        raise
        # The next attempt waits until the server is there.
        async with ledger.role("follow", timeout=30):
            pass
    assert is_cancelled


async def test_a_short_restart_of_the_server(server: Server, place: Place) -> None:
    """A restart of the server that is shorter than the lease does not end the work."""
    async with place() as ledger, place() as other, ledger.role("follow"):
        server.restart()
        await anyio.sleep(2.5)
        with pytest.raises(LedgerInUse, match="held by another worker"):
            await other.role("follow", timeout=0.1).__aenter__()


@pytest.mark.usefixtures("short_lease")
async def test_a_role_that_another_worker_took(server: Server, place: Place, account: str) -> None:
    """If the row says that another worker holds the role, the block is cancelled within seconds."""
    async with place() as ledger:
        with pytest.raises(LedgerInUse), anyio.fail_after(2.5):
            async with ledger.role("follow"):
                server.rows(
                    "UPDATE smsapi.roles SET holder = 'x', until = 'infinity'"
                    " WHERE account_id = (SELECT id FROM smsapi.accounts WHERE name = %s)",
                    account,
                )
                await anyio.sleep_forever()


@pytest.mark.usefixtures("short_lease")
async def test_a_blocked_event_loop(place: Place) -> None:
    """If the event loop of the holder is blocked for longer than the lease, the block ends with an error."""
    async with place() as ledger:
        with pytest.raises(LedgerInUse):
            async with ledger.role("follow"):
                time.sleep(LEASE)  # noqa: ASYNC251


@pytest.fixture(params=list(PLACES))
def any_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return a place of each implementation."""
    return PLACES[request.param](tmp_path)


async def test_roles_of_one_ledger(any_place: Place) -> None:
    """In each ledger, two names are two roles, and a timeout ends the wait for a role of another task."""
    async with any_place() as ledger, ledger.role("follow"), ledger.role("incoming"):
        with pytest.raises(LedgerInUse, match="'follow' is held by another"):
            await ledger.role("follow", timeout=0.05).__aenter__()
    async with any_place() as ledger, ledger.role("follow", timeout=5):
        pass


@pytest.mark.parametrize(("name", "seconds"), [("", None), (None, None), ("a\0", None), ("a", 0), ("a", "1")])
async def test_wrong_arguments(any_place: Place, name: str, seconds: float | None) -> None:
    """A wrong name or a wrong timeout is refused before any request."""
    async with any_place() as ledger:
        with pytest.raises(ValidationError, match="name" if seconds is None else "timeout"):
            ledger.role(name, timeout=seconds)


async def test_the_error_of_the_block_is_raised(any_place: Place) -> None:
    """An error in the block is raised unchanged, and the role is free afterwards."""
    async with any_place() as ledger:
        with pytest.raises(KeyError, match="mine"):
            async with ledger.role("follow"):
                raise KeyError("mine")
        async with ledger.role("follow", timeout=5):
            pass


async def test_a_cancelled_wait(any_place: Place) -> None:
    """A cancelled wait for a role leaves the role to the others."""
    async with any_place() as ledger:
        for seconds in (0.0, 0.001, 0.01, 0.05):
            with anyio.move_on_after(seconds):
                async with ledger.role("follow"):
                    await anyio.sleep_forever()
        async with ledger.role("follow", timeout=roles.LEASE_SECONDS + 5):
            pass


async def test_a_closed_ledger(place: Place) -> None:
    """A role of a closed ledger is refused."""
    ledger = place()
    with pytest.raises(LedgerError, match="not open"):
        ledger.role("follow")
