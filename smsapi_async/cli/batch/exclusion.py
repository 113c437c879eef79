"""The numbers to which a batch sends nothing: the tables of ``--exclude``."""

from collections.abc import Iterable

from smsapi_async.cli.batch.row_converter import RowMessage, SkippedRow
from smsapi_async.cli.tables.headers import NO_HEADER
from smsapi_async.cli.tables.headings import number_column
from smsapi_async.cli.tables.rows import BadRow, Table, open_table
from smsapi_async.cli.tables.table_options import DETECTED, TableOptions
from smsapi_async.contrib.phonenumbers import normalize_number
from smsapi_async.errors import ValidationError

_OPTION = "--exclude"
_REASON = "the number is in a table of --exclude"
_ROWS_AT_ONCE = 500


class Exclusion:
    """The numbers to which nothing is sent.

    Args:
        numbers: the numbers in international format, without ``+``.
    """

    def __init__(self, numbers: Iterable[str] = ()) -> None:
        # Integers need less memory than strings.
        self._numbers = frozenset(map(int, numbers))

    @classmethod
    def load(cls, paths: Iterable[str], region: str) -> "Exclusion":
        """Read the tables. The function blocks, so it is called in a worker thread.

        Args:
            paths: the paths of the tables.
            region: the country in which numbers without a country code are read.

        Raises:
            ValidationError: if a table cannot be read, or if a row has no certain number: the number that was
                meant would not be excluded.
        """
        return cls(number for path in paths for number in _numbers(path, region))

    def take(self, row: RowMessage) -> RowMessage | SkippedRow:
        """Return the row, or a `SkippedRow` if its number is excluded."""
        if self._numbers and int(row.destination_address) in self._numbers:
            return SkippedRow(row.line, "excluded", _REASON, row.values, row)
        return row


def _numbers(path: str, region: str) -> Iterable[str]:
    try:
        table = _opened(path)
    except ValidationError as error:
        raise ValidationError(_OPTION, f"{path!r}: {error.value}", error.hint) from None
    try:
        column = _column(table, path)
        while rows := table.block(_ROWS_AT_ONCE):
            for row in rows:
                if isinstance(row, BadRow):
                    raise ValidationError(_OPTION, f"line {row.line} of {path!r}", row.reason)
                yield _number(row.values.get(column, ""), region, f"line {row.line} of {path!r}")
    finally:
        table.close()


def _opened(path: str) -> Table:
    """Open a table with a header, or a list of numbers without one."""
    try:
        return open_table(path, DETECTED)
    except ValidationError as error:
        if error.value != NO_HEADER:
            raise
    return open_table(path, TableOptions(header=False))


def _column(table: Table, path: str) -> str:
    try:
        return number_column(table.columns, None)
    except ValidationError as error:
        hint = f"keep only the column with the excluded numbers, or rename the others ({error.hint})"
        raise ValidationError(_OPTION, repr(path), hint) from None


def _number(cell: str, region: str, place: str) -> str:
    try:
        return normalize_number(cell, region)
    except ValidationError as error:
        raise ValidationError(_OPTION, place, f"correct or remove the row: {error.hint}") from None
