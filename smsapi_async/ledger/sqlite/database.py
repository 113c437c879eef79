"""The file: created privately, locked for one writer, checked. Synchronous, for worker threads."""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, insert, inspect, select
from sqlalchemy.pool import NullPool

from smsapi_async.errors import LedgerError, LedgerVersion
from smsapi_async.ledger.sqlite.schema import APPLICATION_ID, VERSION, metadata, properties

# How long a foreign program, such as a backup, may hold the file; a second writer is refused before.
_PATIENCE = 5.0
# One fsync a commit where a rollback journal takes three; and readers do not hold up the writer.
_WRITE_AHEAD = "PRAGMA journal_mode = WAL"
# With the default of 1000 pages, a ledger of a million messages spends most of a claim on checkpoints.
_PRAGMAS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA cache_size = -8000",
    "PRAGMA wal_autocheckpoint = 4000",
)
_CREATING = threading.Lock()
_LOGGING_NAME = "smsapi_async.ledger"


class Database:
    """One connection to a ledger's file, and for a writer the lock on it.

    Args:
        path: the file, with symbolic links resolved, so that two names of it have one lock.
        redact: whether to create it for hashes only.
        read_only: whether to leave it as it is.
    """

    def __init__(self, path: str, *, redact: bool, read_only: bool) -> None:
        self.path = path
        self.redacted = redact
        self._read_only = read_only
        self._lock: sqlite3.Connection | None = None
        self._connection: Connection | None = None
        self._together = False

    def open(self) -> None:
        """Open the file, create what is missing, and check what is there.

        Raises:
            LedgerError: it cannot be used.
        """
        if self._read_only:
            if not Path(self.path).is_file():
                raise LedgerError(f"{self.path}: there is no such ledger")
        else:
            _create_privately(self.path + "-lock")
            self._lock = _locked(self.path + "-lock")
            _create_privately(self.path)
        self._connection = _engine(self.path, self._read_only).connect()
        self._check_or_create(self._connection)

    def close(self) -> None:
        """Close the connection, then let go of the lock."""
        connection, self._connection = self._connection, None
        lock, self._lock = self._lock, None
        try:
            if connection is not None:
                connection.close()
        finally:
            if lock is not None:
                lock.close()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that has the right to write from its beginning, or a part of one of `together`."""
        if self._read_only:
            raise LedgerError(f"{self.path} was opened for reading only")
        with self._savepoint() if self._together else self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def together(self) -> Iterator[None]:
        """A transaction that holds every `writing` within it; each of these is undone alone if it fails.

        Raises:
            LedgerError: SQLite gave up the whole transaction; nothing was written.
        """
        with self.writing() as connection:
            self._together = True
            try:
                yield
            finally:
                self._together = False
            if not _in_transaction(connection):
                raise LedgerError(f"{self.path}: a transaction was given up")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the file."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        if self._connection is None:
            raise LedgerError(f"{self.path} is not open")
        with self._connection.begin():
            self._connection.exec_driver_sql(begin)
            yield self._connection

    @contextmanager
    def _savepoint(self) -> Iterator[Connection]:
        connection = self._connection
        # SQLite gives up a whole transaction where a disk is full, and a savepoint would begin another.
        if connection is None or not _in_transaction(connection):
            raise LedgerError(f"{self.path}: a transaction was given up")
        connection.exec_driver_sql("SAVEPOINT part")
        try:
            yield connection
        except BaseException:
            if _in_transaction(connection):
                connection.exec_driver_sql("ROLLBACK TO part")
                connection.exec_driver_sql("RELEASE part")
            raise
        connection.exec_driver_sql("RELEASE part")

    def _check_or_create(self, connection: Connection) -> None:
        with self.reading():
            version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
            application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
            empty = not inspect(connection).get_table_names()
        if application != APPLICATION_ID and not (empty and application == version == 0):
            raise LedgerError(f"{self.path} is not a ledger")
        if version > VERSION:
            raise LedgerVersion(f"{self.path} is a ledger of version {version}; this is version {VERSION}")
        if not self._read_only:
            self._prepare(connection, create=version == 0)
        elif version == 0:
            raise LedgerError(f"{self.path} is empty")
        with self.reading():
            redacted = bool(connection.scalar(select(properties.c.redacted)))
        if self.redacted and not redacted:
            raise LedgerError(f"{self.path} holds numbers and texts: it was created without `redact`")
        self.redacted = redacted

    def _prepare(self, connection: Connection, *, create: bool) -> None:
        with connection.begin():
            for pragma in _PRAGMAS:
                connection.exec_driver_sql(pragma)
            mode = connection.exec_driver_sql(_WRITE_AHEAD).scalar_one()
        if mode != "wal":
            raise LedgerError(f"{self.path}: this file system cannot hold a ledger; use a local disk")
        if create:
            with self.writing():
                metadata.create_all(connection)
                connection.execute(insert(properties).values(redacted=int(self.redacted)))
                connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")


def _in_transaction(connection: Connection) -> bool:
    driver = connection.connection.driver_connection
    return isinstance(driver, sqlite3.Connection) and driver.in_transaction


def _create_privately(path: str) -> None:
    # Closing a descriptor drops all locks that this process has on the file: so it is never opened when
    # it is there, and nobody else here can lock it between its creation and the closing.
    with _CREATING, suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _locked(path: str) -> sqlite3.Connection:
    """A lock that the system lets go of when the process ends, however it ends.

    It is SQLite's own, on a second file: a lock on the ledger itself would keep readers out.
    """
    lock = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        # Nothing is ever written to it, so it needs no journal, which a killed process would leave behind.
        lock.execute("PRAGMA journal_mode = OFF")
        lock.execute("BEGIN EXCLUSIVE")
    except BaseException:
        lock.close()
        raise
    return lock


def _engine(path: str, read_only: bool) -> Engine:
    mode = "ro" if read_only else "rw"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            f"{Path(path).as_uri()}?mode={mode}",
            uri=True,
            timeout=_PATIENCE,
            isolation_level=None,
            check_same_thread=False,
        )

    # Transactions are begun here by hand: the driver's own are deferred, and two writers would collide.
    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=NullPool,
        hide_parameters=True,
        logging_name=_LOGGING_NAME,
    )
    # The name makes the logger this package's own; adding the same filter twice does nothing.
    assert isinstance(engine.logger, logging.Logger)  # noqa: S101 - it is one where there is no `echo`
    engine.logger.addFilter(_not_debugging)
    return engine


def _not_debugging(record: logging.LogRecord) -> bool:
    """Whether a record is above DEBUG, where SQLAlchemy tells the rows it reads, whatever it hides else."""
    return record.levelno > logging.DEBUG
