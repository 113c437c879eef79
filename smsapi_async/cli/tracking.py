"""The command ``track``: follows the accepted messages of a ledger to their ends, and stops in order."""

import anyio

from smsapi_async.cli.ledgers import check_ledger
from smsapi_async.cli.options import CountingClient
from smsapi_async.cli.signals import watch_signals
from smsapi_async.cli.tracking_view import Following, LiveTable
from smsapi_async.errors import LedgerUnwritable, SmsApiError, ValidationError
from smsapi_async.ledger import Ledger
from smsapi_async.poller import DEADLINE, Schedule


async def run_track(
    path: str, client: CountingClient, *, deadline: float | None = None, schedule: Schedule | None = None
) -> Following:
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
            return await follow_ledger(ledger, sms, deadline=deadline, schedule=schedule)
    except LedgerUnwritable:
        # Its own exit code would say that something was not sent.
        raise ValidationError("LEDGER", repr(path), "pass a file that can be written") from None


async def follow_ledger(
    ledger: Ledger,
    sms: CountingClient,
    *,
    deadline: float | None = None,
    schedule: Schedule | None = None,
) -> Following:
    """Follow all messages of an open ledger that are not final, on a terminal with a live table.

    SIGINT and SIGTERM stop it in order: what was noticed is recorded. Refused credentials, and a ledger that
    cannot be written any more, end it, too.
    """
    following = Following()
    following.enter(await ledger.deliveries_summary())
    run = _Run(ledger, sms, following)
    await run.carry_out(DEADLINE.total_seconds() if deadline is None else deadline, schedule)
    following.enter(await ledger.deliveries_summary())
    return following


class _Run:
    def __init__(self, ledger: Ledger, sms: CountingClient, following: Following) -> None:
        self._ledger = ledger
        self._sms = sms
        self._following = following
        self._scope = anyio.CancelScope()

    async def carry_out(self, deadline: float, schedule: Schedule | None) -> None:
        """Follow, watch for signals, and show how far it has come."""
        table = LiveTable(self._following)
        async with anyio.create_task_group() as group:
            await group.start(watch_signals, self._stop)
            with table:
                group.start_soon(table.run)
                with self._scope:
                    await self._follow(deadline, schedule)
            group.cancel_scope.cancel()

    async def _follow(self, deadline: float, schedule: Schedule | None) -> None:
        before = self._sms.states_asked
        try:
            async with self._sms.track(
                self._ledger.receipts(), ledger=self._ledger, deadline=deadline, schedule=schedule
            ) as deliveries:
                async for delivery in deliveries:
                    self._following.requests = self._sms.states_asked - before
                    self._following.take(delivery)
        except SmsApiError as error:
            self._following.halted = error
        self._following.requests = self._sms.states_asked - before

    def _stop(self) -> None:
        self._following.is_interrupted = True
        self._scope.cancel()
