"""Tracking by pages: a PostgreSQL ledger keeps the time of the next state request of each message."""

from collections.abc import Collection, Sequence
from datetime import datetime

import attrs

from smsapi_async.ledger.delivery_rows import DeliveryRow, delivery_row
from smsapi_async.ledger.pages import lacks_number, warn_of_left_out
from smsapi_async.ledger.postgres import postgres_statements as sql
from smsapi_async.ledger.postgres.postgres_deliveries import columns_of
from smsapi_async.ledger.postgres.stored_messages import LedgerAccount, LedgerWork, StoredDetails
from smsapi_async.postgres.transactions import Transaction
from smsapi_async.privacy import sealed_async
from smsapi_async.tracking.visits import DueMessage, DuePage, Visit

_KeyedVisit = tuple[Visit, DeliveryRow | None]


@attrs.frozen(repr=False)
class PostgresVisits:
    """The messages under way of a PostgreSQL ledger. See `VisitStore` for the methods."""

    _write: LedgerWork

    async def due_messages(
        self, now: datetime, *, limit: int, without: Collection[int], first_wait: float
    ) -> DuePage:
        """Return messages whose next state requests are due. See `VisitStore.due_messages`."""
        # The follower changes its collection while a thread reads the copy.
        held = list(without)

        def work(transaction: Transaction, account: LedgerAccount) -> tuple[DuePage, int]:
            return _due_page(transaction, account, now, limit=limit, without=held, first_wait=first_wait)

        page: DuePage
        page, left_out = await self._write(work, is_repeatable=True)
        if left_out:
            warn_of_left_out(left_out)
        return page

    @sealed_async
    async def record_visits(self, visits: Sequence[Visit]) -> None:
        """Record what a follower has learned. See `VisitStore.record_visits`."""
        keyed = _keyed_visits(visits)
        await self._write(lambda given, _: _record_visits(given, keyed), is_repeatable=True)


def _due_page(
    transaction: Transaction,
    account: LedgerAccount,
    now: datetime,
    *,
    limit: int,
    without: Sequence[int],
    first_wait: float,
) -> tuple[DuePage, int]:
    """Return one page of messages whose next requests are due, and the number of messages left out.

    A message is left out for ever if its segment ids contain a number that the redacted ledger lacks.
    """
    transaction.row(sql.FOLLOW_NEW, account=account.id, now=now, wait=first_wait)
    rows = transaction.rows(sql.DUE, account.id, now, list(without), limit)
    details = StoredDetails(transaction, rows, account)
    items = {row["id"]: details.delivery(row, row) or details.receipt(row) for row in rows}
    left_out = [id_ for id_, item in items.items() if lacks_number(item)]
    if left_out:
        transaction.run(sql.STOP_FOLLOWING, left_out)
    messages = [
        DueMessage(row["id"], items[row["id"]], row["followed_since"], row["next_ask_at"])
        for row in rows
        if row["id"] not in left_out
    ]
    following = transaction.row(sql.NEXT_DUE, account=account.id, now=now)
    next_at = None if following is None else following["at"]
    return DuePage(messages, now if left_out else next_at), len(left_out)


def _record_visits(transaction: Transaction, visits: Sequence[_KeyedVisit]) -> None:
    """Store the last delivery and the time of the next request for each visited message."""
    transaction.rows(sql.LOCK_DELIVERIES, [visit.id for visit, _ in visits])
    same = [visit for visit, columns in visits if columns is None]
    if same:
        transaction.run(sql.PLAN_DELIVERIES, [visit.id for visit in same], [visit.next_at for visit in same])
    changed = [(visit, columns) for visit, columns in visits if columns is not None]
    if changed:
        ids, times = [visit.id for visit, _ in changed], [visit.next_at for visit, _ in changed]
        columns = columns_of([columns for _, columns in changed])
        transaction.run(sql.CHANGE_DELIVERIES, ids, times, *columns)


def _keyed_visits(visits: Sequence[Visit]) -> list[_KeyedVisit]:
    """Return each visit with the columns of its last delivery; None for a visit without a new delivery."""
    return [(each, delivery_row(each.deliveries[-1]) if each.deliveries else None) for each in visits]
