"""The positions of streams of incoming messages. Synchronous, for worker threads."""

from sqlalchemy import select

from smsapi_async.inbox import Position
from smsapi_async.ledger.sqlite.database import Database
from smsapi_async.ledger.sqlite.schema import checkpoints

_SAVE = (
    "INSERT INTO checkpoints (name, position) VALUES (?, ?)"
    " ON CONFLICT (name) DO UPDATE SET position = excluded.position"
)


class CheckpointRecords:
    """The positions in a database, one for each name.

    Args:
        database: where they are; open.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, name: str) -> Position | None:
        """The position saved last under a name."""
        statement = select(checkpoints.c.position).where(checkpoints.c.name == name)
        with self._database.reading() as connection:
            text = connection.scalar(statement)
        return None if text is None else Position.from_json(text)

    def save(self, name: str, position: Position) -> None:
        """Keep a position in place of the one before."""
        with self._database.writing() as connection:
            connection.exec_driver_sql(_SAVE, (name, position.to_json()))
