"""The commands under ``ledger`` with their arguments, options and help texts."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import attrs
from cyclopts import App, Parameter

from smsapi_async.cli import ledger_results, options
from smsapi_async.cli.batch.batch_options import MESSAGE, MessageOptions
from smsapi_async.cli.batch.batch_run import BatchPlan
from smsapi_async.cli.batch_command import plan_of
from smsapi_async.cli.invocations import Invocation
from smsapi_async.cli.ledger_lists import (
    count_rejected,
    rejected_document,
    rejected_view,
    show_unknown,
    unknown_view,
    written_document,
)
from smsapi_async.cli.ledger_report import LedgerReport, report_document, write_report
from smsapi_async.cli.ledger_resolve import Choice, resolve, resolve_document, resolve_view
from smsapi_async.cli.options import AsJson, LedgerFile
from smsapi_async.cli.output_file import ForExcel, Target
from smsapi_async.cli.tables.table_options import DETECTED, TableOptions
from smsapi_async.clock import SystemClock
from smsapi_async.errors import ValidationError

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
def ledger_unknown(
    ledger: LedgerFile,
    /,
    *,
    target: Annotated[
        str | None,
        Parameter(
            name="--output",
            help="Write the messages to this file (.csv or .xlsx), with an empty column sent. Fill in yes or "
            "no, and pass the file to `ledger resolve --from`.",
        ),
    ] = None,
    excel: ForExcel = False,
    as_json: AsJson = False,
) -> Invocation[Any]:
    return Invocation(
        run=partial(show_unknown, ledger, _target(target, excel=excel), as_json=as_json),
        document=written_document,
        view=unknown_view,
        as_json=as_json,
    )


@ledger_app.command(
    name="rejected",
    help="Count the messages that the gateway refused, by code and reason.",
)
def ledger_rejected(
    ledger: LedgerFile,
    /,
    *,
    target: Annotated[
        str | None,
        Parameter(
            name="--output",
            help="Write the messages to this file (.csv or .xlsx), with number, key, time, code and reason.",
        ),
    ] = None,
    excel: ForExcel = False,
    as_json: AsJson = False,
) -> Invocation[Any]:
    return Invocation(
        run=partial(count_rejected, ledger, _target(target, excel=excel)),
        document=rejected_document,
        view=rejected_view,
        as_json=as_json,
    )


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
            help="A table with the columns key and sent (yes or no), and perhaps segment_ids (separated by "
            "spaces), for example the file of `ledger unknown --output`. Messages without a value in the "
            "column sent stay unknown. A hyphen (-) means standard input. If a row is wrong, nothing is "
            "recorded.",
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
    help="Make rejected messages pending, so that the next run sends them. First remove the reason for the "
    "rejections.",
)
def ledger_retry(
    ledger: LedgerFile,
    /,
    *,
    code: Annotated[
        list[int] | None,
        Parameter(
            negative="",
            help="Only messages that were rejected with this code; `ledger rejected` lists the codes. Repeat "
            "the option for each code. Default: all rejected messages.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> Invocation[Any]:
    return Invocation(
        run=partial(ledger_results.retry, ledger, code or None),
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
    "and segment ids. With --rows, write the rows of a table with their own columns and outcomes, as "
    "`batch --report` does. Then pass the same options as to `batch`, for example --text.",
)
def ledger_report(
    ledger: LedgerFile,
    /,
    *,
    rows: Annotated[
        str | None,
        Parameter(help="The table that was passed to `batch`. A hyphen (-) means standard input."),
    ] = None,
    target: Annotated[
        str | None,
        Parameter(
            name="--output", help="The file to write (.csv or .xlsx). Default: CSV to standard output."
        ),
    ] = None,
    excel: ForExcel = False,
    redact: Annotated[
        bool,
        Parameter(
            negative="",
            help="With --rows: mask the numbers, and write the numbers of the lines in place of the columns "
            "of the table.",
        ),
    ] = False,
    table: TableOptions = DETECTED,
    message: MessageOptions = MESSAGE,
    as_json: AsJson = False,
) -> Invocation[Any]:
    # These two can come from the settings of the user, who has not passed them.
    passed = attrs.evolve(message, source_address=None, region=MESSAGE.region)
    if rows is None and (redact or passed != MESSAGE):
        hint = "pass --rows with the table, too; the other options say how its rows become messages"
        raise ValidationError("--rows", "an unset value", hint)
    report = LedgerReport(
        ledger=ledger,
        target=_target(target, excel=excel, is_required=False),
        rows=None if rows is None else _rows_plan(rows, table, message),
        is_masked=redact,
        excel=excel,
        as_json=as_json,
    )
    return Invocation(run=partial(write_report, report), document=report_document, as_json=as_json)


class _ClockOfThePast(SystemClock):
    """A clock before all send dates: the rows of a report may have send dates that have passed."""

    def now(self) -> datetime:
        """Return the beginning of the year 2000."""
        return datetime(2000, 1, 1, tzinfo=UTC)


def _rows_plan(rows: str, table: TableOptions, message: MessageOptions) -> BatchPlan:
    return plan_of(options.input_name("--rows", rows), table, message, clock=_ClockOfThePast())


def _target(path: str | None, *, excel: bool, is_required: bool = True) -> Target | None:
    if path is not None:
        return Target("--output", path, excel)
    if excel and is_required:
        raise ValidationError("--excel", "the option without --output", "pass --output, too")
    return None
