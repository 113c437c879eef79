"""The commands: what each is given, and the job it comes to."""

from functools import partial
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from smsapi_async.cli import options, output
from smsapi_async.cli.batch.batch_invocations import batch_invocation, dry_run_invocation
from smsapi_async.cli.batch.batch_run import BatchPlan
from smsapi_async.cli.batch.row_messages import NUMBER_COLUMNS, Common
from smsapi_async.cli.batch.template import Template
from smsapi_async.cli.demo_view import demo_document, demo_view, show_demo
from smsapi_async.cli.exit_codes import EXIT_CODE_MEANINGS
from smsapi_async.cli.invocations import Invocation, gateway_invocation
from smsapi_async.cli.ledger_commands import ledger_app
from smsapi_async.cli.options import AsJson, Connection, LedgerFile, SourceAddress
from smsapi_async.cli.serve import serve
from smsapi_async.cli.track_run import run_track
from smsapi_async.cli.track_tally import TrackTally, following_document, following_view
from smsapi_async.cli.watching import Watch, watch_messages
from smsapi_async.client import AsyncSmsClient
from smsapi_async.errors import ValidationError
from smsapi_async.models import Receipt, SegmentState
from smsapi_async.session import MemorySessionStore
from smsapi_async.settings import CONCURRENCY
from smsapi_async.version import __version__

Date = Annotated[str | None, Parameter(help="ISO 8601 with an offset.")]
SendDate = Annotated[
    str | None,
    Parameter(help="When to send: ISO 8601 with an offset; with --by-time-zone, without one."),
]
Minutes = Annotated[int | None, Parameter(help="How long the gateway keeps trying, in minutes.")]
ByTimeZone = Annotated[
    bool, Parameter(negative="", help="--send-date is the wall clock where the recipient is.")
]
To = Annotated[
    list[str],
    # A hyphen alone is standard input; `numbers` refuses any other word that begins with one.
    Parameter(allow_leading_hyphen=True, help="Numbers; - reads them from standard input."),
]
Speed = Annotated[float, Parameter(help="Seconds of the sandbox's clock in one real second.")]
_LAST_PORT = 65535
_ENVIRONMENT = Connection()


_EXIT_CODES = "Exit codes:\n\n" + "\n".join(
    f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODE_MEANINGS.items()
)

app = App(
    name="smsapi-async",
    help="An SMS gateway's HTTP API from the command line, and a local gateway to try it on.",
    help_format="plaintext",
    help_epilogue=_EXIT_CODES,
    version=__version__,
    suppress_keyboard_interrupt=False,
)


@app.command(help="Start a sandbox, send messages to it, and follow them to their ends. Nothing is billed.")
def demo(
    *,
    speed: Speed = 2.0,
    backend: Annotated[Literal["asyncio", "trio"], Parameter(help="The event loop.")] = "asyncio",
    as_json: AsJson = False,
) -> Invocation[Any]:
    _check_speed(speed)
    if find_spec(backend) is None:
        raise ValidationError("--backend", backend, f"pip install {backend}")
    return Invocation(
        run=partial(show_demo, speed=speed, is_live=not as_json),
        document=demo_document,
        view=demo_view,
        as_json=as_json,
        backend=backend,
    )


@app.command(help="Run the sandbox gateway until Ctrl-C. It bills nobody and sends nothing.")
def sandbox(
    *,
    port: Annotated[int, Parameter(help="Where to listen; 0 takes a free port.")] = 8099,
    host: Annotated[str, Parameter(help="The address to listen on.")] = "127.0.0.1",
    speed: Speed = 1.0,
    faults: Annotated[str | None, Parameter(help="A fault plan, .json or .toml: misbehave by it.")] = None,
    as_json: AsJson = False,
) -> Invocation[Any]:
    _check_speed(speed)
    if not 0 <= port <= _LAST_PORT:
        raise ValidationError("--port", str(port), f"pass a number from 0 to {_LAST_PORT}")
    return Invocation(run=partial(serve, host, port, speed, faults, as_json=as_json), as_json=as_json)


@app.command(help="Show the account's balance.")
def balance(*, connection: Connection = _ENVIRONMENT, as_json: AsJson = False) -> Invocation[Any]:
    return gateway_invocation(
        connection,
        AsyncSmsClient.balance,
        output.balance_document,
        output.balance_view,
        as_json=as_json,
    )


@app.command(help="Send one message. It is never sent twice: see exit code 5.")
def send(
    to: Annotated[str, Parameter(help="Country code, network code and number.")],
    text: Annotated[str, Parameter(help="1 to 2000 UTF-16 units; after -- if it begins with a hyphen.")],
    /,
    *,
    source_address: SourceAddress = None,
    send_date: SendDate = None,
    validity: Minutes = None,
    by_time_zone: ByTimeZone = False,
    connection: Connection = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    common: dict[str, Any] = {"source_address": options.source_address(source_address), "validity": validity}
    if by_time_zone:
        wall_clock = options.wall_clock("send_date", send_date)

        async def call(sms: AsyncSmsClient) -> Receipt:
            return await sms.send_by_time_zone(to, text, send_date=wall_clock, **common)

    else:
        moment = options.optional_moment("send_date", send_date)

        async def call(sms: AsyncSmsClient) -> Receipt:
            return await sms.send(to, text, send_date=moment, **common)

    return gateway_invocation(
        connection, call, output.receipt_document, output.receipt_view, as_json=as_json, sends=True
    )


@app.command(help="Send one text to many numbers, in one request: all are accepted or none.")
def bulk(
    text: Annotated[str, Parameter(help="One text for all; after -- if it begins with a hyphen.")],
    to: To,
    /,
    *,
    source_address: SourceAddress = None,
    send_date: Date = None,
    validity: Minutes = None,
    connection: Connection = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    source = options.source_address(source_address)
    moment = options.optional_moment("send_date", send_date)
    numbers = options.numbers(to)

    async def call(sms: AsyncSmsClient) -> list[Receipt]:
        return await sms.send_bulk(numbers, text, source_address=source, send_date=moment, validity=validity)

    return gateway_invocation(
        connection, call, output.receipts_document, output.receipts_view, as_json=as_json, sends=True
    )


@app.command(help="Send a message to each row of a table. A column key names each row in the ledger.")
def batch(
    recipients: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            help="CSV with a header row, or JSON lines (.jsonl); - reads standard input.",
        ),
    ],
    /,
    *,
    text: Annotated[
        str | None,
        Parameter(help="The text, with columns in braces: {name}; else the column text."),
    ] = None,
    column: Annotated[
        str | None,
        Parameter(help=f"The column of numbers; else {', '.join(NUMBER_COLUMNS)}, or the only one."),
    ] = None,
    ledger: Annotated[
        str | None, Parameter(help="A file that lets the same command go on after an interruption.")
    ] = None,
    redact: Annotated[
        bool, Parameter(negative="", help="Keep only hashes of numbers and texts in the ledger.")
    ] = False,
    report: Annotated[str | None, Parameter(help="A CSV file: what became of each row.")] = None,
    wait: Annotated[
        bool, Parameter(negative="", help="Then follow all that the ledger has as accepted, as `track` does.")
    ] = False,
    dry_run: Annotated[bool, Parameter(negative="", help="Count and check; send nothing.")] = False,
    source_address: SourceAddress = None,
    send_date: SendDate = None,
    validity: Minutes = None,
    by_time_zone: ByTimeZone = False,
    requests_per_second: Annotated[float | None, Parameter(help="How many may begin in a second.")] = None,
    concurrency: Annotated[int, Parameter(help="Requests in flight at once.")] = CONCURRENCY,
    recipients_per_request: Annotated[int, Parameter(help="The most in one request.")] = 500,
    connection: Connection = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    if wait and ledger is None:
        raise ValidationError(
            "--wait", "following without a ledger", "pass --ledger, such as --ledger run.db"
        )
    parsed = options.wall_clock if by_time_zone else options.optional_moment
    plan = BatchPlan(
        recipients=options.input_name("RECIPIENTS", recipients),
        column=column,
        template=None if text is None else Template.parse(text),
        common=Common(
            source_address=options.source_address(source_address, needed=not dry_run),
            send_date=parsed("send_date", send_date),
            validity=validity,
            by_time_zone=by_time_zone,
        ),
        ledger=ledger,
        redact=redact,
        report=report,
        recipients_per_request=recipients_per_request,
        is_followed=wait,
    )
    if dry_run:
        return dry_run_invocation(plan, as_json=as_json)
    rate = {"concurrency": concurrency, "requests_per_second": requests_per_second}
    return batch_invocation(plan, connection, rate, as_json=as_json)


@app.command(
    help="Follow the messages of a ledger until they are final. After Ctrl-C, running it again goes on."
)
def track(
    ledger: LedgerFile,
    /,
    *,
    deadline: Annotated[
        float | None,
        Parameter(
            help="Give a message up, for good, so many seconds after it was accepted or due; else 48 h."
        ),
    ] = None,
    requests_per_second: Annotated[float | None, Parameter(help="How many may begin in a second.")] = None,
    concurrency: Annotated[int, Parameter(help="Requests in flight at once.")] = CONCURRENCY,
    connection: Connection = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    if deadline is not None:
        options.check_seconds("deadline", deadline)
    client = connection.client(
        MemorySessionStore(), concurrency=concurrency, requests_per_second=requests_per_second
    )
    return Invocation(
        run=partial(run_track, ledger, client, deadline=deadline),
        document=following_document,
        view=following_view,
        as_json=as_json,
        failure=TrackTally.failure,
    )


@app.command(help="Show the states of segments.")
def state(
    segment_id: list[str],
    /,
    *,
    connection: Connection = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:

    async def call(sms: AsyncSmsClient) -> list[SegmentState]:
        return [await sms.state(each) for each in segment_id]

    return gateway_invocation(connection, call, output.states_document, output.states_view, as_json=as_json)


@app.command(help="Show the messages that came in, from the beginning or --since, until now or --until.")
def incoming(
    *,
    since: Date = None,
    until: Date = None,
    follow: Annotated[
        bool,
        Parameter(negative="", help="Print each as it comes, from now or --since, until Ctrl-C; one a line."),
    ] = False,
    every: Annotated[float, Parameter(help="With --follow: seconds from one request to the next.")] = 10.0,
    ledger: Annotated[
        str | None,
        Parameter(help="With --follow: a file that keeps the position; the next run goes on there."),
    ] = None,
    connection: Connection = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    first, last = options.optional_moment("since", since), options.optional_moment("until", until)
    if follow:
        options.check_seconds("every", every)
        if last is not None:
            raise ValidationError("--until", "an end", "leave it out with --follow, which Ctrl-C ends")
        watch = Watch(since=first, every=every, ledger=ledger, as_json=as_json)
        client = connection.client(MemorySessionStore())
        return Invocation(run=partial(watch_messages, watch, client), as_json=as_json)
    if ledger is not None:
        raise ValidationError("--ledger", "a position", "pass it with --follow")
    return gateway_invocation(
        connection,
        lambda sms: sms.incoming(since=first, until=last),
        output.incoming_document,
        output.incoming_view,
        as_json=as_json,
    )


@app.command(help="Count the messages of a period of any length.")
def statistics(
    start: Annotated[str, Parameter(help="ISO 8601 with an offset.")],
    end: Annotated[str, Parameter(help="ISO 8601 with an offset; included.")],
    /,
    *,
    connection: Connection = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    first, last = options.moment("start", start), options.moment("end", end)
    return gateway_invocation(
        connection,
        lambda sms: sms.statistics(first, last),
        output.statistics_document,
        output.statistics_view,
        as_json=as_json,
    )


app.command(ledger_app)


def _check_speed(speed: float) -> None:
    if not 0 < speed <= 1_000_000:
        raise ValidationError("--speed", str(speed), "pass a number above 0, at most 1000000")
