"""The command ``incoming --follow``: prints each message as it comes, until Ctrl-C."""

import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime

import anyio
import attrs

from smsapi_async.cli import output
from smsapi_async.cli.exit_codes import OutputFailed
from smsapi_async.cli.signals import receive_signals
from smsapi_async.client import AsyncSmsClient
from smsapi_async.errors import LedgerUnwritable, ValidationError
from smsapi_async.inbox import Checkpoint
from smsapi_async.ledger import Ledger
from smsapi_async.models import IncomingMessage


@attrs.frozen(kw_only=True)
class Watch:
    """What to follow.

    Attributes:
        since: where a first run begins; None means now.
        every: seconds from one round to the next.
        ledger: the file that keeps the position, or None.
        as_json: whether a message is a JSON document on a line of its own.
    """

    since: datetime | None = None
    every: float = 10.0
    ledger: str | None = None
    as_json: bool = False


async def watch_messages(watch: Watch, client: AsyncSmsClient) -> None:
    """Print messages as they come, until SIGINT or SIGTERM.

    A message counts as seen once it was written to standard output.

    Raises:
        ValidationError: a setting is wrong, or the ledger cannot be written.
        LedgerError: the file is no ledger, or is in use.
        OutputFailed: standard output cannot be written any more.
    """
    try:
        async with AsyncExitStack() as stack:
            checkpoint = None
            if watch.ledger is not None:
                ledger = await stack.enter_async_context(Ledger.sqlite(watch.ledger))
                checkpoint = ledger.checkpoint()
            sms = await stack.enter_async_context(client)
            await _Watching(watch, sms, checkpoint).carry_out()
    except LedgerUnwritable:
        # Its own exit code would say that something was not sent.
        raise ValidationError("--ledger", repr(watch.ledger), "pass a file that can be written") from None


class _Watching:
    def __init__(self, watch: Watch, sms: AsyncSmsClient, checkpoint: Checkpoint | None) -> None:
        self._watch = watch
        self._sms = sms
        self._checkpoint = checkpoint
        self._write: Callable[[IncomingMessage], None] = (
            output.write_incoming_json if watch.as_json else output.write_incoming_line
        )
        self._scope = anyio.CancelScope()
        self._error: Exception | None = None

    async def carry_out(self) -> None:
        """Print, and watch for signals."""
        async with anyio.create_task_group() as group:
            await group.start(receive_signals, self._scope.cancel)
            with self._scope:
                await self._print()
            group.cancel_scope.cancel()
        if self._error is not None:
            # Raised here, since the group would wrap it up.
            raise self._error

    async def _print(self) -> None:
        try:
            async with self._sms.watch_incoming(
                since=self._watch.since, every=self._watch.every, checkpoint=self._checkpoint
            ) as messages:
                async for message in messages:
                    self._write_one(message)
        except Exception as error:  # noqa: BLE001 - nothing is sent here; it is raised by `carry_out`
            self._error = error

    def _write_one(self, message: IncomingMessage) -> None:
        try:
            self._write(message)
            sys.stdout.flush()
        except OSError as error:
            raise OutputFailed(error) from None
