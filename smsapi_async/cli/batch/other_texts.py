"""Finds rows whose number was already sent another text with the same ledger, before the rows are sent."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import anyio
from anyio import to_thread
from anyio.lowlevel import checkpoint_if_cancelled

from smsapi_async.cli.batch.row_converter import RowMessage
from smsapi_async.cli.tables.inputs import STANDARD_INPUT, Input, open_input
from smsapi_async.errors import SmsApiError
from smsapi_async.ledger import Ledger

Ask = Callable[[str], Awaitable[bool]]
"""A function that asks a question, and returns whether the answer was yes."""


class AnotherText(SmsApiError):
    """Rows of a batch have a number that was already sent another text, and the user has not agreed.

    Attributes:
        rows: the number of these rows.
        words: a description of these rows.
    """

    def __init__(self, rows: int, words: str) -> None:
        self.rows = rows
        self.words = words
        super().__init__(rows, words)

    def summary(self) -> str:
        """Return what was found, and what the user can do."""
        return f"{self.words}; these rows were not sent; to send them, too, pass --again"


class OtherTexts:
    """Compares the rows of a batch with the messages that a ledger already contains.

    A ledger without messages needs no comparison. So in the first run, a number may occur in several rows.

    Args:
        ledger: the open ledger.
        ask: the function that asks the user; None if the user cannot be asked.
    """

    def __init__(self, ledger: Ledger, ask: Ask | None) -> None:
        self._ledger = ledger
        self._ask = ask
        self._is_needed: bool | None = None
        self._read = 0

    async def check(self, messages: Sequence[RowMessage]) -> None:
        """Check the next rows. Call this method before the rows are handed over to the batch.

        After the answer yes, all further rows are allowed.

        Raises:
            AnotherText: if rows have a number that was already sent another text, and the user cannot be
                asked or does not answer yes.
        """
        self._read += len(messages)
        if self._is_needed is None:
            self._is_needed = await self._has_outcomes()
        if not self._is_needed:
            return
        found = await self._ledger.other_texts(messages)
        if not found:
            return
        lines = [message.line for message in found if isinstance(message, RowMessage)]
        words = (
            f"{len(found):,} of the {self._read:,} rows read so far have a number that was already sent "
            f"another text with this ledger, for example line {lines[0]}"
        )
        if self._ask is None or not await self._ask(f"{words}.\nSend such rows, too? [y/N] "):
            raise AnotherText(len(found), words)
        self._is_needed = False

    async def _has_outcomes(self) -> bool:
        async for _ in self._ledger.outcomes():
            return True
        return False


def can_ask(recipients: str) -> bool:
    """Return whether a question can be asked: in a terminal, unless the rows come from standard input.

    Args:
        recipients: the path of the table, or ``-`` for standard input.
    """
    # `sys.stdin` is None in a process without a console (Python documentation, `sys.__stdin__`).
    is_terminal = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
    return is_terminal and recipients != STANDARD_INPUT


async def ask(question: str) -> bool:
    """Ask a question on standard error, and return whether the answer on standard input is ``y`` or ``yes``.

    A cancellation ends the question.
    """
    sys.stderr.write(question)
    sys.stderr.flush()
    async with _answers() as source:
        answer = await to_thread.run_sync(source.readline)
        await checkpoint_if_cancelled()  # A cancellation has ended the read, and there is no answer.
    return answer.strip().lower() in {b"y", b"yes"}


@asynccontextmanager
async def _answers() -> AsyncIterator[Input]:
    source = open_input(STANDARD_INPUT)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_end_when_cancelled, source)
            yield source
            group.cancel_scope.cancel()
    finally:
        source.close()


async def _end_when_cancelled(source: Input) -> None:
    # A thread that waits for a line cannot be cancelled. `Input.end` ends its read.
    try:
        await anyio.sleep_forever()
    finally:
        source.end()
