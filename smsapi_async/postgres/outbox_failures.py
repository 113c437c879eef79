"""Conversion of the errors of a caller's database library to errors of this package.

The texts of these errors can quote the parameter of the statement, and so numbers and texts. This module
reads only the SQLSTATE of an error.
"""

from collections.abc import Iterator
from typing import Final

from smsapi_async.errors import LedgerError, LedgerInUse, LedgerUnwritable, LedgerVersion
from smsapi_async.postgres.server_errors import failure_of, no_tables

_PLACE: Final = "the database of this connection"
_LIBRARIES: Final = {"psycopg", "psycopg2", "asyncpg", "pg8000", "sqlalchemy", "django"}
# The base classes of the errors of the libraries.
_ERRORS: Final = {"Error", "StatementError", "PostgresError", "InterfaceError", "InternalClientError"}
_NO_FUNCTION: Final = "42883"
# A deadlock, or a transaction that PostgreSQL cannot order after another transaction.
_CONFLICTS: Final = "40"
_REPEAT: Final = ": another transaction has changed or locked the same rows; repeat the whole transaction"


# For some SQLSTATEs, the class of the error to raise, and the end of its text.
_KNOWN: Final[dict[str, tuple[type[LedgerError], str]]] = {
    "42501": (
        LedgerUnwritable,
        ": this role may not enqueue messages; run: smsapi-async postgres init DSN --web-role ROLE",
    ),
    "25P02": (LedgerError, ": an earlier statement of this transaction has failed; roll back first"),
    "55P03": (LedgerInUse, _REPEAT),
    # The function of version 1 of the tables takes the parameter for one without an account.
    "23502": (
        LedgerVersion,
        " has tables of an older version of this package; run: smsapi-async postgres init DSN",
    ),
    "57014": (LedgerError, ": the statement was cancelled, for example by statement_timeout"),
}


class _Reported(Exception):
    """An error without the text that the library gave to it.

    Args:
        sqlstate: the SQLSTATE.
    """

    def __init__(self, sqlstate: str) -> None:
        super().__init__()
        self.sqlstate = sqlstate


def ledger_error_of(error: Exception) -> LedgerError | None:
    """Return the error to raise for an error of a database library; None for an error of something else."""
    if isinstance(error, OSError) and error.errno is not None:
        # pg8000 and asyncpg let some errors of the socket pass. The TimeoutError of a caller has no errno.
        return _unusable(error)
    if not _is_of_library(error):
        return None
    state = next(filter(None, map(_state_of, _related(error))), "")
    if type(error).__name__ == "TransactionManagementError":
        state = "25P02"
    kind, text = _KNOWN.get(state, (LedgerInUse, _REPEAT))
    if state in _KNOWN or state.startswith(_CONFLICTS):
        return kind(f"{_PLACE}{text}")
    if state == _NO_FUNCTION:
        return no_tables(_PLACE)
    if state:
        return failure_of(_PLACE, _Reported(state), is_lost=False).error
    return _unusable(error)


def _unusable(error: Exception) -> LedgerError:
    return LedgerUnwritable(f"{_PLACE} cannot be used: {type(error).__module__}.{type(error).__name__}")


def _is_of_library(error: Exception) -> bool:
    return any(
        kind.__name__ in _ERRORS and kind.__module__.partition(".")[0] in _LIBRARIES
        for kind in type(error).__mro__
    )


def _related(error: BaseException) -> Iterator[object]:
    """Yield an error and the errors that it wraps. SQLAlchemy and Django wrap the errors of the driver."""
    wrapped: object = error
    while wrapped is not None:
        yield wrapped
        wrapped = getattr(wrapped, "orig", None) or getattr(wrapped, "__cause__", None)


def _state_of(error: object) -> str | None:
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if state is None:
        # The errors of pg8000 contain a dict with the fields of the report of PostgreSQL.
        arguments = getattr(error, "args", ())
        if arguments and isinstance(arguments[0], dict):
            state = arguments[0].get("C")
    return state if isinstance(state, str) else None
