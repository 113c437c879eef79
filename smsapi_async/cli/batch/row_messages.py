"""Messages from rows: which column holds the number, what the text is, and what cannot be sent."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from itertools import chain
from typing import Self

import attrs
from anyio import to_thread

from smsapi_async.cli.batch.inputs import ARGUMENT
from smsapi_async.cli.batch.rows import BadRow, Row, Table
from smsapi_async.cli.batch.template import Template, listed
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
"""The names a column of numbers goes by, in order of preference; upper and lower case are the same."""

_NUMBER = "destination_address"
_KEY = "key"
_TEXT = "text"
_BLOCK = 500
# Spaces, brackets and dashes of every kind, and the invisible marks that address books put around numbers.
_DECORATION = dict.fromkeys(
    [
        *map(ord, " \t\r\n()[]-\u00a0\u00ad\u202f\u2060\u2212\ufeff"),
        *range(0x2000, 0x2016),
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
    ]
)
_SPECIMEN = "70000000000"


@attrs.frozen
class RowMessage(Message):
    """A message that knows the line of its row."""

    line: int = attrs.field(kw_only=True)


@attrs.frozen(kw_only=True)
class Common:
    """What all messages of a batch share."""

    source_address: str
    send_date: datetime | None = None
    validity: int | None = None
    by_time_zone: bool = False

    def message(self, number: str, text: str, line: int = 0, key: str | None = None) -> RowMessage:
        """A message, checked.

        Raises:
            ValidationError: it cannot be sent.
        """
        message = RowMessage(
            number,
            text,
            line=line,
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
class Composer:
    """Makes a message of a row.

    Attributes:
        number_column: where the number is.
        template: the text; None takes it from the column ``text``.
        common: the rest.
    """

    number_column: str
    template: Template | None
    common: Common

    @classmethod
    def of(cls, columns: list[str], column: str | None, template: Template | None, common: Common) -> Self:
        """A composer for a table with these columns.

        Raises:
            ValidationError: a column that is needed is not there, or is there twice; or what the
                messages share cannot be sent.
        """
        if template is not None:
            template.check(columns)
        elif _TEXT not in columns:
            raise ValidationError(
                "--text", "an unset value", f"pass it, or a column text; the columns are {listed(columns)}"
            )
        number_column = _number_column(columns, column)
        for name in {number_column, *(template.columns if template else (_TEXT,)), _KEY}:
            if columns.count(name) > 1:
                raise ValidationError(ARGUMENT, f"the column {name!r}, which is there twice", "rename one")
        is_fixed = template is not None and not template.columns
        # `common_form` checks the dates.
        common_form(common.message(_SPECIMEN, template.fill({}) if template and is_fixed else "-"))
        return cls(number_column, template, common)

    def compose(self, row: Row) -> RowMessage | BadRow:
        """The message of a row, or why there is none."""
        values = row.values
        try:
            text = values.get(_TEXT, "") if self.template is None else self.template.fill(values)
            key = values.get(_KEY, "").strip() or None
            return self.common.message(bare_number(values.get(self.number_column, "")), text, row.line, key)
        except ValidationError as error:
            name = self.number_column if error.parameter == _NUMBER else error.parameter
            return BadRow(row.line, f"{name}: {error.value} cannot be used; {error.hint}")


def bare_number(words: str) -> str:
    """A number without the spaces, brackets and dashes that people write in it."""
    return words.translate(_DECORATION)


def _number_column(columns: list[str], column: str | None) -> str:
    if column is None:
        names = {name.lower(): name for name in reversed(columns)}
        found = [names[name] for name in NUMBER_COLUMNS if name in names]
        if not found and len(columns) > 1:
            # To guess would be to send: an account number or a date passes for a phone number.
            raise ValidationError("--column", "an unset value", f"pass one of {listed(columns)}")
        return (found or columns)[0]
    if column not in columns:
        raise ValidationError("--column", f"the column {column[:40]!r}", f"the columns are {listed(columns)}")
    return column


class RowMessages(AsyncIterator[RowMessage]):
    """The messages of a table, read in a worker thread and in blocks.

    Attributes:
        outstanding: the keys of the messages given, by line, until they are removed.

    Args:
        table: the rows.
        composer: makes messages of them.
        on_bad: told of each row that cannot be sent.
    """

    def __init__(self, table: Table, composer: Composer, on_bad: Callable[[BadRow], Awaitable[None]]) -> None:
        self._table = table
        self._composer = composer
        self._on_bad = on_bad
        self._block: list[RowMessage | BadRow] = []
        self.outstanding: dict[int, str | None] = {}

    async def __anext__(self) -> RowMessage:
        while True:
            if not self._block:
                # Abandoned, since standard input may have nothing to give for ever.
                self._block = await to_thread.run_sync(self._read, abandon_on_cancel=True)
                if not self._block:
                    raise StopAsyncIteration
                self._block.reverse()
            message = self._block.pop()
            if isinstance(message, RowMessage):
                self.outstanding[message.line] = message.key
                return message
            await self._on_bad(message)

    def left(self) -> Mapping[int, str | None]:
        """The keys of the messages that were read and not removed, by line."""
        held = ((row.line, row.key) for row in reversed(self._block) if isinstance(row, RowMessage))
        return dict(chain(sorted(self.outstanding.items()), held))

    def _read(self) -> list[RowMessage | BadRow]:
        rows = self._table.block(_BLOCK)
        return [row if isinstance(row, BadRow) else self._composer.compose(row) for row in rows]
