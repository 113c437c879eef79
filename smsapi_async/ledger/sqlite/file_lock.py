"""The lock of the writer of a ledger: a second file, which the writer keeps locked while the ledger is open.

The lock file also contains which ledger was opened last at this path, and its generation: see the module
``identity``. All functions of this module are synchronous.
"""

import os
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

_CREATING = threading.Lock()
# A reader locks the file for a moment to find out whether there is a writer. Without a wait, a writer that
# opens the ledger in this moment would get an error.
_WAIT = 0.25


def create_privately(path: str) -> None:
    """Create an empty file with mode 0600, unless a file with this name exists."""
    # The function never opens an existing file: when a process closes a descriptor of a file, POSIX releases
    # all locks of this process on the file. A thread locks a file only after `create_privately` returns.
    # While another thread creates and closes the file, the lock `_CREATING` makes the caller wait.
    with _CREATING, suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def locked(path: str) -> sqlite3.Connection:
    """Lock a file, and return the connection that holds the lock. The end of the process releases the lock.

    The lock is an exclusive SQLite transaction on a second file, because an exclusive transaction on the file
    of the ledger would block readers.

    Raises:
        sqlite3.Error: with SQLITE_BUSY, if another connection holds the lock.
    """
    lock = sqlite3.connect(path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
    try:
        # Only one page of the lock file is written, so the file needs no journal. A killed process would
        # leave the journal file on the disk.
        lock.execute("PRAGMA journal_mode = OFF")
        # The lock outlasts the commit in `write_generation`.
        lock.execute("PRAGMA locking_mode = EXCLUSIVE")
        lock.execute("BEGIN EXCLUSIVE")
    except BaseException:
        lock.close()
        raise
    return lock


def read_generation(lock: sqlite3.Connection, ledger_id: str) -> int:
    """Return the last generation of a ledger at this path.

    Args:
        lock: the connection from `locked`.
        ledger_id: the id of the ledger. If another ledger was opened last at this path, the result is 0.
    """
    (application,) = lock.execute("PRAGMA application_id").fetchone()
    (generation,) = lock.execute("PRAGMA user_version").fetchone()
    return int(generation) if application == _application(ledger_id) else 0


def write_generation(lock: sqlite3.Connection, ledger_id: str, generation: int) -> None:
    """Store for `read_generation` which ledger was opened, and its generation."""
    # Both numbers are in the header of the file, so that one write of one page stores them.
    lock.execute(f"PRAGMA application_id = {_application(ledger_id)}")
    lock.execute(f"PRAGMA user_version = {generation}")
    lock.execute("COMMIT")
    lock.execute("BEGIN EXCLUSIVE")


def _application(ledger_id: str) -> int:
    # SQLite stores an application id of 31 bits and a sign.
    return int(ledger_id[:7], 16)


def is_locked(path: str) -> bool:
    """Return whether another connection holds the lock of a file; False if the file does not exist."""
    if not Path(path).exists():
        return False
    try:
        probe = sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True, timeout=0, isolation_level=None)
    except sqlite3.Error:
        return False
    try:
        probe.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
    finally:
        probe.close()
    return False
