"""Connections of the libraries that `enqueue` and `aenqueue` support, with one interface for the tests."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import Any

import attrs

from tests.postgres.server import PASSWORD, Server


@attrs.frozen
class Caller:
    """A connection with an open transaction.

    Attributes:
        connection: the object to pass to `enqueue`.
        execute: runs a statement.
        commit: commits the transaction.
        rollback: rolls the transaction back.
    """

    connection: Any
    execute: Callable[[str], object]
    commit: Callable[[], object]
    rollback: Callable[[], object]


@attrs.frozen
class AsyncCaller:
    """The same as `Caller` for an async connection."""

    connection: Any
    execute: Callable[[str], Awaitable[object]]
    commit: Callable[[], Awaitable[object]]
    rollback: Callable[[], Awaitable[object]]


def _url(dsn: str, driver: str) -> str:
    directory = dsn.partition("host=")[2]
    host = f"unix_sock={directory}/.s.PGSQL.5432" if driver == "pg8000" else f"host={directory}"
    user = dsn.partition("//")[2].partition(":")[0]
    return f"postgresql+{driver}://{user}:{PASSWORD}@/postgres?{host}"


@contextmanager
def _psycopg(dsn: str, *, use_cursor: bool = False, **options: Any) -> Iterator[Caller]:
    import psycopg  # noqa: PLC0415 - the extra may be missing

    with psycopg.connect(dsn, **options) as connection:
        given: Any = connection.cursor() if use_cursor else connection
        yield Caller(given, connection.execute, connection.commit, connection.rollback)
        # The test may have ended the connection.
        with contextlib.suppress(psycopg.Error):
            connection.rollback()


@contextmanager
def _psycopg_of_objects(dsn: str) -> Iterator[Caller]:
    """Open a connection of psycopg whose rows are dicts, and whose cursors use other placeholders."""
    from psycopg import RawCursor  # noqa: PLC0415
    from psycopg.rows import dict_row  # noqa: PLC0415

    with _psycopg(dsn, row_factory=dict_row, cursor_factory=RawCursor) as caller:
        yield caller


@contextmanager
def _psycopg2(dsn: str) -> Iterator[Caller]:
    import psycopg2  # noqa: PLC0415

    connection = psycopg2.connect(dsn)
    with contextlib.closing(connection):
        yield Caller(
            connection,
            lambda given: connection.cursor().execute(given),
            connection.commit,
            connection.rollback,
        )


def _sqlalchemy(driver: str, kind: str) -> Callable[[str], AbstractContextManager[Caller]]:
    @contextmanager
    def opened(dsn: str) -> Iterator[Caller]:
        import sqlalchemy  # noqa: PLC0415
        from sqlalchemy import orm  # noqa: PLC0415

        engine = sqlalchemy.create_engine(_url(dsn, driver))
        makers: dict[str, Callable[[], Any]] = {
            "Session": lambda: orm.Session(engine),
            "scoped_session": lambda: orm.scoped_session(orm.sessionmaker(engine)),
            "Connection": engine.connect,
        }
        files: list[Any] = []
        if driver == "pg8000":
            # pg8000 closes its socket, but not the file over the socket. If the connection was lost, an error
            # refers to the file, and the file keeps the socket open.
            sqlalchemy.event.listen(engine, "connect", lambda connection, _: files.append(connection._sock))
        given = makers[kind]()
        try:
            yield Caller(
                given, lambda text: given.execute(sqlalchemy.text(text)), given.commit, given.rollback
            )
        finally:
            # The test may have ended the connection, and SQLAlchemy does not know each error of pg8000.
            with contextlib.suppress(sqlalchemy.exc.DBAPIError):
                given.close()
            engine.dispose()
            for file in files:
                with contextlib.suppress(OSError):
                    file.close()

    return opened


def django_connection(dsn: str) -> Any:
    """Return a new connection of Django."""
    import django  # noqa: PLC0415
    from django.conf import settings  # noqa: PLC0415
    from django.db import connections  # noqa: PLC0415

    if not settings.configured:
        settings.configure(DATABASES={"default": {}}, USE_TZ=True, LOGGING_CONFIG=None)
        django.setup()
    alias = secrets.token_hex(4)
    user = dsn.partition("//")[2].partition(":")[0]
    connections.settings[alias] = connections.configure_settings(
        {
            "default": {},
            alias: {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "postgres",
                "USER": user,
                "HOST": dsn.partition("host=")[2],
            },
        }
    )[alias]
    return connections[alias]


@contextmanager
def _django(dsn: str, *, use_cursor: bool = False) -> Iterator[Caller]:
    import django.db  # noqa: PLC0415

    connection = django_connection(dsn)
    connection.set_autocommit(False)

    def execute(statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    try:
        given = connection.cursor() if use_cursor else connection
        yield Caller(given, execute, connection.commit, connection.rollback)
    finally:
        with contextlib.suppress(django.db.Error):
            connection.rollback()
        connection.close()


CALLERS: dict[str, Callable[[str], AbstractContextManager[Caller]]] = {
    "psycopg": _psycopg,
    "cursor of psycopg": lambda dsn: _psycopg(dsn, use_cursor=True),
    "psycopg with other rows and placeholders": _psycopg_of_objects,
    "psycopg2": _psycopg2,
    "Session over psycopg": _sqlalchemy("psycopg", "Session"),
    "scoped_session over psycopg": _sqlalchemy("psycopg", "scoped_session"),
    "Connection over psycopg": _sqlalchemy("psycopg", "Connection"),
    "Session over psycopg2": _sqlalchemy("psycopg2", "Session"),
    "Session over pg8000": _sqlalchemy("pg8000", "Session"),
    "Django": _django,
    "cursor of Django": lambda dsn: _django(dsn, use_cursor=True),
}


@asynccontextmanager
async def _async_psycopg(dsn: str, *, use_cursor: bool = False) -> AsyncIterator[AsyncCaller]:
    from psycopg import AsyncConnection  # noqa: PLC0415

    connection = await AsyncConnection.connect(dsn)
    async with contextlib.aclosing(_Closing(connection.close)):
        given: Any = connection.cursor() if use_cursor else connection
        yield AsyncCaller(given, connection.execute, connection.commit, connection.rollback)


@attrs.frozen
class _Closing:
    aclose: Callable[[], Awaitable[None]]


@asynccontextmanager
async def _asyncpg(dsn: str, *, use_pool: bool = False) -> AsyncIterator[AsyncCaller]:
    import asyncpg  # noqa: PLC0415

    user, directory = dsn.partition("//")[2].partition(":")[0], dsn.partition("host=")[2]
    address = {"host": directory, "user": user, "database": "postgres"}
    async with asyncpg.create_pool(**address, min_size=1) as pool, pool.acquire() as acquired:
        given: Any = acquired if use_pool else await asyncpg.connect(**address)
        await given.execute("BEGIN")
        yield AsyncCaller(
            given, given.execute, lambda: given.execute("COMMIT"), lambda: given.execute("ROLLBACK")
        )
        if not use_pool:
            await given.close()


def _async_sqlalchemy(driver: str, kind: str) -> Callable[[str], AbstractAsyncContextManager[AsyncCaller]]:
    @asynccontextmanager
    async def opened(dsn: str) -> AsyncIterator[AsyncCaller]:
        import sqlalchemy  # noqa: PLC0415
        from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine  # noqa: PLC0415

        engine = create_async_engine(_url(dsn, driver))
        async with AsyncSession(engine) if kind == "AsyncSession" else engine.connect() as given:

            async def execute(text: str) -> object:
                return await given.execute(sqlalchemy.text(text))

            yield AsyncCaller(given, execute, given.commit, given.rollback)
        await engine.dispose()

    return opened


ASYNC_CALLERS: dict[str, Callable[[str], AbstractAsyncContextManager[AsyncCaller]]] = {
    "psycopg": _async_psycopg,
    "cursor of psycopg": lambda dsn: _async_psycopg(dsn, use_cursor=True),
    "asyncpg": _asyncpg,
    "pool of asyncpg": lambda dsn: _asyncpg(dsn, use_pool=True),
    "AsyncSession over psycopg": _async_sqlalchemy("psycopg", "AsyncSession"),
    "AsyncSession over asyncpg": _async_sqlalchemy("asyncpg", "AsyncSession"),
    "AsyncConnection over psycopg": _async_sqlalchemy("psycopg", "AsyncConnection"),
    "AsyncConnection over asyncpg": _async_sqlalchemy("asyncpg", "AsyncConnection"),
}


def keys(server: Server, account: str) -> list[str]:
    """Return the keys of the account, in the order of the report."""
    rows = server.rows(
        "SELECT key FROM smsapi.messages m JOIN smsapi.accounts a ON a.id = account_id WHERE name = %s"
        " ORDER BY position, m.id",
        account,
    )
    return [row[0] for row in rows]
