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
from smsapi_async.cli.batch.row_converter import SharedFields
from smsapi_async.cli.batch.template import Template
from smsapi_async.cli.invocations import Invocation
from smsapi_async.cli.options import ENVIRONMENT, AccountOptions, AsJson
from smsapi_async.cli.tables.table_options import DETECTED, TableOptions
from smsapi_async.errors import ValidationError


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
    for option, is_given in (("--wait", result.wait), ("--again", record.again)):
        if is_given and record.ledger is None:
            hint = "pass --ledger, too, for example --ledger run.db"
            raise ValidationError(option, "the option without --ledger", hint)
    plan = BatchPlan(
        recipients=options.input_name("RECIPIENTS", recipients),
        table=table,
        template=None if message.text is None else Template.parse(message.text),
        # Without its source address, a message is not found in the ledger.
        common=_shared_fields(message, needs_source=not result.dry_run or record.ledger is not None),
        region=message.region,
        exclude=tuple(message.exclude or ()),
        duplicates=message.duplicates,
        record=record,
        pace=pace,
        result=result,
    )
    if result.dry_run:
        return dry_run_invocation(plan, as_json=as_json)
    return batch_invocation(plan, account, as_json=as_json)


def _shared_fields(message: MessageOptions, *, needs_source: bool) -> SharedFields:
    parsed = options.parse_local if message.by_time_zone else options.parse_optional_aware
    return SharedFields(
        source_address=options.source_address(message.source_address, needed=needs_source),
        send_date=parsed("send_date", message.send_date),
        validity=message.validity,
        by_time_zone=message.by_time_zone,
    )
