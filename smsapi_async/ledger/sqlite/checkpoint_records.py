"""The tables of the positions of inboxes. Its functions are synchronous and run in the thread of the ledger.

The table ``checkpoints`` has one whole position for each name. An inbox saves a position after each message,
and a position can have thousands of ids. `save` therefore adds only the new ids to the table
``checkpoint_changes``, until the inbox starts a new log of ids.
"""

import json
import secrets
import sqlite3
from datetime import datetime
from typing import Any

import attrs

from smsapi_async.inbox import Position, Snapshot, checked_ids, snapshot_of
from smsapi_async.ledger.sqlite import statements
from smsapi_async.ledger.sqlite.database import Database

# The member of a stored position that its changes repeat. Changes of another position are ignored.
_TOKEN = "token"  # noqa: S105 - no secret


class CheckpointRecords:
    """The positions of inboxes in a database. Each position has a name.

    Args:
        database: the open database that contains the positions.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # For each name, the token of the stored position, and the log of ids that its changes continue.
        self._logs: dict[str, tuple[str, object]] = {}

    def load(self, name: str) -> Position | None:
        """Return the position of an inbox that was saved last under a name, or None."""
        with self._database.reading() as connection:
            row = connection.execute(statements.LOAD_POSITION, (name,)).fetchone()
            rows = connection.execute(statements.POSITION_CHANGES, (name,)).fetchall()
        if row is None:
            return None
        text: str = row["position"]
        changes: list[dict[str, Any]] = [json.loads(each["change"]) for each in rows]
        position = Position.from_json(text)
        token = json.loads(text).get(_TOKEN)
        return _changed(position, [change for change in changes if change[_TOKEN] == token])

    def save(self, name: str, position: Position) -> None:
        """Store the position of an inbox under a name, in place of an earlier position with the same name."""
        snapshot = snapshot_of(position)
        with self._database.writing() as connection:
            if snapshot is None or not self._append(connection, name, position, snapshot):
                self._replace(connection, name, position, snapshot)

    def _append(
        self, connection: sqlite3.Connection, name: str, position: Position, snapshot: Snapshot
    ) -> bool:
        """Add the ids to the file that the last saved position does not contain.

        Returns:
            Whether the changes in the file continue the log of the snapshot. The file tells the last saved
            position, because the transaction of an earlier `save` can have failed.
        """
        token, log = self._logs.get(name, (None, None))
        last = connection.execute(statements.LAST_POSITION_CHANGE, (name,)).fetchone()
        change: dict[str, Any] = {} if last is None else json.loads(last["change"])
        is_same = log is snapshot.log and change.get(_TOKEN) == token
        if last is None or not is_same or change["length"] > snapshot.length:
            return False
        added = snapshot.log.pairs[change["length"] : snapshot.length]
        # A round without new messages replaces the change of the round before.
        number = last["number"] if not change["ids"] and not added else last["number"] + 1
        row = (name, number, _change(position, snapshot, str(token), added))
        connection.execute(statements.ADD_POSITION_CHANGE, row)
        return True

    def _replace(
        self, connection: sqlite3.Connection, name: str, position: Position, snapshot: Snapshot | None
    ) -> None:
        token = secrets.token_hex(8)
        whole = json.dumps({**json.loads(position.to_json()), _TOKEN: token})
        connection.execute(statements.SAVE_POSITION, (name, whole))
        connection.execute(statements.CLEAR_POSITION_CHANGES, (name,))
        if snapshot is not None:
            connection.execute(
                statements.ADD_POSITION_CHANGE, (name, 0, _change(position, snapshot, token, []))
            )
            self._logs[name] = token, snapshot.log


def _change(position: Position, snapshot: Snapshot, token: str, added: list[tuple[str, datetime]]) -> str:
    fields = json.loads(attrs.evolve(position, ids=tuple(added)).to_json())
    keep_from = snapshot.keep_from.isoformat()
    return json.dumps({**fields, _TOKEN: token, "length": snapshot.length, "keep_from": keep_from})


def _changed(position: Position, changes: list[dict[str, Any]]) -> Position:
    """Return the position after all changes, in the order in which the changes were saved."""
    if not changes:
        return position
    ids = dict(position.ids)
    for change in changes:
        ids.update(checked_ids([(id_, datetime.fromisoformat(date)) for id_, date in change["ids"]]))
    last = Position.from_json(json.dumps({**changes[-1], "ids": []}))
    keep_from = datetime.fromisoformat(changes[-1]["keep_from"])
    return attrs.evolve(last, ids=tuple([pair for pair in ids.items() if pair[1] >= keep_from]))
