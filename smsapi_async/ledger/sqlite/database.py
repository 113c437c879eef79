"""The SQLite file of a ledger: creation, lock, check and transactions.

All functions of this module are synchronous and run in a worker thread.
"""

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

# Maximum time in seconds for which a write waits while another program, for example a backup, locks the file.
# A second ledger that opens the same file for writing does not wait: it gets an error at once, because it
# cannot lock the file with the ending ``-lock``.
_PATIENCE = 5.0
# The write-ahead log of SQLite needs one fsync per commit, and a rollback journal needs three. With the
# write-ahead log, readers do not block the writer.
_WRITE_AHEAD = "PRAGMA journal_mode = WAL"
# `synchronous = FULL` stores each commit on disk before the commit ends. The first byte of a request is
# written only after the commit.
# `fullfsync`: on macOS, a plain fsync does not flush the cache of the disk (SQLite, "PRAGMA fullfsync").
# `wal_autocheckpoint`: with the default of 1000 pages, `claim` in a ledger with a million messages needs most
# of its time for checkpoints of the write-ahead log.
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
    """One connection to the file of a ledger. A connection for writing also holds the lock of the ledger.

    Args:
        path: the path of the file with resolved symbolic links, so that two paths to the same file use the
            same lock.
        redact: whether a new file stores only hashes of destination addresses and texts.
        read_only: whether the file is opened only for reading.
    """

    def __init__(self, path: str, *, redact: bool, read_only: bool) -> None:
        self.path = path
        self.redacted = redact
        self._read_only = read_only
        self._lock: sqlite3.Connection | None = None
        self._connection: Connection | None = None
        self._together = False

    def open(self) -> None:
        """Open the file and check its content. Unless `read_only` is set, create missing files and tables.

        Raises:
            LedgerError: if the file cannot be used as a ledger.
        """
        if self._read_only:
            if not Path(self.path).is_file():
                raise LedgerError(f"{self.path}: this ledger does not exist")
        else:
            # We lock the lock file before we create the ledger file, so that a second writer cannot change
            # the ledger file.
            _create_privately(self.path + "-lock")
            self._lock = _locked(self.path + "-lock")
            _create_privately(self.path)
        self._connection = _engine(self.path, self._read_only).connect()
        self._check_or_create(self._connection)

    def close(self) -> None:
        """Close the connection to the file, then release the lock of the ledger."""
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
        """Return a context manager for one write transaction.

        Inside a `together` block, `writing` creates a savepoint in the shared transaction instead of a
        transaction of its own.
        """
        if self._read_only:
            raise LedgerError(f"{self.path} was opened for reading only")
        # `BEGIN IMMEDIATE` gets the write lock of SQLite at once, so a later statement of the transaction
        # cannot fail because of this lock.
        with self._savepoint() if self._together else self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def together(self) -> Iterator[None]:
        """Return a context manager for a transaction that contains several `writing` blocks.

        If one `writing` block fails, only the changes of the failed block are rolled back.

        Raises:
            LedgerError: if SQLite rolled back the whole transaction, so that nothing was written.
        """
        with self.writing() as connection:
            self._together = True
            try:
                yield
            finally:
                self._together = False
            if not _in_transaction(connection):
                raise LedgerError(f"{self.path}: SQLite rolled back the transaction; nothing was written")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Return a context manager for a read transaction.

        All statements of a read transaction see the same state of the file.
        """
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
        # If the disk is full, SQLite rolls back the whole transaction. A savepoint after such a rollback
        # would start a new transaction.
        if connection is None or not _in_transaction(connection):
            raise LedgerError(f"{self.path}: SQLite rolled back the transaction; nothing was written")
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
            raise LedgerVersion(
                f"{self.path} has ledger format {version}; this package supports format {VERSION}"
            )
        if not self._read_only:
            self._prepare(connection, create=version == 0)
        elif version == 0:
            raise LedgerError(f"{self.path} is empty")
        with self.reading():
            redacted = bool(connection.scalar(select(properties.c.redacted)))
        if self.redacted and not redacted:
            raise LedgerError(
                f"{self.path} contains phone numbers and texts: it was created without `redact`;"
                " pass redact=False, or use another file"
            )
        self.redacted = redacted

    def _prepare(self, connection: Connection, *, create: bool) -> None:
        with connection.begin():
            for pragma in _PRAGMAS:
                connection.exec_driver_sql(pragma)
            mode = connection.exec_driver_sql(_WRITE_AHEAD).scalar_one()
        if mode != "wal":
            raise LedgerError(f"{self.path}: this file system does not support a ledger; use a local disk")
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
    # `_create_privately` never opens an existing file: when a process closes a descriptor of a file, POSIX
    # releases all locks of this process on the file. A thread locks a file only after `_create_privately`
    # returns. While another thread creates and closes the file, the lock `_CREATING` makes the caller wait.
    with _CREATING, suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _locked(path: str) -> sqlite3.Connection:
    """Lock the given file, so that only one process can write the ledger.

    The operating system releases the lock when the process ends, even after a crash.

    The lock is an exclusive SQLite transaction on a second file, because an exclusive transaction on the
    ledger file would block readers.
    """
    lock = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        # The lock file never contains data, so it needs no journal. If the lock file had a journal, a killed
        # process would leave the journal file on the disk.
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

    # `isolation_level=None` turns off the automatic transactions of the driver. The driver's automatic
    # transactions are deferred: if two deferred transactions first read and then write, one transaction can
    # fail.
    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=NullPool,
        hide_parameters=True,
        logging_name=_LOGGING_NAME,
    )
    # `logging_name` creates a logger only for this package, so the filter `_not_debugging` does not change
    # the logs of other engines. A second call of `addFilter` with the same filter does nothing.
    assert isinstance(engine.logger, logging.Logger)  # noqa: S101 - true unless `echo` is set
    engine.logger.addFilter(_not_debugging)
    return engine


def _not_debugging(record: logging.LogRecord) -> bool:
    """Return whether the level of a log record is above DEBUG.

    At DEBUG, SQLAlchemy logs the rows of each result, even with `hide_parameters`. The rows of a ledger
    contain phone numbers and texts.
    """
    return record.levelno > logging.DEBUG
