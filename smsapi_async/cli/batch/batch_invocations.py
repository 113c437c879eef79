"""The jobs of the command ``batch``."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from smsapi_async.cli.batch.batch_run import BatchPlan, run_batch
from smsapi_async.cli.batch.batch_view import batch_document, batch_view
from smsapi_async.cli.batch.dry_run import DryRun, dry_run, dry_run_document, dry_run_view
from smsapi_async.cli.batch.tally import Tally
from smsapi_async.cli.exit_codes import CommandFailure, ExitCode
from smsapi_async.cli.invocations import Invocation, ObservedSessionStore, fastest_loop
from smsapi_async.cli.options import Connection


def batch_invocation(
    plan: BatchPlan, connection: Connection, rate: Mapping[str, Any], *, as_json: bool
) -> Invocation[Tally]:
    """A job that sends.

    Args:
        plan: what to send.
        connection: the account.
        rate: the client's options that bound how fast it sends.
        as_json: how the counts are printed.

    Raises:
        ValidationError: the connection's settings are missing or wrong.
    """
    store = ObservedSessionStore()
    client = connection.client(store, **rate)
    return Invocation(
        run=partial(run_batch, plan, client),
        document=batch_document,
        view=batch_view,
        as_json=as_json,
        failure=Tally.failure,
        may_have_sent=lambda: store.is_filled,
        backend_options=fastest_loop(),
    )


def dry_run_invocation(plan: BatchPlan, *, as_json: bool) -> Invocation[DryRun]:
    """A job that counts."""
    return Invocation(
        run=partial(dry_run, plan),
        document=dry_run_document,
        view=dry_run_view,
        as_json=as_json,
        failure=_failure,
    )


def _failure(counted: DryRun) -> CommandFailure | None:
    bad_rows = counted.bad.bad_rows
    return CommandFailure(ExitCode.REJECTED, f"{bad_rows} bad rows would not be sent") if bad_rows else None
