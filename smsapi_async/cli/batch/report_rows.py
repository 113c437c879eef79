"""The rows of a report: the columns of the table, the outcome in a run, and what the ledger knows."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

import attrs

from smsapi_async.cli.batch.row_converter import RowMessage, SkippedRow
from smsapi_async.cli.csv_output import Cell
from smsapi_async.cli.output import one_line
from smsapi_async.cli.tables.rows import BadRow
from smsapi_async.ledger import Record
from smsapi_async.ledger.keys import key_of, redacted_key
from smsapi_async.outcomes import Accepted, Outcome, Rejected
from smsapi_async.privacy import mask_number, scrub

ADDED = (
    "line",
    "number",
    "key",
    "outcome",
    "code",
    "delivery",
    "sent_at",
    "accepted_at",
    "delivered_at",
    "why",
    "price",
    "segment_ids",
)
"""The columns that a report adds to the columns of the table."""

PENDING = "pending"
"""The outcome of a message that was not sent."""

_BAD_ROW = "bad row"
_EXCLUDED = "excluded"
_PREFIX = "report_"
# The outcomes that cannot change any more, except by a person.
_CERTAIN = frozenset({"accepted", "rejected"})
_SHARED_IDS = "these segment ids belong to several messages"


def added_columns(own: Sequence[str]) -> list[str]:
    """Return the names of the added columns.

    If the table has a column with the same name (in any case), the added column gets the prefix ``report_``.

    Args:
        own: the names of the columns of the table.
    """
    taken = {name.strip().casefold() for name in own}
    names = []
    for each in ADDED:
        name = each
        while name in taken:
            name = _PREFIX + name
        names.append(name)
    return names


@attrs.frozen(kw_only=True)
class ReportRow:
    """A row of a report, with what the run knows.

    Attributes:
        place: the place of the row among the rows of the table.
        line: the number of the line in which the row begins.
        values: the values of the row by column name. Empty in a masked report.
        outcome: ``accepted``, ``rejected``, ``unknown``, ``pending``, ``bad row``, ``excluded`` or
            ``duplicate``.
        number: the number as it is sent; "" for a row that cannot be sent or is skipped.
        key: the key of the message; "" if there is none.
        code: the error code of the gateway, or None.
        accepted_at: the time at which the gateway accepted the message, in ISO 8601 (UTC), or "".
        why: the reason of the outcome in words, or "".
        segment_ids: the segment ids, separated by spaces.
        is_in_ledger: whether a ledger can be asked about the key.
        is_masked: whether the numbers in segment ids are masked.
    """

    place: int
    line: int
    values: Mapping[str, str] = attrs.field(repr=lambda values: f"<{len(values)} values>")
    outcome: str
    number: str = attrs.field(default="", repr=False)
    key: str = attrs.field(default="", repr=False)
    code: int | None = None
    accepted_at: str = ""
    why: str = ""
    segment_ids: str = attrs.field(default="", repr=False)
    is_in_ledger: bool = False
    is_masked: bool = False

    @classmethod
    def of_unsent(cls, place: int, row: BadRow | SkippedRow, *, has_ledger: bool) -> Self:
        """Return the row of a report for a row that cannot be sent or is skipped.

        Args:
            place: the place of the row among the rows of the table.
            row: the row.
            has_ledger: whether there is a ledger.
        """
        message = row.message if isinstance(row, SkippedRow) and has_ledger else None
        return cls(
            place=place,
            line=row.line,
            values=row.values,
            outcome=_BAD_ROW if isinstance(row, BadRow) else row.cause,
            why=one_line(row.reason),
            key="" if message is None else key_of(message),
            # A key of the user's own may belong to a different message, which the key does not tell.
            is_in_ledger=message is not None and message.key is None,
        )

    @classmethod
    def of_message(cls, place: int, message: RowMessage, *, has_ledger: bool) -> Self:
        """Return the row of a report for a message without an outcome.

        Args:
            place: the place of the row among the rows of the table.
            message: the message.
            has_ledger: whether there is a ledger.
        """
        return cls(
            place=place,
            line=message.line,
            values=message.values,
            outcome=PENDING,
            number=message.destination_address,
            key=key_of(message) if has_ledger else message.key or "",
        )

    @classmethod
    def of_outcome(cls, place: int, message: RowMessage, outcome: Outcome) -> Self:
        """Return the row of a report for a message with an outcome of the run.

        Args:
            place: the place of the row among the rows of the table.
            message: the message.
            outcome: its outcome.
        """
        # A message that is refused without a request is not in the ledger. The ledger may have a different
        # message with the same key.
        is_refused = isinstance(outcome, Rejected) and outcome.code is None and not outcome.recorded
        return cls(
            place=place,
            line=message.line,
            values=message.values,
            number=message.destination_address,
            key=outcome.key or message.key or "",
            is_in_ledger=outcome.key is not None and not is_refused,
            **_told(outcome),
        )

    def masked(self) -> Self:
        """Return the row without the values of the table, with masked numbers and a redacted key."""
        number = mask_number(self.number).strip("'") if self.number else ""
        return attrs.evolve(self, values={}, number=number, key=redacted_key(self.key), is_masked=True)

    def encoded(self) -> str:
        """Return the row as a line of text, for `decoded`."""
        return json.dumps(attrs.astuple(self, recurse=False)) + "\n"

    @classmethod
    def decoded(cls, line: str) -> Self:
        """Return the row from a line of text."""
        return cls(**dict(zip(_FIELDS, json.loads(line), strict=True)))

    def own_cells(self, columns: Sequence[str]) -> list[Cell]:
        """Return the cells of the row in the columns of the table."""
        return [self.values.get(name, "") for name in columns]

    def added_cells(self, record: Record | None) -> list[Cell]:
        """Return the cells of the row in the columns `ADDED`.

        Args:
            record: what the ledger knows about the message, or None.
        """
        row = self if record is None else self._updated(record)
        known = _delivery_cells(record)
        return [
            row.line,
            row.number,
            row.key,
            row.outcome,
            row.code,
            known["delivery"],
            known["sent_at"],
            row.accepted_at,
            known["delivered_at"],
            row.why,
            known["price"],
            " ".join(map(_without_number, row.segment_ids.split())) if row.is_masked else row.segment_ids,
        ]

    def _updated(self, record: Record) -> Self:
        """Return the row with the outcome of the ledger, unless the run knows more than the ledger."""
        is_known = self.outcome in {PENDING, record.state} or record.state in _CERTAIN
        # An excluded row may have been sent by an earlier run.
        if not (is_known if self.outcome != _EXCLUDED else record.sent_at is not None):
            return self
        if record.outcome is None:
            return attrs.evolve(self, outcome=record.state, why="")
        told = _told(record.outcome)
        return attrs.evolve(self, **told | {"why": told["why"] or one_line(record.reason)})


_FIELDS = tuple(field.name for field in attrs.fields(ReportRow))


def _without_number(segment_id: str) -> str:
    """Return a segment id in which a phone number is masked. An id of digits contains no phone number."""
    return segment_id if segment_id.isdecimal() else scrub(segment_id, ())


def _told(outcome: Outcome) -> dict[str, Any]:
    """Return the fields of a `ReportRow` that come from an outcome."""
    fields = {"outcome": type(outcome).__name__.lower()}
    if isinstance(outcome, Accepted):
        return fields | {
            "code": None,
            "accepted_at": outcome.accepted_at.isoformat(),
            "why": _SHARED_IDS if outcome.unattributed else "",
            "segment_ids": " ".join(outcome.segment_ids),
        }
    return fields | {
        "code": outcome.code,
        "accepted_at": "",
        "why": one_line(outcome.reason),
        "segment_ids": "",
    }


def _delivery_cells(record: Record | None) -> dict[str, Cell]:
    if record is None:
        return dict.fromkeys(("delivery", "sent_at", "delivered_at", "price"))
    return {
        "delivery": None if record.delivery is None else record.delivery.phase.value,
        "sent_at": None if record.sent_at is None else record.sent_at.isoformat(),
        "delivered_at": None if record.delivered_at is None else record.delivered_at.isoformat(),
        "price": record.price,
    }
