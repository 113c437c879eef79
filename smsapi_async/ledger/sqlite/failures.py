"""What SQLite and the system report, told as this package's errors."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from smsapi_async.errors import LedgerError, LedgerInUse, LedgerUnwritable

_Value = TypeVar("_Value")

_UNWRITABLE = {
    sqlite3.SQLITE_PERM: "permission was denied",
    sqlite3.SQLITE_READONLY: "it can only be read",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
}
_IN_USE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def guarded(path: str, work: Callable[[], _Value]) -> _Value:
    """Do the work; its errors are told without what was being stored.

    They are raised outside the handlers, so that no exception in the chain holds a statement's
    parameters.
    """
    try:
        return work()
    except DBAPIError as error:
        failure = _of_sqlite(path, error.orig)
    except sqlite3.Error as error:
        failure = _of_sqlite(path, error)
    except OSError as error:
        failure = LedgerUnwritable(f"{path}: {error.strerror}")
    except (UnicodeEncodeError, OverflowError):
        failure = LedgerError("what is to be recorded holds a lone surrogate or too large a number")
    raise failure


def _of_sqlite(path: str, error: BaseException | None) -> LedgerError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _IN_USE:
        return LedgerInUse(f"{path} is in use")
    if code in _UNWRITABLE:
        return LedgerUnwritable(f"{path} cannot be written: {_UNWRITABLE[code]}")
    if code in _DAMAGED:
        return LedgerError(f"{path} is not a ledger, or is damaged")
    return LedgerError(f"{path}: SQLite reports {getattr(error, 'sqlite_errorname', type(error).__name__)}")
