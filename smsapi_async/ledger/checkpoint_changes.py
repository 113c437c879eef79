"""The stored form of the positions of inboxes: one whole position, and the changes since then.

An inbox saves a position after each message, and a position can have thousands of ids. A ledger therefore
stores only the new ids, until the inbox starts a new log of ids. All functions of this module are pure.
"""

import json
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import attrs

from smsapi_async.inbox import Position, Snapshot, checked_ids

# The member of a stored position that its changes repeat. Changes of another position are ignored.
_TOKEN = "token"  # noqa: S105 - no secret


class PositionLogs:
    """For each name, the token of the stored position, and the log of ids that its changes continue."""

    def __init__(self) -> None:
        self._logs: dict[str, tuple[str, object]] = {}

    def next_change(
        self, name: str, position: Position, snapshot: Snapshot, last: tuple[int, str] | None
    ) -> tuple[int, str] | None:
        """Return the number and the text of the change that adds the new ids of a position.

        Args:
            name: the name of the position.
            position: the position to save.
            snapshot: the ids of the position.
            last: the number and the text of the last stored change, or None. The last `save` of this object
                can have failed, so only the database knows the last saved position.

        Returns:
            The change to store; None if the whole position must be stored.
        """
        token, log = self._logs.get(name, (None, None))
        change: dict[str, Any] = {} if last is None else json.loads(last[1])
        is_same = log is snapshot.log and change.get(_TOKEN) == token
        if last is None or not is_same or change["length"] > snapshot.length:
            return None
        added = snapshot.log.pairs[change["length"] : snapshot.length]
        # A round without new messages replaces the change of the round before.
        number = last[0] if not change["ids"] and not added else last[0] + 1
        return number, _change(position, snapshot, str(token), added)

    def begin(self, name: str, position: Position, snapshot: Snapshot | None) -> tuple[str, str | None]:
        """Return the texts of a whole position and of its first change, which has the number 0.

        Args:
            name: the name of the position.
            position: the position to save.
            snapshot: the ids of the position; None if no changes can follow. Then there is no first change.
        """
        token = secrets.token_hex(8)
        whole = json.dumps({**json.loads(position.to_json()), _TOKEN: token})
        if snapshot is None:
            return whole, None
        self._logs[name] = token, snapshot.log
        return whole, _change(position, snapshot, token, [])


def _change(position: Position, snapshot: Snapshot, token: str, added: list[tuple[str, datetime]]) -> str:
    fields = json.loads(attrs.evolve(position, ids=tuple(added)).to_json())
    keep_from = snapshot.keep_from.isoformat()
    return json.dumps({**fields, _TOKEN: token, "length": snapshot.length, "keep_from": keep_from})


def changed_position(whole: str, texts: Sequence[str]) -> Position:
    """Return a position after its changes.

    Args:
        whole: the text of the whole position.
        texts: the texts of the changes, in the order in which they were saved.
    """
    position, token = Position.from_json(whole), json.loads(whole).get(_TOKEN)
    changes = [change for change in map(json.loads, texts) if change[_TOKEN] == token]
    if not changes:
        return position
    ids = dict(position.ids)
    for change in changes:
        ids.update(checked_ids([(id_, datetime.fromisoformat(date)) for id_, date in change["ids"]]))
    last = Position.from_json(json.dumps({**changes[-1], "ids": []}))
    keep_from = datetime.fromisoformat(changes[-1]["keep_from"])
    return attrs.evolve(last, ids=tuple([pair for pair in ids.items() if pair[1] >= keep_from]))
