"""The SQLite file of a ledger: creation, opening, checks and transactions.

All functions of this module are synchronous and run in the thread of the ledger.
"""

import logging
import os
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import attrs

from smsapi_async.errors import LedgerError, LedgerUnwritable, LedgerVersion
from smsapi_async.ledger.requests import ENDED
from smsapi_async.ledger.sqlite import file_lock, identity, statements
from smsapi_async.ledger.sqlite.identity import PlaceInFileSystem, Properties

_logger = logging.getLogger("smsapi_async")
# `UPDATE ... FROM` needs this version (SQLite, "UPDATE FROM").
_OLDEST_SQLITE = (3, 33, 0)
# Maximum time in seconds for which a write waits while another program, for example a backup, locks the file.
_PATIENCE = 5.0
# The write-ahead log of SQLite needs one fsync per commit, and a rollback journal needs three. With the
# write-ahead log, readers do not block the writer.
_WRITE_AHEAD = "PRAGMA journal_mode = WAL"
# `synchronous = FULL` stores each commit on disk before the commit ends. The first byte of a request is
# written only after the commit.
# `fullfsync`: on macOS, a plain fsync does not flush the cache of the disk (SQLite, "PRAGMA fullfsync").
# `wal_autocheckpoint`: fewer pages cost up to a fifth of the speed with numbers in random order.
# `journal_size_limit`: a log that grew, because another program read for a long time, becomes small again.
_PRAGMAS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA cache_size = -8000",
    "PRAGMA wal_autocheckpoint = 2000",
    "PRAGMA journal_size_limit = 8192000",
)
# What was recorded is at the latest in the main file after this number of seconds. A checkpoint takes two
# fsyncs.
_CHECKPOINT_SECONDS = 1.0


class Database:
    """One connection to the file of a ledger. A connection for writing also holds the lock of the ledger.

    Args:
        path: the path that the caller passed. If it is relative, it belongs to the current directory at this
            time. The attribute ``path`` has resolved symbolic links, so that two paths to the same file use
            the same lock.
        redact: whether a new file stores only digests of numbers and texts.
        read_only: whether the file is opened only for reading.
        accept_copy: whether a copy of a ledger may be opened for writing.
    """

    def __init__(self, path: str, *, redact: bool, read_only: bool, accept_copy: bool) -> None:
        self._given = str(Path(path).absolute())
        self.path = os.path.realpath(path)
        self.redacted = redact
        self.read_only = read_only
        self._accept_copy = accept_copy
        self._lock: sqlite3.Connection | None = None
        self._connection: sqlite3.Connection | None = None
        self._place: PlaceInFileSystem | None = None
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._is_in_use = False
        self._ledger_id = ""
        self._unchecked_since: float | None = None

    def open(self) -> None:
        """Open the file and check its content. Unless `read_only` is set, create a missing file.

        Messages that an earlier process left in flight get the state unknown.

        Raises:
            LedgerError: if the file cannot be used as a ledger.
        """
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            needed = ".".join(map(str, _OLDEST_SQLITE[:2]))
            raise LedgerError(f"a ledger needs SQLite {needed}; this Python has {sqlite3.sqlite_version}")
        if self.read_only:
            self._open_to_read()
        else:
            self._open_to_write()

    def close(self) -> None:
        """Close the connection to the file, then release the lock of the ledger."""
        connection, self._connection = self._connection, None
        copy, self._copy = self._copy, None
        try:
            if connection is not None:
                self._close(connection)
        finally:
            self._unlock()
            if copy is not None:
                copy.cleanup()

    @property
    def connection(self) -> sqlite3.Connection:
        """The open connection."""
        if self._connection is None:
            raise LedgerError(f"{self.path} is not open")
        return self._connection

    @property
    def has_writer(self) -> bool:
        """Whether a process has the file open for writing: this process, or for a reader another process."""
        return not self.read_only or (self._copy is None and file_lock.is_locked(f"{self.path}-lock"))

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Return a context manager for one write transaction.

        Raises:
            LedgerError: if the file was deleted, renamed, replaced or truncated. After this error, the
                changes may or may not be stored, so the caller must send nothing.
        """
        if self.read_only:
            raise LedgerError(f"{self.path} was opened for reading only")
        connection, place = self.connection, self._place
        if place is not None:
            place.check()
        # `BEGIN IMMEDIATE` gets the write lock of SQLite at once, so a later statement of the transaction
        # cannot fail because of this lock.
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                # If the disk is full, SQLite has already rolled the transaction back.
                connection.execute("ROLLBACK")
            raise
        # The file may have been renamed after the first check. A claim that no later run finds must fail.
        if place is not None:
            place.check()
        if self._unchecked_since is None:
            self._unchecked_since = monotonic()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Return a context manager for a read transaction.

        All statements of a read transaction see the same state of the file.
        """
        connection = self.connection
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")

    def checkpoint_wait(self) -> float | None:
        """Return after how many seconds `checkpoint` is due; None if the main file contains everything."""
        if self._unchecked_since is None:
            return None
        return max(0.0, self._unchecked_since + _CHECKPOINT_SECONDS - monotonic())

    def checkpoint(self) -> None:
        """Copy the write-ahead log to the main file. If a reader prevents it, it is due again later.

        The main file then has a new generation, so that a copy that was made before is an older state.
        """
        connection, self._unchecked_since = self.connection, None
        # A failed checkpoint loses nothing: the log still contains everything.
        with suppress(sqlite3.Error, LedgerError):
            with self.writing():
                (generation,) = connection.execute(statements.NEXT_GENERATION).fetchone()
            if _copy_log(connection):
                self._mark(generation)
                self._unchecked_since = None
            else:
                self._unchecked_since = monotonic()

    def _mark(self, generation: int) -> None:
        """Store the generation of the main file also outside the main file."""
        identity.write_mark(self.path, self._ledger_id, generation)
        if self._lock is not None:
            file_lock.write_generation(self._lock, self._ledger_id, generation)

    def _close(self, connection: sqlite3.Connection) -> None:
        if self._is_in_use and self._is_sole_writer():
            with suppress(sqlite3.Error):
                connection.execute(statements.END_USE)
                _copy_log(connection)
        # If the file has another name now, SQLite leaves the file and its log as they are.
        connection.close()

    def _is_sole_writer(self) -> bool:
        """Return whether the file is still at its place and no other process writes to the file."""
        changed = None if self._place is None else self._place.changed()
        if changed == self.path:
            if self._place is not None and not self._place.has_told:
                _logger.warning(
                    "ledger: %s was deleted, renamed or replaced before the ledger was closed", changed
                )
            return False
        if changed == f"{self.path}-lock":
            # Another process may have created the lock file anew.
            self._unlock()
            file_lock.create_privately(changed)
            try:
                self._lock = file_lock.locked(changed)
            except sqlite3.Error:
                return False
        return True

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def _open_to_write(self) -> None:
        if Path(self.path).is_dir():
            raise LedgerUnwritable(f"{self.path} is a directory")
        # We lock the lock file before we create or open the ledger file, so that a second writer cannot
        # change the ledger file.
        file_lock.create_privately(f"{self.path}-lock")
        self._lock = file_lock.locked(f"{self.path}-lock")
        if not Path(self.path).exists():
            self._create()
        identity.check_names(self.path)
        properties = self._checked_before_writing(self._lock)
        connection = self._connection = _connect(self.path, "rw")
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        if connection.execute(_WRITE_AHEAD).fetchone()[0] != "wal":
            raise LedgerError(f"{self.path}: this file system does not support a ledger; use a local disk")
        self._begin_use(connection, properties)

    def _checked_before_writing(self, lock: sqlite3.Connection) -> Properties:
        """Check a file, and change nothing. A copy that was accepted gets a new id."""
        had_log = identity.has_log(self.path)
        # A connection for writing would copy the log to the main file when it is closed, even if the log
        # belongs to another file.
        with closing(_connect_to_short_file(self.path, "ro")) as connection:
            properties = self._checked(connection)
        # The log may have a newer generation than a main file that was replaced by an older state.
        with closing(_connect_to_short_file(self.path, "ro&immutable=1")) as connection:
            (own,) = connection.execute(statements.GENERATION).fetchone()
        properties = attrs.evolve(properties, generation=own)
        try:
            generation = file_lock.read_generation(lock, properties.ledger_id)
            identity.check_log(self.path, properties.in_use, had_log=had_log)
            identity.check_identity(self.path, properties, generation)
        except LedgerError:
            if not self._accept_copy:
                raise
            return attrs.evolve(properties, ledger_id=_new_id())
        return properties

    def _begin_use(self, connection: sqlite3.Connection, properties: Properties) -> None:
        """Store in the main file that the file is in use, before the first claim."""
        self._ledger_id = properties.ledger_id
        has_mark = identity.write_mark(self.path, self._ledger_id, properties.generation)
        with self.writing():
            row = (self._ledger_id, identity.inode_of(self.path), has_mark)
            (generation,) = connection.execute(statements.BEGIN_USE, row).fetchone()
            connection.execute(statements.RECOVER, (ENDED,))
        self._is_in_use = True
        if _copy_log(connection):
            self._mark(generation)
            self._unchecked_since = None
        self._place = PlaceInFileSystem(self.path, self._given)

    def _create(self) -> None:
        """Create the file with all its tables under another name, then give it its name.

        The file therefore never exists without its tables. The lock must be held.
        """
        if identity.has_log(self.path):
            log = f"{Path(self.path).name}-wal"
            raise LedgerError(
                f"{self.path} is missing, but {log} exists: the ledger was moved without {log}, or deleted;"
                f" put the ledger back, or move {log} beside the ledger; to begin a new ledger, delete {log}"
            )
        new = f"{self.path}-new"
        for ending in ("", "-journal", "-wal", "-shm"):
            Path(new + ending).unlink(missing_ok=True)
        file_lock.create_privately(new)
        connection = _connect(new, "rw")
        try:
            # If the mode was changed later, a killed process could leave a rollback journal, and a connection
            # for reading cannot open such a file.
            connection.execute(_WRITE_AHEAD)
            connection.executescript(f"BEGIN; {statements.SCHEMA} COMMIT;")
            row = (_new_id(), int(self.redacted), identity.inode_of(new), 0)
            connection.execute(statements.INSERT_PROPERTIES, row)
        finally:
            connection.close()
        Path(new).rename(self.path)
        _sync_directory(self.path)

    def _open_to_read(self) -> None:
        if not Path(self.path).is_file():
            raise LedgerError(f"{self.path}: this ledger does not exist")
        if Path(self.path).stat().st_size == 0:
            raise LedgerError(f"{self.path} is empty")
        had_log = identity.has_log(self.path)
        self._connection = _connect(self.path, "ro")
        try:
            properties = self._checked(self._connection)
        except sqlite3.OperationalError:
            # On read-only media, SQLite cannot create the file with the ending ``-shm``.
            self._connection.close()
            self._connection = self._connect_to_copy()
            properties = self._checked(self._connection)
        try:
            identity.check_log(self.path, properties.in_use, had_log=had_log)
            identity.check_identity(self.path, properties, 0)
        except LedgerError as error:
            _logger.warning("%s", error)

    def _connect_to_copy(self) -> sqlite3.Connection:
        if not identity.has_log(self.path):
            return _connect(self.path, "ro&immutable=1")
        self._copy = tempfile.TemporaryDirectory(prefix="smsapi-ledger-")
        copy = Path(self._copy.name, "ledger")
        shutil.copyfile(self.path, copy)
        shutil.copyfile(f"{self.path}-wal", f"{copy}-wal")
        connection = _connect(str(copy), "rw")
        # The copy becomes one file, which needs no name while it is open: a process that is killed
        # then leaves no copy of numbers and texts. Windows does not delete an open file before it is closed.
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        with suppress(OSError):
            copy.unlink()
        return connection

    def _checked(self, connection: sqlite3.Connection) -> Properties:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        if application != statements.APPLICATION_ID:
            raise LedgerError(f"{self.path} is not a ledger")
        if version < statements.VERSION:
            raise LedgerVersion(
                f"{self.path} has ledger format {version}, which version 0.1 of this package wrote;"
                " finish its messages with version 0.1 (pip install 'smsapi-async[ledger]==0.1.*'), and pass"
                " another file for other messages"
            )
        if version > statements.VERSION:
            raise LedgerVersion(
                f"{self.path} has ledger format {version}; this package supports format {statements.VERSION};"
                " use the version that wrote the ledger, or a newer version"
            )
        row = _properties_row(connection)
        if row is None:
            raise LedgerError(f"{self.path} is not a ledger, or is damaged")
        ledger_id, redacted, in_use, generation, inode, has_mark = row
        if self.redacted and not redacted:
            raise LedgerError(
                f"{self.path} contains phone numbers and texts: it was created without `redact`;"
                " pass redact=False, or use another file"
            )
        self.redacted = bool(redacted)
        return Properties(ledger_id, bool(redacted), bool(in_use), generation, inode, bool(has_mark))


def _new_id() -> str:
    return secrets.token_hex(8)


def _copy_log(connection: sqlite3.Connection) -> bool:
    """Copy the write-ahead log to the main file. Return False if a reader prevented a part of it."""
    is_busy, pages, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return not is_busy and copied >= pages


def _connect(path: str, mode: str) -> sqlite3.Connection:
    # `isolation_level=None` turns off the automatic transactions of the driver, which are deferred: if two
    # deferred transactions first read and then write, one of them can fail.
    connection = sqlite3.connect(
        f"{Path(path).as_uri()}?mode={mode}",
        uri=True,
        timeout=_PATIENCE,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    connection.row_factory = sqlite3.Row
    return connection


def _properties_row(connection: sqlite3.Connection) -> Any:  # noqa: ANN401 - the type of the driver
    """Return the row with the properties of a file; None if the file has no such row or is damaged."""
    try:
        row = connection.execute(statements.PROPERTIES).fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        return None
    # The columns of a damaged row contain NULL.
    return None if row is None or None in tuple(row) else row


def _connect_to_short_file(path: str, mode: str) -> sqlite3.Connection:
    """Return a connection that can read the properties also from a main file without its last pages.

    If a process was killed while it copied the log to the main file, the main file alone has fewer pages than
    its first page says. The page with the properties exists since the creation of the file.
    """
    connection = _connect(path, mode)
    connection.execute(statements.READ_SHORT_FILE)
    return connection


def _sync_directory(path: str) -> None:
    """Store the name of a new file on the disk. Windows needs no such call, and does not allow it."""
    with suppress(OSError):
        directory = os.open(Path(path).parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
