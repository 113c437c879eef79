"""The commands under ``ledger`` with their arguments, options and help texts."""

from functools import partial
from typing import Annotated, Any

from cyclopts import App, Parameter

from smsapi_async.cli import ledger_results, options
from smsapi_async.cli.invocations import Invocation
from smsapi_async.cli.ledger_report import write_report
from smsapi_async.cli.ledger_resolve import Choice, resolve, resolve_document, resolve_view
from smsapi_async.cli.options import AsJson, LedgerFile

ledger_app = App(
    name="ledger",
    help="Show the messages of a ledger, resolve unknown messages, and retry rejected messages.",
)


@ledger_app.command(name="summary", help="Count the messages of a ledger by state.")
def ledger_summary(ledger: LedgerFile, /, *, as_json: AsJson = False) -> Invocation[Any]:
    return Invocation(
        run=partial(ledger_results.summary, ledger),
        document=ledger_results.summary_document,
        view=ledger_results.summary_view,
        as_json=as_json,
    )


@ledger_app.command(
    name="unknown",
    help="List the messages that may or may not have been sent, with what the vendor needs to find them: "
    "number, time, request and segment ids.",
)
def ledger_unknown(ledger: LedgerFile, /, *, as_json: AsJson = False) -> Invocation[Any]:
    return Invocation(run=partial(ledger_results.show_unknown, ledger, as_json=as_json), as_json=as_json)


@ledger_app.command(
    name="resolve",
    help="Record whether messages with an unknown outcome were sent. Pass their keys, --all, or --from.",
)
def ledger_resolve(
    ledger: LedgerFile,
    key: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            help="The keys of the messages, as `ledger unknown` prints them. If a key begins with a hyphen, "
            "put -- before the key.",
        ),
    ] = None,
    /,
    *,
    sent: Annotated[
        bool | None,
        Parameter(
            negative="--not-sent",
            help="Whether the messages were sent. With --not-sent, the next run sends them.",
        ),
    ] = None,
    segment_id: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            help="With --sent and one key: a known segment id. Repeat the option for each segment id.",
        ),
    ] = None,
    is_all: Annotated[
        bool, Parameter(name="--all", negative="", help="Resolve all unknown messages of the ledger.")
    ] = False,
    source: Annotated[
        str | None,
        Parameter(
            name="--from",
            help="A CSV file with the columns key and sent (yes or no), and perhaps segment_ids (separated "
            "by spaces). A hyphen (-) means standard input. If a row is wrong, nothing is recorded.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> Invocation[Any]:
    choice = Choice(
        keys=key or (),
        is_all=is_all,
        source=None if source is None else options.input_name("--from", source),
        sent=sent,
        segment_ids=segment_id or (),
    )
    return Invocation(
        run=partial(resolve, ledger, choice), document=resolve_document, view=resolve_view, as_json=as_json
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


@ledger_app.command(
    name="accept-copy",
    help="Accept a ledger that the other commands refuse, because the file is a copy, an older state from a "
    "backup, was moved to another disk, or lacks its file with the ending -wal. Messages that were sent with "
    "another file since then are not in this file, and the next run would send them again. Use this command "
    "only if you are sure that there are no such messages.",
)
def ledger_accept_copy(ledger: LedgerFile, /, *, as_json: AsJson = False) -> Invocation[Any]:
    return Invocation(
        run=partial(ledger_results.accept_copy, ledger),
        document=ledger_results.accept_copy_document,
        view=ledger_results.accept_copy_view,
        as_json=as_json,
    )


@ledger_app.command(
    name="report",
    help="Write all messages of a ledger as CSV: key, number, state, delivery, reason, times in UTC, price "
    "and segment ids.",
)
def ledger_report(
    ledger: LedgerFile,
    /,
    *,
    target: Annotated[
        str | None,
        Parameter(name="--output", help="The file to write. Default: standard output."),
    ] = None,
) -> Invocation[Any]:
    return Invocation(run=partial(write_report, ledger, target), as_json=False)
