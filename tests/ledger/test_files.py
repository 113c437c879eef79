"""Tests of a ledger whose files are copied, moved, renamed, linked, deleted, replaced or truncated.

A ledger either continues without sending a message twice, or refuses to open with a sentence that says what
happened and what to do.
"""

import os
import resource
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest

from smsapi_async.errors import LedgerError, LedgerInUse, LedgerUnwritable
from smsapi_async.ledger import Ledger
from smsapi_async.ledger.requests import RequestAnswer
from smsapi_async.ledger.sqlite import database
from smsapi_async.ledger.sqlite.identity import inode_of
from smsapi_async.models import Message
from tests.killable import Killable

pytestmark = pytest.mark.anyio

ACCEPTED = RequestAnswer(state="accepted", at=datetime(2024, 3, 1, tzinfo=UTC), segment_ids=("1",))
SENT = ["Accepted", "Accepted", "NoneType"]
CRASHED = ["Accepted", "Unknown", "NoneType"]
Operation = Callable[[Path], Path | None]


def keyed(number: int) -> tuple[str, Message]:
    """Return a key and a message."""
    return str(number), Message(f"7903000000{number}", "text")


async def claim(ledger: Ledger, *numbers: int) -> list[str]:
    """Claim messages, and return the name of the class of each result. ``"NoneType"`` means: send it now."""
    claimed = [(await ledger.claim(f"token {number}", [keyed(number)]))[0] for number in numbers]
    return [type(each).__name__ for each in claimed]


async def run(path: Path, *numbers: int, **options: bool) -> list[str]:
    """Open a ledger, and send some messages with it. Return the same as `claim`."""
    async with Ledger.sqlite(path, **options) as ledger:
        claimed = await claim(ledger, *numbers)
        for number, what in zip(numbers, claimed, strict=True):
            if what == "NoneType":
                await ledger.settle(f"token {number}", ACCEPTED)
    return claimed


def crash(connection: Connection, path: Path, backend: str) -> None:
    """Open a ledger, settle message 0, claim message 1, and wait to be killed."""

    async def main() -> None:
        async with Ledger.sqlite(path) as ledger:
            await claim(ledger, 0, 1)
            await ledger.settle("token 0", ACCEPTED)
            connection.send("claimed")
            await anyio.sleep_forever()

    anyio.run(main, backend=backend)


@pytest.fixture
async def clean(path: Path) -> Path:
    """Return the path of a ledger that was closed. The messages 0 and 1 were accepted."""
    await run(path, 0)
    await run(path, 1)
    return path


@pytest.fixture
def crashed(path: Path, anyio_backend: str) -> Path:
    """Return the path of a ledger whose process was killed. Message 0 was accepted, and 1 was in flight."""
    with Killable(crash, path, anyio_backend) as child:
        assert child.receive() == "claimed"
    return path


@pytest.fixture(params=["clean", "crashed"])
def ledger_file(request: pytest.FixtureRequest, anyio_backend: str) -> Path:
    """Return the path of a ledger that was closed, and then of a ledger whose process was killed."""
    found: Path = request.getfixturevalue(request.param)
    return found


def beside(path: Path, ending: str) -> Path:
    """Return the path of a file with the same name and another ending."""
    return path.with_name(path.name + ending)


def elsewhere(path: Path) -> Path:
    """Return the same file name in another new directory."""
    (path.parent / "elsewhere").mkdir(exist_ok=True)
    return path.parent / "elsewhere" / path.name


def transfer(by: Callable[[Path, Path], object], *endings: str) -> Operation:
    """Return an operation that copies or moves files of a ledger to another directory."""

    def operation(path: Path) -> Path:
        for ending in endings:
            if beside(path, ending).exists():
                by(beside(path, ending), beside(elsewhere(path), ending))
        return elsewhere(path)

    return operation


def move_directory(path: Path) -> Path:
    """Rename the directory of a ledger."""
    target = path.parent.with_name(f"{path.parent.name} renamed")
    path.parent.rename(target)
    return target / path.name


def link_symbolically(path: Path) -> Path:
    """Create a symbolic link to the file."""
    (path.parent / "link.db").symlink_to(path)
    return path.parent / "link.db"


def link_directory(path: Path) -> Path:
    """Create a symbolic link to the directory of the file."""
    (path.parent / "link").symlink_to(path.parent)
    return path.parent / "link" / path.name


def link_hard(path: Path) -> Path:
    """Give the file a second name."""
    (path.parent / "link.db").hardlink_to(path)
    return path.parent / "link.db"


def delete(*endings: str) -> Operation:
    """Return an operation that deletes files of a ledger."""

    def operation(path: Path) -> None:
        for ending in endings:
            beside(path, ending).unlink(missing_ok=True)

    return operation


def truncate(size: int, ending: str = "") -> Operation:
    """Return an operation that truncates a file of a ledger to a number of bytes."""
    return lambda path: os.truncate(beside(path, ending), size)


def nothing(path: Path) -> None:
    """Change nothing."""


def other_program(path: Path) -> None:
    """Open and close the file as the SQLite shell does."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT count(*) FROM requests").fetchone()


def contents(path: Path) -> dict[str, bytes]:
    """Return the content of the file and of its ``-wal``. A reader may leave an empty ``-wal``."""
    files = [path, beside(path, "-wal")]
    return {each.name: each.read_bytes() for each in files if each.exists() and each.stat().st_size}


async def refused(path: Path, words: str) -> None:
    """Check that a ledger is refused twice with the same sentence, and that the files are not changed."""
    before = contents(path)
    for _ in range(2):
        with pytest.raises(LedgerError, match=words):
            await run(path, 0, 1, 2)
    assert contents(path) == before


@pytest.mark.parametrize(
    "operation",
    [
        nothing,
        transfer(shutil.move, "", "-wal"),
        transfer(shutil.move, "", "-wal", "-shm", "-lock"),
        move_directory,
        link_symbolically,
        link_directory,
        delete("-shm"),
        delete("-lock"),
        delete("-shm", "-lock"),
    ],
)
async def test_a_ledger_that_is_complete_continues(
    ledger_file: Path, operation: Operation, request: pytest.FixtureRequest
) -> None:
    """A ledger can be moved within a file system, and its lock can be deleted. No message is sent twice."""
    is_clean = "clean" in request.node.name
    path = operation(ledger_file) or ledger_file
    assert await run(path, 0, 1, 2) == (SENT if is_clean else CRASHED)
    assert await run(path, 0, 1, 2) == ["Accepted", SENT[1] if is_clean else CRASHED[1], "Accepted"]


@pytest.mark.parametrize("by", [shutil.copyfile, shutil.copy2])
@pytest.mark.parametrize("endings", [("",), ("", "-wal"), ("", "-wal", "-shm", "-lock")])
async def test_a_copy_is_refused(
    ledger_file: Path, by: Callable[[Path, Path], object], endings: tuple[str, ...]
) -> None:
    """A batch with a copy of a ledger sends nothing. The original continues."""
    path = transfer(by, *endings)(ledger_file)
    assert path is not None
    await refused(path, "is a copy of a ledger.*use the original|-wal, which is missing; put that file back")
    assert (await run(ledger_file, 0, 1))[0] == "Accepted"


async def test_a_copy_that_was_accepted_continues(ledger_file: Path) -> None:
    """With ``accept_copy=True`` once, a complete copy replaces the original. It is not accepted twice."""
    path = transfer(shutil.copy2, "", "-wal")(ledger_file)
    assert path is not None
    first = await run(path, 0, 1, 2, accept_copy=True)
    assert first in (SENT, CRASHED)
    assert await run(path, 0, 2) == ["Accepted", "Accepted"]


async def test_the_state_that_was_not_accepted_is_refused(clean: Path) -> None:
    """If an older state was accepted, the newest state is refused, because it lacks the later records."""
    backup, newest = beside(clean, ".backup"), beside(clean, ".newest")
    shutil.copyfile(clean, backup)
    for number in (2, 3, 4):
        await run(clean, number)
    shutil.copyfile(clean, newest)
    shutil.copyfile(backup, clean)
    await run(clean, 5, accept_copy=True)
    shutil.copyfile(newest, clean)
    await refused(clean, "is a copy of a ledger")


@pytest.mark.parametrize("by", [shutil.copyfile, shutil.copy2])
@pytest.mark.parametrize("is_in_place", [True, False])
async def test_an_older_state_is_refused(
    clean: Path, by: Callable[[Path, Path], object], is_in_place: bool
) -> None:
    """After a ledger was replaced by an older copy of itself, a batch sends nothing.

    If the original is deleted first, the copy often gets the number of the inode of the original.
    """
    backup, newest = beside(clean, ".backup"), beside(clean, ".newest")
    by(clean, backup)
    await run(clean, 2)
    shutil.copyfile(clean, newest)
    if not is_in_place:
        delete("")(clean)
    by(backup, clean)
    await refused(clean, "is an older state of this ledger.*put the newest state back|is a copy of a ledger")
    if is_in_place:
        shutil.copyfile(newest, clean)
        assert await run(clean, 1, 2) == ["Accepted", "Accepted"]
    else:
        assert await run(clean, 0, 1, accept_copy=True) == SENT[:2]
        assert await run(clean, 0, 1) == SENT[:2]


@pytest.mark.parametrize("is_in_place", [True, False])
async def test_an_older_state_is_refused_without_the_lock(clean: Path, is_in_place: bool) -> None:
    """If the lock file was deleted, too, an extended attribute of the file shows that the state is older."""
    backup = beside(clean, ".backup")
    shutil.copyfile(clean, backup)
    await run(clean, 2)
    if not is_in_place:
        delete("")(clean)
    delete("-lock")(clean)
    shutil.copyfile(backup, clean)
    # The copy may have got the number of the inode of the original.
    with closing(sqlite3.connect(clean)) as connection, connection:
        connection.execute("UPDATE properties SET inode = ?", (inode_of(str(clean)),))
    await refused(clean, "is an older state of this ledger|is a copy of a ledger")


@pytest.mark.parametrize("size", [0, 100, 9000])
async def test_a_truncated_file_is_refused(clean: Path, size: int) -> None:
    """If a file was truncated, a batch sends nothing."""
    os.truncate(clean, size)
    words = "is not a ledger, or is damaged" if size else "is empty, so what was recorded in it is lost"
    await refused(clean, words)


async def test_a_file_with_two_names_is_refused(ledger_file: Path) -> None:
    """If the file has two names, a batch sends nothing with either name until one of them is deleted."""
    other = link_hard(ledger_file)
    for path in (ledger_file, other):
        await refused(
            path, r"has 2 names \(hard links\), and a ledger can have only one; delete the other name"
        )
    other.unlink()
    assert await run(ledger_file, 0, 2) == ["Accepted", "NoneType"]


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (delete("-wal"), "run.db-wal, which is missing; put that file back beside the ledger"),
        (truncate(0, "-wal"), "run.db-wal, which is missing"),
        (transfer(shutil.move, ""), "run.db-wal, which is missing"),
        (delete(""), "run.db is missing, but run.db-wal exists.*put the ledger back, or move run.db-wal"),
        (other_program, "if another SQLite program has opened the ledger since.*pass accept_copy=True"),
    ],
)
async def test_a_ledger_without_its_log_is_refused(crashed: Path, operation: Operation, words: str) -> None:
    """After a crash, the file and its ``-wal`` belong together. With one of them, a batch sends nothing."""
    # A reader can leave an empty file with the ending ``-wal``, which must change nothing.
    path = operation(crashed) or crashed
    if path.exists():
        async with Ledger.sqlite(path, read_only=True) as reader:
            await reader.summary()
    await refused(path, words)


async def test_a_log_that_was_put_back_continues(crashed: Path) -> None:
    """If the ledger was moved without its ``-wal``, both places are refused until the file is moved, too."""
    path = transfer(shutil.move, "")(crashed)
    assert path is not None
    await refused(crashed, "is missing, but run.db-wal exists")
    await refused(path, "run.db-wal, which is missing")
    beside(crashed, "-wal").rename(beside(path, "-wal"))
    assert await run(path, 0, 1, 2) == CRASHED


async def test_another_program_may_open_the_file(crashed: Path) -> None:
    """If the SQLite shell opened the ledger after a crash, ``accept_copy=True`` loses no record."""
    other_program(crashed)
    assert await run(crashed, 0, 1, 2, accept_copy=True) == CRASHED


def swap_link(path: Path) -> None:
    """Give a symbolic link another target."""
    (path.parent / "link.db").unlink()
    (path.parent / "link.db").symlink_to(path.parent / "another.db")


def replace(path: Path) -> None:
    """Replace the file by a copy of the file."""
    shutil.copy2(path, beside(path, ".copy"))
    beside(path, ".copy").replace(path)


def rename(path: Path) -> None:
    """Rename the file."""
    path.rename(path.with_name("renamed.db"))


@pytest.mark.parametrize(
    "operation",
    [
        rename,
        replace,
        move_directory,
        delete(""),
        delete("-wal"),
        delete("-lock"),
        delete("", "-wal", "-shm", "-lock"),
        truncate(0),
        truncate(4096),
        swap_link,
    ],
)
async def test_a_change_during_a_run_stops_the_run(path: Path, operation: Operation) -> None:
    """If a file of an open ledger is deleted, renamed, replaced or truncated, no more messages are sent."""
    async with Ledger.sqlite(link_symbolically(path)) as ledger:
        assert await claim(ledger, 0) == ["NoneType"]
        operation(path)
        for _ in range(2):
            with pytest.raises(LedgerError, match=r"deleted, renamed, replaced or truncated.*put the file"):
                await claim(ledger, 1)
        with pytest.raises(LedgerError, match="nothing more is recorded or sent"):
            await ledger.settle("token 0", ACCEPTED)


@pytest.mark.parametrize("operation", [rename, move_directory, delete("-lock"), delete("-wal"), swap_link])
async def test_a_change_during_a_run_loses_nothing(path: Path, operation: Operation) -> None:
    """After the run stopped, the next run with the file has each record. Nothing is sent twice."""
    async with Ledger.sqlite(link_symbolically(path)) as ledger:
        await claim(ledger, 0, 1)
        await ledger.settle("token 0", ACCEPTED)
        where = operation(path)
        with pytest.raises(LedgerError):
            await claim(ledger, 2)
    if operation is rename:
        await refused(path.with_name("renamed.db"), "-wal, which is missing")
        path.with_name("renamed.db").rename(path)
    assert await run(where or path, 0, 1, 2) == CRASHED


async def test_a_new_ledger_at_the_same_path_is_left_alone(path: Path) -> None:
    """If the files are deleted during a run and a second run begins, the end of the first changes nothing."""
    old = Ledger.sqlite(path)
    async with old:
        await claim(old, 0)
        delete("", "-wal", "-shm", "-lock")(path)
        async with Ledger.sqlite(path) as new:
            assert await claim(new, 0, 1) == ["NoneType", "NoneType"]
            await old.aclose()
            before = contents(path)
            await new.settle("token 0", ACCEPTED)
            assert contents(path) != before
            transferred = transfer(shutil.copyfile, "", "-wal")(path)
    assert transferred is not None
    async with Ledger.sqlite(transferred, read_only=True) as reader:
        assert (await reader.summary()).accepted == 1


async def test_a_deleted_lock_lets_only_one_process_write(path: Path) -> None:
    """If the lock of an open ledger is deleted and a second writer opens it, the first writer stops."""
    first, second = Ledger.sqlite(path), Ledger.sqlite(path)
    async with first:
        delete("-lock")(path)
        async with second:
            with pytest.raises(LedgerError, match=r"run.db-lock was deleted"):
                await claim(first, 1)
            await first.aclose()
            assert await claim(second, 1) == ["NoneType"]
            with pytest.raises(LedgerInUse):
                await run(path, 2)
            with closing(sqlite3.connect(path)) as connection:
                assert connection.execute("SELECT in_use FROM properties").fetchone() == (1,)


async def test_a_hard_link_during_a_run_gives_no_second_writer(path: Path) -> None:
    """If the file gets a second name during a run, the other name is refused, and the run goes on."""
    async with Ledger.sqlite(path) as ledger:
        await claim(ledger, 0)
        other = link_hard(path)
        with pytest.raises(LedgerError, match="has 2 names"):
            await run(other, 0)
        other.unlink()
        assert await claim(ledger, 1) == ["NoneType"]


async def test_a_copy_during_a_run_is_refused(path: Path) -> None:
    """A copy of an open ledger is refused, with and without its ``-wal``, and the run goes on."""
    async with Ledger.sqlite(path) as ledger:
        await claim(ledger, 0)
        for endings in (("",), ("", "-wal")):
            copy = transfer(shutil.copy2, *endings)(path)
            assert copy is not None
            await refused(copy, "is a copy of a ledger|which is missing")
        assert await claim(ledger, 1) == ["NoneType"]


async def test_without_extended_attributes(ledger_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without extended attributes, a ledger continues, and an older state is refused."""

    def missing(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    for name in ("setxattr", "getxattr"):
        monkeypatch.setattr(os, name, missing, raising=False)
    path = ledger_file.with_name("new.db")
    for _ in range(2):
        await run(path, 0)
    shutil.copyfile(path, beside(path, ".backup"))
    assert await run(path, 0, 1) == ["Accepted", "NoneType"]
    shutil.copyfile(beside(path, ".backup"), path)
    await refused(path, "is an older state of this ledger")


async def test_a_deleted_ledger_is_a_new_ledger(clean: Path) -> None:
    """If a closed ledger is deleted, with or without its lock, the next run begins a new ledger."""
    delete("")(clean)
    assert await run(clean, 0) == ["NoneType"]
    delete("", "-lock")(clean)
    assert await run(clean, 0) == ["NoneType"]
    assert await run(clean, 0) == ["Accepted"]


async def test_records_reach_the_main_file_after_a_reader_ended(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another program reads, records stay in ``-wal``. Soon after it ended, the main file has them."""
    monkeypatch.setattr("smsapi_async.ledger.sqlite.database._CHECKPOINT_SECONDS", 0.02)
    async with Ledger.sqlite(path) as ledger:
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM messages").fetchone()
            await claim(ledger, 0)
            await anyio.sleep(0.1)
            assert messages_in_main_file(path) == 0
        with anyio.fail_after(20):
            while messages_in_main_file(path) == 0:  # noqa: ASYNC110 - another thread writes the file
                await anyio.sleep(0.01)


def messages_in_main_file(path: Path) -> int:
    """Return the number of messages in a file, without its write-ahead log."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM messages").fetchone()
    return int(count)


async def test_the_log_becomes_small_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program reads, ``-wal`` grows. After the end of the reader, ``-wal`` is small again."""
    monkeypatch.setattr(
        "smsapi_async.ledger.sqlite.database._PRAGMAS",
        (*database._PRAGMAS, "PRAGMA wal_autocheckpoint = 5", "PRAGMA journal_size_limit = 40000"),
    )
    async with Ledger.sqlite(path) as ledger:
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM messages").fetchone()
            await claim(ledger, *range(9))
            assert log_size(path) > 80_000
        for number in range(9):
            await ledger.settle(f"token {number}", ACCEPTED)
        assert log_size(path) <= 40_000


def log_size(path: Path) -> int:
    """Return the size of the write-ahead log in bytes."""
    return beside(path, "-wal").stat().st_size


def without_permission(connection: Connection, path: Path, backend: str, is_read_only: bool) -> None:
    """Open a ledger as the user nobody, and send what its summary says, or the error.

    The function also sends the temporary files that exist meanwhile.
    """

    async def main() -> None:
        try:
            with TemporaryDirectory() as directory:
                tempfile.tempdir = directory
                async with Ledger.sqlite(path, read_only=is_read_only) as ledger:
                    summary = await ledger.summary()
                    outcomes = [each async for each in ledger.outcomes()]
                    files = [name for _, _, names in os.walk(directory) for name in names]
                    connection.send((summary.accepted, summary.unknown, outcomes, files))
        except LedgerError as error:
            connection.send((type(error), error.summary()))

    if os.geteuid() == 0:
        os.setuid(65534)
    anyio.run(main, backend=backend)


@pytest.fixture
def read_only(ledger_file: Path) -> Iterator[Path]:
    """Return the path of the ledger in a directory where nobody can write, except for the superuser."""
    # The user nobody may not use the directories of pytest.
    with TemporaryDirectory() as directory:
        for each in ledger_file.parent.glob("run.db*"):
            shutil.move(each, directory)
            Path(directory, each.name).chmod(0o444)
        Path(directory).chmod(0o555)
        yield Path(directory, ledger_file.name)
        Path(directory).chmod(0o755)


@pytest.mark.parametrize("endings", [(), ("-shm",), ("-lock",)])
async def test_a_ledger_on_read_only_media_can_be_read(
    read_only: Path, endings: tuple[str, ...], anyio_backend: str
) -> None:
    """Where nothing can be written, ``read_only=True`` returns all records, and creates nothing.

    A ledger that is opened for writing there raises `LedgerUnwritable`.
    """
    if os.geteuid() == 0:
        delete(*endings)(read_only)
    before = contents(read_only)
    with Killable(without_permission, read_only, anyio_backend, True) as child:
        accepted, unknown, outcomes, files = await child.received()
    with Killable(without_permission, read_only, anyio_backend, False) as child:
        kind, words = await child.received()
    assert (accepted, unknown, len(outcomes)) == ((1, 1, 2) if len(before) > 1 else (2, 0, 2))
    assert files == [], "a process that is killed leaves no copy"
    assert kind is LedgerUnwritable
    assert "a message that cannot be recorded in the ledger is not sent" in words
    assert contents(read_only) == before


async def test_an_error_of_a_reader_does_not_speak_of_sending(path: Path) -> None:
    """If a ledger cannot be read, the error says nothing about messages that were sent or not sent."""
    with pytest.raises(LedgerError) as caught:
        await Ledger.sqlite(path.parent, read_only=True).__aenter__()
    assert not isinstance(caught.value, LedgerUnwritable)
    assert "sent" not in caught.value.summary()


def on_full_disk(connection: Connection, path: Path, backend: str, when: str) -> None:
    """Open, use and close a ledger while no file can grow beyond a limit. Send the errors."""

    async def main() -> None:
        ledger = Ledger.sqlite(path)
        try:
            if when == "opening":
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            async with ledger:
                connection.send(await claim(ledger, 0, 2))
                # The main file cannot take the records of the log when the ledger is closed.
                resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            connection.send("closed")
        except LedgerError as error:
            connection.send((type(error), error.summary()))

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_full_disk_at_the_opening_is_told(clean: Path, is_new: bool, anyio_backend: str) -> None:
    """If the disk is full, opening a ledger raises `LedgerUnwritable`. Later, the ledger continues."""
    path = clean.with_name("new.db") if is_new else clean
    with Killable(on_full_disk, path, anyio_backend, "opening") as child:
        kind, words = await child.received()
    assert kind is LedgerUnwritable
    assert "a message that cannot be recorded in the ledger is not sent" in words
    assert await run(path, 0, 1) == (["NoneType", "NoneType"] if is_new else SENT[:2])


async def test_a_full_disk_at_the_close_loses_nothing(clean: Path, anyio_backend: str) -> None:
    """If the disk is full when a ledger is closed, the next run has each record."""
    with Killable(on_full_disk, clean, anyio_backend, "closing") as child:
        assert await child.received() == ["Accepted", "NoneType"]
        await child.received()
        assert await child.received() is None
    assert await run(clean, 0, 1, 2) == ["Accepted", "Accepted", "Unknown"]


def claim_many(connection: Connection, path: Path, backend: str) -> None:
    """Claim the messages 1 to 999, which are then only in the log, and wait to be killed."""

    async def main() -> None:
        database._CHECKPOINT_SECONDS = 1000.0
        async with Ledger.sqlite(path) as ledger:
            await ledger.claim(
                "token", [(str(n), Message(str(79030000000 + n), "text")) for n in range(1, 1000)]
            )
            connection.send("claimed")
            await anyio.sleep_forever()

    anyio.run(main, backend=backend)


def pages_in_log(path: Path) -> tuple[int, dict[int, bytes]]:
    """Return the size of a page, and the newest content of each page in the log of a ledger by page number.

    The format is in the section "The WAL File Format" of https://www.sqlite.org/fileformat2.html.
    """
    log = beside(path, "-wal").read_bytes()
    (size,) = struct.unpack_from(">I", log, 8)
    salts = log[16:24]
    pages: dict[int, bytes] = {}
    for start in range(32, len(log) - size, 24 + size):
        (number,) = struct.unpack_from(">I", log, start)
        if log[start + 8 : start + 16] == salts:
            pages[number] = log[start + 24 : start + 24 + size]
    return size, pages


@pytest.mark.parametrize("copied", [1, 3, 12])
async def test_a_process_killed_while_it_copies_the_log(path: Path, copied: int, anyio_backend: str) -> None:
    """If a process is killed between two pages that it copies to the main file, the ledger continues.

    Without the log, the ledger is refused with a sentence that names the log.
    """
    with Killable(claim_many, path, anyio_backend) as child:
        assert await child.received() == "claimed"
    size, pages = pages_in_log(path)
    assert len(pages) > copied
    with path.open("r+b") as file:
        # SQLite copies the pages in ascending order.
        for number in sorted(pages)[:copied]:
            file.seek((number - 1) * size)
            file.write(pages[number])
    aside = beside(path, "-wal").rename(beside(path, "-aside"))
    await refused(path, "run.db-wal, which is missing")
    aside.rename(beside(path, "-wal"))
    assert await run(path, 0, 1, 2) == ["NoneType", "Unknown", "Unknown"]


def write_slowly(connection: Connection, path: Path, backend: str) -> None:
    """Claim three messages. After each claim, wait until the main file has it, and then for a word."""

    async def main() -> None:
        database._CHECKPOINT_SECONDS = 0.01
        async with Ledger.sqlite(path) as ledger:
            for number in range(3):
                await claim(ledger, number)
                while messages_in_main_file(path) <= number:  # noqa: ASYNC110 - another thread writes the file
                    await anyio.sleep(0.01)
                connection.send(number)
                connection.recv()

    anyio.run(main, backend=backend)


async def test_a_copy_from_the_same_run_is_an_older_state(path: Path, anyio_backend: str) -> None:
    """If a copy from the middle of a run is put back beside the newer ``-wal``, a batch sends nothing."""
    backup = beside(path, ".backup")
    with Killable(write_slowly, path, anyio_backend) as child:
        await child.received()
        shutil.copy2(path, backup)
        for _ in range(2):
            child.connection.send("go on")
            await child.received()
    shutil.copy2(backup, path)
    await refused(path, "is an older state of this ledger")
