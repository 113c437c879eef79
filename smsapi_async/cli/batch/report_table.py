"""The table of a report: its columns and cells, and the look-up of its rows in a ledger."""

from collections.abc import Sequence

import attrs

from smsapi_async.cli.batch.report_rows import ReportRow, added_columns
from smsapi_async.cli.batch.row_converter import RowMessage
from smsapi_async.cli.csv_output import Cell
from smsapi_async.cli.tables.table_records import value_names
from smsapi_async.ledger import Ledger, Record

Pair = tuple[ReportRow, RowMessage | None]
"""A row, and its message if the message has no outcome in the run."""


@attrs.frozen
class ReportTable:
    """The columns of a report.

    Attributes:
        headings: the columns of the table; empty in a masked report.
        own: the names of the values in these columns. The names differ, the headings perhaps not.
    """

    headings: Sequence[str]
    own: Sequence[str] = attrs.field(init=False)

    @own.default
    def _own(self) -> list[str]:
        return value_names(self.headings)

    @property
    def columns(self) -> list[str]:
        """All columns: those of the table in their order, then the added columns."""
        return [*self.headings, *added_columns(self.headings)]

    def cells(self, row: ReportRow, record: Record | None = None) -> list[Cell]:
        """Return the cells of a row in all columns.

        Args:
            row: the row.
            record: what the ledger knows about the message, or None.
        """
        return [*row.own_cells(self.own), *row.added_cells(record)]


async def records_of(pairs: Sequence[Pair], ledger: Ledger | None) -> list[Record | None]:
    """Return what a ledger knows about each row; None for a row that is not a message of the ledger.

    A message without an outcome in the run is compared with the message that the ledger has under its key.
    The other messages were compared when they were sent.

    Args:
        pairs: the rows, a few hundred.
        ledger: the open ledger; None means that there is none.
    """
    asked = [message or row.key for row, message in pairs if message is not None or row.is_in_ledger]
    if ledger is None or not asked:
        return [None] * len(pairs)
    found = iter(await ledger.records(asked))
    return [next(found) if message is not None or row.is_in_ledger else None for row, message in pairs]
