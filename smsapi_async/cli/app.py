"""The commands with their arguments, options and help texts.

A command function checks its arguments and returns an `Invocation`, which `smsapi_async.cli.run` executes.
The help texts are not docstrings, because ``python -OO`` removes docstrings.
"""

from functools import partial
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from smsapi_async.cli import options, output
from smsapi_async.cli.batch_command import batch
from smsapi_async.cli.demo_view import demo_document, demo_view, show_demo
from smsapi_async.cli.exit_codes import EXIT_CODE_MEANINGS
from smsapi_async.cli.invocations import Invocation, gateway_invocation
from smsapi_async.cli.ledger_commands import ledger_app
from smsapi_async.cli.options import (
    DATE,
    ENVIRONMENT,
    AccountOptions,
    AsJson,
    ByTimeZone,
    Date,
    LedgerFile,
    Minutes,
    SendDate,
    SourceAddress,
)
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
def balance(*, account: AccountOptions = ENVIRONMENT, as_json: AsJson = False) -> Invocation[Any]:
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
    account: AccountOptions = ENVIRONMENT,
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
    account: AccountOptions = ENVIRONMENT,
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
    account: AccountOptions = ENVIRONMENT,
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
    account: AccountOptions = ENVIRONMENT,
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
    account: AccountOptions = ENVIRONMENT,
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
    start: Annotated[str, Parameter(help=f"The beginning of the period: a {DATE}.")],
    end: Annotated[
        str,
        Parameter(
            help="The end of the period, in the same format as the beginning. The period includes the end."
        ),
    ],
    /,
    *,
    account: AccountOptions = ENVIRONMENT,
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


app.command(
    batch,
    help="Send one message for each row of a table. The values of a column with the name key identify the "
    "rows in the ledger.",
)
app.command(ledger_app)


def _check_speed(speed: float) -> None:
    if not 0 < speed <= 1_000_000:
        raise ValidationError("--speed", str(speed), "pass a number above 0 and at most 1000000")
