"""The command ``track``: follow the accepted messages of a ledger until their states are final."""

import anyio

from smsapi_async.cli.ledger_places import existing_ledger
from smsapi_async.cli.signals import receive_signals
from smsapi_async.cli.tracking_counts import LiveTable, TrackingCounts
from smsapi_async.client import AsyncSmsClient
from smsapi_async.errors import SmsApiError
from smsapi_async.ledger import Ledger
from smsapi_async.tracking import DEADLINE, Schedule


async def open_and_track(
    path: str,
    client: AsyncSmsClient,
    *,
    deadline: float | None = None,
    longest: float | None = None,
    schedule: Schedule | None = None,
) -> TrackingCounts:
    """Open a ledger, follow its accepted messages, and return the counts.

    Args:
        path: the path of the ledger file.
        client: the client of the account, which the function opens and closes.
        deadline: for how many seconds a message is followed. The seconds count from the acceptance or, if the
            message has a later send date, from the send date; None means the default of
            `AsyncSmsClient.track`.
        longest: for how many seconds the function follows messages at all; None means until all states are
            final. A later call follows the messages that are not final.
        schedule: the times of the requests about a message; None means the default of `AsyncSmsClient.track`.

    Raises:
        ValidationError: if the ledger file does not exist.
        LedgerError: if the file is not a ledger or cannot be written, or if another process has the ledger
            open for writing.
    """
    async with existing_ledger(path) as ledger, client as sms:
        return await track_open_ledger(ledger, sms, deadline=deadline, longest=longest, schedule=schedule)


async def track_open_ledger(
    ledger: Ledger,
    sms: AsyncSmsClient,
    *,
    deadline: float | None = None,
    longest: float | None = None,
    schedule: Schedule | None = None,
) -> TrackingCounts:
    """Follow all accepted messages of an open ledger that are not final, and return the counts.

    On a terminal, a live table shows the counts. SIGINT, SIGTERM and SIGHUP stop the tracking. After a
    signal, the ledger contains the states that were received before the signal. An error, for example refused
    credentials, also stops the tracking: `TrackingCounts.halted` holds the error.

    Args:
        ledger: the open ledger that contains the messages.
        sms: the open client that requests the states.
        deadline: for how many seconds a message is followed: see `open_and_track`.
        longest: for how many seconds the function follows messages: see `open_and_track`.
        schedule: the times of the requests about a message: see `open_and_track`.
    """
    tally = TrackingCounts()
    await tally.enter(ledger)
    run = _TrackRun(ledger, sms, tally, longest)
    await run.run(DEADLINE.total_seconds() if deadline is None else deadline, schedule)
    # Replace the counts of the live table, which were made during the run, by the exact counts of the ledger.
    await tally.enter(ledger)
    return tally


class _TrackRun:
    def __init__(
        self, ledger: Ledger, sms: AsyncSmsClient, tally: TrackingCounts, longest: float | None
    ) -> None:
        self._ledger = ledger
        self._sms = sms
        self._tally = tally
        self._longest = longest
        self._scope = anyio.CancelScope()

    async def run(self, deadline: float, schedule: Schedule | None) -> None:
        """Follow the messages, handle signals, and show the live table."""
        table = LiveTable(self._tally)
        async with anyio.create_task_group() as group:
            await group.start(receive_signals, self._stop)
            with table:
                group.start_soon(table.run)
                if self._longest is not None:
                    self._scope.deadline = anyio.current_time() + self._longest
                with self._scope:
                    await self._follow(deadline, schedule)
                self._tally.is_time_over = self._scope.cancelled_caught and not self._tally.is_interrupted
            # The tasks that receive signals and draw the table run until they are cancelled.
            group.cancel_scope.cancel()

    async def _follow(self, deadline: float, schedule: Schedule | None) -> None:
        deliveries = self._sms.track(
            self._ledger.to_track(), ledger=self._ledger, deadline=deadline, schedule=schedule
        )
        try:
            async with deliveries:
                async for delivery in deliveries:
                    self._tally.requests = deliveries.requests
                    self._tally.take(delivery)
        except SmsApiError as error:
            self._tally.halted = error
        finally:
            # After a signal and at the end of `longest`, a cancellation ends the stream.
            self._tally.requests = deliveries.requests

    def _stop(self) -> None:
        self._tally.is_interrupted = True
        self._scope.cancel()
