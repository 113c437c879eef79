"""The queue of a PostgreSQL ledger: claims of due requests, pauses, and successive unknown requests.

All functions of this module are synchronous and run in one transaction. They may run again after the
transaction failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from smsapi_async.ledger.postgres import queue_statements as queue_sql
from smsapi_async.ledger.postgres.stored_messages import LedgerAccount, StoredContents, utc
from smsapi_async.ledger.queue import DueClaim, DuePart, DueRequest, Pause
from smsapi_async.models import Message
from smsapi_async.postgres.transactions import Row, Transaction

FENCED: Final = "the database was restored or promoted, and may have lost the record of a send"
"""The reason of `Unknown` for a message that `RequestQueue.fence` made unknown."""

_MOST_COUNTED = 100_000


def claim_due(transaction: Transaction, account: LedgerAccount, part: DuePart, seconds: float) -> DueClaim:
    """Claim the first due requests of the queue; see `RequestQueue.claim_due`.

    Args:
        transaction: an open transaction.
        account: the account of the ledger.
        part: what to claim.
        seconds: for how many seconds the claims are valid.
    """
    values = {"account": account.id, "tokens": list(part.tokens), "seconds": seconds}
    state = transaction.row(queue_sql.READ_ACCOUNT_AND_LOCK_CLAIM, _lock_name(part.tokens), account.id)
    assert state is not None  # noqa: S101 - nobody deletes an account
    lacks_requests = bool(state["lacks_requests"])
    if transaction.is_repeat:
        rows = transaction.rows(queue_sql.CLAIM_AGAIN, **values)
        if rows:
            return DueClaim(_requests(transaction, account, rows), has_more=True)
    count = len(part.tokens)
    if state["paused_at"] is not None:
        return DueClaim(pause=_pause(state))
    if state["unknown_in_a_row"]:
        # The lock makes the claims of all workers wait for each other, so that they see each other.
        state = _account_row(transaction, account, lock=True)
        in_flight = int(transaction.value(queue_sql.IN_FLIGHT, account.id))
        count = min(count, part.unknown_limit - int(state["unknown_in_a_row"]) - in_flight)
        if state["paused_at"] is not None or count <= 0:
            return DueClaim(has_more=True, pause=_pause(state))
    values |= {"count": count, "room": part.room, "is_alone": part.is_alone}
    if lacks_requests:
        transaction.run(queue_sql.ADD_REQUESTS_DUE, account=account.id, count=count)
    rows = transaction.rows(queue_sql.CLAIM_DUE, **values)
    claimed = [row for row in rows if row["id"] is not None]
    has_more = rows[0]["due"] > len(claimed) or count == rows[0]["due"]
    return DueClaim(_requests(transaction, account, claimed), has_more=has_more)


def wait_for_claim(transaction: Transaction, tokens: Sequence[str]) -> None:
    """Wait for the end of a claim whose connection was lost, so that this transaction sees its requests.

    Args:
        transaction: an open transaction.
        tokens: the tokens of the call of `claim_due`.
    """
    transaction.rows(queue_sql.LOCK_CLAIM, _lock_name(tokens))


def _lock_name(tokens: Sequence[str]) -> str | None:
    return tokens[0] if tokens else None


def _requests(transaction: Transaction, account: LedgerAccount, claimed: Sequence[Row]) -> list[DueRequest]:
    if not claimed:
        return []
    rows = transaction.rows(queue_sql.MESSAGES_OF, [row["id"] for row in claimed])
    contents = StoredContents(transaction, rows)
    by_request = {id_: list(group) for id_, group in groupby(rows, lambda row: row["request_id"])}
    _close_gaps(transaction, account, claimed, by_request)
    return [
        DueRequest(
            row["token"],
            [
                (each["key"], Message(each["number"], **contents.fields(each), key=each["key"]))
                for each in by_request[row["id"]]
            ],
        )
        for row in claimed
        if row["id"] in by_request
    ]


def _close_gaps(
    transaction: Transaction,
    account: LedgerAccount,
    claimed: Sequence[Row],
    by_request: dict[int, list[Row]],
) -> None:
    """Number the messages of a request again if some messages have moved to other requests.

    The segment ids of an answer belong to the messages by their places.
    """
    changed = [
        row["id"]
        for row in claimed
        if row["id"] in by_request
        and [each["place"] for each in by_request[row["id"]]] != list(range(row["size"]))
    ]
    if not changed:
        return
    places = [(each["id"], place) for id_ in changed for place, each in enumerate(by_request[id_])]
    ids, numbers = [id_ for id_, _ in places], [place for _, place in places]
    transaction.run(queue_sql.RENUMBER, ids, numbers, account.id, changed)
    transaction.run(queue_sql.RESIZE, changed, [len(by_request[id_]) for id_ in changed])


def count_unknown(
    transaction: Transaction, account: LedgerAccount, states: Sequence[str], limit: int
) -> Pause | None:
    """Count the successive unknown requests of the account, and pause the account at the limit.

    Args:
        transaction: an open transaction.
        account: the account of the ledger.
        states: the states of the answers that this transaction records.
        limit: the number of successive unknown requests after which the account is paused.

    Returns:
        The pause of the account if one of the states is unknown and the account is paused, or None.
    """
    if "unknown" not in states:
        transaction.run(queue_sql.NONE_UNKNOWN, account.id)
        return None
    row = _account_row(transaction, account, lock=True)
    longest = count = int(row["unknown_in_a_row"])
    for state in states:
        count = count + 1 if state == "unknown" else 0
        longest = max(longest, count)
    transaction.run(queue_sql.COUNT_UNKNOWN, count, account.id)
    if longest >= limit and row["paused_at"] is None:
        return pause(transaction, account, f"{longest} requests in a row had an unknown outcome", None)
    return _pause(row)


def pause(transaction: Transaction, account: LedgerAccount, reason: str, code: int | None) -> Pause:
    """Pause the account, unless it is paused. Return its pause."""
    transaction.run(queue_sql.PAUSE, reason.replace("\0", "\\x00"), code, account.id)
    paused = _pause(_account_row(transaction, account))
    assert paused is not None  # noqa: S101 - the type checker needs this line
    return paused


def paused(transaction: Transaction, account: LedgerAccount) -> Pause | None:
    """Return the pause of the account, or None."""
    return _pause(_account_row(transaction, account))


def resume(transaction: Transaction, account: LedgerAccount) -> Pause | None:
    """End the pause of the account. Return the pause that has ended, or None."""
    before = _pause(_account_row(transaction, account, lock=True))
    transaction.run(queue_sql.RESUME, account.id)
    transaction.run(queue_sql.FORGET_REFUSAL, account.id)
    return before


def fence(transaction: Transaction, account: LedgerAccount) -> int:
    """Make all pending messages and all messages in flight unknown. Return their number."""
    # The first change of the requests can wait for a claim, which can wait for a caller. The caller would
    # wait for a message that was changed already.
    transaction.rows(queue_sql.LOCK_ALL_WITHOUT_REQUEST, account=account.id)
    fenced = int(transaction.value(queue_sql.FENCE, FENCED, account.id))
    transaction.run(queue_sql.ADD_REQUESTS_TO_ALL, account=account.id)
    return fenced + int(transaction.value(queue_sql.FENCE, FENCED, account.id))


def queued(transaction: Transaction, account: LedgerAccount) -> tuple[int, bool]:
    """Return the number of messages in the queue, and whether there are more."""
    row = transaction.row(queue_sql.QUEUED, account=account.id, limit=_MOST_COUNTED)
    assert row is not None  # noqa: S101 - a count has one row
    return int(row["messages"]), row["requests"] >= _MOST_COUNTED


def _account_row(transaction: Transaction, account: LedgerAccount, *, lock: bool = False) -> Row:
    row = transaction.row(queue_sql.LOCK_ACCOUNT if lock else queue_sql.READ_ACCOUNT, account.id)
    assert row is not None  # noqa: S101 - nobody deletes an account
    return row


def _pause(row: Row) -> Pause | None:
    at = utc(row["paused_at"])
    return None if at is None else Pause(at=at, reason=row["pause_reason"] or "", code=row["pause_code"])
