"""The command ``incoming``: list messages or, with ``--follow``, print each new message until Ctrl-C."""

import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime

import anyio
import attrs
from rich.console import Group, RenderableType
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.exit_codes import LedgerBroke
from smsapi_async.cli.ledger_places import ledger_at
from smsapi_async.cli.output import OutputFailed
from smsapi_async.cli.signals import receive_signals
from smsapi_async.cli.stop_list import StopList
from smsapi_async.client import AsyncSmsClient
from smsapi_async.errors import LedgerError
from smsapi_async.inbox import Checkpoint
from smsapi_async.models import IncomingMessage


@attrs.frozen(kw_only=True)
class WatchOptions:
    """The options of ``incoming --follow``.

    Attributes:
        since: the aware date and time from which the first run shows messages; None means now.
        every: the seconds from the beginning of one round of requests to the beginning of the next round.
        ledger: the path of the ledger that stores the position, or None.
        as_json: whether each message is printed as a JSON document on one line.
        stop_list: appends the senders of stop words to a table; None means that there are no stop words.
    """

    since: datetime | None = None
    every: float = 10.0
    ledger: str | None = None
    as_json: bool = False
    stop_list: StopList | None = None


@attrs.frozen
class IncomingResult:
    """The result of ``incoming`` without ``--follow``.

    Attributes:
        messages: the messages of the period.
        stop_list: the stop list with its counts, or None.
    """

    messages: list[IncomingMessage]
    stop_list: StopList | None = None

    def document(self) -> output.Document:
        """Return the messages and the counts of the stop list as JSON data."""
        document = output.incoming_document(self.messages)
        if self.stop_list is None:
            return document
        counts = {"added": self.stop_list.added, "without_number": self.stop_list.without_number}
        return {**document, "stop_list": counts}

    def view(self) -> RenderableType:
        """Return a table of the messages, and a sentence about the stop list."""
        view = output.incoming_view(self.messages)
        return view if self.stop_list is None else Group(view, "", Text(self.stop_list.sentence()))


async def list_messages(
    sms: AsyncSmsClient, since: datetime | None, until: datetime | None, stop_list: StopList | None
) -> IncomingResult:
    """Request the incoming messages of a period, and append the senders of stop words to the stop list.

    Args:
        sms: the open client.
        since: the beginning of the period, aware; None means that the period has no beginning.
        until: the end of the period, aware; None means now.
        stop_list: the stop list, or None.

    Raises:
        ValidationError: if the table of the stop list cannot be used; no request was made.
        LedgerBroke: if the table of the stop list cannot be written after the request.
    """
    if stop_list is not None:
        await stop_list.prepare()
    messages = await sms.incoming(since=since, until=until)
    if stop_list is not None:
        await stop_list.take(messages)
    return IncomingResult(messages, stop_list)


async def watch_messages(watch: WatchOptions, client: AsyncSmsClient) -> None:
    """Print new incoming messages until SIGINT, SIGTERM or SIGHUP.

    The ledger stores the position after a message only when the message was written to standard output, and a
    stop word also to the table of the stop list.

    Args:
        watch: the options of ``incoming --follow``.
        client: the client of the account, which the function opens and closes.

    Raises:
        ValidationError: if a setting is wrong.
        LedgerError: if the file is not a ledger or cannot be written, or if another process has the ledger
            open for writing.
        LedgerBroke: if the ledger failed after the first request.
        OutputFailed: if writing to standard output failed.
    """
    async with AsyncExitStack() as stack:
        checkpoint = None
        if watch.stop_list is not None:
            await watch.stop_list.prepare()
        if watch.ledger is not None:
            ledger = await stack.enter_async_context(ledger_at(watch.ledger))
            checkpoint = ledger.checkpoint()
        sms = await stack.enter_async_context(client)
        try:
            await _WatchRun(watch, sms, checkpoint).run()
        finally:
            if watch.stop_list is not None:
                sys.stderr.write(f"smsapi-async: {watch.stop_list.sentence()}\n")


class _WatchRun:
    def __init__(self, watch: WatchOptions, sms: AsyncSmsClient, checkpoint: Checkpoint | None) -> None:
        self._watch = watch
        self._sms = sms
        self._checkpoint = checkpoint
        self._write: Callable[[IncomingMessage], None] = (
            output.write_incoming_json if watch.as_json else output.write_incoming_line
        )
        self._scope = anyio.CancelScope()
        self._error: Exception | None = None

    async def run(self) -> None:
        """Print messages until a signal or an error ends the printing."""
        async with anyio.create_task_group() as group:
            await group.start(receive_signals, self._scope.cancel)
            with self._scope:
                await self._print()
            # The task that receives signals runs until it is cancelled.
            group.cancel_scope.cancel()
        if self._error is not None:
            # Raise the error outside the task group, because the task group would wrap the error in an
            # exception group.
            raise self._error

    async def _print(self) -> None:
        try:
            async with self._sms.watch_incoming(
                since=self._watch.since, every=self._watch.every, checkpoint=self._checkpoint
            ) as messages:
                async for message in messages:
                    if self._watch.stop_list is not None:
                        await self._watch.stop_list.take([message])
                    self._write_one(message)
        except LedgerError as error:
            self._error = LedgerBroke(error.reason)
        except Exception as error:  # noqa: BLE001 - `run` raises the error again
            self._error = error

    def _write_one(self, message: IncomingMessage) -> None:
        try:
            self._write(message)
            sys.stdout.flush()
        except OSError as error:
            raise OutputFailed(error) from None
