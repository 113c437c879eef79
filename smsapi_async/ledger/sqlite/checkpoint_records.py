"""The tables of the positions of inboxes. Its functions are synchronous and run in the thread of the ledger.

The table ``checkpoints`` has one whole position for each name. `save` adds only the new ids to the table
``checkpoint_changes``: see the module ``checkpoint_changes``.
"""

import sqlite3

from smsapi_async.inbox import Position, Snapshot, snapshot_of
from smsapi_async.ledger.checkpoint_changes import PositionLogs, changed_position
from smsapi_async.ledger.sqlite import statements
from smsapi_async.ledger.sqlite.database import Database


class CheckpointRecords:
    """The positions of inboxes in a database. Each position has a name.

    Args:
        database: the open database that contains the positions.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._logs = PositionLogs()

    def load(self, name: str) -> Position | None:
        """Return the position of an inbox that was saved last under a name, or None."""
        with self._database.reading() as connection:
            row = connection.execute(statements.LOAD_POSITION, (name,)).fetchone()
            rows = connection.execute(statements.POSITION_CHANGES, (name,)).fetchall()
        return None if row is None else changed_position(row["position"], [each["change"] for each in rows])

    def save(self, name: str, position: Position) -> None:
        """Store the position of an inbox under a name, in place of an earlier position with the same name."""
        snapshot = snapshot_of(position)
        with self._database.writing() as connection:
            if snapshot is None or not self._append(connection, name, position, snapshot):
                self._replace(connection, name, position, snapshot)

    def _append(
        self, connection: sqlite3.Connection, name: str, position: Position, snapshot: Snapshot
    ) -> bool:
        """Add the new ids. Return False if the whole position must be stored."""
        row = connection.execute(statements.LAST_POSITION_CHANGE, (name,)).fetchone()
        last = None if row is None else (row["number"], row["change"])
        change = self._logs.next_change(name, position, snapshot, last)
        if change is None:
            return False
        connection.execute(statements.ADD_POSITION_CHANGE, (name, *change))
        return True

    def _replace(
        self, connection: sqlite3.Connection, name: str, position: Position, snapshot: Snapshot | None
    ) -> None:
        whole, first = self._logs.begin(name, position, snapshot)
        connection.execute(statements.SAVE_POSITION, (name, whole))
        connection.execute(statements.CLEAR_POSITION_CHANGES, (name,))
        if first is not None:
            connection.execute(statements.ADD_POSITION_CHANGE, (name, 0, first))
