"""The commands with their arguments, options and help texts.

A command function checks its arguments and returns an `Invocation`, which `smsapi_async.cli.run` executes.
The help texts are not docstrings, because ``python -OO`` removes docstrings.
"""

from functools import partial
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from smsapi_async.cli import options, output
from smsapi_async.cli.batch.batch_invocations import batch_invocation, dry_run_invocation
from smsapi_async.cli.batch.batch_run import BatchPlan
from smsapi_async.cli.batch.row_converter import NUMBER_COLUMNS, SharedFields
from smsapi_async.cli.batch.template import Template
from smsapi_async.cli.demo_view import demo_document, demo_view, show_demo
from smsapi_async.cli.exit_codes import EXIT_CODE_MEANINGS
from smsapi_async.cli.invocations import Invocation, gateway_invocation
from smsapi_async.cli.ledger_commands import ledger_app
from smsapi_async.cli.options import AccountOptions, AsJson, LedgerFile, SourceAddress
from smsapi_async.cli.serve import serve
from smsapi_async.cli.track_run import open_and_track
from smsapi_async.cli.tracking_counts import TrackingCounts, tracking_document, tracking_view
from smsapi_async.cli.watching import WatchOptions, watch_messages
from smsapi_async.client import AsyncSmsClient
from smsapi_async.errors import ValidationError
from smsapi_async.models import Receipt, SegmentState
from smsapi_async.session import MemorySessionStore
from smsapi_async.settings import CONCURRENCY
from smsapi_async.version import __version__

_DATE = "date and time with the UTC offset, for example 2026-01-28T16:00:00+03:00"

Date = Annotated[str | None, Parameter(help=f"A {_DATE}.")]
SendDate = Annotated[
    str | None,
    Parameter(
        help=f"When the gateway sends the message: a {_DATE}. With --by-time-zone, leave out the offset. "
        "Default: now."
    ),
]
Minutes = Annotated[
    int | None, Parameter(help="For how many minutes the gateway tries to deliver the message.")
]
ByTimeZone = Annotated[bool, Parameter(negative="", help="--send-date is the local time of the recipient.")]
To = Annotated[
    list[str],
    # Cyclopts must accept the argument `-`, which means standard input. `options.numbers` refuses every other
    # argument that begins with a hyphen.
    Parameter(
        allow_leading_hyphen=True,
        help="One or more phone numbers. A hyphen (-) stands for the numbers on standard input.",
    ),
]
Speed = Annotated[float, Parameter(help="How many seconds pass on the sandbox's clock in one real second.")]
_HYPHEN = "If the text begins with a hyphen, put -- before the text."
_LAST_PORT = 65535
# The default of the account options: all settings come from environment variables.
_ENVIRONMENT = AccountOptions()


_EXIT_CODES = "Exit codes:\n\n" + "\n".join(
    f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODE_MEANINGS.items()
)

app = App(
    name="smsapi-async",
    help="Send messages through an SMS gateway and follow their states. The commands demo and sandbox start "
    "a test gateway on this computer.",
    help_format="plaintext",
    help_epilogue=_EXIT_CODES,
    version=__version__,
    # By default, cyclopts ends the process after Ctrl-C, for example at the password prompt. With
    # `suppress_keyboard_interrupt=False`, cyclopts raises `KeyboardInterrupt`, and `run` reports the
    # interruption.
    suppress_keyboard_interrupt=False,
)


@app.command(
    help="Start a test gateway on this computer, send messages to it, and show the states of the messages "
    "until the states are final. Nothing is billed."
)
def demo(
    *,
    speed: Speed = 2.0,
    backend: Annotated[Literal["asyncio", "trio"], Parameter(help="The Python event loop.")] = "asyncio",
    as_json: AsJson = False,
) -> Invocation[Any]:
    _check_speed(speed)
    if find_spec(backend) is None:
        raise ValidationError("--backend", backend, f"install the package first: pip install {backend}")
    return Invocation(
        run=partial(show_demo, speed=speed, is_live=not as_json),
        document=demo_document,
        view=demo_view,
        as_json=as_json,
        backend=backend,
    )


@app.command(
    help="Run a test gateway (the sandbox) on this computer until Ctrl-C. The sandbox sends nothing to "
    "phones and bills nobody."
)
def sandbox(
    *,
    port: Annotated[int, Parameter(help="The port to listen on; 0 means any free port.")] = 8099,
    host: Annotated[str, Parameter(help="The network address to listen on.")] = "127.0.0.1",
    speed: Speed = 1.0,
    faults: Annotated[
        str | None,
        Parameter(help="A file with a fault plan (.json or .toml). The sandbox produces the planned faults."),
    ] = None,
    as_json: AsJson = False,
) -> Invocation[Any]:
    _check_speed(speed)
    if not 0 <= port <= _LAST_PORT:
        raise ValidationError("--port", str(port), f"pass a number from 0 to {_LAST_PORT}")
    return Invocation(run=partial(serve, host, port, speed, faults, as_json=as_json), as_json=as_json)


@app.command(help="Show the account's balance.")
def balance(*, account: AccountOptions = _ENVIRONMENT, as_json: AsJson = False) -> Invocation[Any]:
    return gateway_invocation(
        account,
        AsyncSmsClient.balance,
        output.balance_document,
        output.balance_view,
        as_json=as_json,
    )


@app.command(
    help="Send one message. If the message may have been sent, the command does not send it again: see exit "
    "code 5."
)
def send(
    to: Annotated[str, Parameter(help="The phone number with country code, for example 79031234567.")],
    text: Annotated[
        str, Parameter(help=f"The text: at most 2000 characters; an emoji counts as two or more. {_HYPHEN}")
    ],
    /,
    *,
    source_address: SourceAddress = None,
    send_date: SendDate = None,
    validity: Minutes = None,
    by_time_zone: ByTimeZone = False,
    account: AccountOptions = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    common: dict[str, Any] = {"source_address": options.source_address(source_address), "validity": validity}
    if by_time_zone:
        wall_clock = options.parse_local("send_date", send_date)

        async def call(sms: AsyncSmsClient) -> Receipt:
            return await sms.send_by_time_zone(to, text, send_date=wall_clock, **common)

    else:
        moment = options.parse_optional_aware("send_date", send_date)

        async def call(sms: AsyncSmsClient) -> Receipt:
            return await sms.send(to, text, send_date=moment, **common)

    return gateway_invocation(
        account, call, output.receipt_document, output.receipt_view, as_json=as_json, sends=True
    )


@app.command(help="Send one text to many numbers in one request. The gateway accepts all messages or none.")
def bulk(
    text: Annotated[str, Parameter(help=f"The text for all numbers. {_HYPHEN}")],
    to: To,
    /,
    *,
    source_address: SourceAddress = None,
    send_date: Date = None,
    validity: Minutes = None,
    account: AccountOptions = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    source = options.source_address(source_address)
    moment = options.parse_optional_aware("send_date", send_date)
    numbers = options.numbers(to)

    async def call(sms: AsyncSmsClient) -> list[Receipt]:
        return await sms.send_bulk(numbers, text, source_address=source, send_date=moment, validity=validity)

    return gateway_invocation(
        account, call, output.receipts_document, output.receipts_view, as_json=as_json, sends=True
    )


@app.command(
    help="Send one message for each row of a table. The values of a column with the name key identify the "
    "rows in the ledger."
)
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
    text: Annotated[
        str | None,
        Parameter(
            help="The text. A column name in braces, for example {name}, is replaced by the value in the "
            "row. Default: the value of the column with the name text."
        ),
    ] = None,
    column: Annotated[
        str | None,
        Parameter(
            help="The name of the column with the phone numbers. Default: the first of these names that the "
            f"table has: {', '.join(NUMBER_COLUMNS)}; or the only column of the table."
        ),
    ] = None,
    ledger: Annotated[
        str | None,
        Parameter(
            help="A file that records each message. After an interruption, run the same command with the "
            "same file: the command sends the remaining rows and sends no message twice."
        ),
    ] = None,
    again: Annotated[
        bool,
        Parameter(
            negative="",
            help="Also send rows whose number was already sent another text with the ledger. Without this "
            "option, the command asks in a terminal, and otherwise stops before it sends such a row.",
        ),
    ] = False,
    redact: Annotated[
        bool,
        Parameter(
            negative="",
            help="Store only hashes of numbers and texts in the ledger, and mask the numbers in the report.",
        ),
    ] = False,
    report: Annotated[str | None, Parameter(help="Write the outcome of each row to this CSV file.")] = None,
    wait: Annotated[
        bool,
        Parameter(
            negative="",
            help="After the sending, follow all accepted messages of the ledger, as `track` does. The option "
            "needs --ledger.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        Parameter(
            negative="",
            help="Check the rows, and count messages and segments. With --ledger, also count the messages "
            "that the ledger already has. Nothing is sent.",
        ),
    ] = False,
    source_address: SourceAddress = None,
    send_date: SendDate = None,
    validity: Minutes = None,
    by_time_zone: ByTimeZone = False,
    requests_per_second: Annotated[
        float | None, Parameter(help="The highest number of requests per second. Default: no limit.")
    ] = None,
    concurrency: Annotated[
        int, Parameter(help="The highest number of requests in flight at the same time.")
    ] = CONCURRENCY,
    recipients_per_request: Annotated[
        int, Parameter(help="The highest number of recipients in one request.")
    ] = 500,
    max_in_flight: Annotated[
        int,
        Parameter(
            help="The highest number of messages in all requests in flight. A crash leaves at most this "
            "number of messages with an unknown outcome."
        ),
    ] = 1000,
    account: AccountOptions = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    for option, is_given in (("--wait", wait), ("--again", again)):
        if is_given and ledger is None:
            hint = "pass --ledger, too, for example --ledger run.db"
            raise ValidationError(option, "the option without --ledger", hint)
    parsed = options.parse_local if by_time_zone else options.parse_optional_aware
    plan = BatchPlan(
        recipients=options.input_name("RECIPIENTS", recipients),
        column=column,
        template=None if text is None else Template.parse(text),
        common=SharedFields(
            # Without its source address, a message is not found in the ledger.
            source_address=options.source_address(source_address, needed=not dry_run or ledger is not None),
            send_date=parsed("send_date", send_date),
            validity=validity,
            by_time_zone=by_time_zone,
        ),
        ledger=ledger,
        redact=redact,
        report=report,
        recipients_per_request=recipients_per_request,
        max_in_flight=max_in_flight,
        is_again=again,
        is_followed=wait,
    )
    if dry_run:
        return dry_run_invocation(plan, as_json=as_json)
    rate = {"concurrency": concurrency, "requests_per_second": requests_per_second}
    return batch_invocation(plan, account, rate, as_json=as_json)


@app.command(
    help="Follow the accepted messages of a ledger until their states are final. After Ctrl-C, run the "
    "command again to continue."
)
def track(
    ledger: LedgerFile,
    /,
    *,
    deadline: Annotated[
        float | None,
        Parameter(
            help="For how many seconds a message is followed. The seconds count from the acceptance or, if "
            "the message has a later send date, from the send date. Later runs do not follow a message "
            "that has reached this limit. Default: a little more than 48 hours."
        ),
    ] = None,
    requests_per_second: Annotated[
        float | None, Parameter(help="The highest number of requests per second. Default: no limit.")
    ] = None,
    concurrency: Annotated[
        int, Parameter(help="The highest number of requests in flight at the same time.")
    ] = CONCURRENCY,
    account: AccountOptions = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    if deadline is not None:
        options.check_seconds("deadline", deadline)
    client = account.client(
        MemorySessionStore(), concurrency=concurrency, requests_per_second=requests_per_second
    )
    return Invocation(
        run=partial(open_and_track, ledger, client, deadline=deadline),
        document=tracking_document,
        view=tracking_view,
        as_json=as_json,
        failure=TrackingCounts.failure,
    )


@app.command(help="Show the state of each segment. `send` and `bulk` print the segment ids.")
def state(
    segment_id: list[str],
    /,
    *,
    account: AccountOptions = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:

    async def call(sms: AsyncSmsClient) -> list[SegmentState]:
        return [await sms.state(each) for each in segment_id]

    return gateway_invocation(account, call, output.states_document, output.states_view, as_json=as_json)


@app.command(
    help="Show the incoming messages from --since until --until. Without --since, the list begins with the "
    "first message; with --follow, the list begins now. Without --until, the list ends at the current time."
)
def incoming(
    *,
    since: Date = None,
    until: Date = None,
    follow: Annotated[
        bool,
        Parameter(
            negative="", help="Wait for new messages and print each message on one line, until Ctrl-C."
        ),
    ] = False,
    every: Annotated[
        float, Parameter(help="With --follow: how often to ask for new messages, in seconds.")
    ] = 10.0,
    ledger: Annotated[
        str | None,
        Parameter(
            help="With --follow: a file that stores the position. The next run continues at this position."
        ),
    ] = None,
    account: AccountOptions = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    first, last = options.parse_optional_aware("since", since), options.parse_optional_aware("until", until)
    if follow:
        options.check_seconds("every", every)
        if last is not None:
            hint = "leave out --until; Ctrl-C ends --follow"
            raise ValidationError("--until", "the option together with --follow", hint)
        watch = WatchOptions(since=first, every=every, ledger=ledger, as_json=as_json)
        client = account.client(MemorySessionStore())
        return Invocation(run=partial(watch_messages, watch, client), as_json=as_json)
    if ledger is not None:
        raise ValidationError("--ledger", "the option without --follow", "pass --follow, too")
    return gateway_invocation(
        account,
        lambda sms: sms.incoming(since=first, until=last),
        output.incoming_document,
        output.incoming_view,
        as_json=as_json,
    )


@app.command(help="Show how many messages of a period were sent, delivered and failed.")
def statistics(
    start: Annotated[str, Parameter(help=f"The beginning of the period: a {_DATE}.")],
    end: Annotated[
        str,
        Parameter(
            help="The end of the period, in the same format as the beginning. The period includes the end."
        ),
    ],
    /,
    *,
    account: AccountOptions = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    first, last = options.parse_aware("start", start), options.parse_aware("end", end)
    return gateway_invocation(
        account,
        lambda sms: sms.statistics(first, last),
        output.statistics_document,
        output.statistics_view,
        as_json=as_json,
    )


app.command(ledger_app)


def _check_speed(speed: float) -> None:
    if not 0 < speed <= 1_000_000:
        raise ValidationError("--speed", str(speed), "pass a number above 0 and at most 1000000")
