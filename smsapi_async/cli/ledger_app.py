"""The commands under ``ledger``: what each is given, and the job it comes to."""

from functools import partial
from typing import Annotated, Any

from cyclopts import App, Parameter

from smsapi_async.cli import ledgers
from smsapi_async.cli.jobs import Job
from smsapi_async.cli.options import AsJson, LedgerFile
from smsapi_async.errors import ValidationError

ledger_app = App(name="ledger", help="Look into the ledger of a batch, and settle what was not accepted.")


@ledger_app.command(name="summary")
def ledger_summary(ledger: LedgerFile, /, *, as_json: AsJson = False) -> Job[Any]:
    """Count the messages of a ledger by state."""
    return Job(
        run=partial(ledgers.summary, ledger),
        document=ledgers.summary_document,
        view=ledgers.summary_view,
        as_json=as_json,
    )


@ledger_app.command(name="unknown")
def ledger_unknown(ledger: LedgerFile, /, *, as_json: AsJson = False) -> Job[Any]:
    """List the keys of messages that may or may not have been sent."""
    return Job(
        run=partial(ledgers.unknown, ledger),
        document=ledgers.unknown_document,
        view=ledgers.unknown_view,
        as_json=as_json,
    )


@ledger_app.command(name="resolve")
def ledger_resolve(
    ledger: LedgerFile,
    key: Annotated[str, Parameter(help="As `ledger unknown` lists it; after -- if it begins with a hyphen.")],
    /,
    *,
    sent: Annotated[
        bool | None,
        Parameter(negative="--not-sent", help="It was; or it was not, and the next run sends it."),
    ] = None,
    segment_id: Annotated[
        list[str] | None, Parameter(negative="", help="Its ids, where they are known.")
    ] = None,
    as_json: AsJson = False,
) -> Job[Any]:
    """Settle a message whose outcome is unknown."""
    if sent is None:
        raise ValidationError("--sent", "an unset value", "pass --sent or --not-sent")
    return Job(
        run=partial(ledgers.resolve, ledger, key, sent=sent, segment_ids=segment_id or ()),
        document=lambda settled: settled,
        view=ledgers.resolve_view,
        as_json=as_json,
    )


@ledger_app.command(name="retry")
def ledger_retry(ledger: LedgerFile, /, *, as_json: AsJson = False) -> Job[Any]:
    """Make rejected messages pending, once the reason is gone: the next run sends them."""
    return Job(
        run=partial(ledgers.retry, ledger),
        document=lambda count: {"pending": count},
        view=ledgers.retry_view,
        as_json=as_json,
    )
