"""The commands under ``ledger``: what each is given, and the job it comes to."""

from functools import partial
from typing import Annotated, Any

from cyclopts import App, Parameter

from smsapi_async.cli import ledger_results
from smsapi_async.cli.invocations import Invocation
from smsapi_async.cli.options import AsJson, LedgerFile
from smsapi_async.errors import ValidationError

ledger_app = App(name="ledger", help="Look into the ledger of a batch, and settle what was not accepted.")


@ledger_app.command(name="summary", help="Count the messages of a ledger by state.")
def ledger_summary(ledger: LedgerFile, /, *, as_json: AsJson = False) -> Invocation[Any]:
    return Invocation(
        run=partial(ledger_results.summary, ledger),
        document=ledger_results.summary_document,
        view=ledger_results.summary_view,
        as_json=as_json,
    )


@ledger_app.command(name="unknown", help="List the keys of messages that may or may not have been sent.")
def ledger_unknown(ledger: LedgerFile, /, *, as_json: AsJson = False) -> Invocation[Any]:
    return Invocation(
        run=partial(ledger_results.unknown, ledger),
        document=ledger_results.unknown_document,
        view=ledger_results.unknown_view,
        as_json=as_json,
    )


@ledger_app.command(name="resolve", help="Settle a message whose outcome is unknown.")
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
) -> Invocation[Any]:
    if sent is None:
        raise ValidationError("--sent", "an unset value", "pass --sent or --not-sent")
    return Invocation(
        run=partial(ledger_results.resolve, ledger, key, sent=sent, segment_ids=segment_id or ()),
        document=lambda settled: settled,
        view=ledger_results.resolve_view,
        as_json=as_json,
    )


@ledger_app.command(
    name="retry", help="Make rejected messages pending, once the reason is gone: the next run sends them."
)
def ledger_retry(ledger: LedgerFile, /, *, as_json: AsJson = False) -> Invocation[Any]:
    return Invocation(
        run=partial(ledger_results.retry, ledger),
        document=lambda count: {"pending": count},
        view=ledger_results.retry_view,
        as_json=as_json,
    )
