"""SQL statements that several modules of the SQLite ledger use."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from sqlalchemy import Connection, RowMapping, bindparam, select

from smsapi_async.ledger.sqlite.message_rows import RecordedAnswer, answer_of
from smsapi_async.ledger.sqlite.schema import answers, contents, messages

# SQLite before version 3.32 allows at most 999 parameters in one statement (SQLite, "Limits").
_KEYS_AT_ONCE = 900

_Row = TypeVar("_Row", bound=tuple[object, ...])


def insert(connection: Connection, statement: str, row: tuple[object, ...]) -> int:
    """Insert a row into a table and return the id of the new row."""
    row_id: int | None = connection.exec_driver_sql(statement, row).lastrowid
    assert row_id is not None  # noqa: S101 - the type checker needs this line
    return row_id


def execute_many(connection: Connection, statement: str, rows: list[_Row]) -> int:
    """Run an SQL statement once for each row of parameters; return the number of changed table rows."""
    return connection.exec_driver_sql(statement, rows).rowcount if rows else 0


def rows_of(connection: Connection, keys: Sequence[str]) -> dict[str, RowMapping]:
    """Return the rows of the messages with the given keys. Keys that are not in the ledger are left out."""
    found = {}
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        part = tuple(keys[start : start + _KEYS_AT_ONCE])
        places = ",".join("?" * len(part))
        statement = f"SELECT * FROM messages WHERE key IN ({places})"  # noqa: S608
        for row in connection.exec_driver_sql(statement, part).mappings():
            found[row["key"]] = row
    return found


def select_messages(
    connection: Connection, states: Sequence[str], last: int, limit: int
) -> Sequence[RowMapping]:
    """Return the next messages with one of the given states.

    Args:
        connection: the open connection to the file of the ledger.
        states: the values of the column ``state`` to select, for example ``pending``.
        last: the id of the last row of the previous page; 0 for the first page.
        limit: the maximum number of rows to return.
    """
    statement = (
        select(messages)
        .where(messages.c.id > last, messages.c.state.in_(states))
        .order_by(messages.c.id)
        .limit(limit)
    )
    return connection.execute(statement).mappings().all()


def answers_of(connection: Connection, rows: Iterable[RowMapping]) -> dict[int, RecordedAnswer]:
    """Return the decoded rows of the table ``answers`` for the given messages, by the ids of the rows.

    Each row of ``answers`` is decoded only once, because many messages can share the row.
    """
    ids = {row["answer_id"] for row in rows}
    statement = select(answers).where(answers.c.id.in_(bindparam("ids", expanding=True)))
    found = connection.execute(statement, {"ids": list(ids)}).mappings()
    return {row["id"]: answer_of(row) for row in found}


def contents_of(connection: Connection, rows: Iterable[RowMapping]) -> dict[int, RowMapping]:
    """Return the rows of the table ``contents`` for the given messages, by the ids of the rows."""
    ids = {row["content_id"] for row in rows}
    statement = select(contents).where(contents.c.id.in_(bindparam("ids", expanding=True)))
    return {row["id"]: row for row in connection.execute(statement, {"ids": list(ids)}).mappings()}
