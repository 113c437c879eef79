"""The invocations of the command ``batch``: a batch that sends, and a dry run."""

from functools import partial

from smsapi_async.cli.batch.batch_counts import BatchCounts
from smsapi_async.cli.batch.batch_run import BatchPlan, run_batch
from smsapi_async.cli.batch.batch_view import batch_document, batch_view
from smsapi_async.cli.batch.costs import Balance
from smsapi_async.cli.batch.dry_run import DryRun, dry_run
from smsapi_async.cli.batch.dry_run_view import dry_run_document, dry_run_view
from smsapi_async.cli.exit_codes import CommandFailure, ExitCode
from smsapi_async.cli.invocations import Invocation, ObservedSessionStore, uvloop_options
from smsapi_async.cli.options import AccountOptions
from smsapi_async.client import AsyncSmsClient
from smsapi_async.errors import ValidationError
from smsapi_async.session import MemorySessionStore
from smsapi_async.variables import environment_value


def batch_invocation(plan: BatchPlan, account: AccountOptions, *, as_json: bool) -> Invocation[BatchCounts]:
    """Return the invocation of a batch that sends messages.

    Args:
        plan: the options of the batch.
        account: the options that name the gateway and the account.
        as_json: whether the counts are printed as JSON.

    Raises:
        ValidationError: if a setting of the account is missing or wrong.
    """
    store = ObservedSessionStore()
    client = account.client(
        store,
        concurrency=plan.pace.concurrency,
        requests_per_second=plan.pace.requests_per_second,
        bulk_by_time_zone=plan.pace.bulk_by_time_zone,
    )
    return Invocation(
        run=partial(run_batch, plan, client),
        document=batch_document,
        view=batch_view,
        as_json=as_json,
        failure=BatchCounts.failure,
        sends=True,
        may_have_sent=lambda: store.is_filled or not account.uses_sessions,
        backend_options=uvloop_options(),
    )


def dry_run_invocation(plan: BatchPlan, account: AccountOptions, *, as_json: bool) -> Invocation[DryRun]:
    """Return the invocation of a dry run, which counts the messages and sends nothing.

    If a login and a password are set, the dry run also asks for the balance of the account. Without them, the
    dry run makes no request, and asks the user for no password.

    Args:
        plan: the options of the batch.
        account: the options that name the gateway and the account.
        as_json: whether the counts are printed as JSON.
    """
    return Invocation(
        run=partial(dry_run, plan, _balance_client(account)),
        document=dry_run_document,
        view=dry_run_view,
        as_json=as_json,
        failure=_failure,
    )


def _balance_client(account: AccountOptions) -> AsyncSmsClient | Balance | None:
    has_login = account.login or environment_value("SMSAPI_LOGIN")
    if not (has_login and environment_value("SMSAPI_PASSWORD")):
        return None
    try:
        return account.client(MemorySessionStore())
    except ValidationError as error:
        return Balance.unknown(error)


def _failure(counted: DryRun) -> CommandFailure | None:
    bad_rows = counted.unsent.bad_rows
    return CommandFailure(ExitCode.REJECTED, f"{bad_rows} bad rows would not be sent") if bad_rows else None
