"""Transactions on one connection to PostgreSQL. All functions of this module are synchronous.

A thread of `ConnectionThreads` owns the connection, so nothing blocks the event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from smsapi_async.errors import LedgerError, SmsApiError
from smsapi_async.postgres.address import Address
from smsapi_async.postgres.arrays import array_of
from smsapi_async.postgres.server_errors import BAD_VALUE, ServerFailure, connection_failure, failure_of

if TYPE_CHECKING:
    from psycopg import Connection, Cursor

Row = dict[str, Any]
_Value = TypeVar("_Value")

# A claim must survive a crash of the server, whatever the role or the database says. Only `remote_apply` is
# stronger than `on`. The settings end with the transaction, so that a connection pooler can be used.
_BEGIN_WRITING: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"
    " SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
    " WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true), set_config('lock_timeout', '5s', true)"
)
# All statements of a read transaction see the same state of the database.
_BEGIN_READING: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# A statement that ran this number of times is prepared, so that PostgreSQL parses it only once.
_PREPARE_AFTER: Final = 3


class TransactionFailed(Exception):
    """A transaction failed.

    Attributes:
        failure: what happened.
        may_be_committed: whether the changes may be stored, because the connection was lost in the commit.
    """

    def __init__(self, failure: ServerFailure, *, may_be_committed: bool = False) -> None:
        super().__init__()
        self.failure = failure
        self.may_be_committed = may_be_committed


class Outdated(Exception):
    """Another transaction changed the rows that this transaction has read. Run the transaction again."""


class Transaction:
    """An open transaction.

    Args:
        connection: the connection of psycopg.
        reads: whether the transaction only reads.
        is_repeat: whether an earlier attempt of the same work may be committed.

    Attributes:
        reads: the same.
        is_repeat: the same.
    """

    def __init__(self, connection: Connection[Row], *, reads: bool, is_repeat: bool) -> None:
        self._connection = connection
        self.reads = reads
        self.is_repeat = is_repeat

    def rows(self, statement: str, *parameters: object, **named: object) -> list[Row]:
        """Run a statement, and return the rows of its result."""
        return self._execute(statement, parameters, named).fetchall()

    def row(self, statement: str, *parameters: object, **named: object) -> Row | None:
        """Run a statement, and return the first row of its result, or None."""
        return self._execute(statement, parameters, named).fetchone()

    def value(self, statement: str, *parameters: object) -> Any:  # noqa: ANN401 - a column can have any type
        """Run a statement, and return the first column of the first row, or None."""
        row = self.row(statement, *parameters)
        return None if row is None else next(iter(row.values()))

    def run(self, statement: str, *parameters: object, **named: object) -> int:
        """Run a statement, and return the number of rows that it changed."""
        return self._execute(statement, parameters, named).rowcount

    def rows_of_script(self, statements: str) -> list[Row]:
        """Run several statements without parameters in one message to the server.

        Returns:
            The rows of the last result that has columns.
        """
        cursor = self._connection.execute(statements)
        rows: list[Row] = []
        while True:
            if cursor.description is not None:
                rows = cursor.fetchall()
            if not cursor.nextset():
                return rows

    def script(self, statements: str) -> None:
        """Run several statements without parameters."""
        self._connection.execute(statements)

    def _execute(
        self, statement: str, parameters: tuple[object, ...], named: dict[str, object]
    ) -> Cursor[Row]:
        if named:
            return self._connection.execute(statement, {name: _passed(each) for name, each in named.items()})
        return self._connection.execute(statement, [_passed(each) for each in parameters] or None)


def _passed(parameter: object) -> object:
    return array_of(parameter) if isinstance(parameter, list) else parameter


class ServerConnection:
    """A connection that is opened when it is needed, and opened again after it was lost.

    Args:
        address: the address of the database.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: Connection[Row] | None = None
        self._may_prepare = True

    def transaction(
        self,
        work: Callable[[Transaction], _Value],
        *,
        reads: bool,
        is_repeat: bool = False,
        commits_each: bool = False,
    ) -> _Value:
        """Run a function in one transaction.

        Args:
            work: the function.
            reads: whether the transaction only reads.
            is_repeat: whether an earlier attempt of the same work may be committed.
            commits_each: whether the function begins and commits transactions itself, in one message to the
                server; see `Transaction.rows_of_script`.

        Raises:
            TransactionFailed: if PostgreSQL reported an error, or the connection was lost.
            Outdated: if `work` raised it.
        """
        is_committing = False
        try:
            connection = self._opened()
            try:
                if commits_each:
                    return work(Transaction(connection, reads=reads, is_repeat=is_repeat))
                connection.execute(_BEGIN_READING if reads else _BEGIN_WRITING)
                value = work(Transaction(connection, reads=reads, is_repeat=is_repeat))
                is_committing = not reads
                self._commit(connection)
            except BaseException:
                with suppress(Exception):
                    if not connection.closed:
                        connection.execute("ROLLBACK")
                raise
        except (TransactionFailed, Outdated, SmsApiError):
            raise
        except UnicodeEncodeError:
            failed = TransactionFailed(ServerFailure("other", LedgerError(BAD_VALUE)))
        except Exception as error:  # noqa: BLE001 - `_failed` raises an error that is not psycopg's
            failed = self._failed(error, is_committing=is_committing)
        else:
            return value
        raise failed

    @staticmethod
    def _commit(connection: Connection[Row]) -> None:
        connection.execute("COMMIT")

    def close(self) -> None:
        """Close the connection. A second call does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def _failed(self, error: Exception, *, is_committing: bool) -> TransactionFailed:
        from psycopg import Error  # noqa: PLC0415 - a connection was made, so psycopg is installed

        if not isinstance(error, Error):
            raise error
        is_lost = self._connection is None or self._connection.closed
        failure = failure_of(self._address.name, error, is_lost=is_lost)
        if failure.kind == "pooled":
            # The pooler passes the statements of one connection to several connections of the server.
            self._may_prepare = False
        if failure.kind in {"lost", "pooled"}:
            self.close()
        return TransactionFailed(failure, may_be_committed=is_committing and failure.kind == "lost")

    def _opened(self) -> Connection[Row]:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> Connection[Row]:
        import psycopg  # noqa: PLC0415 - the extra may be missing
        from psycopg.rows import dict_row  # noqa: PLC0415

        try:
            connection = psycopg.connect(
                **self._address.parameters,
                autocommit=True,
                row_factory=dict_row,
                prepare_threshold=_PREPARE_AFTER if self._may_prepare else None,
            )
            # psycopg would turn a value of type json into objects.
            connection.adapters.register_loader("json", psycopg.types.string.TextLoader)
            connection.execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'")
        except (psycopg.Error, OSError) as error:
            failed = TransactionFailed(connection_failure(self._address.name, error))
        else:
            return connection
        raise failed
