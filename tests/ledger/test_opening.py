"""Tests of opening a ledger: the files, their permissions, the checks, and the lock of the writer."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from smsapi_async.ledger import Ledger, LedgerError, LedgerInUse, LedgerUnwritable, LedgerVersion, Summary
from smsapi_async.ledger.requests import RequestAnswer
from smsapi_async.ledger.sqlite.sqlite_ledger import SqliteLedger
from smsapi_async.models import Message
from tests.killable import Connection, Killable

pytestmark = pytest.mark.anyio

ACCEPTED = RequestAnswer(state="accepted", at=datetime(2024, 3, 1, tzinfo=UTC), segment_ids=("1",))


def keyed(number: int) -> tuple[str, Message]:
    """Return a key and a message."""
    return str(number), Message(f"790300000{number:02}", "text")


async def claim(ledger: Ledger, *numbers: int) -> None:
    """Claim new messages, each with the token that is its key."""
    for number in numbers:
        assert await ledger.claim(str(number), [keyed(number)]) == [None]


async def value(ledger: Ledger, statement: str) -> object:
    """Run an SQL statement on the connection of a ledger, and return the first value of the first row."""
    assert isinstance(ledger, SqliteLedger)
    return await ledger._run(lambda records: records.database.connection.execute(statement).fetchone()[0])


@contextmanager
def held_by_another_program(path: Path) -> Iterator[None]:
    """Lock the file during the block, as another program with its own SQLite connection would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def content_of(path: Path) -> bytes:
    """Return the bytes in a file."""
    return path.read_bytes()


def put(path: Path, content: bytes = b"") -> None:
    """Create a file with the given content."""
    path.write_bytes(content)


def modes(directory: Path) -> dict[str, int]:
    """Return a dictionary with the name and the permissions of each file in a directory."""
    return {each.name: each.stat().st_mode & 0o777 for each in directory.iterdir()}


async def test_the_files_are_private(path: Path) -> None:
    """Only the owner can read the files of a new ledger, even if the umask of the process is 0."""
    before = os.umask(0)
    try:
        async with Ledger.sqlite(path) as ledger:
            await claim(ledger, 0)
            names = ["run.db", "run.db-lock", "run.db-shm", "run.db-wal"]
            assert modes(path.parent) == dict.fromkeys(names, 0o600)
    finally:
        os.umask(before)
    assert modes(path.parent) == dict.fromkeys(["run.db", "run.db-lock"], 0o600)


async def test_the_permissions_of_a_file_that_is_there_are_left(path: Path) -> None:
    """A ledger file that already exists keeps its permissions.

    The file ``-wal`` gets the permissions of the ledger file.
    """
    async with Ledger.sqlite(path):
        pass
    allow_group(path)
    async with Ledger.sqlite(path) as ledger:
        await claim(ledger, 0)
        assert modes(path.parent)["run.db-wal"] == 0o640
    assert modes(path.parent)["run.db"] == 0o640


def allow_group(path: Path) -> None:
    """Let the group read a file."""
    path.chmod(0o640)


async def test_nothing_is_there_before_it_is_opened(path: Path) -> None:
    """Creating a `Ledger` object creates no file. A call to a ledger that is not open raises `LedgerError`.

    Opening a ledger that is already open also raises `LedgerError`.
    """
    ledger = Ledger.sqlite(path)
    assert not list(path.parent.iterdir())
    assert "closed" in repr(ledger)
    with pytest.raises(LedgerError, match="is not open"):
        await ledger.claim("token", [])
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
        await ledger.record_pending([keyed(0)])
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
        await claim(ledger, 0)
        with pytest.raises(LedgerInUse, match="only one writer at a time"):
            await Ledger.sqlite(other).__aenter__()
        await ledger.settle("0", ACCEPTED)
    async with Ledger.sqlite(other) as ledger:
        assert await ledger.summary() == Summary(accepted=1, segments=1)


async def test_readers_may_look_on(path: Path) -> None:
    """A ledger with ``read_only=True`` returns all changes that the writer has committed.

    The reader does not block the writer. A call of the reader that would change the ledger raises
    `LedgerError`.
    """
    async with Ledger.sqlite(path) as writer:
        await claim(writer, 0, 1)
        async with Ledger.sqlite(path, read_only=True) as reader:
            assert await reader.summary() == Summary(sending=2)
            await writer.settle("0", ACCEPTED)
            assert await reader.summary() == Summary(sending=1, accepted=1, segments=1)
            assert [outcome.key async for outcome in reader.outcomes()] == ["0"]
            with pytest.raises(LedgerError, match="for reading only"):
                await reader.claim("token", [keyed(2)])
    async with Ledger.sqlite(path, read_only=True) as reader:
        assert (await reader.summary()).accepted == 1
        with pytest.raises(LedgerError, match="for reading only"):
            await reader.resolve_all(sent=False)


async def test_a_reader_creates_nothing(path: Path) -> None:
    """With ``read_only=True``, opening a missing or empty file raises `LedgerError` and creates no file."""
    with pytest.raises(LedgerError, match="this ledger does not exist"):
        await Ledger.sqlite(path, read_only=True).__aenter__()
    assert not list(path.parent.iterdir())
    put(path)
    with pytest.raises(LedgerError, match="is empty"):
        await Ledger.sqlite(path, read_only=True).__aenter__()
    assert content_of(path) == b""


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (3, "format 3; this package supports format 2; use the version that wrote the ledger"),
        (1, r"version 0.1 of this package wrote; finish its messages with version 0.1 \(pip install"),
    ],
)
async def test_the_ledger_of_another_version_is_left_alone(path: Path, version: int, words: str) -> None:
    """Opening a ledger of another version raises `LedgerVersion`, also for reading.

    The error says what to do. The file is not changed and not locked.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # Version 0.1 wrote these tables.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, key TEXT NOT NULL, state TEXT)")
        connection.execute("CREATE TABLE properties (name VARCHAR NOT NULL PRIMARY KEY, value VARCHAR)")
        connection.execute("PRAGMA application_id = 0x534D5341")
        connection.execute(f"PRAGMA user_version = {version}")
    before = content_of(path)
    for is_read_only in (True, False, False):
        with pytest.raises(LedgerVersion, match=words):
            await Ledger.sqlite(path, read_only=is_read_only).__aenter__()
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


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("missing/run.db", "No such file or directory"),
        ("folder", "folder is a directory"),
        ("file/run.db", "Not a directory"),
    ],
)
async def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, place: str, reason: str) -> None:
    """Opening a ledger raises `LedgerUnwritable` with the reason if no file can exist at the path.

    A file cannot exist at the path of a directory, or in a directory that does not exist or is a file. The
    attempt creates no file.
    """
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    words = f"{reason}; a message that cannot be recorded in the ledger is not sent"
    with pytest.raises(LedgerUnwritable, match=words):
        await Ledger.sqlite(tmp_path / place).__aenter__()
    names = set(os.listdir(tmp_path))
    assert names == {"file", "folder"}


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
            await ledger.claim("0", [keyed(0)])
        await claim(ledger, 0)


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
        assert await value(ledger, "PRAGMA synchronous") == 2  # 2 means the level FULL
        assert await value(ledger, "PRAGMA journal_mode") == "wal"


def fork(connection: Connection, path: Path, backend: str) -> None:
    """Open a ledger, and use the ledger in a forked child process. Send the errors of the child process."""

    async def use(ledger: Ledger) -> None:
        works = (ledger.claim("5", [keyed(5)]), ledger.settle("0", ACCEPTED), ledger.summary())
        for work in works:
            try:
                await work
            except LedgerError as error:
                connection.send(str(error))
        await ledger.aclose()

    async def main() -> None:
        async with Ledger.sqlite(path) as ledger:
            await claim(ledger, 0, 1)
            child = os.fork()
            if child == 0:
                await use(ledger)
                os._exit(0)
            wait_for(child)
            await ledger.settle("0", ACCEPTED)
            connection.send(await ledger.summary())
            connection.recv()

    anyio.run(main, backend=backend)


def wait_for(process: int) -> None:
    """Wait until a child process has ended without an error."""
    assert os.waitpid(process, 0)[1] == 0


async def test_a_forked_child_is_refused(path: Path, anyio_backend: str) -> None:
    """If a forked child process calls the ledger of its parent process, each call raises `LedgerError`.

    The child process writes nothing to the ledger.
    """
    with Killable(fork, path, anyio_backend) as child:
        for _ in range(3):
            words = await child.received()
            assert "was opened by another process; open it again in this process" in words
        assert await child.received() == Summary(sending=1, accepted=1, segments=1)
    async with Ledger.sqlite(path) as ledger:
        assert await ledger.summary() == Summary(unknown=1, accepted=1, segments=1)
