"""The command ``track``: follows the accepted messages of a ledger to their ends, and stops in order."""

import anyio

from smsapi_async.cli.ledger_results import check_ledger
from smsapi_async.cli.signals import receive_signals
from smsapi_async.cli.track_tally import LiveTable, TrackTally
from smsapi_async.client import AsyncSmsClient
from smsapi_async.errors import LedgerUnwritable, SmsApiError, ValidationError
from smsapi_async.ledger import Ledger
from smsapi_async.tracking import DEADLINE, Schedule


async def run_track(
    path: str, client: AsyncSmsClient, *, deadline: float | None = None, schedule: Schedule | None = None
) -> TrackTally:
    """Follow what a ledger has as accepted; what became of it.

    Args:
        path: the ledger's file.
        client: the account, not yet entered.
        deadline: seconds from the acceptance; None means the client's own default.
        schedule: when a message is asked about; None means the client's own.

    Raises:
        ValidationError: there is no such file, or it cannot be written.
        LedgerError: it is no ledger, or is in use.
    """
    check_ledger(path)
    try:
        async with Ledger.sqlite(path) as ledger, client as sms:
            return await track_ledger(ledger, sms, deadline=deadline, schedule=schedule)
    except LedgerUnwritable:
        # Its own exit code would say that something was not sent.
        raise ValidationError("LEDGER", repr(path), "pass a file that can be written") from None


async def track_ledger(
    ledger: Ledger,
    sms: AsyncSmsClient,
    *,
    deadline: float | None = None,
    schedule: Schedule | None = None,
) -> TrackTally:
    """Follow all messages of an open ledger that are not final, on a terminal with a live table.

    SIGINT and SIGTERM stop it in order: what was noticed is recorded. Refused credentials, and a ledger that
    cannot be written any more, end it, too.
    """
    tally = TrackTally()
    tally.enter(await ledger.deliveries_summary())
    run = _TrackRun(ledger, sms, tally)
    await run.carry_out(DEADLINE.total_seconds() if deadline is None else deadline, schedule)
    tally.enter(await ledger.deliveries_summary())
    return tally


class _TrackRun:
    def __init__(self, ledger: Ledger, sms: AsyncSmsClient, tally: TrackTally) -> None:
        self._ledger = ledger
        self._sms = sms
        self._tally = tally
        self._scope = anyio.CancelScope()

    async def carry_out(self, deadline: float, schedule: Schedule | None) -> None:
        """Follow, watch for signals, and show how far it has come."""
        table = LiveTable(self._tally)
        async with anyio.create_task_group() as group:
            await group.start(receive_signals, self._stop)
            with table:
                group.start_soon(table.run)
                with self._scope:
                    await self._follow(deadline, schedule)
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
        self._tally.requests = deliveries.requests

    def _stop(self) -> None:
        self._tally.is_interrupted = True
        self._scope.cancel()
