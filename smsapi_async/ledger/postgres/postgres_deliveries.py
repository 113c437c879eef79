"""The deliveries of accepted messages, and the positions of inboxes, in a PostgreSQL ledger.

All functions of this module are synchronous and run in one transaction.
"""

from collections.abc import Sequence
from typing import Any

from smsapi_async.inbox import Position, snapshot_of
from smsapi_async.ledger.checkpoint_changes import PositionLogs, changed_position
from smsapi_async.ledger.delivery_rows import DeliveryRow, delivery_row
from smsapi_async.ledger.keys import recorded_key_of
from smsapi_async.ledger.postgres import postgres_statements as sql
from smsapi_async.ledger.postgres.stored_messages import (
    LedgerAccount,
    answers_of,
    find,
    sought,
)
from smsapi_async.postgres.transactions import Transaction
from smsapi_async.tracking import Delivery

KeyedDelivery = tuple[str, Delivery, DeliveryRow]


def keyed_deliveries(given: Sequence[Delivery]) -> list[KeyedDelivery]:
    """Return each delivery with the key of its message, and with its columns.

    Raises:
        ValidationError: if a message has an invalid key, or a delivery has a wrong number of states.
    """
    return [(recorded_key_of(each.receipt.message), each, delivery_row(each)) for each in given]


def record_deliveries(
    transaction: Transaction, account: LedgerAccount, given: Sequence[KeyedDelivery]
) -> int:
    """Store deliveries. Each delivery replaces the recorded delivery of the same message.

    Returns:
        The number of deliveries that belong to no accepted message of this ledger.
    """
    wanted = {key: sought(key, None, redacted=account.redacted) for key, _, _ in given}
    find(transaction, account, list(wanted.values()))
    answers = answers_of(transaction, [each.row for each in wanted.values() if each.row is not None])
    rows: dict[int, tuple[int, int, DeliveryRow]] = {}
    missing = 0
    for key, delivery, columns in given:
        row = wanted[key].row
        # A message that was enqueued alone, and that nobody has sent, has no request.
        answer = None if row is None else answers.get(row["request_id"])
        if row is None or answer is None or not answer.has_delivery(delivery, row["place"], row["size"]):
            missing += 1
            continue
        rows[row["id"]] = row["request_id"], row["place"], columns
    if rows:
        requests, places, columns_ = map(list, zip(*rows.values(), strict=True))
        transaction.run(
            sql.RECORD_DELIVERIES, account.id, list(rows), requests, places, *columns_of(columns_)
        )
    return missing


def columns_of(rows: Sequence[DeliveryRow]) -> list[list[Any]]:
    """Return the columns of rows."""
    phases, finals, failed, times, states = map(list, zip(*rows, strict=True))
    return [phases, list(map(bool, finals)), failed, times, states]


def load_position(transaction: Transaction, account: LedgerAccount, name: str) -> Position | None:
    """Return the position of an inbox that was saved last under a name, or None."""
    whole = transaction.value(sql.LOAD_POSITION, account.id, name)
    changes = [row["change"] for row in transaction.rows(sql.POSITION_CHANGES, account.id, name)]
    return None if whole is None else changed_position(whole, changes)


def save_position(
    transaction: Transaction, account: LedgerAccount, name: str, position: Position, logs: PositionLogs
) -> None:
    """Store the position of an inbox under a name, in place of an earlier position with the same name."""
    snapshot = snapshot_of(position)
    if snapshot is not None:
        row = transaction.row(sql.LAST_POSITION_CHANGE, account.id, name)
        last = None if row is None else (row["number"], row["change"])
        change = logs.next_change(name, position, snapshot, last)
        if change is not None:
            transaction.run(sql.ADD_POSITION_CHANGE, account.id, name, *change)
            return
    whole, first = logs.begin(name, position, snapshot)
    transaction.run(sql.SAVE_POSITION, account.id, name, whole)
    transaction.run(sql.CLEAR_POSITION_CHANGES, account.id, name)
    if first is not None:
        transaction.run(sql.ADD_POSITION_CHANGE, account.id, name, 0, first)
