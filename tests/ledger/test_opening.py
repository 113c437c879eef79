"""Tests of opening a ledger: the files, their permissions, the checks, and the lock of the writer."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from smsapi_async.errors import SmsApiError
from smsapi_async.ledger import Ledger, LedgerError, LedgerInUse, LedgerUnwritable, LedgerVersion, Summary
from tests.ledger.tools import (
    accepted,
    claim_many,
    content_of,
    execute,
    held_by_another_program,
    keyed,
    put,
    recorded,
    start_child,
)

pytestmark = pytest.mark.anyio


def modes(directory: Path) -> dict[str, int]:
    """Return a dictionary with the name and the permissions of each file in a directory."""
    return {each.name: each.stat().st_mode & 0o777 for each in directory.iterdir()}


async def test_the_files_are_private(path: Path) -> None:
    """Only the owner can read the files of a new ledger, even if the umask of the process is 0."""
    before = os.umask(0)
    try:
        async with Ledger.sqlite(path) as ledger:
            await claim_many(ledger, 1)
            names = ["run.db", "run.db-lock", "run.db-shm", "run.db-wal"]
            assert modes(path.parent) == dict.fromkeys(names, 0o600)
    finally:
        os.umask(before)
    assert modes(path.parent) == dict.fromkeys(["run.db", "run.db-lock"], 0o600)


async def test_the_permissions_of_a_file_that_is_there_are_left(path: Path) -> None:
    """A ledger file that already exists keeps its permissions.

    The file ``-wal`` gets the permissions of the ledger file.
    """
    put(path, mode=0o640)
    async with Ledger.sqlite(path) as ledger:
        await claim_many(ledger, 1)
        assert modes(path.parent)["run.db-wal"] == 0o640
    assert modes(path.parent)["run.db"] == 0o640


async def test_nothing_is_there_before_it_is_opened(path: Path) -> None:
    """Creating a `Ledger` object creates no file. A call to a ledger that is not open raises `LedgerError`.

    Opening a ledger that is already open also raises `LedgerError`.
    """
    ledger = Ledger.sqlite(path)
    assert not list(path.parent.iterdir())
    assert "closed" in repr(ledger)
    with pytest.raises(LedgerError, match="is not open"):
        await ledger.claim([])
    async with ledger:
        assert "open" in repr(ledger)
        with pytest.raises(LedgerError, match="is open already"):
            await ledger.__aenter__()
        await ledger.summary()
    await ledger.aclose()
    with pytest.raises(LedgerError, match="is not open"):
        await ledger.summary()


async def test_a_closed_ledger_can_be_opened_again(path: Path) -> None:
    """After a `Ledger` object was closed, the same object can be opened again."""
    ledger = Ledger.sqlite(path)
    async with ledger:
        await ledger.record_pending(keyed(ledger, 1))
    async with ledger:
        assert await ledger.summary() == Summary(pending=1)


@pytest.mark.parametrize("way", ["same name", "symbolic link", "relative"])
async def test_one_ledger_has_one_writer(path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a ledger file is open for writing, a second writer gets `LedgerInUse`, even under another path."""
    other = path
    if way == "symbolic link":
        other = path.with_name("link.db")
        other.symlink_to(path)
    if way == "relative":
        monkeypatch.chdir(path.parent)
        other = Path("run.db")
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 1)
        with pytest.raises(LedgerInUse, match="only one writer at a time"):
            await Ledger.sqlite(other).__aenter__()
        await ledger.settle([accepted(keys[0])])
    async with Ledger.sqlite(other) as ledger:
        assert await ledger.summary() == Summary(accepted=1, segments=1)


async def test_readers_may_look_on(path: Path) -> None:
    """A ledger with ``read_only=True`` returns all changes that the writer has committed.

    The reader does not block the writer. A call of the reader that would change the ledger raises
    `LedgerError`.
    """
    async with Ledger.sqlite(path) as writer:
        keys = await claim_many(writer, 2)
        async with Ledger.sqlite(path, read_only=True) as reader:
            assert await reader.summary() == Summary(sending=2)
            await writer.settle([accepted(keys[0])])
            assert await reader.summary() == Summary(sending=1, accepted=1, segments=1)
            assert list(await recorded(reader)) == keys[:1]
            with pytest.raises(LedgerError, match="for reading only"):
                await reader.claim(keyed(reader, 3))
    async with Ledger.sqlite(path, read_only=True) as reader:
        assert await reader.summary() == Summary(sending=1, accepted=1, segments=1)
        with pytest.raises(LedgerError, match="for reading only"):
            await reader.resolve(keys[1], sent=False)


async def test_a_reader_creates_nothing(path: Path) -> None:
    """With ``read_only=True``, opening a missing or empty file raises `LedgerError` and creates no file."""
    with pytest.raises(LedgerError, match="this ledger does not exist"):
        await Ledger.sqlite(path, read_only=True).__aenter__()
    assert not list(path.parent.iterdir())
    put(path)
    with pytest.raises(LedgerError, match="is empty"):
        await Ledger.sqlite(path, read_only=True).__aenter__()
    assert content_of(path) == b""


async def test_a_newer_ledger_is_left_alone(path: Path) -> None:
    """Opening a ledger with a newer format raises `LedgerVersion`. The file is not changed and not locked."""
    async with Ledger.sqlite(path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = content_of(path)
    for _ in range(2):
        with pytest.raises(LedgerVersion, match="format 2; this package supports format 1; use the version"):
            await Ledger.sqlite(path).__aenter__()
    assert content_of(path) == before


@pytest.mark.parametrize("content", ["text", "another application's tables", "another version number"])
async def test_another_file_is_left_alone(path: Path, content: str) -> None:
    """If a file is not a ledger, opening the file as a ledger raises `LedgerError`.

    The attempt does not change the file.
    """
    if content == "text":
        put(path, b"number;text\n" * 200)
    else:
        connection = sqlite3.connect(path)
        statement = "CREATE TABLE other (x)" if "tables" in content else "PRAGMA user_version = 1"
        connection.execute(statement)
        connection.close()
    before = content_of(path)
    with pytest.raises(LedgerError, match="is not a ledger"):
        await Ledger.sqlite(path).__aenter__()
    assert content_of(path) == before


@pytest.mark.parametrize("place", ["missing/run.db", ".", "file/run.db"])
async def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, place: str) -> None:
    """Opening a ledger raises `LedgerUnwritable` if no file can exist at the path.

    A file cannot exist at the path of a directory, or in a directory that does not exist or is a file.
    """
    (tmp_path / "file").touch()
    with pytest.raises(LedgerUnwritable, match="a message that cannot be recorded in the ledger is not sent"):
        await Ledger.sqlite(tmp_path / place).__aenter__()


async def test_another_program_that_holds_the_file_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another program locks the ledger file, `claim` raises `LedgerInUse`.

    When the other program has released the file, `claim` succeeds.
    """
    async with Ledger.sqlite(path):
        pass
    monkeypatch.setattr("smsapi_async.ledger.sqlite.database._PATIENCE", 0.01)
    async with Ledger.sqlite(path) as ledger:
        with held_by_another_program(path), pytest.raises(LedgerInUse):
            await ledger.claim(keyed(ledger, 1))
        assert await ledger.claim(keyed(ledger, 1)) == {keyed(ledger, 1)[0][0]: None}


async def test_a_file_system_without_shared_memory_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the file system does not support SQLite's write-ahead log, opening a ledger raises `LedgerError`."""
    # On a file system without shared memory, SQLite cannot use the journal mode WAL, and the statement
    # `_WRITE_AHEAD` returns the mode DELETE. The test replaces `_WRITE_AHEAD` with a statement that returns
    # the mode DELETE on every file system.
    monkeypatch.setattr("smsapi_async.ledger.sqlite.database._WRITE_AHEAD", "PRAGMA journal_mode = DELETE")
    with pytest.raises(LedgerError, match="use a local disk"):
        await Ledger.sqlite(path).__aenter__()


async def test_every_commit_is_synced(path: Path) -> None:
    """Each commit of a ledger waits until SQLite has written the data to the disk."""
    async with Ledger.sqlite(path) as ledger:
        assert await execute(ledger, "PRAGMA synchronous") == 2  # 2 means the level FULL
        assert await execute(ledger, "PRAGMA journal_mode") == "wal"


FORKING = """
import os, sys, anyio
from smsapi_async.ledger import Ledger, LedgerError, Summary
from tests.ledger.tools import accepted, claim_many, keyed

async def use(ledger):
    for work in (ledger.claim(keyed(ledger, 1, first=5)), ledger.settle([]), ledger.summary()):
        try:
            await work
        except LedgerError as error:
            print(error, flush=True)
    await ledger.aclose()

async def main():
    async with Ledger.sqlite(sys.argv[1]) as ledger:
        keys = await claim_many(ledger, 2)
        child = os.fork()
        if child == 0:
            await use(ledger)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        await ledger.settle([accepted(keys[0])])
        assert await ledger.summary() == Summary(sending=1, accepted=1, segments=1)

anyio.run(main, backend=sys.argv[2])
"""


async def test_a_forked_child_is_refused(path: Path, anyio_backend: str) -> None:
    """If a forked child process calls the ledger of its parent process, each call raises `LedgerError`.

    The child process writes nothing to the ledger.
    """
    with start_child(FORKING, path, anyio_backend) as child:
        words, _ = child.communicate()
    assert child.returncode == 0
    assert words.count("was opened by another process; open it again in this process") == 3
    async with Ledger.sqlite(path) as ledger:
        assert await ledger.summary() == Summary(unknown=1, accepted=1, segments=1)


def test_importing_does_not_import_sqlalchemy() -> None:
    """The import of the package and the creation of a `Ledger` object do not import SQLAlchemy."""
    program = (
        "import sys, smsapi_async, smsapi_async.ledger as l; l.Ledger.sqlite('x.db');"
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_missing_extra_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If SQLAlchemy is not installed, `Ledger.sqlite` raises an error that names the extra to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SmsApiError, match=r"smsapi-async\[ledger\]"):
        Ledger.sqlite(path)
