"""The command ``incoming --follow``: print each new message until Ctrl-C."""

import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime

import anyio
import attrs

from smsapi_async.cli import output
from smsapi_async.cli.exit_codes import LedgerBroke
from smsapi_async.cli.output import OutputFailed
from smsapi_async.cli.signals import receive_signals
from smsapi_async.client import AsyncSmsClient
from smsapi_async.errors import LedgerError
from smsapi_async.inbox import Checkpoint
from smsapi_async.ledger import Ledger
from smsapi_async.models import IncomingMessage


@attrs.frozen(kw_only=True)
class WatchOptions:
    """The options of ``incoming --follow``.

    Attributes:
        since: the aware date and time from which the first run shows messages; None means now.
        every: the seconds from the beginning of one round of requests to the beginning of the next round.
        ledger: the path of the ledger that stores the position, or None.
        as_json: whether each message is printed as a JSON document on one line.
    """

    since: datetime | None = None
    every: float = 10.0
    ledger: str | None = None
    as_json: bool = False


async def watch_messages(watch: WatchOptions, client: AsyncSmsClient) -> None:
    """Print new incoming messages until SIGINT or SIGTERM.

    The ledger stores the position after a message only when the message was written to standard output.

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
        if watch.ledger is not None:
            ledger = await stack.enter_async_context(Ledger.sqlite(watch.ledger))
            checkpoint = ledger.checkpoint()
        sms = await stack.enter_async_context(client)
        await _WatchRun(watch, sms, checkpoint).run()


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
