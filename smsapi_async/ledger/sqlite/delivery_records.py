"""The table of the deliveries of accepted messages. Each method uses one transaction.

All functions of this module are synchronous and run in a worker thread.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, RowMapping, func, select

from smsapi_async.errors import LedgerError
from smsapi_async.ledger.sqlite.database import Database
from smsapi_async.ledger.sqlite.delivery_rows import PHASES, DeliveryRow, delivery_of, delivery_row
from smsapi_async.ledger.sqlite.message_rows import RecordedAnswer, encoded_ids, message_of, outcome_of
from smsapi_async.ledger.sqlite.schema import deliveries, messages
from smsapi_async.ledger.sqlite.statements import answers_of, contents_of, execute_many
from smsapi_async.ledger.summaries import DeliverySummary
from smsapi_async.models import Receipt
from smsapi_async.outcomes import Accepted
from smsapi_async.states import Phase
from smsapi_async.tracking import Delivery

# `_RECORD` also compares the segment ids, because an equal message that was sent without this ledger has the
# same key, but other segment ids.
_RECORD = (
    "INSERT INTO deliveries (message_id, phase, is_final, failed_state, updated_at, states)"
    " SELECT id, ?, ?, ?, ?, ? FROM messages WHERE key = ? AND state = 'accepted' AND segment_ids = ?"
    " ON CONFLICT (message_id) DO UPDATE SET phase = excluded.phase, is_final = excluded.is_final,"
    " failed_state = excluded.failed_state, updated_at = excluded.updated_at, states = excluded.states"
)
_NO_IDS = encoded_ids(())
_is_accepted = messages.c.state == "accepted"
# If only the segment ids of the whole request are known, the column is NULL. A comparison with NULL is never
# true, so `_has_ids` also excludes the messages with NULL.
_has_ids = messages.c.segment_ids != _NO_IDS


class DeliveryRecords:
    """The deliveries in a database.

    Args:
        database: the open database that contains the deliveries.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, given: Sequence[Delivery]) -> None:
        """Store deliveries. Each delivery overwrites the recorded delivery of the same message."""
        rows: list[DeliveryRow] = [delivery_row(delivery) for delivery in given]
        with self._database.writing() as connection:
            changed = execute_many(connection, _RECORD, rows)
        if changed != len(rows):
            raise LedgerError(
                f"{len(rows) - changed} of {len(rows)} deliveries were not recorded, because this ledger has"
                " no accepted message with the same key and segment ids"
            )

    def open_after(self, last: int, limit: int) -> tuple[int, list[Receipt | Delivery]]:
        """Return one page of the messages that can be tracked and have no final delivery yet.

        Args:
            last: the id of the last row of the previous page; 0 for the first page.
            limit: the maximum number of messages on the page.

        Returns:
            The id of the last row of this page, and the messages of this page as receipts or deliveries.
        """
        with self._database.reading() as connection:
            rows = _select_open(connection, last, limit)
            contents_by_id = contents_of(connection, rows)
            answers_by_id = answers_of(connection, rows)
        page = [self._open_message(row, contents_by_id, answers_by_id) for row in rows]
        return (rows[-1]["id"] if rows else last), page

    def summary(self) -> DeliverySummary:
        """Return the number of accepted messages in each phase."""
        by_phase = select(deliveries.c.phase, deliveries.c.failed_state, func.count()).group_by(
            deliveries.c.phase, deliveries.c.failed_state
        )
        by_ids = select(_has_ids.is_(True), func.count()).where(_is_accepted).group_by(_has_ids.is_(True))
        with self._database.reading() as connection:
            tracked = connection.execute(by_phase).all()
            accepted = {bool(has_ids): count for has_ids, count in connection.execute(by_ids)}
        counts = {phase.value: 0 for phase in Phase}
        for phase, _, count in tracked:
            counts[PHASES[phase].value] += count
        return DeliverySummary(
            **counts,
            untracked=sum(accepted.values()) - sum(counts.values()),
            without_ids=accepted.get(False, 0),
            failed_by_state={state: count for _, state, count in tracked if state is not None},
        )

    def _open_message(
        self,
        row: RowMapping,
        contents_by_id: Mapping[int, RowMapping],
        answers_by_id: Mapping[int, RecordedAnswer],
    ) -> Receipt | Delivery:
        content = contents_by_id[row["content_id"]]
        message = message_of(row["key"], row["destination_address"], content, self._database.redacted)
        answer = answers_by_id[row["answer_id"]]
        outcome = outcome_of(row["state"], row["key"], message, answer, row["segment_ids"])
        assert isinstance(outcome, Accepted)  # noqa: S101 - the type checker needs this line
        receipt = Receipt(message, outcome.segment_ids, outcome.accepted_at)
        return receipt if row["phase"] is None else delivery_of(receipt, row)


def _select_open(connection: Connection, last: int, limit: int) -> Sequence[RowMapping]:
    statement = (
        select(messages, deliveries)
        .outerjoin(deliveries, deliveries.c.message_id == messages.c.id)
        .where(messages.c.id > last, _is_accepted, _has_ids, func.coalesce(deliveries.c.is_final, 0) == 0)
        .order_by(messages.c.id)
        .limit(limit)
    )
    return connection.execute(statement).mappings().all()
