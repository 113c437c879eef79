"""The commands under ``ledger`` with their arguments, options and help texts."""

from functools import partial
from typing import Annotated, Any

from cyclopts import App, Parameter

from smsapi_async.cli import ledger_results
from smsapi_async.cli.invocations import Invocation
from smsapi_async.cli.options import AsJson, LedgerFile
from smsapi_async.errors import ValidationError

ledger_app = App(
    name="ledger",
    help="Show the messages of a ledger, settle unknown messages, and retry rejected messages.",
)


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


@ledger_app.command(name="resolve", help="Record whether a message with an unknown outcome was sent.")
def ledger_resolve(
    ledger: LedgerFile,
    key: Annotated[
        str,
        Parameter(
            help="The key of the message, as `ledger unknown` prints it. If the key begins with a hyphen, "
            "put -- before the key."
        ),
    ],
    /,
    *,
    sent: Annotated[
        bool | None,
        Parameter(
            negative="--not-sent",
            help="Whether the message was sent. With --not-sent, the next run sends it.",
        ),
    ] = None,
    segment_id: Annotated[
        list[str] | None,
        Parameter(
            negative="", help="With --sent: a known segment id. Repeat the option for each segment id."
        ),
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
    name="retry",
    help="Make all rejected messages pending, so that the next run sends them. First remove the reason "
    "for the rejections.",
)
def ledger_retry(ledger: LedgerFile, /, *, as_json: AsJson = False) -> Invocation[Any]:
    return Invocation(
        run=partial(ledger_results.retry, ledger),
        document=lambda count: {"pending": count},
        view=ledger_results.retry_view,
        as_json=as_json,
    )
