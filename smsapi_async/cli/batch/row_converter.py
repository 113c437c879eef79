"""Converts the rows of a table to messages, and returns the reason for each row that cannot be sent."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Literal, Self

import attrs
from anyio import to_thread

from smsapi_async.cli.batch.template import Template, column_list
from smsapi_async.cli.tables.inputs import ARGUMENT
from smsapi_async.cli.tables.rows import BadRow, Row, Table
from smsapi_async.errors import ValidationError
from smsapi_async.models import Message
from smsapi_async.protocol.encoding import common_form, prepared

NUMBER_COLUMNS = (
    "destination_address",
    "phone",
    "phone_number",
    "number",
    "mobile",
    "msisdn",
    "telephone",
    "телефон",
    "номер",
)
"""The usual names of a column with phone numbers, in order of preference. Case is ignored."""

_NUMBER = "destination_address"
_KEY = "key"
_TEXT = "text"
# The highest number of rows that one call in a worker thread reads.
_BLOCK = 500
# The characters that `strip_separators` removes: spaces and dashes of all kinds, brackets, and the invisible
# characters that address books put around numbers.
_SEPARATORS = dict.fromkeys(
    [
        *map(ord, " \t\r\n()[]-\u00a0\u00ad\u202f\u2060\u2212\ufeff"),
        *range(0x2000, 0x2016),
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
    ]
)
# The number of the test message in `RowConverter.for_table`: a valid number to which nothing is sent.
_TEST_NUMBER = "70000000000"


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
    """

    line: int
    cause: Literal["excluded", "duplicate"]
    reason: str
    values: Mapping[str, str] = attrs.field(
        factory=dict, eq=False, repr=lambda values: f"<{len(values)} values>"
    )


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
        self,
        number: str,
        text: str,
        line: int = 0,
        key: str | None = None,
        values: Mapping[str, str] | None = None,
    ) -> RowMessage:
        """Return a checked message.

        Args:
            number: the destination address of the message.
            text: the text of the message.
            line: the number of the line in which the row begins.
            key: the key of the message in the ledger, or None.
            values: the values of the row by column name.

        Raises:
            ValidationError: if the message cannot be sent.
        """
        message = RowMessage(
            number,
            text,
            line=line,
            values=values or {},
            key=key,
            source_address=self.source_address,
            send_date=self.send_date,
            validity=self.validity,
            by_time_zone=self.by_time_zone,
        )
        made = prepared(message, None)
        assert isinstance(made, RowMessage)  # noqa: S101 - for the type checker
        return made


@attrs.frozen
class RowConverter:
    """A factory that makes a message from a row.

    Attributes:
        number_column: the name of the column with the phone numbers.
        template: the template of the text; None means that the column ``text`` holds the text.
        common: the fields that all messages of the batch share.
    """

    number_column: str
    template: Template | None
    common: SharedFields

    @classmethod
    def for_table(
        cls, columns: list[str], column: str | None, template: Template | None, common: SharedFields
    ) -> Self:
        """Return a converter for a table.

        `for_table` makes all checks that do not need a row, so that an error ends the batch before any
        message is sent.

        Args:
            columns: the names of the columns of the table.
            column: the name of the column with the numbers; None means that the name is found automatically.
            template: the template of the text; None means that the column ``text`` holds the text.
            common: the fields that all messages of the batch share.

        Raises:
            ValidationError: if a required column is missing or exists twice, or if a shared field is not
                valid.
        """
        if template is not None:
            template.check(columns)
        elif _TEXT not in columns:
            raise ValidationError(
                "--text",
                "an unset value",
                f"pass --text, or add a column with the name text; the columns are {column_list(columns)}",
            )
        number_column = _number_column(columns, column)
        for name in {number_column, *(template.columns if template else (_TEXT,)), _KEY}:
            if columns.count(name) > 1:
                raise ValidationError(ARGUMENT, f"the repeated column {name!r}", "rename one of the columns")
        is_fixed = template is not None and not template.columns
        # Check the fields that all rows share, with a message that is not sent. `common.message` checks the
        # source address, the validity and, if the template contains no column placeholders, the text.
        # `common_form` checks the send date.
        common_form(common.message(_TEST_NUMBER, template.fill({}) if template and is_fixed else "-"))
        return cls(number_column, template, common)

    def convert(self, row: Row) -> RowMessage | BadRow:
        """Return the message of a row, or a `BadRow` with the reason if the message cannot be sent."""
        values = row.values
        try:
            text = values.get(_TEXT, "") if self.template is None else self.template.fill(values)
            key = values.get(_KEY, "").strip() or None
            return self.common.message(
                strip_separators(values.get(self.number_column, "")), text, row.line, key, values
            )
        except ValidationError as error:
            # The error must contain the name of the column, because a user of the command line does not know
            # the parameter `destination_address`.
            name = self.number_column if error.parameter == _NUMBER else error.parameter
            return BadRow(row.line, f"{name}: {error.value} cannot be used; {error.hint}", values)


def strip_separators(words: str) -> str:
    """Return a number without spaces, brackets, dashes and invisible characters."""
    return words.translate(_SEPARATORS)


def _number_column(columns: list[str], column: str | None) -> str:
    if column is None:
        # If the names of several columns differ only in case, the first column must be used. The order of the
        # columns is reversed, because in a `dict` a later value replaces an earlier value.
        names = {name.lower(): name for name in reversed(columns)}
        found = [names[name] for name in NUMBER_COLUMNS if name in names]
        if not found and len(columns) > 1:
            # Never guess the column with the phone numbers: an account number or a date can look like a phone
            # number, and the batch would send messages to wrong numbers.
            raise ValidationError("--column", "an unset value", f"pass one of {column_list(columns)}")
        return (found or columns)[0]
    if column not in columns:
        raise ValidationError(
            "--column", f"the column {column[:40]!r}", f"the columns are {column_list(columns)}"
        )
    return column


class RowMessages(AsyncIterator[RowMessage]):
    """An async iterator over the messages of a table. A worker thread reads the rows in blocks.

    Attributes:
        awaiting_outcome: the messages that the iterator has returned and that have no outcome yet, as a
            mapping from the number of the line to the key. The owner of the iterator removes each message
            that has an outcome.
        check: a function that is called with the next messages, at most 500, before the iterator returns the
            first of them; or None. An error of the function ends the iteration.

    Args:
        table: the table that contains the rows.
        converter: the converter that makes a message from each row.
        on_unsent: a function that is called with each row that cannot be sent or is skipped.
    """

    def __init__(
        self,
        table: Table,
        converter: RowConverter,
        on_unsent: Callable[[BadRow | SkippedRow], Awaitable[None]],
    ) -> None:
        self._table = table
        self._converter = converter
        self._on_unsent = on_unsent
        self.check: Callable[[Sequence[RowMessage]], Awaitable[None]] | None = None
        self._block: list[RowMessage | BadRow | SkippedRow] = []
        self.awaiting_outcome: dict[int, str | None] = {}

    async def __anext__(self) -> RowMessage:
        while True:
            if not self._block:
                # A cancellation must not wait for the end of the thread, because a read from standard input
                # may block for ever.
                self._block = await to_thread.run_sync(self._read, abandon_on_cancel=True)
                if not self._block:
                    raise StopAsyncIteration
                # The list is in reverse order, because to remove its last element with `pop` is faster than
                # to remove its first element.
                self._block.reverse()
                if self.check is not None:
                    await self.check([row for row in reversed(self._block) if isinstance(row, RowMessage)])
            message = self._block.pop()
            if isinstance(message, RowMessage):
                self.awaiting_outcome[message.line] = message.key
                return message
            await self._on_unsent(message)

    def left(self) -> Mapping[int, str | None]:
        """Return the messages that were read and have no outcome, as a mapping from the line to the key.

        The result contains the messages in `awaiting_outcome` and the messages that the iterator has not
        returned yet.
        """
        held = ((row.line, row.key) for row in reversed(self._block) if isinstance(row, RowMessage))
        return dict(chain(sorted(self.awaiting_outcome.items()), held))

    def _read(self) -> list[RowMessage | BadRow | SkippedRow]:
        rows = self._table.block(_BLOCK)
        return [row if isinstance(row, BadRow) else self._converter.convert(row) for row in rows]
