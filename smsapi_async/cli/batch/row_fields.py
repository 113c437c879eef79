"""The columns of a table that set fields of a message: send_date, source_address, validity and key."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import attrs

from smsapi_async.cli import options
from smsapi_async.cli.batch.send_window import SendWindow
from smsapi_async.cli.tables.inputs import ARGUMENT
from smsapi_async.errors import ValidationError

KEY = "key"
_SOURCE = "source_address"
_DATE = "send_date"
_VALIDITY = "validity"
_FIELDS = (KEY, _SOURCE, _DATE, _VALIDITY)
# A heading is compared without case, spaces and marks: `SendDate` and `send-date` mean `send_date`.
_NO_LETTER = re.compile(r"[\W_]")
_BY_LETTERS = {field.replace("_", ""): field for field in _FIELDS}


@attrs.frozen(kw_only=True)
class RowFields:
    """Reads the fields of a message that have columns of their own. An empty cell means the common value.

    Attributes:
        columns: the column for each field that has one.
        by_time_zone: whether send dates are local times of the recipients.
        window: the hours of the day in which messages may be sent; None means all hours.
        now: returns the current time, aware.
        needs_date: whether each row must have a send date of its own.
    """

    columns: Mapping[str, str]
    by_time_zone: bool = False
    window: SendWindow | None = None
    now: Callable[[], datetime]
    needs_date: bool = False

    @classmethod
    def names(cls, columns: list[str]) -> dict[str, str]:
        """Return the column for each field: ``Send Date`` and ``send-date`` are columns for ``send_date``.

        Raises:
            ValidationError: if two columns are for the same field.
        """
        found: dict[str, str] = {}
        for column in columns:
            field = _BY_LETTERS.get(_NO_LETTER.sub("", column.casefold()), column)
            if field in found:
                hint = "rename or remove one of the columns"
                raise ValidationError(ARGUMENT, f"a second column {column[:40]!r} for {field}", hint)
            if field in _FIELDS:
                found[field] = column
        return found

    def read(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Return the fields of a row, as keyword arguments for a message.

        Args:
            values: the values of the row by column name, without spaces around them.

        Raises:
            ValidationError: if a value is wrong. The parameter is the name of the column.
        """
        read: dict[str, Any] = {}
        for field, column in self.columns.items():
            value = values.get(column, "")
            if value:
                read[field] = self._value(field, column, value)
        if self.needs_date and _DATE not in read:
            hint = "fill the cell, or pass --send-date"
            raise ValidationError(self.columns[_DATE], "an empty value", hint)
        return read

    def check_window(self, parameter: str, date: datetime) -> None:
        """Check that a send date is in the window.

        Args:
            parameter: the name of the option or of the column, for the error.
            date: an aware date or, with `by_time_zone`, a naive date in the local time of the recipient.

        Raises:
            ValidationError: if the date is not in the window.
        """
        if self.window is not None and not self.window.holds(date):
            hint = f"pass a time in the window {self.window}"
            raise ValidationError(parameter, "a time outside of the window", hint)

    def _value(self, field: str, column: str, value: str) -> object:
        if field == _VALIDITY:
            if not (value.isascii() and value.isdigit() and len(value) <= 10):
                raise ValidationError(column, "a value that is no number", "pass whole minutes, such as 60")
            return int(value)
        if field != _DATE:
            return value
        date = options.parse_send_date(value, by_time_zone=self.by_time_zone, now=self.now())
        assert date is not None  # noqa: S101 - for the type checker: `value` is not None
        self.check_window(column, date)
        return date
