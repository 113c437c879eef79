"""Conversion of the errors of psycopg to errors of this package.

The texts of psycopg's errors quote rows, and so phone numbers and texts. This module reads only the SQLSTATE
of an error. The error of this package is raised outside the exception handlers, so that the original error
does not become its context.
"""

from typing import Final, Literal

import attrs

from smsapi_async.errors import LedgerError, LedgerInUse, LedgerUnwritable

Kind = Literal["lost", "conflict", "pooled", "other"]

_LOST_CLASSES = ("08",)
_LOST: Final = {"57P01", "57P02", "57P03", "57P05", "25P03"}
# A deadlock, or a transaction that PostgreSQL cannot order after another transaction.
_CONFLICTS: Final = {"40001", "40P01"}
# A prepared statement does not exist, or exists already.
_POOLED: Final = {"26000", "42P05"}
_UNWRITABLE: Final = {
    "25006": "the server accepts only reads, for example because it is a standby",
    "42501": "this role has no permission",
    "53100": "the disk of the server is full",
    "53200": "the server has no memory left",
}
_NO_TABLES: Final = {"3F000", "42P01", "42703"}
_BAD_VALUES: Final = {"22021", "22P05", "22003", "22P02", "54000"}
_LOCKED: Final = "55P03"
BAD_VALUE: Final = (
    "a value to record contains a lone surrogate, the character NUL, or a number that is too large"
)
"""The reason of the error for a value that PostgreSQL cannot store."""

# The part of an error text of libpq, and what it means. The texts can contain a part of a password, so the
# package shows only the meanings.
_MEANINGS: Final = {
    "Connection refused": "no server listens at this address",
    "No such file or directory": "no server listens at this address",
    "could not translate host name": "the name of the host is unknown",
    "failed to resolve host": "the name of the host is unknown",
    "timeout": "the server does not answer",
    "timed out": "the server does not answer",
    "password authentication failed": "the server refused the user or the password",
    "no password supplied": "the server asks for a password",
    "no pg_hba.conf entry": "the server does not allow this user, host or database",
    "starting up": "the server is starting",
    "shutting down": "the server is shutting down",
    "recovery mode": "the server recovers from a crash",
    "too many": "the server has too many connections",
    "connection slots": "the server has too many connections",
    "session is read-only": "the server accepts only reads, for example because it is a standby",
    "does not exist": "the database or the user does not exist",
    "SSL": "the encrypted connection failed",
}

# The failures that do not end by themselves.
_LASTING: Final = (
    _UNWRITABLE["42501"],
    "the name of the host is unknown",
    "the server refused the user or the password",
    "the server asks for a password",
    "the server does not allow this user, host or database",
    "the database or the user does not exist",
    "the encrypted connection failed",
)


@attrs.frozen
class ServerFailure:
    """A failure of a transaction.

    Attributes:
        kind: "lost" if the connection to the server was lost or cannot be made, "conflict" if the transaction
            can be repeated at once, "pooled" if a connection pooler does not support prepared statements,
            "other" for all other failures.
        error: the error to raise if the transaction is not repeated.
    """

    kind: Kind
    error: LedgerError


def failure_of(place: str, error: Exception, *, is_lost: bool) -> ServerFailure:
    """Return the failure for an error of psycopg.

    Args:
        place: the name of the database, for the text.
        error: the error of psycopg.
        is_lost: whether the connection is closed.
    """
    state = getattr(error, "sqlstate", None) or ""
    if is_lost or state in _LOST or state.startswith(_LOST_CLASSES):
        return ServerFailure("lost", lost(place, "the connection was lost"))
    if state in _CONFLICTS:
        return ServerFailure("conflict", LedgerError(f"{place}: too many conflicts with other transactions"))
    kind: Kind = "pooled" if state in _POOLED else "other"
    return ServerFailure(kind, _other(place, state, error))


def is_away(error: BaseException) -> bool:
    """Return whether an error of a ledger ends without a change by a person, for example after a restart."""
    if isinstance(error, LedgerInUse):
        return True
    return isinstance(error, LedgerUnwritable) and not error.reason.endswith(_LASTING)


def lost(place: str, reason: str) -> LedgerError:
    """Return the error for a database that cannot be reached."""
    return LedgerUnwritable(f"{place} cannot be used: {reason}")


def connection_failure(place: str, error: Exception) -> ServerFailure:
    """Return the failure for an attempt to connect that failed."""
    text = str(error)
    reason = next((meaning for part, meaning in _MEANINGS.items() if part in text), "no connection")
    return ServerFailure("lost", lost(place, reason))


def no_tables(place: str) -> LedgerError:
    """Return the error for a database without the tables of this package."""
    return LedgerError(f"{place} has no tables of this package; run: smsapi-async postgres init DSN")


def _other(place: str, state: str, error: Exception) -> LedgerError:
    if state in _UNWRITABLE:
        return LedgerUnwritable(f"{place} cannot be written: {_UNWRITABLE[state]}")
    if state == _LOCKED:
        return LedgerInUse(f"{place}: another transaction holds a row for more than 5 seconds")
    if state in _NO_TABLES:
        return no_tables(place)
    if state in _BAD_VALUES or (not state and type(error).__name__ == "DataError"):
        return LedgerError(BAD_VALUE)
    return LedgerError(f"{place}: PostgreSQL reports {state or type(error).__name__}")
