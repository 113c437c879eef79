"""The table of the positions of inboxes. Its functions are synchronous and run in a worker thread."""

from sqlalchemy import select

from smsapi_async.inbox import Position
from smsapi_async.ledger.sqlite.database import Database
from smsapi_async.ledger.sqlite.schema import checkpoints

_SAVE = (
    "INSERT INTO checkpoints (name, position) VALUES (?, ?)"
    " ON CONFLICT (name) DO UPDATE SET position = excluded.position"
)


class CheckpointRecords:
    """The positions of inboxes in a database. Each position has a name.

    Args:
        database: the open database that contains the positions.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, name: str) -> Position | None:
        """Return the position of an inbox that was saved last under a name, or None."""
        statement = select(checkpoints.c.position).where(checkpoints.c.name == name)
        with self._database.reading() as connection:
            text = connection.scalar(statement)
        return None if text is None else Position.from_json(text)

    def save(self, name: str, position: Position) -> None:
        """Store the position of an inbox under a name, in place of an earlier position with the same name."""
        with self._database.writing() as connection:
            connection.exec_driver_sql(_SAVE, (name, position.to_json()))
