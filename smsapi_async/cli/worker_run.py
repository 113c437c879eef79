"""The command ``worker``: send the pending messages of a PostgreSQL ledger until a signal."""

import math
from contextlib import AsyncExitStack

import anyio
import attrs

from smsapi_async.cli.batch.batch_counts import code_of_a_halt
from smsapi_async.cli.exit_codes import CommandFailure, ExitCode
from smsapi_async.cli.livez import Heartbeat, livez_server
from smsapi_async.cli.options import AccountOptions
from smsapi_async.cli.output import Document, one_line
from smsapi_async.cli.postgres_views import queue_of
from smsapi_async.cli.signals import receive_signals
from smsapi_async.cli.worker_view import WorkerView
from smsapi_async.client import AsyncSmsClient
from smsapi_async.errors import BatchHalted, LedgerError
from smsapi_async.ledger import Summary
from smsapi_async.ledger.queue import RequestQueue
from smsapi_async.postgres import Shared
from smsapi_async.postgres.server_errors import is_away

# The longest time, in seconds, for which the worker waits for the requests in flight after a signal.
_GRACE = 15.0
_PAUSE = 1.0
_ASK_EVERY = 2.0
# A claim is valid for 5 minutes. With this limit, no claimed request waits for its turn longer than a minute.
_LONGEST_TURN = 60.0
RESUME = "remove the cause, then run: smsapi-async postgres resume DSN"


@attrs.frozen(kw_only=True)
class WorkerPlan:
    """The options of a worker.

    Attributes:
        dsn: the URL of the database, or a connection string of libpq.
        name: the name of the account in the tables.
        account: the account of the gateway.
        per_second: the maximum number of requests per second of all machines, or None.
        concurrency: the maximum number of requests in flight.
        once: whether the worker ends when nothing is due.
        livez_port: the port of the health check, or None.
        livez_file: the path of the file of the health check, or None.
    """

    dsn: str
    name: str
    account: AccountOptions
    per_second: float | None = None
    concurrency: int
    once: bool = False
    livez_port: int | None = None
    livez_file: str | None = None

    def shared(self) -> Shared:
        """Return what the workers of all machines share. Open it with ``async with``."""
        return Shared.postgres(self.dsn, self.name)

    def client(self, shared: Shared) -> AsyncSmsClient:
        """Return a new client of the account of the gateway.

        Args:
            shared: the result of `shared`.

        Raises:
            ValidationError: if a setting is missing or wrong.
        """
        slots = self.concurrency
        if self.per_second is None:
            return self.account.client(shared.sessions, concurrency=slots)
        if self.per_second * _LONGEST_TURN < slots:
            slots = max(1, math.floor(self.per_second * _LONGEST_TURN))
        return self.account.client(
            shared.sessions, concurrency=slots, pace=shared.pace(per_second=self.per_second)
        )


@attrs.frozen
class WorkerResult:
    """What a worker has done.

    Attributes:
        counts: the number of messages for each outcome.
        is_once: whether the worker was to end when nothing is due.
        is_interrupted: whether a signal ended the worker.
        halted: the error that halted a worker that was to end when nothing is due, or None.
    """

    counts: Summary
    is_once: bool
    is_interrupted: bool
    halted: BatchHalted | None = None

    def document(self) -> Document:
        """Return the counts as JSON data."""
        counts = self.counts
        return {
            "accepted": counts.accepted,
            "rejected": counts.rejected,
            "unknown": counts.unknown,
            "segments": counts.segments,
        }

    def sentence(self) -> str:
        """Return the counts in words."""
        counts = self.counts
        return f"accepted {counts.accepted}, rejected {counts.rejected}, OUTCOME UNKNOWN {counts.unknown}"

    def failure(self) -> CommandFailure | None:
        """Return the exit code and the error line; None if the worker did what it was to do."""
        if not self.is_once:
            return None
        if self.is_interrupted:
            return CommandFailure(ExitCode.INTERRUPTED, f"interrupted: {self.sentence()}")
        halt = "" if self.halted is None else f"{one_line(str(self.halted))}; "
        if self.counts.unknown:
            return CommandFailure(ExitCode.OUTCOME_UNKNOWN, f"{halt}{self.sentence()}")
        if self.halted is not None:
            return CommandFailure(code_of_a_halt(self.halted), f"{halt}{self.sentence()}")
        return CommandFailure(ExitCode.REJECTED, self.sentence()) if self.counts.rejected else None


async def run_worker(plan: WorkerPlan, shared: Shared, client: AsyncSmsClient) -> WorkerResult:
    """Send pending messages until SIGINT, SIGTERM or SIGHUP, or once.

    While the server of the ledger is away, or the account is paused, the worker waits.

    Args:
        plan: the options of the worker.
        shared: the result of `WorkerPlan.shared`.
        client: the first client.

    Raises:
        ValidationError: if an option is wrong.
        LedgerError: if the ledger cannot be used, and not only because its server is away.
    """
    run = _WorkerRun(plan, shared, client)
    run.heartbeat.check()
    async with livez_server(plan.livez_port, run.heartbeat, lambda: run.view.state):
        await run.run()
    return WorkerResult(run.view.counts, plan.once, run.is_interrupted, run.halted)


class _WorkerRun:
    def __init__(self, plan: WorkerPlan, shared: Shared, client: AsyncSmsClient) -> None:
        self._plan = plan
        self._shared = shared
        self._client: AsyncSmsClient | None = client
        self._scope = anyio.CancelScope()
        self._error: Exception | None = None
        self._before = Summary()
        self.view = WorkerView()
        self.heartbeat = Heartbeat(plan.livez_file)
        self.is_interrupted = False
        self.halted: BatchHalted | None = None

    async def run(self) -> None:
        """Send messages until a signal or an error ends the sending."""
        async with anyio.create_task_group() as group:
            await group.start(receive_signals, self._stop)
            with self.view:
                group.start_soon(self.view.run)
                with self._scope:
                    await self._keep_error()
            # The tasks that receive signals and draw the line run until they are cancelled.
            group.cancel_scope.cancel()
        if self._error is not None:
            # A task group would wrap the error in an exception group.
            raise self._error

    def _stop(self) -> None:
        # Only the first signal has an effect, because the requests in flight must not be cancelled.
        if not self.is_interrupted:
            self.is_interrupted = True
            self.view.show("stopping", f"waiting at most {_GRACE:.0f} s for the requests in flight")
            self._scope.cancel()

    async def _keep_error(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                ledger = await self._opened(stack)
                async with anyio.create_task_group() as group:
                    if self.view.is_terminal:
                        group.start_soon(self._ask_queued, ledger)
                    await self._work(ledger)
                    group.cancel_scope.cancel()
        except* Exception as group_of_errors:  # noqa: BLE001 - `run` raises the error again
            self._error = _first(group_of_errors)

    async def _opened(self, stack: AsyncExitStack) -> RequestQueue:
        """Open the ledger. If its server is away, wait."""
        while True:
            try:
                await stack.enter_async_context(self._shared)
            except LedgerError as error:
                if self._plan.once or not is_away(error):
                    raise
                self.view.show("waiting", error.reason)
            else:
                return queue_of(self._shared.ledger)
            await self._rest()

    async def _work(self, ledger: RequestQueue) -> None:
        while True:
            # After a refused login, only a new client logs in at once.
            client, self._client = self._client or self._plan.client(self._shared), None
            async with client as sms:
                self.view.show("sending")
                try:
                    await sms.send_pending(ledger, once=self._plan.once, grace=_GRACE, on_poll=self._on_poll)
                except BatchHalted as error:
                    if self._plan.once:
                        self.halted = error
                        return
                    self.view.show("paused", f"{error.cause}; {RESUME}")
                else:
                    return
            self._before = self.view.counts
            await self._until_resumed(ledger)

    async def _until_resumed(self, ledger: RequestQueue) -> None:
        while True:
            await self._rest()
            try:
                if await ledger.paused() is None:
                    return
            except LedgerError as error:
                if not is_away(error):
                    raise

    async def _rest(self) -> None:
        self.heartbeat.beat()
        await anyio.sleep(_PAUSE)

    async def _ask_queued(self, ledger: RequestQueue) -> None:
        while True:
            try:
                self.view.queued = await ledger.queued()
            except LedgerError:
                self.view.queued = None
            await anyio.sleep(_ASK_EVERY)

    def _on_poll(self, counts: Summary) -> None:
        self.heartbeat.beat()
        before = self._before
        self.view.counts = Summary(
            accepted=before.accepted + counts.accepted,
            rejected=before.rejected + counts.rejected,
            unknown=before.unknown + counts.unknown,
            segments=before.segments + counts.segments,
        )


def _first(error: BaseException) -> Exception:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)  # noqa: S101 - for the type checker
    return error
