"""Opening a ledger: what is created, what is checked, and who is kept out."""

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
    """The permissions of the files of a directory."""
    return {each.name: each.stat().st_mode & 0o777 for each in directory.iterdir()}


async def test_the_files_are_private(path: Path) -> None:
    """Every file that a ledger creates can be read by its owner alone, whatever the umask."""
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
    """A file that its owner opened to a group stays so, and no wider."""
    put(path, mode=0o640)
    async with Ledger.sqlite(path) as ledger:
        await claim_many(ledger, 1)
        assert modes(path.parent)["run.db-wal"] == 0o640
    assert modes(path.parent)["run.db"] == 0o640


async def test_nothing_is_there_before_it_is_opened(path: Path) -> None:
    """Making a ledger touches no file, and its calls are refused while it is not open."""
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
    """One object may be opened, closed and opened."""
    ledger = Ledger.sqlite(path)
    async with ledger:
        await ledger.record_pending(keyed(ledger, 1))
    async with ledger:
        assert await ledger.summary() == Summary(pending=1)


@pytest.mark.parametrize("way", ["same name", "symbolic link", "relative"])
async def test_one_ledger_has_one_writer(path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second writer of the same file, by whatever name, is refused until the first has gone."""
    other = path
    if way == "symbolic link":
        other = path.with_name("link.db")
        other.symlink_to(path)
    if way == "relative":
        monkeypatch.chdir(path.parent)
        other = Path("run.db")
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 1)
        with pytest.raises(LedgerInUse, match="one writer at a time"):
            await Ledger.sqlite(other).__aenter__()
        await ledger.settle([accepted(keys[0])])
    async with Ledger.sqlite(other) as ledger:
        assert await ledger.summary() == Summary(accepted=1, segments=1)


async def test_readers_may_look_on(path: Path) -> None:
    """A reader sees what the writer has committed, changes nothing, and does not get in its way."""
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
    """Reading a ledger that is not there, or was never filled, is an error that leaves no file behind."""
    with pytest.raises(LedgerError, match="no such ledger"):
        await Ledger.sqlite(path, read_only=True).__aenter__()
    assert not list(path.parent.iterdir())
    put(path)
    with pytest.raises(LedgerError, match="is empty"):
        await Ledger.sqlite(path, read_only=True).__aenter__()
    assert content_of(path) == b""


async def test_a_newer_ledger_is_left_alone(path: Path) -> None:
    """A file of a newer version is refused, not changed, and not kept locked."""
    async with Ledger.sqlite(path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = content_of(path)
    for _ in range(2):
        with pytest.raises(LedgerVersion, match="version 2; this is version 1; use that version"):
            await Ledger.sqlite(path).__aenter__()
    assert content_of(path) == before


@pytest.mark.parametrize("content", ["text", "another application's tables", "another version number"])
async def test_another_file_is_left_alone(path: Path, content: str) -> None:
    """A file that is not a ledger is refused and not changed."""
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
    """A directory that is not there, or a path that is no file, is unwritable, at once."""
    (tmp_path / "file").touch()
    with pytest.raises(LedgerUnwritable, match="nothing is sent whose intent could not be written"):
        await Ledger.sqlite(tmp_path / place).__aenter__()


async def test_another_program_that_holds_the_file_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A foreign program that does not let go of the file is an error after a while, and costs nothing."""
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
    """Where the write-ahead log cannot be used, the ledger is refused rather than slow and unsafe."""
    # This is what SQLite answers there, whatever mode it is asked for.
    monkeypatch.setattr("smsapi_async.ledger.sqlite.database._WRITE_AHEAD", "PRAGMA journal_mode = DELETE")
    with pytest.raises(LedgerError, match="use a local disk"):
        await Ledger.sqlite(path).__aenter__()


async def test_every_commit_is_synced(path: Path) -> None:
    """The writer's connection waits for the disk at each commit."""
    async with Ledger.sqlite(path) as ledger:
        assert await execute(ledger, "PRAGMA synchronous") == 2
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
    """A child that uses its parent's open ledger gets an error, writes nothing, and harms no lock."""
    with start_child(FORKING, path, anyio_backend) as child:
        words, _ = child.communicate()
    assert child.returncode == 0
    assert words.count("was opened by another process; open it anew") == 3
    async with Ledger.sqlite(path) as ledger:
        assert await ledger.summary() == Summary(unknown=1, accepted=1, segments=1)


def test_importing_does_not_import_sqlalchemy() -> None:
    """A program without a ledger, or with one that is not open yet, does not load SQLAlchemy."""
    program = (
        "import sys, smsapi_async, smsapi_async.ledger as l; l.Ledger.sqlite('x.db');"
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_missing_extra_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without SQLAlchemy the error names the extra to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SmsApiError, match=r"smsapi-async\[ledger\]"):
        Ledger.sqlite(path)
