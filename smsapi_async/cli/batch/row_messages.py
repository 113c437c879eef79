"""The messages of a table, in the order of its rows."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import attrs
from anyio import to_thread

from smsapi_async.cli.batch.exclusion import Exclusion
from smsapi_async.cli.batch.repetitions import Repetitions
from smsapi_async.cli.batch.row_converter import RowConverter, RowMessage, SkippedRow
from smsapi_async.cli.batch.send_window import SendGate
from smsapi_async.cli.tables.rows import BadRow, Row, Table

# The highest number of rows that one call in a worker thread reads.
_BLOCK = 500


@attrs.frozen
class WaitingMessage:
    """A message without an outcome.

    Attributes:
        place: the place of its row among the rows of the table; the first row has the place 1. Several rows
            of a JSON array can be in one line, so the line is no place.
        message: the message.
    """

    place: int
    message: RowMessage


class RowMessages(AsyncIterator[RowMessage]):
    """An async iterator over the messages of a table. A worker thread reads the rows in blocks.

    Attributes:
        awaiting_outcome: the messages that the iterator has returned and that have no outcome yet, by their
            `id`, in the order of the rows.
        place: the place of the row that was returned or passed to `on_unsent` last.
        check: a function that is called with the next messages, at most 500, before the iterator returns the
            first of them; or None. An error of the function ends the iteration.

    Args:
        table: the table that contains the rows.
        converter: the converter that makes a message from each row.
        on_unsent: a function that is called with each row that cannot be sent or is skipped.
        exclusion: the numbers to which nothing is sent.
        repetitions: finds the rows that repeat an earlier row.
        gate: lets the messages pass in a window and at a pace; None means at once.
    """

    def __init__(
        self,
        table: Table,
        converter: RowConverter,
        on_unsent: Callable[[BadRow | SkippedRow], Awaitable[None]],
        *,
        exclusion: Exclusion | None = None,
        repetitions: Repetitions | None = None,
        gate: SendGate | None = None,
    ) -> None:
        self._table = table
        self._converter = converter
        self._on_unsent = on_unsent
        self._exclusion = Exclusion() if exclusion is None else exclusion
        self._repetitions = Repetitions() if repetitions is None else repetitions
        self._gate = gate
        self.check: Callable[[Sequence[RowMessage]], Awaitable[None]] | None = None
        self._block: list[RowMessage | BadRow | SkippedRow] = []
        self.awaiting_outcome: dict[int, WaitingMessage] = {}
        self.place = 0

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
                if self._gate is not None:
                    await self._passed(message, self._gate)
                self.place += 1
                self.awaiting_outcome[id(message)] = WaitingMessage(self.place, message)
                return message
            self.place += 1
            await self._on_unsent(message)

    def ended(self, message: RowMessage) -> int:
        """Note that a message has an outcome, and return the place of its row.

        Args:
            message: the same object that the iterator has returned.
        """
        return self.awaiting_outcome.pop(id(message)).place

    def left(self) -> list[tuple[int, RowMessage | BadRow | SkippedRow]]:
        """Return the rows that were read and have no outcome, with their places.

        The result contains the messages in `awaiting_outcome`, and the rows that the iterator has not
        returned or passed to `on_unsent` yet.
        """
        held = enumerate(reversed(self._block), self.place + 1)
        return [*((each.place, each.message) for each in self.awaiting_outcome.values()), *held]

    def _read(self) -> list[RowMessage | BadRow | SkippedRow]:
        return [self._taken(row) for row in self._table.block(_BLOCK)]

    def _taken(self, row: Row | BadRow) -> RowMessage | BadRow | SkippedRow:
        converted = row if isinstance(row, BadRow) else self._converter.convert(row)
        if isinstance(converted, BadRow):
            return converted
        taken = self._repetitions.take(converted)
        return taken if isinstance(taken, SkippedRow) else self._exclusion.take(taken)

    async def _passed(self, message: RowMessage, gate: SendGate) -> None:
        try:
            await gate.passed()
        except BaseException:
            self._block.append(message)  # `left` contains the message that did not pass.
            raise
