"""The statements that more than one part of the account needs."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from sqlalchemy import Connection, RowMapping, bindparam, select

from smsapi_async.ledger.sqlite.message_rows import RecordedAnswer, answer_of
from smsapi_async.ledger.sqlite.schema import answers, contents, messages

# SQLite's limit on the parameters of one statement was 999 for long.
_KEYS_AT_ONCE = 900

_Row = TypeVar("_Row", bound=tuple[object, ...])


def insert(connection: Connection, statement: str, row: tuple[object, ...]) -> int:
    """Insert a row; its id."""
    row_id: int | None = connection.exec_driver_sql(statement, row).lastrowid
    assert row_id is not None  # noqa: S101 - for the type checker
    return row_id


def execute_many(connection: Connection, statement: str, rows: list[_Row]) -> int:
    """Run a statement for each row; how many rows of the table it changed in all."""
    return connection.exec_driver_sql(statement, rows).rowcount if rows else 0


def rows_of(connection: Connection, keys: Sequence[str]) -> dict[str, RowMapping]:
    """The messages with these keys, as far as they are there."""
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
    """The next messages after a row that are in one of the states."""
    statement = (
        select(messages)
        .where(messages.c.id > last, messages.c.state.in_(states))
        .order_by(messages.c.id)
        .limit(limit)
    )
    return connection.execute(statement).mappings().all()


def answers_of(connection: Connection, rows: Iterable[RowMapping]) -> dict[int, RecordedAnswer]:
    """The answers of a page, each decoded once however many messages share it."""
    ids = {row["answer_id"] for row in rows}
    statement = select(answers).where(answers.c.id.in_(bindparam("ids", expanding=True)))
    found = connection.execute(statement, {"ids": list(ids)}).mappings()
    return {row["id"]: answer_of(row) for row in found}


def contents_of(connection: Connection, rows: Iterable[RowMapping]) -> dict[int, RowMapping]:
    """The contents of a page, each once."""
    ids = {row["content_id"] for row in rows}
    statement = select(contents).where(contents.c.id.in_(bindparam("ids", expanding=True)))
    return {row["id"]: row for row in connection.execute(statement, {"ids": list(ids)}).mappings()}
