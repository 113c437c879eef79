"""What a person decides about messages of a PostgreSQL ledger: unknown messages, and rejected messages.

All functions of this module are synchronous and run in one transaction.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from smsapi_async.ledger.postgres import postgres_statements as sql
from smsapi_async.ledger.postgres.claims import move
from smsapi_async.ledger.postgres.stored_messages import LedgerAccount, SoughtMessage, find, sought
from smsapi_async.ledger.records import Resolution
from smsapi_async.ledger.redacted_ids import redacted_ids
from smsapi_async.ledger.requests import RequestAnswer
from smsapi_async.ledger.stored_answers import ids_column
from smsapi_async.postgres.transactions import Outdated, Transaction


def resolve_some(transaction: Transaction, account: LedgerAccount, given: Sequence[Resolution]) -> int:
    """Record what a person found out about unknown messages. Each becomes a request of its own.

    Returns:
        The number of keys without an unknown message.
    """
    by_key = {each.key: each for each in given}
    wanted = [sought(key, None, redacted=account.redacted) for key in by_key]
    find(transaction, account, wanted)
    unknown = [each for each in wanted if each.row is not None and each.row["state"] == "unknown"]
    if unknown:
        _lock(transaction, account, unknown)
        ids = [int(row["id"]) for row in transaction.rows(sql.NEW_REQUEST_IDS, len(unknown))]
        _insert(transaction, account, unknown, ids, [by_key[each.given] for each in unknown])
        move(transaction, account, [(each, id_, 0) for each, id_ in zip(unknown, ids, strict=True)])
    return len(by_key) - len(unknown)


def _lock(transaction: Transaction, account: LedgerAccount, unknown: Sequence[SoughtMessage]) -> None:
    """Lock the requests of unknown messages.

    Raises:
        Outdated: if an answer or another person has changed one of the messages meanwhile.
    """
    before = [each.row["request_id"] for each in unknown if each.row is not None]
    transaction.rows(sql.LOCK, sorted(set(before)))
    find(transaction, account, unknown)
    for each, request in zip(unknown, before, strict=True):
        if each.row is None or (each.row["request_id"], each.row["state"]) != (request, "unknown"):
            raise Outdated


def _insert(
    transaction: Transaction,
    account: LedgerAccount,
    unknown: Sequence[SoughtMessage],
    ids: Sequence[int],
    resolutions: Sequence[Resolution],
) -> None:
    old = [each.row["request_id"] for each in unknown if each.row is not None]
    states = ["accepted" if each.sent else "pending" for each in resolutions]
    columns = [_ids(account, *pair) for pair in zip(unknown, resolutions, strict=True)]
    counts = [len(each.segment_ids) for each in resolutions]
    transaction.run(sql.INSERT_RESOLVED, account.id, ids, old, states, columns, counts)


def _ids(account: LedgerAccount, wanted: SoughtMessage, resolution: Resolution) -> str | None:
    answer = RequestAnswer(state="accepted", at=datetime.now(UTC), segment_ids=resolution.segment_ids)
    if not account.redacted or wanted.row is None:
        return ids_column(answer)
    return ids_column(answer, redacted_ids(resolution.segment_ids, {wanted.row["number"]}))


def resolve_everything(transaction: Transaction, account: LedgerAccount, *, sent: bool) -> int:
    """Record that all unknown messages were sent, or that none of them was sent; return their number."""
    requests = [row["id"] for row in transaction.rows(sql.LOCK_UNKNOWN, account.id)]
    return _change(transaction, requests, sql.ACCEPT if sent else sql.MAKE_PENDING)


def make_rejected_pending(
    transaction: Transaction, account: LedgerAccount, codes: Sequence[int] | None
) -> int:
    """Make rejected messages pending; return the number of these messages.

    Args:
        transaction: an open transaction.
        account: the account of the ledger.
        codes: only messages that were rejected with one of these codes; None means all.
    """
    if codes is None:
        rows = transaction.rows(sql.LOCK_REJECTED, account.id)
    else:
        rows = transaction.rows(sql.LOCK_REJECTED_WITH, account.id, list(codes))
    return _change(transaction, [row["id"] for row in rows], sql.MAKE_PENDING)


def _change(transaction: Transaction, requests: Sequence[int], statement: str) -> int:
    if not requests:
        return 0
    count = int(transaction.value(sql.COUNT_MESSAGES, requests))
    transaction.run(statement, requests)
    return count
