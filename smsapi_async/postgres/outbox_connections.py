"""Connections of callers, and how each of them runs the function ``smsapi.enqueue``.

The module imports no library of a connection. A connection is recognised by the names of its classes.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from functools import cache
from typing import Any, Final

from smsapi_async.errors import ValidationError
from smsapi_async.privacy import HiddenText, type_name

Run = Callable[[HiddenText], "str | None"]
AsyncRun = Callable[[HiddenText], Awaitable["str | None"]]

_STATEMENT: Final = "SELECT smsapi.enqueue({})"
_SYNC_HINT: Final = (
    "pass a connection or cursor of psycopg, a Session or Connection of SQLAlchemy, or the connection of"
    " Django"
)
_ASYNC_HINT: Final = (
    "pass an AsyncConnection of psycopg, a Connection of asyncpg, or an AsyncSession or AsyncConnection of"
    " SQLAlchemy"
)


def run_of(connection: Any) -> Run:  # noqa: ANN401 - the libraries may be missing
    """Return the function that calls ``smsapi.enqueue`` with a connection.

    Raises:
        ValidationError: if the object is no connection to PostgreSQL that `enqueue` knows.
    """
    names = _class_names(connection)
    for kinds, maker in _SYNC.items():
        if not names.isdisjoint(kinds):
            return maker(connection)
    if any(not names.isdisjoint(kinds) for kinds in _ASYNC):
        raise ValidationError("connection", type_name(type(connection)), "use `await aenqueue(...)`")
    raise ValidationError("connection", _shown(connection), _SYNC_HINT)


def async_run_of(connection: Any) -> AsyncRun:  # noqa: ANN401
    """Return the async function that calls ``smsapi.enqueue`` with a connection.

    Raises:
        ValidationError: if the object is no connection to PostgreSQL that `aenqueue` knows.
    """
    names = _class_names(connection)
    for kinds, maker in _ASYNC.items():
        if not names.isdisjoint(kinds):
            return maker(connection)
    if any(not names.isdisjoint(kinds) for kinds in _SYNC):
        hint = "use `enqueue(...)`, in a thread of its own or in a program without an event loop"
        raise ValidationError("connection", _shown(connection), hint)
    raise ValidationError("connection", _shown(connection), _ASYNC_HINT)


def _class_names(connection: object) -> set[str]:
    """Return the names of all classes of an object, each with the name of its package.

    Tracing libraries wrap connections. The attribute `__class__` of such a wrapper is the wrapped class.
    """
    classes = [*type(connection).__mro__, *getattr(connection.__class__, "__mro__", ())]
    return {f"{each.__module__.partition('.')[0]}.{each.__name__}" for each in classes}


def _shown(connection: object) -> str:
    return type_name(type(connection)).replace("<class ", "<")


def _psycopg(connection: Any) -> Run:  # noqa: ANN401
    def run(parameter: HiddenText) -> str | None:
        with connection.cursor(row_factory=_plain_rows) as cursor:
            row = cursor.execute(_psycopg_statement(cursor), [parameter]).fetchone()
            return _value(row)

    return run


def _async_psycopg(connection: Any) -> AsyncRun:  # noqa: ANN401
    async def run(parameter: HiddenText) -> str | None:
        async with connection.cursor(row_factory=_plain_rows) as cursor:
            await cursor.execute(_psycopg_statement(cursor), [parameter])
            return _value(await cursor.fetchone())

    return run


def _psycopg_statement(cursor: object) -> str:
    # A raw cursor uses the placeholders of PostgreSQL.
    is_raw = not _class_names(cursor).isdisjoint({"psycopg.RawCursorMixin"})
    return _STATEMENT.format("$1" if is_raw else "%s")


def _plain_rows(cursor: object) -> Callable[[Sequence[Any]], Sequence[Any]]:  # noqa: ARG001
    """Return the function that makes rows. The connection of the caller may make other objects of rows."""
    return lambda values: values


def _of_cursor(cursor: Any) -> Run:  # noqa: ANN401
    """Use the connection of a cursor, so that the results of the cursor stay as they are."""
    return run_of(cursor.connection)


def _of_async_cursor(cursor: Any) -> AsyncRun:  # noqa: ANN401
    return async_run_of(cursor.connection)


def _psycopg2(connection: Any) -> Run:  # noqa: ANN401
    def run(parameter: HiddenText) -> str | None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(_STATEMENT.format("%s"), [parameter])
            return _value(cursor.fetchone())

    return run


def _asyncpg(connection: Any) -> AsyncRun:  # noqa: ANN401
    async def run(parameter: HiddenText) -> str | None:
        value: str | None = await connection.fetchval(_STATEMENT.format("$1"), parameter)
        return value

    return run


def _sqlalchemy(connection: Any) -> Run:  # noqa: ANN401
    _check_dialect(connection)

    # `exec_driver_sql` needs two thirds of the time of `execute`.
    is_session = hasattr(connection, "get_bind")

    def run(parameter: HiddenText) -> str | None:
        own = connection.connection() if is_session else connection
        value: str | None = own.exec_driver_sql(_STATEMENT.format("%s"), (parameter,)).scalar()
        return value

    return run


def _async_sqlalchemy(connection: Any) -> AsyncRun:  # noqa: ANN401
    _check_dialect(connection)

    async def run(parameter: HiddenText) -> str | None:
        result = await connection.execute(_sqlalchemy_statement(), {"parameter": parameter})
        value: str | None = result.scalar()
        return value

    return run


@cache
def _sqlalchemy_statement() -> object:
    # The caller has imported SQLAlchemy, which compiles one object only once.
    sqlalchemy: Any = sys.modules["sqlalchemy"]
    parameter = sqlalchemy.bindparam("parameter", type_=sqlalchemy.Text())
    return sqlalchemy.text(_STATEMENT.format(":parameter")).bindparams(parameter)


def _check_dialect(connection: Any) -> None:  # noqa: ANN401
    bind = connection.get_bind() if hasattr(connection, "get_bind") else connection
    _check_vendor(connection, bind.dialect.name)


def _django(connection: Any) -> Run:  # noqa: ANN401
    _check_vendor(connection, connection.vendor)

    def run(parameter: HiddenText) -> str | None:
        with connection.cursor() as cursor:
            connection.validate_no_broken_transaction()
            # With settings.DEBUG, Django logs each statement with its parameters. The cursor of the driver
            # does not.
            with connection.wrap_database_errors:
                cursor.cursor.execute(_STATEMENT.format("%s"), [parameter])
                return _value(cursor.cursor.fetchone())

    return run


def _of_django_cursor(cursor: Any) -> Run:  # noqa: ANN401
    return _django(cursor.db)


def _check_vendor(connection: object, name: str) -> None:
    if name != "postgresql":
        shown = f"{_shown(connection)} to {name}"
        raise ValidationError("connection", shown, "pass a connection to PostgreSQL")


def _value(row: Any) -> str | None:  # noqa: ANN401 - the caller may have set another class of rows
    if row is None:
        return None
    value: str | None = next(iter(row.values())) if hasattr(row, "values") else row[0]
    return value


_SYNC: Final[dict[tuple[str, ...], Callable[[Any], Run]]] = {
    ("psycopg.Connection",): _psycopg,
    ("psycopg.Cursor", "psycopg.ServerCursor"): _of_cursor,
    ("psycopg2.connection",): _psycopg2,
    ("psycopg2.cursor",): _of_cursor,
    ("sqlalchemy.Session", "sqlalchemy.scoped_session", "sqlalchemy.Connection"): _sqlalchemy,
    ("django.ConnectionProxy", "django.BaseDatabaseWrapper"): _django,
    ("django.CursorWrapper",): _of_django_cursor,
}
_ASYNC: Final[dict[tuple[str, ...], Callable[[Any], AsyncRun]]] = {
    ("psycopg.AsyncConnection",): _async_psycopg,
    ("psycopg.AsyncCursor", "psycopg.AsyncServerCursor"): _of_async_cursor,
    ("asyncpg.Connection", "asyncpg.PoolConnectionProxy"): _asyncpg,
    (
        "sqlalchemy.AsyncSession",
        "sqlalchemy.async_scoped_session",
        "sqlalchemy.AsyncConnection",
    ): _async_sqlalchemy,
}
