"""Tests of a ledger after a killed process, with a second process, and with a file that cannot be written."""

import pickle
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from smsapi_async.errors import LedgerError
from smsapi_async.ledger import Ledger, LedgerInUse, LedgerUnwritable, Summary
from smsapi_async.outcomes import Accepted, Unknown
from tests.ledger.tools import accepted, claim_many, execute, keyed, recorded, start_child

pytestmark = pytest.mark.anyio

# The program `SENDER` claims 30 messages (reserves them for sending), settles 10 (records their outcomes) and
# releases 5 (makes them pending again). The other 15 messages stay in flight until the standard input of the
# program is closed.
SENDER = """
import sys, anyio
from smsapi_async.ledger import Ledger
from tests.ledger.tools import accepted, keyed

async def main():
    async with Ledger.sqlite(sys.argv[1]) as ledger:
        await ledger.claim(keyed(ledger, 30))
        await ledger.settle([accepted(key) for key, _ in keyed(ledger, 10)])
        await ledger.release([key for key, _ in keyed(ledger, 5, first=25)])
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
        first = keyed(ledger, 10)
        await ledger.claim(first)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        try:
            await ledger.claim(keyed(ledger, 5000, first=100))
        except LedgerUnwritable as error:
            print(error, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await ledger.settle([accepted(key) for key, _ in first])

anyio.run(main, backend=sys.argv[2])
"""


# The program changes to the user 65534 (nobody), because the superuser can write even a read-only file. The
# program imports all modules before it changes the user, because the user nobody may not be able to read the
# modules.
WITHOUT_PERMISSION = """
import os, sys, anyio
import smsapi_async.ledger.sqlite.message_records
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
        assert await reader.summary() == Summary(pending=5, sending=15, accepted=10, segments=10)
    async with Ledger.sqlite(path) as ledger:
        assert await ledger.summary() == Summary(pending=5, unknown=15, accepted=10, segments=10)
        claimed = list((await ledger.claim(keyed(ledger, 30))).values())
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
    async with Ledger.sqlite(path) as ledger:
        assert await ledger.summary() == Summary(accepted=10, segments=10)


async def test_a_full_disk_claims_nothing(path: Path) -> None:
    """If the disk is full, `claim` claims none of its messages.

    When the disk has free space again, a second call of `claim` with these messages succeeds.
    """
    async with Ledger.sqlite(path) as ledger:
        await claim_many(ledger, 10)
        await execute(ledger, "PRAGMA max_page_count = 12")
        with pytest.raises(LedgerUnwritable, match="the disk is full"):
            await ledger.claim(keyed(ledger, 2000, first=10))
        assert await ledger.summary() == Summary(sending=10)
        await execute(ledger, "PRAGMA max_page_count = 100000")
        assert len(await ledger.claim(keyed(ledger, 2000, first=10))) == 2000


async def test_a_read_only_file_claims_nothing(path: Path) -> None:
    """If the file of an open ledger becomes read-only, `claim` and `settle` raise `LedgerUnwritable`."""
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 1)
        # With `query_only`, SQLite refuses each write with the same error as for a read-only file.
        await execute(ledger, "PRAGMA query_only = ON")
        with pytest.raises(LedgerUnwritable, match="the file is read-only"):
            await ledger.claim(keyed(ledger, 1, first=1))
        with pytest.raises(LedgerUnwritable):
            await ledger.settle([accepted(keys[0])])
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
