"""Conversion of the errors of SQLite and the operating system to errors of this package."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from smsapi_async.errors import LedgerError, LedgerInUse, LedgerUnwritable

_Value = TypeVar("_Value")

_UNWRITABLE = {
    sqlite3.SQLITE_PERM: "permission was denied",
    sqlite3.SQLITE_READONLY: "the file is read-only",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
}
_IN_USE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def guarded(path: str, work: Callable[[], _Value], *, read_only: bool = False) -> _Value:
    """Run a function. If the function fails, raise an error that does not contain the stored values.

    The `LedgerError` is raised outside the exception handlers, so that the original exception does not become
    its context. The original exception may contain the parameters of an SQL statement, for example a phone
    number.

    Args:
        path: the path of the ledger, for the error text.
        work: the function to run, which uses the file of the ledger.
        read_only: whether the ledger is open only for reading, so that the error does not say that it cannot
            be written.

    Raises:
        LedgerError: if SQLite or the operating system reported an error.
    """
    try:
        return work()
    except sqlite3.Error as error:
        failure = _of_sqlite(path, error, read_only)
    except OSError as error:
        kind = LedgerError if read_only else LedgerUnwritable
        failure = kind(f"{path}: {error.strerror}")
    except (UnicodeEncodeError, OverflowError):
        failure = LedgerError("a value to record contains a lone surrogate or a number that is too large")
    raise failure


def _of_sqlite(path: str, error: sqlite3.Error, read_only: bool) -> LedgerError:
    # The lowest byte of an extended error code of SQLite is the primary error code.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _IN_USE:
        return LedgerInUse(f"{path} is in use; a ledger can have only one writer at a time")
    if code in _UNWRITABLE:
        if read_only:
            return LedgerError(f"{path} cannot be read: {_UNWRITABLE[code]}")
        return LedgerUnwritable(f"{path} cannot be written: {_UNWRITABLE[code]}")
    if code in _DAMAGED:
        return LedgerError(f"{path} is not a ledger, or is damaged")
    return LedgerError(f"{path}: SQLite reports {getattr(error, 'sqlite_errorname', type(error).__name__)}")
