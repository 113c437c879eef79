"""Tests of a ledger after a killed process, with a second process, and with a file that cannot be written."""

import pickle
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest

from smsapi_async.errors import LedgerError
from smsapi_async.ledger import InFlight, Ledger, LedgerInUse, LedgerUnwritable, Summary
from smsapi_async.outcomes import Accepted, Unknown
from tests.ledger.tools import accepted, claim_many, execute, keyed, message, recorded, start_child

pytestmark = pytest.mark.anyio

# The program `SENDER` claims 30 messages (reserves them for sending), settles 10 (records their outcomes) and
# releases 5 (makes them pending again). The other 15 messages stay in flight until the standard input of the
# program is closed.
SENDER = """
import sys, anyio
from smsapi_async.ledger import Ledger
from tests.ledger.tools import accepted, claim_many

async def main():
    async with Ledger.sqlite(sys.argv[1]) as ledger:
        await claim_many(ledger, 10, token="accepted")
        await claim_many(ledger, 15, 10, token="in flight")
        await claim_many(ledger, 5, 25, token="released")
        await ledger.settle("accepted", accepted(*map(str, range(10))))
        await ledger.release("released")
        print("sending", flush=True)
        sys.stdin.read()

anyio.run(main, backend=sys.argv[2])
"""

# The program `SHORT_OF_DISK` limits the size of its files to 200,000 bytes with RLIMIT_FSIZE, because a write
# beyond the limit fails in the same way as a write to a full disk.
SHORT_OF_DISK = """
import resource, sys, anyio
from smsapi_async.ledger import Ledger, LedgerUnwritable
from tests.ledger.tools import accepted, keyed

async def main():
    async with Ledger.sqlite(sys.argv[1]) as ledger:
        await ledger.claim("first", keyed(ledger, 10))
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        try:
            for first in range(100, 20000, 4000):
                await ledger.claim(str(first), keyed(ledger, 4000, first=first))
        except LedgerUnwritable as error:
            print(error, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await ledger.settle("first", accepted(*map(str, range(10))))
        print((await ledger.summary()).accepted, flush=True)

anyio.run(main, backend=sys.argv[2])
"""


# The program changes to the user 65534 (nobody), because the superuser can write even a read-only file. The
# program imports all modules before it changes the user, because the user nobody may not be able to read the
# modules.
WITHOUT_PERMISSION = """
import os, sys, anyio
import smsapi_async.ledger.sqlite.all_records
from smsapi_async.ledger import Ledger, LedgerUnwritable
from anyio._backends import _asyncio, _trio

async def main():
    if os.geteuid() == 0:
        os.setuid(65534)
    try:
        async with Ledger.sqlite(sys.argv[1]) as ledger:
            print("opened")
    except LedgerUnwritable as error:
        print("unwritable")

anyio.run(main, backend=sys.argv[2])
"""


def restrict(directory: str, what: str) -> None:
    """Make a directory and the files in the directory read-only for all users.

    Args:
        directory: the path of the directory to restrict.
        what: the kind of test case. ``"file"`` keeps the files in the directory. ``"directory"`` deletes the
            files, so that only the directory is read-only.
    """
    for each in Path(directory).iterdir():
        each.chmod(0o444)
        if what == "directory":
            each.unlink()
    Path(directory).chmod(0o555)


async def test_a_killed_process_leaves_unknowns(path: Path, anyio_backend: str) -> None:
    """If a process is killed with SIGKILL, another process can open the ledger of the killed process.

    The messages that were in flight when the process was killed have the state unknown.
    """
    with start_child(SENDER, path, anyio_backend) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "sending\n"
        child.kill()
    async with Ledger.sqlite(path, read_only=True) as reader:
        assert await reader.summary() == Summary(pending=5, unknown=15, accepted=10, segments=10)
        assert len([each async for each in reader.unknown()]) == 15
    async with Ledger.sqlite(path) as ledger:
        assert await ledger.summary() == Summary(pending=5, unknown=15, accepted=10, segments=10)
        claimed = await ledger.claim("again", keyed(ledger, 30))
    assert all(isinstance(outcome, Accepted) for outcome in claimed[:10])
    assert all(isinstance(outcome, Unknown) for outcome in claimed[10:25])
    assert claimed[25:] == [None] * 5
    assert sorted(each.name for each in path.parent.iterdir()) == ["run.db", "run.db-lock"]


async def test_another_process_is_kept_out(path: Path, anyio_backend: str) -> None:
    """While one process has a ledger open for writing, other processes can open this ledger only for reading.

    A second writer gets `LedgerInUse`.
    """
    with start_child(SENDER, path, anyio_backend) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "sending\n"
        with pytest.raises(LedgerInUse, match="is in use; a ledger can have only one writer"):
            await Ledger.sqlite(path).__aenter__()
        async with Ledger.sqlite(path, read_only=True) as reader:
            assert (await reader.summary()).sending == 15
            assert len(await recorded(reader)) == 10
        child.communicate("")
    assert child.returncode == 0


async def test_a_file_that_cannot_grow(path: Path, anyio_backend: str) -> None:
    """If the ledger file cannot grow, `claim` raises `LedgerUnwritable` and claims no message.

    When the file can grow again, the outcomes of earlier claims can be recorded.
    """
    with start_child(SHORT_OF_DISK, path, anyio_backend) as child:
        words, _ = child.communicate()
    assert child.returncode == 0
    assert "cannot be written" in words
    assert "a message that cannot be recorded in the ledger is not sent" in words
    assert words.endswith("10\n")
    async with Ledger.sqlite(path) as ledger:
        summary = await ledger.summary()
    assert summary.accepted == 10
    assert summary.unknown % 4000 == 0


async def test_a_full_disk_claims_nothing(path: Path) -> None:
    """If the disk is full, `claim` claims none of its messages.

    When the disk has free space again, a second call of `claim` with these messages succeeds.
    """
    async with Ledger.sqlite(path) as ledger:
        await claim_many(ledger, 10)
        await execute(ledger, "PRAGMA max_page_count = 14")
        with pytest.raises(LedgerUnwritable, match="the disk is full"):
            await ledger.claim("full", keyed(ledger, 2000, first=10))
        assert await ledger.summary() == Summary(sending=10)
        await execute(ledger, "PRAGMA max_page_count = 100000")
        await claim_many(ledger, 2000, first=10, token="again")


@pytest.mark.parametrize("end", ["settle", "release"])
async def test_an_end_that_cannot_be_written_leaves_an_unknown(path: Path, end: str) -> None:
    """If `settle` or `release` cannot be written, it raises `LedgerUnwritable`, and the message is unknown.

    A sender that waits for the message is woken, and gets the unknown outcome when the file is writable.
    """
    found: list[object] = []

    async def wait() -> None:
        (other,) = await ledger.claim("waiting", keyed(ledger, 1))
        assert other == InFlight("many")
        await ledger.wait("many")
        await execute(ledger, "PRAGMA query_only = OFF")
        found.extend(await ledger.claim("waiting", keyed(ledger, 1)))

    async with Ledger.sqlite(path) as ledger:
        (key,) = await claim_many(ledger, 1)
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await until_waiting(ledger)
            # With `query_only`, SQLite refuses each write with the same error as for a read-only file.
            await execute(ledger, "PRAGMA query_only = ON")
            with pytest.raises(LedgerUnwritable, match="the file is read-only"):
                await (ledger.settle("many", accepted()) if end == "settle" else ledger.release("many"))
        assert found == [
            Unknown(message=message(), reason="the outcome was not recorded", key=key, recorded=True)
        ]
        assert await ledger.summary() == Summary(unknown=1)
        await ledger.settle("many", accepted("late"))
        assert await ledger.summary() == Summary(accepted=1, segments=1)


async def until_waiting(ledger: Ledger) -> None:
    """Wait until another task waits in `Ledger.wait`."""
    await anyio.wait_all_tasks_blocked()
    await ledger.summary()
    await anyio.wait_all_tasks_blocked()


async def test_a_read_only_file_claims_nothing(path: Path) -> None:
    """If the file of an open ledger becomes read-only, no message is claimed, recorded or resolved."""
    async with Ledger.sqlite(path) as ledger:
        await claim_many(ledger, 1)
        await execute(ledger, "PRAGMA query_only = ON")
        for work in (
            lambda: ledger.claim("a", keyed(ledger, 1, first=1)),
            lambda: ledger.record_pending(keyed(ledger, 1, first=1)),
            lambda: ledger.resolve_all(sent=True),
        ):
            with pytest.raises(LedgerUnwritable, match="the file is read-only"):
                await work()
        assert await ledger.summary() == Summary(sending=1)


@pytest.mark.parametrize("what", ["file", "directory"])
async def test_a_missing_permission_is_told(what: str, anyio_backend: str) -> None:
    """Opening a ledger raises `LedgerUnwritable` if the user may not write to the ledger's directory."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "run.db"
        async with Ledger.sqlite(path):
            pass
        restrict(directory, what)
        with start_child(WITHOUT_PERMISSION, path, anyio_backend) as child:
            words, _ = child.communicate()
    assert words == "unwritable\n"


@pytest.mark.parametrize("length", [100, 5000])
async def test_a_damaged_file_is_told(path: Path, length: int) -> None:
    """If the end of a ledger file is missing, opening the ledger raises `LedgerError`."""
    async with Ledger.sqlite(path) as ledger:
        await claim_many(ledger, 500)
    with path.open("r+b") as file:
        file.truncate(length)
    with pytest.raises(LedgerError, match="is not a ledger, or is damaged"):
        await Ledger.sqlite(path).__aenter__()


@pytest.mark.parametrize("kind", [LedgerError, LedgerInUse, LedgerUnwritable])
def test_errors_cross_processes(kind: type[LedgerError]) -> None:
    """A pickled and unpickled ledger error has the same class and the same text as the original error."""
    error = kind("run.db: why")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(copy) is kind
    assert str(copy) == str(error)
