"""The command ``batch``: its arguments, and the plan that its options describe."""

from typing import Annotated, Any

from cyclopts import Parameter

from smsapi_async.cli import options
from smsapi_async.cli.batch.batch_invocations import batch_invocation, dry_run_invocation
from smsapi_async.cli.batch.batch_options import (
    LEDGER,
    MESSAGE,
    PACE,
    RESULT,
    LedgerOptions,
    MessageOptions,
    PaceOptions,
    ResultOptions,
)
from smsapi_async.cli.batch.batch_run import BatchPlan
from smsapi_async.cli.batch.costs import check_price
from smsapi_async.cli.batch.row_converter import SharedFields
from smsapi_async.cli.batch.send_window import SendWindow
from smsapi_async.cli.batch.template import Template
from smsapi_async.cli.invocations import Invocation
from smsapi_async.cli.options import ENVIRONMENT, AccountOptions, AsJson
from smsapi_async.cli.tables.table_options import DETECTED, TableOptions
from smsapi_async.clock import Clock, SystemClock
from smsapi_async.errors import ValidationError

# A text has at most 2000 characters; a template with long names of columns and defaults may be longer.
_LONGEST_FILE = 1 << 20


def batch(
    recipients: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            help="A CSV file with a header row, or a file with one JSON object per line (.jsonl). A hyphen "
            "(-) means standard input.",
        ),
    ],
    /,
    *,
    table: TableOptions = DETECTED,
    message: MessageOptions = MESSAGE,
    record: LedgerOptions = LEDGER,
    pace: PaceOptions = PACE,
    result: ResultOptions = RESULT,
    account: AccountOptions = ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    """Return the invocation of a batch or of a dry run.

    Raises:
        ValidationError: if an option is wrong, or if options contradict each other.
    """
    if pace.messages_per_minute is not None and not 0 < pace.messages_per_minute < float("inf"):
        hint = "pass a positive number"
        raise ValidationError("--messages-per-minute", str(pace.messages_per_minute), hint)
    for option, is_given in (("--wait", result.wait), ("--again", record.again)):
        if is_given and record.ledger is None:
            hint = "pass --ledger, too, for example --ledger run.db"
            raise ValidationError(option, "the option without --ledger", hint)
    _check_result(result)
    plan = plan_of(
        options.input_name("RECIPIENTS", recipients),
        table,
        message,
        # Without its source address, a message is not found in the ledger.
        needs_source=not result.dry_run or record.ledger is not None,
        record=record,
        pace=pace,
        result=result,
    )
    if result.dry_run:
        return dry_run_invocation(plan, account, as_json=as_json)
    return batch_invocation(plan, account, as_json=as_json)


def plan_of(
    recipients: str,
    table: TableOptions,
    message: MessageOptions,
    *,
    needs_source: bool = True,
    clock: Clock | None = None,
    record: LedgerOptions = LEDGER,
    pace: PaceOptions = PACE,
    result: ResultOptions = RESULT,
) -> BatchPlan:
    """Return the plan that the options describe.

    Args:
        recipients: the path of the table, or ``-`` for standard input.
        table: how the table is read.
        message: what is sent to whom, and when.
        needs_source: whether the messages need a source address.
        clock: the clock that says which send dates have passed; None means the clock of the system.
        record: the ledger, and how it is used.
        pace: how fast the messages are sent.
        result: what the command shows and writes.

    Raises:
        ValidationError: if an option is wrong.
    """
    clock = clock or SystemClock()
    return BatchPlan(
        recipients=recipients,
        table=table,
        template=_template(message),
        text_file=message.text_file,
        common=_shared_fields(message, clock, needs_source=needs_source),
        region=message.region,
        exclude=tuple(message.exclude or ()),
        duplicates=message.duplicates,
        window=None if message.window is None else SendWindow.parse(message.window),
        record=record,
        pace=pace,
        result=result,
        clock=clock,
    )


def _check_result(result: ResultOptions) -> None:
    if result.excel and result.report is None:
        raise ValidationError("--excel", "the option without --report", "pass --report, too")
    check_price(result.price)
    if result.preview < 0:
        raise ValidationError("--preview", str(result.preview), "pass the number of messages to show")
    if result.preview and not result.dry_run:
        raise ValidationError("--preview", "the option without --dry-run", "pass --dry-run, too")


def _template(message: MessageOptions) -> Template | None:
    if message.text_file is None:
        return None if message.text is None else Template.parse(message.text)
    if message.text is not None:
        hint = "leave out one of the two options"
        raise ValidationError("--text-file", "the option together with --text", hint)
    return Template.parse(_read_text(message.text_file), "--text-file")


def _read_text(path: str) -> str:
    """Return the text in a file, without the line break at its end."""
    try:
        with open(path, "rb") as file:
            content = file.read(_LONGEST_FILE + 1)
        if len(content) > _LONGEST_FILE:
            hint = f"pass a file of at most {_LONGEST_FILE} bytes with one text"
            raise ValidationError("--text-file", repr(path), hint)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise ValidationError("--text-file", repr(path), f"pass a file ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValidationError("--text-file", repr(path), "save the file in UTF-8") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.removesuffix("\n")


def _shared_fields(message: MessageOptions, clock: Clock, *, needs_source: bool) -> SharedFields:
    # With --by-time-zone, the dates may also come from a column of the table.
    date, by_time_zone = message.send_date, message.by_time_zone
    if date is None:
        parsed = None
    else:
        parsed = options.parse_send_date(date, by_time_zone=by_time_zone, now=clock.now())
    return SharedFields(
        source_address=options.source_address(message.source_address, needed=needs_source),
        send_date=parsed,
        validity=message.validity,
        by_time_zone=by_time_zone,
    )
