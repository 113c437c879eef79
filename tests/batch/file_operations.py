"""What people do with the files of a ledger while a batch runs, and after the batch was killed."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Protocol

LOG = "-wal"
ALL = ("", "-wal", "-shm", "-lock")
COPY = "is a copy of a ledger"
NO_LOG = "-wal, which is missing"
ORPHAN = "is missing, but run.db-wal exists"
NAMES = "has 2 names"


class Runs(Protocol):
    """Runs a batch with a ledger, and checks how the run ends."""

    async def refused(self, path: Path, words: str) -> None:
        """Run the batch. The run must be refused with these words, and send nothing."""

    async def killed(self, path: Path) -> None:
        """Run the batch in a process that is killed."""

    async def complete(self, path: Path, *, accept_copy: bool = False) -> None:
        """Run the batch. The run must not be refused."""


def beside(path: Path, ending: str) -> Path:
    """Return the path of a file with the same name and another ending."""
    return path.with_name(path.name + ending)


def transfer(by: Callable[[Path, Path], object], source: Path, target: Path, *endings: str) -> Path:
    """Copy or move files of a ledger, and return the path of the target."""
    target.parent.mkdir(exist_ok=True)
    for ending in endings:
        if beside(source, ending).exists():
            by(beside(source, ending), beside(target, ending))
    return target


def delete(path: Path, *endings: str) -> None:
    """Delete files of a ledger."""
    for ending in endings:
        beside(path, ending).unlink(missing_ok=True)


def new_directory(path: Path) -> Path:
    """Return the same file name in another directory, whose name is always new."""
    last = max(int(each.name) for each in path.parent.parent.iterdir())
    return path.parent.parent / str(last + 1) / path.name


def is_in_use(path: Path) -> bool:
    """Return whether a process was killed between the opening and the closing of a ledger.

    Only then are records missing if the file is used without its log.
    """
    log = beside(path, LOG)
    if not log.exists() or not log.stat().st_size:
        return False
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        # The process may have been killed while it copied the log to the file, whose last pages are then
        # missing. With this setting, SQLite reads such a file.
        connection.execute("PRAGMA writable_schema = ON")
        (in_use,) = connection.execute("SELECT in_use FROM properties").fetchone()
    return bool(in_use)


# After a kill. Each function returns the path of the ledger with which the batch continues.


async def nothing(runs: Runs, path: Path) -> Path:
    """Change nothing."""
    return path


async def move_with_log(runs: Runs, path: Path) -> Path:
    """Move the file with its log. The ledger continues at its new place."""
    return transfer(Path.rename, path, new_directory(path), "", LOG)


async def move_without_log(runs: Runs, path: Path) -> Path:
    """Move the file without its log, and then the log, too."""
    target = transfer(Path.rename, path, new_directory(path), "")
    await runs.refused(target, NO_LOG)
    await runs.refused(path, ORPHAN)
    return transfer(Path.rename, path, target, LOG)


async def rename_directory(runs: Runs, path: Path) -> Path:
    """Rename the directory of the ledger."""
    target = new_directory(path)
    path.parent.rename(target.parent)
    return target


async def copy_with_log(runs: Runs, path: Path) -> Path:
    """Copy the file with its log. The original continues."""
    await runs.refused(transfer(shutil.copyfile, path, new_directory(path), "", LOG), COPY)
    return path


async def copy_without_log(runs: Runs, path: Path) -> Path:
    """Copy the file without its log. The original continues."""
    await runs.refused(transfer(shutil.copy2, path, new_directory(path), ""), f"{NO_LOG}|{COPY}")
    return path


async def copy_all(runs: Runs, path: Path) -> Path:
    """Copy all files with their attributes. The original continues."""
    await runs.refused(transfer(shutil.copy2, path, new_directory(path), *ALL), COPY)
    return path


async def delete_log(runs: Runs, path: Path) -> Path:
    """Move the log away, and put the log back."""
    aside = transfer(Path.rename, path, new_directory(path), LOG)
    await runs.refused(path, NO_LOG)
    return transfer(Path.rename, aside, path, LOG)


async def delete_file(runs: Runs, path: Path) -> Path:
    """Move the file away, and put the file back."""
    aside = transfer(Path.rename, path, new_directory(path), "")
    await runs.refused(path, ORPHAN)
    return transfer(Path.rename, aside, path, "")


async def delete_rest(runs: Runs, path: Path) -> Path:
    """Delete the shared memory and the lock, which contain no records."""
    delete(path, "-shm", "-lock")
    return path


async def link(runs: Runs, path: Path) -> Path:
    """Give the file a second name, and delete the second name."""
    other = path.with_name("link.db")
    os.link(path, other)
    await runs.refused(other, NAMES)
    await runs.refused(path, NAMES)
    other.unlink()
    return path


async def link_symbolically(runs: Runs, path: Path) -> Path:
    """Move the ledger, and run the batch once with a symbolic link to the ledger."""
    target = transfer(Path.rename, path, new_directory(path), *ALL)
    link = target.with_name("symbolic.db")
    link.symlink_to(target)
    await runs.killed(link)
    return target


async def restore_older_state(runs: Runs, path: Path) -> Path:
    """Complete a run, put an older state back in place, and then the newest state."""
    older, newest = beside(path, ".older"), beside(path, ".newest")
    await runs.complete(path)
    shutil.copy2(path, older)
    await runs.complete(path)
    shutil.copy2(path, newest)
    shutil.copy2(older, path)
    await runs.refused(path, "is an older state")
    shutil.copy2(newest, path)
    return path


async def use_other_program(runs: Runs, path: Path) -> Path:
    """Open the ledger with another SQLite program, which stores the log in the file."""
    with closing(sqlite3.connect(path)) as connection:
        (in_use,) = connection.execute("SELECT in_use FROM properties").fetchone()
    # A process that was killed at the end of its run may have stored in the log that the file is closed.
    if in_use:
        await runs.refused(path, "if another SQLite program has opened the ledger since")
    await runs.complete(path, accept_copy=bool(in_use))
    return path


AFTER = (
    nothing,
    move_with_log,
    move_without_log,
    rename_directory,
    copy_with_log,
    copy_without_log,
    copy_all,
    delete_log,
    delete_file,
    delete_rest,
    link,
    link_symbolically,
    use_other_program,
)


# During a run, which must then halt. Each function returns the path of the ledger for the next run.


def rename_during(path: Path) -> Callable[[], Path]:
    """Rename the file, and rename the file back after the run."""
    renamed = path.rename(path.with_name("renamed.db"))
    return lambda: renamed.rename(path)


def move_during(path: Path) -> Callable[[], Path]:
    """Move the file and its log to another directory, where the ledger continues."""
    target = transfer(Path.rename, path, new_directory(path), "", LOG)
    return lambda: target


def rename_directory_during(path: Path) -> Callable[[], Path]:
    """Rename the directory of the ledger, where the ledger continues."""
    target = new_directory(path)
    path.parent.rename(target.parent)
    return lambda: target


def delete_lock_during(path: Path) -> Callable[[], Path]:
    """Delete the lock."""
    delete(path, "-lock")
    return lambda: path


def delete_log_during(path: Path) -> Callable[[], Path]:
    """Delete the log. The process that halts has still the log open, and stores its records in the file."""
    delete(path, LOG)
    return lambda: path


def delete_all_during(path: Path) -> Callable[[], Path]:
    """Delete all files of the ledger. The batch cannot continue."""
    delete(path, *ALL)
    return lambda: path


DURING = (
    rename_during,
    move_during,
    rename_directory_during,
    delete_lock_during,
    delete_log_during,
)
