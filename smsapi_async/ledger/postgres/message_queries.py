"""Reads messages with their outcomes and deliveries from a PostgreSQL ledger, and counts them.

All functions of this module are synchronous and run in one transaction.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from smsapi_async.ledger.delivery_rows import PHASES
from smsapi_async.ledger.postgres import postgres_statements as sql
from smsapi_async.ledger.postgres.stored_messages import (
    LedgerAccount,
    SoughtMessage,
    StoredDetails,
    find,
    sought,
)
from smsapi_async.ledger.records import MessageState, Record
from smsapi_async.ledger.summaries import DeliverySummary, Summary
from smsapi_async.models import Message, Receipt
from smsapi_async.postgres.transactions import Row, Transaction
from smsapi_async.states import Phase
from smsapi_async.tracking import Delivery

_Item = TypeVar("_Item")
After = tuple[int, int]
"""The place where the next page begins: the id of a request, and the place of a message in it."""
BEGINNING: After = (0, -1)
Wanted = Sequence[tuple[str, Message | None]]


def page(
    transaction: Transaction,
    account: LedgerAccount,
    after: After,
    item: Callable[[StoredDetails, Row], _Item],
    *,
    states: Sequence[str],
    limit: int,
) -> tuple[After, list[_Item]]:
    """Return the place for the next page, and one page of messages in the order of their requests.

    Args:
        transaction: an open transaction.
        account: the account of the ledger.
        after: the place from the page before.
        item: returns the item for a message.
        states: the states of the messages.
        limit: the maximum number of messages.
    """
    # A request in flight whose sender has not ended its claim in time reads as unknown.
    stored = [*states, "sending"] if "unknown" in states else list(states)

    def requests(first: int) -> list[Row]:
        return transaction.rows(sql.REQUESTS, account.id, first, stored, list(states), limit)

    rows = _rows(transaction, after, limit, requests, sql.MESSAGES)
    details = StoredDetails(transaction, rows, account)
    return _next(rows, after), [item(details, row) for row in rows]


def pending_page(
    transaction: Transaction,
    account: LedgerAccount,
    item: Callable[[StoredDetails, Row], _Item],
    limit: int,
) -> list[_Item]:
    """Return the first pending messages. The messages without a request come last."""
    _, items = page(transaction, account, BEGINNING, item, states=["pending"], limit=limit)
    rows = transaction.rows(sql.PENDING_WITHOUT_REQUEST, account.id, limit - len(items))
    details = StoredDetails(transaction, rows, account)
    return items + [item(details, row) for row in rows]


def page_to_track(
    transaction: Transaction, account: LedgerAccount, after: After, limit: int
) -> tuple[After, list[Receipt | Delivery]]:
    """Return one page of the messages that can be tracked and have no final delivery yet."""

    def requests(first: int) -> list[Row]:
        return transaction.rows(sql.REQUESTS_TO_TRACK, account.id, first, limit)

    rows = _rows(transaction, after, limit, requests, sql.MESSAGES_TO_TRACK)
    details = StoredDetails(transaction, rows, account)
    items: list[Receipt | Delivery] = [details.delivery(row, row) or details.receipt(row) for row in rows]
    return _next(rows, after), items


def page_of_report(
    transaction: Transaction, account: LedgerAccount, last_id: int, after: After, limit: int
) -> tuple[After, list[Record]]:
    """Return one page of a report.

    Args:
        transaction: an open transaction.
        account: the account of the ledger.
        last_id: the highest id of a message when the report began.
        after: the position and the id of the last message of the page before.
        limit: the maximum number of messages.
    """
    rows = transaction.rows(sql.PAGE_OF_REPORT, account.id, last_id, *after, limit)
    details = StoredDetails(transaction, rows, account)
    last = (rows[-1]["position"], rows[-1]["id"]) if rows else after
    return last, [details.record(row, row) for row in rows]


def states_of(transaction: Transaction, account: LedgerAccount, wanted: Wanted) -> list[MessageState | None]:
    """Return the state of each message; None for a message that is not in the ledger."""
    return [None if each.row is None else each.row["state"] for each in _found(transaction, account, wanted)]


def records_of(transaction: Transaction, account: LedgerAccount, wanted: Wanted) -> list[Record | None]:
    """Return what is known about each message; None for a message that is not in the ledger."""
    found = _found(transaction, account, wanted)
    rows = [each.row for each in found if each.row is not None]
    details = StoredDetails(transaction, rows, account)
    ids = [row["id"] for row in rows]
    deliveries = {row["message_id"]: row for row in transaction.rows(sql.DELIVERIES, ids)}
    records: list[Record | None] = []
    for each in found:
        if each.row is None:
            records.append(None)
        elif each.is_another and each.message is not None:
            records.append(
                Record(message=each.message, key=each.given, state="rejected", outcome=each.refusal)
            )
        else:
            number = "" if each.message is None else each.message.destination_address
            records.append(details.record(each.row, deliveries.get(each.row["id"]), number))
    return records


def other_texts_of(transaction: Transaction, account: LedgerAccount, wanted: Wanted) -> list[int]:
    """Return the places of the new messages whose numbers were already sent another content."""
    found = _found(transaction, account, wanted)
    new = [place for place, each in enumerate(found) if each.row is None and each.is_derived]
    numbers, digests = [found[place].number for place in new], [found[place].digest for place in new]
    rows = transaction.rows(sql.OTHER_TEXTS, numbers, digests, account.id) if new else []
    return sorted(new[row["place"] - 1] for row in rows)


def summary_of(transaction: Transaction, account: LedgerAccount) -> Summary:
    """Return the number of messages in each state."""
    counts: Counter[str] = Counter()
    for row in transaction.rows(sql.SUMMARY, account=account.id):
        counts[row["state"]] += row["count"]
    return Summary(**counts, segments=int(transaction.value(sql.SEGMENTS, account.id)))


def deliveries_summary_of(transaction: Transaction, account: LedgerAccount) -> DeliverySummary:
    """Return the number of accepted messages in each phase."""
    tracked = transaction.rows(sql.DELIVERY_SUMMARY, account.id)
    accepted = {row["has_ids"]: row["count"] for row in transaction.rows(sql.ACCEPTED_BY_IDS, account.id)}
    counts = {phase.value: 0 for phase in Phase}
    failed: Counter[int] = Counter()
    for row in tracked:
        counts[PHASES[row["phase"]].value] += row["count"]
        if row["failed_state"] is not None:
            failed[row["failed_state"]] += row["count"]
    return DeliverySummary(
        **counts,
        untracked=sum(accepted.values()) - sum(counts.values()),
        without_ids=accepted.get(False, 0),
        failed_by_state=dict(failed),
    )


def _found(transaction: Transaction, account: LedgerAccount, wanted: Wanted) -> list[SoughtMessage]:
    found = [sought(key, message, redacted=account.redacted) for key, message in wanted]
    find(transaction, account, found)
    return found


def _rows(
    transaction: Transaction,
    after: After,
    limit: int,
    requests_from: Callable[[int], list[Row]],
    messages: str,
) -> list[Row]:
    """Return the rows of the next messages in the order of their requests.

    Args:
        transaction: an open transaction.
        after: the place of the last message before.
        limit: the maximum number of messages.
        requests_from: returns the next requests, at most `limit`, from an id on.
        messages: the statement that returns the messages of some requests.
    """
    rows: list[Row] = []
    first = after[0]
    while len(rows) < limit and (requests := requests_from(first)):
        by_id: dict[int, Row] = {}
        expected = 0
        for request in requests:
            by_id[request["request_id"]] = request
            expected += request["size"]
            if expected >= limit:
                break
        found = transaction.rows(messages, list(by_id), *after, limit - len(rows))
        rows += [row | by_id[row["request_id"]] for row in found]
        first = max(by_id) + 1
    return rows


def _next(rows: Sequence[Row], after: After) -> After:
    return (rows[-1]["request_id"], rows[-1]["place"]) if rows else after
