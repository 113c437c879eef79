"""The commands: what each is given, and the job it comes to."""

from functools import partial
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

import smsapi_async.cli as package
from smsapi_async.cli import options, output
from smsapi_async.cli.demo_view import demo_document, demo_view, show_demo
from smsapi_async.cli.jobs import Job, gateway_job
from smsapi_async.cli.options import AsJson, Connection, Source
from smsapi_async.cli.serve import serve
from smsapi_async.client import AsyncSmsClient
from smsapi_async.errors import ValidationError
from smsapi_async.models import Receipt, SegmentState
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


def _exit_codes() -> str:
    lines = (package.__doc__ or "").splitlines()
    rows = [
        line.strip("| ").split(" | ") for line in lines if line.startswith("| ") and "Meaning" not in line
    ]
    return "Exit codes:\n\n" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in rows)


app = App(
    name="smsapi-async",
    help="An SMS gateway's HTTP API from the command line, and a local gateway to try it on.",
    help_format="plaintext",
    help_epilogue=_exit_codes(),
    version=__version__,
    suppress_keyboard_interrupt=False,
)


@app.command
def demo(
    *,
    speed: Speed = 2.0,
    backend: Annotated[Literal["asyncio", "trio"], Parameter(help="The event loop.")] = "asyncio",
    as_json: AsJson = False,
) -> Job[Any]:
    """Start a sandbox, send messages to it, and follow them to their ends. Nothing is billed."""
    _check_speed(speed)
    if find_spec(backend) is None:
        raise ValidationError("--backend", backend, f"pip install {backend}")
    return Job(
        run=partial(show_demo, speed=speed, is_live=not as_json),
        document=demo_document,
        view=demo_view,
        as_json=as_json,
        backend=backend,
    )


@app.command
def sandbox(
    *,
    port: Annotated[int, Parameter(help="Where to listen; 0 takes a free port.")] = 8099,
    host: Annotated[str, Parameter(help="The address to listen on.")] = "127.0.0.1",
    speed: Speed = 1.0,
    as_json: AsJson = False,
) -> Job[Any]:
    """Run the sandbox gateway until Ctrl-C. It bills nobody and sends nothing."""
    _check_speed(speed)
    if not 0 <= port <= _LAST_PORT:
        raise ValidationError("--port", str(port), f"pass a number from 0 to {_LAST_PORT}")
    return Job(run=partial(serve, host, port, speed, as_json=as_json), as_json=as_json)


@app.command
def balance(*, connection: Connection = _ENVIRONMENT, as_json: AsJson = False) -> Job[Any]:
    """Show the account's balance."""
    return gateway_job(
        connection,
        AsyncSmsClient.balance,
        output.balance_document,
        output.balance_view,
        as_json=as_json,
    )


@app.command
def send(
    to: Annotated[str, Parameter(help="Country code, network code and number.")],
    text: Annotated[str, Parameter(help="1 to 2000 UTF-16 units; after -- if it begins with a hyphen.")],
    /,
    *,
    source_address: Source = None,
    send_date: SendDate = None,
    validity: Minutes = None,
    by_time_zone: ByTimeZone = False,
    connection: Connection = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Job[Any]:
    """Send one message. It is never sent twice: see exit code 5."""
    common: dict[str, Any] = {"source_address": options.source_address(source_address), "validity": validity}
    if by_time_zone:
        wall_clock = options.wall_clock("send_date", send_date)

        async def call(sms: AsyncSmsClient) -> Receipt:
            return await sms.send_by_time_zone(to, text, send_date=wall_clock, **common)

    else:
        moment = options.optional_moment("send_date", send_date)

        async def call(sms: AsyncSmsClient) -> Receipt:
            return await sms.send(to, text, send_date=moment, **common)

    return gateway_job(
        connection, call, output.receipt_document, output.receipt_view, as_json=as_json, sends=True
    )


@app.command
def bulk(
    text: Annotated[str, Parameter(help="One text for all; after -- if it begins with a hyphen.")],
    to: To,
    /,
    *,
    source_address: Source = None,
    send_date: Date = None,
    validity: Minutes = None,
    connection: Connection = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Job[Any]:
    """Send one text to many numbers, in one request: all are accepted or none."""
    source = options.source_address(source_address)
    moment = options.optional_moment("send_date", send_date)
    numbers = options.numbers(to)

    async def call(sms: AsyncSmsClient) -> list[Receipt]:
        return await sms.send_bulk(numbers, text, source_address=source, send_date=moment, validity=validity)

    return gateway_job(
        connection, call, output.receipts_document, output.receipts_view, as_json=as_json, sends=True
    )


@app.command
def state(
    segment_id: list[str],
    /,
    *,
    connection: Connection = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Job[Any]:
    """Show the states of segments."""

    async def call(sms: AsyncSmsClient) -> list[SegmentState]:
        return [await sms.state(each) for each in segment_id]

    return gateway_job(connection, call, output.states_document, output.states_view, as_json=as_json)


@app.command
def incoming(
    *,
    since: Date = None,
    until: Date = None,
    connection: Connection = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Job[Any]:
    """Show the messages that came in, from the beginning or --since, until now or --until."""
    first, last = options.optional_moment("since", since), options.optional_moment("until", until)
    return gateway_job(
        connection,
        lambda sms: sms.incoming(since=first, until=last),
        output.incoming_document,
        output.incoming_view,
        as_json=as_json,
    )


@app.command
def statistics(
    start: Annotated[str, Parameter(help="ISO 8601 with an offset.")],
    end: Annotated[str, Parameter(help="ISO 8601 with an offset; included.")],
    /,
    *,
    connection: Connection = _ENVIRONMENT,
    as_json: AsJson = False,
) -> Job[Any]:
    """Count the messages of a period of any length."""
    first, last = options.moment("start", start), options.moment("end", end)
    return gateway_job(
        connection,
        lambda sms: sms.statistics(first, last),
        output.statistics_document,
        output.statistics_view,
        as_json=as_json,
    )


def _check_speed(speed: float) -> None:
    if not 0 < speed <= 1_000_000:
        raise ValidationError("--speed", str(speed), "pass a number above 0, at most 1000000")
