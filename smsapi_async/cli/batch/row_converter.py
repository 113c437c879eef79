"""Converts the rows of a table to messages, and returns the reason for each row that cannot be sent."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self

import attrs

from smsapi_async.cli.batch.row_fields import RowFields
from smsapi_async.cli.batch.send_window import SendWindow
from smsapi_async.cli.batch.template import Template
from smsapi_async.cli.tables.headings import column_list, number_column
from smsapi_async.cli.tables.inputs import ARGUMENT
from smsapi_async.cli.tables.rows import BadRow, Row
from smsapi_async.clock import Clock, SystemClock
from smsapi_async.contrib.phonenumbers import checked_region, normalize_number
from smsapi_async.errors import ValidationError
from smsapi_async.models import Message
from smsapi_async.protocol.dates import GATEWAY_TIME_ZONE
from smsapi_async.protocol.encoding import common_form, prepared

_NUMBER = "destination_address"
_TEXT = "text"
# The number of the test message in `RowConverter.for_table`: a valid number to which nothing is sent.
_TEST_NUMBER = "70000000000"
# The characters that `str.strip` leaves at the ends of a value. They are invisible, and each of them forces
# UCS-2.
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
# Characters that look like a space, although Python regards them as printable.
_BLANK = " \u115f\u1160\u2800\u3164\uffa0"


@attrs.frozen
class RowMessage(Message):
    """A message from a row of a table.

    Attributes:
        line: the number of the line in which the row begins; the first line has the number 1.
        values: the values of the row by column name.
    """

    line: int = attrs.field(kw_only=True)
    values: Mapping[str, str] = attrs.field(
        factory=dict, kw_only=True, eq=False, repr=lambda values: f"<{len(values)} values>"
    )


@attrs.frozen
class SkippedRow:
    """A row that could be sent, and that is not sent by the user's wish.

    Attributes:
        line: the number of the line in which the row begins; the first line has the number 1.
        cause: ``excluded`` (the number is in a table of ``--exclude``) or ``duplicate`` (an earlier row has
            the same number and text).
        reason: the reason in words, without phone numbers and texts.
        values: the values of the row by column name.
        message: the message of an excluded row. An earlier run may have sent the message.
    """

    line: int
    cause: Literal["excluded", "duplicate"]
    reason: str
    values: Mapping[str, str] = attrs.field(
        factory=dict, eq=False, repr=lambda values: f"<{len(values)} values>"
    )
    message: RowMessage | None = attrs.field(default=None, eq=False)


@attrs.frozen(kw_only=True)
class SharedFields:
    """The fields that all messages of a batch share.

    Attributes:
        source_address: the source address of all messages.
        send_date: the time at which the gateway sends the messages, or None. The time is naive with
            `by_time_zone`, and aware without it.
        validity: for how many minutes the gateway tries to deliver a message, or None.
        by_time_zone: whether `send_date` is the local time of each recipient.
    """

    source_address: str
    send_date: datetime | None = None
    validity: int | None = None
    by_time_zone: bool = False

    def message(
        self, number: str, text: str, line: int = 0, values: Mapping[str, str] | None = None, **fields: object
    ) -> RowMessage:
        """Return a checked message.

        Args:
            number: the destination address of the message.
            text: the text of the message.
            line: the number of the line in which the row begins.
            values: the values of the row by column name.
            fields: fields of the message that replace the common fields, for example the key.

        Raises:
            ValidationError: if the message cannot be sent.
        """
        common: dict[str, Any] = {
            "source_address": self.source_address,
            "send_date": self.send_date,
            "validity": self.validity,
            "by_time_zone": self.by_time_zone,
        }
        message = RowMessage(number, text, line=line, values=values or {}, **{**common, **fields})
        made = prepared(message, None)
        assert isinstance(made, RowMessage)  # noqa: S101 - for the type checker
        return made


@attrs.frozen
class RowConverter:
    """A factory that makes a message from a row.

    Attributes:
        number_column: the name of the column with the phone numbers.
        template: the template of the text; None means that the column `text_column` holds the text.
        common: the fields that all messages of the batch share.
        region: the country in which numbers without a country code are read.
        fields: reads the fields of a message that have columns of their own.
        text_column: the name of the column with the texts; it has no effect with `template`.
        used: the names of all columns from which the message is made.
    """

    number_column: str
    template: Template | None
    common: SharedFields
    region: str
    fields: RowFields
    text_column: str
    used: Sequence[str]

    @classmethod
    def for_table(
        cls,
        columns: list[str],
        column: str | None,
        template: Template | None,
        common: SharedFields,
        *,
        region: str = "RU",
        window: SendWindow | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Return a converter for a table.

        `for_table` makes all checks that do not need a row, so that an error ends the batch before any
        message is sent.

        Args:
            columns: the names of the columns of the table.
            column: the name of the column with the numbers; None means that the name is found automatically.
            template: the template of the text; None means that the column ``text`` holds the text.
            common: the fields that all messages of the batch share.
            region: the country in which numbers without a country code are read (ISO 3166-1, two letters).
            window: the hours of the day in which messages may be sent; None means all hours.
            clock: the clock that says which send dates have passed; None means the clock of the system.

        Raises:
            ValidationError: if a required column is missing or exists twice, if the region is unknown, or if
                a shared field is not valid.
        """
        checked_region(region)
        texts = [name for name in columns if name.casefold() == _TEXT]
        if template is not None:
            template = template.for_columns(columns)
        elif not texts:
            raise ValidationError(
                "--text",
                "an unset value",
                f"pass --text, or add a column with the name text; the columns are {column_list(columns)}",
            )
        names = RowFields.names(columns)
        fields = RowFields(
            columns=names,
            needs_date=common.by_time_zone and common.send_date is None and "send_date" in names,
            by_time_zone=common.by_time_zone,
            window=window,
            now=(clock or SystemClock()).now,
        )
        found = number_column(columns, column)
        used = {found, *(template.columns if template else texts), *fields.columns.values()}
        for name in used:
            if columns.count(name) > 1 or (template is None and len(texts) > 1):
                raise ValidationError(ARGUMENT, f"the repeated column {name!r}", "rename one of the columns")
        _check_common(common, template, fields)
        return cls(found, template, common, region, fields, texts[0] if texts else _TEXT, tuple(used))

    def convert(self, row: Row) -> RowMessage | BadRow:
        """Return the message of a row, or a `BadRow` with the reason if the message cannot be sent."""
        # Only the values that make the message are needed: a table of an address book has sixty columns.
        values = {
            name: row.values[name].strip().strip(_INVISIBLE).strip()
            for name in self.used
            if name in row.values
        }
        column = self.number_column
        try:
            number = normalize_number(values.get(column, ""), self.region)
            text = self._text(values)
            fields = self.fields.read(values) if self.fields.columns else {}
            return self.common.message(number, text, row.line, row.values, **fields)
        except ValidationError as error:
            # The error must contain the name of the column, because a user of the command line does not know
            # the parameters of the functions.
            names = {"number": column, _NUMBER: column, _TEXT: self.text_column, **self.fields.columns}
            name = names.get(error.parameter, error.parameter)
            return BadRow(row.line, f"{name}: {error.value} cannot be used; {error.hint}", row.values)

    def _text(self, values: Mapping[str, str]) -> str:
        text = values.get(self.text_column, "") if self.template is None else self.template.fill(values)
        _check_visible(_TEXT, text)
        return text


def _check_visible(parameter: str, text: str) -> None:
    if not any(mark.isprintable() and mark not in _BLANK for mark in text):
        raise ValidationError(parameter, "an empty text", "pass a text with visible characters")


def _check_common(common: SharedFields, template: Template | None, fields: RowFields) -> None:
    """Check the fields that all rows share, with a message that is not sent.

    `common.message` checks the source address, the validity and, if all rows have the same text, the text.
    `common_form` checks the send date.
    """
    text = template.fill({}) if template is not None and template.is_fixed else "-"
    _check_visible("--text", text)
    if common.send_date is not None:
        fields.check_window("send_date", common.send_date)
    elif fields.needs_date:
        return  # Each row has a send date of its own.
    elif common.by_time_zone:
        hint = "pass --send-date with the local time of the recipients, or add a column send_date"
        raise ValidationError("send_date", "an unset value", hint)
    common_form(common.message(_TEST_NUMBER, text), GATEWAY_TIME_ZONE)
