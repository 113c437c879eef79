"""Reads messages with their outcomes and deliveries from a SQLite ledger, page by page, and counts them.

All functions of this module are synchronous and run in the thread of the ledger.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import TypeVar, cast

from smsapi_async.ledger.delivery_rows import PHASES, delivery_in
from smsapi_async.ledger.records import MessageState, Record, UnknownMessage
from smsapi_async.ledger.sqlite import statements
from smsapi_async.ledger.sqlite.database import Database
from smsapi_async.ledger.sqlite.request_records import Keyed, RequestRecords
from smsapi_async.ledger.sqlite.statements import PLACES
from smsapi_async.ledger.sqlite.stored_values import (
    answers_of,
    contents_of,
    message_in,
    time_in,
)
from smsapi_async.ledger.stored_answers import encoded
from smsapi_async.ledger.summaries import DeliverySummary, Summary
from smsapi_async.models import Message, Receipt
from smsapi_async.outcomes import Accepted, Outcome
from smsapi_async.states import Phase
from smsapi_async.tracking import Delivery

_Item = TypeVar("_Item")
Page = tuple[int, list[_Item]]
"""The number to pass for the next page, and the items of a page; no items mean the end."""


class MessageReader:
    """Reads the messages of a ledger.

    Args:
        database: the open database.
        requests: the requests of the same database, which know the senders at work.
    """

    def __init__(self, database: Database, requests: RequestRecords) -> None:
        self._database = database
        self._requests = requests
        self._report_numbers = count(1)

    def outcomes(self, last: int, states: tuple[str, ...], limit: int) -> Page[Outcome]:
        """Return one page of the recorded outcomes.

        Args:
            last: the number from the page before; 0 for the first page.
            states: the states of the outcomes to return.
            limit: the maximum number of rows of the page.
        """
        return self._page(last, states, limit, lambda row, details: details.outcome(row))

    def unknown(self, last: int, limit: int) -> Page[UnknownMessage]:
        """Return one page of the messages whose outcome is unknown."""
        return self._page(last, ("unknown",), limit, lambda row, details: details.unknown(row))

    def pending(self, limit: int) -> list[tuple[str, Message | None]]:
        """Return the first pending messages with their keys; in a redacted ledger, each message is None."""

        def item(row: sqlite3.Row, details: "_Details") -> tuple[str, Message | None]:
            message = details.message(row)
            return message.key or "", None if self._database.redacted else message

        return self._page(0, ("pending",), limit, item)[1]

    def to_track(self, last: int, limit: int) -> Page[Receipt | Delivery]:
        """Return one page of the messages that can be tracked and have no final delivery yet."""
        with self._database.reading() as connection:
            rows = connection.execute(statements.PAGE_TO_TRACK, (last, limit)).fetchall()
            details = _Details(connection, rows, self._database.redacted)
        items: list[Receipt | Delivery] = [details.delivery(row, row) or details.receipt(row) for row in rows]
        return (rows[-1]["id"] if rows else last), items

    def states(self, keyed: list[Keyed]) -> list[MessageState | None]:
        """Return the state of each message; None for a message that is not in the ledger."""
        with self._database.reading() as connection:
            found = self._requests.find(connection, keyed)
        has_writer = self._database.has_writer
        return [None if each.row is None else _state(each.row, has_sender=has_writer) for each in found]

    def records(self, keyed: list[Keyed]) -> list[Record | None]:
        """Return what is known about each message; None for a message that is not in the ledger."""
        with self._database.reading() as connection:
            found = self._requests.find(connection, keyed)
            rows = [each.row for each in found if each.row is not None]
            details = _Details(connection, rows, self._database.redacted)
            ids = encoded([row["id"] for row in rows])
            deliveries = {row["message_id"]: row for row in connection.execute(statements.DELIVERIES, (ids,))}
        has_writer = self._database.has_writer
        records: list[Record | None] = []
        for each in found:
            if each.row is None:
                records.append(None)
            elif each.is_another:
                records.append(
                    Record(message=each.message, key=each.given, state="rejected", outcome=each.refusal)
                )
            else:
                delivery = deliveries.get(each.row["id"])
                number = each.message.destination_address
                records.append(details.record(each.row, delivery, number, has_sender=has_writer))
        return records

    def other_texts(self, keyed: list[Keyed]) -> list[int]:
        """Return the places of the new messages whose numbers were already sent another content."""
        with self._database.reading() as connection:
            found = self._requests.find(connection, keyed)
            new = [place for place, each in enumerate(found) if each.row is None and each.is_derived]
            pairs = [(found[place].number, found[place].content_id) for place in new]
            rows = connection.execute(statements.OTHER_TEXTS, (encoded(pairs),)).fetchall()
        return [new[row["place"]] for row in rows]

    def begin_report(self) -> str:
        """Sort all messages in the order in which they were given, and return the name of the result."""
        name = f"report_{next(self._report_numbers)}"
        connection = self._database.connection
        connection.execute(statements.BEGIN_REPORT.format(name))
        connection.execute(statements.FILL_REPORT.format(name))
        return name

    def report(self, name: str, last: int, limit: int) -> Page[Record]:
        """Return one page of a report."""
        statement = statements.PAGE_OF_REPORT.format(name)
        with self._database.reading() as connection:
            rows = connection.execute(statement, {"last": last, "end": last + limit}).fetchall()
            details = _Details(connection, rows, self._database.redacted)
        has_writer = self._database.has_writer
        records = [details.record(row, row, has_sender=has_writer) for row in rows]
        return (rows[-1]["place"] if rows else last), records

    def end_report(self, name: str) -> None:
        """Delete the sorted messages of a report."""
        self._database.connection.execute(statements.END_REPORT.format(name))

    def summary(self) -> Summary:
        """Return the number of messages in each state."""
        with self._database.reading() as connection:
            rows = connection.execute(statements.SUMMARY).fetchall()
            segments = connection.execute(statements.SEGMENTS).fetchone()[0]
        counts: Counter[str] = Counter(dict(map(tuple, rows)))
        if not self._database.has_writer:
            counts["unknown"] += counts.pop("sending", 0)
        return Summary(**counts, segments=segments)

    def deliveries_summary(self) -> DeliverySummary:
        """Return the number of accepted messages in each phase."""
        with self._database.reading() as connection:
            tracked = connection.execute(statements.DELIVERY_SUMMARY).fetchall()
            accepted = dict(map(tuple, connection.execute(statements.ACCEPTED_BY_IDS)))
        counts = {phase.value: 0 for phase in Phase}
        for phase, _, number in tracked:
            counts[PHASES[phase].value] += number
        return DeliverySummary(
            **counts,
            untracked=sum(accepted.values()) - sum(counts.values()),
            without_ids=accepted.get(0, 0),
            failed_by_state={state: number for _, state, number in tracked if state is not None},
        )

    def _page(
        self,
        last: int,
        states: tuple[str, ...],
        limit: int,
        item: Callable[[sqlite3.Row, "_Details"], _Item],
    ) -> Page[_Item]:
        # A message in flight without a sender is unknown. Only a reader finds such messages, because opening
        # the ledger for writing gives them the state unknown.
        if "unknown" in states and not self._database.has_writer:
            states = (*states, "sending")
        with self._database.reading() as connection:
            rows = connection.execute(statements.PAGE, (last, encoded(states), limit)).fetchall()
            details = _Details(connection, rows, self._database.redacted)
        return (rows[-1]["id"] if rows else last), [item(row, details) for row in rows]


class _Details:
    """The contents and answers of the messages of a page, which are read once for all messages."""

    def __init__(self, connection: sqlite3.Connection, rows: list[sqlite3.Row], redacted: bool) -> None:
        self._contents = contents_of(connection, rows, redacted)
        self._answers = answers_of(connection, rows)
        self._redacted = redacted

    def message(self, row: sqlite3.Row) -> Message:
        return message_in(row, self._contents[row["content_id"]], self._redacted)

    def outcome(self, row: sqlite3.Row, number: str = "") -> Outcome:
        """Return the outcome of a message.

        Args:
            row: the row of the message.
            number: the destination address, if the caller has passed the message.
        """
        message = self.message(row)
        place = row["id"] % PLACES, row["size"]
        return self._answers[row["request"]].outcome_of(*place, message, message.key, number)

    def receipt(self, row: sqlite3.Row, number: str = "") -> Receipt:
        outcome = self.outcome(row, number)
        assert isinstance(outcome, Accepted)  # noqa: S101 - the type checker needs this line
        return outcome.receipt

    def delivery(self, row: sqlite3.Row, delivery: sqlite3.Row | None, number: str = "") -> Delivery | None:
        """Return the delivery of a message.

        Args:
            row: the row of the message.
            delivery: the row with the columns of the delivery; None means that there is no delivery.
            number: the same as for `outcome`.
        """
        if delivery is None or delivery["phase"] is None:
            return None
        updated_at = datetime.fromisoformat(delivery["updated_at"])
        return delivery_in(self.receipt(row, number), delivery, updated_at)

    def unknown(self, row: sqlite3.Row) -> UnknownMessage:
        message, answer = self.message(row), self._answers[row["request"]].answer
        sent_at = time_in(row["sent_at"])
        assert sent_at is not None  # noqa: S101 - each claim stores its time
        return UnknownMessage(
            message=message,
            key=message.key or "",
            request=row["request"],
            sent_at=sent_at,
            reason=answer.reason,
            code=answer.code,
            segment_ids=answer.segment_ids,
        )

    def record(
        self, row: sqlite3.Row, delivery: sqlite3.Row | None, number: str = "", *, has_sender: bool
    ) -> Record:
        message, state = self.message(row), _state(row, has_sender=has_sender)
        return Record(
            message=message,
            key=message.key or "",
            state=state,
            sent_at=time_in(row["sent_at"]),
            outcome=None if state in {"pending", "sending"} else self.outcome(row, number),
            delivery=self.delivery(row, delivery, number),
        )


def _state(row: sqlite3.Row, *, has_sender: bool) -> MessageState:
    """Return the state of a message: a message in flight without a sender is unknown."""
    state = "unknown" if row["state"] == "sending" and not has_sender else row["state"]
    return cast("MessageState", state)
