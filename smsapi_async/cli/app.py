"""The commands with their arguments, options and help texts.

A command function checks its arguments and returns an `Invocation`, which `smsapi_async.cli.run` executes.
The help texts are not docstrings, because ``python -OO`` removes docstrings.
"""

import re
from decimal import Decimal
from functools import partial
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from smsapi_async.cli import options, output
from smsapi_async.cli.batch_command import batch
from smsapi_async.cli.configuration import Configuration
from smsapi_async.cli.demo_view import demo_document, demo_view, show_demo
from smsapi_async.cli.help_topics import TOPICS, topic_text, write_script
from smsapi_async.cli.invocations import Invocation, gateway_invocation
from smsapi_async.cli.ledger_commands import ledger_app
from smsapi_async.cli.options import (
    DAY,
    ENVIRONMENT,
    AccountOptions,
    Amount,
    AsJson,
    ByTimeZone,
    LedgerFile,
    Minutes,
    Region,
    SendDate,
    Since,
    SourceAddress,
    Until,
)
from smsapi_async.cli.postgres_commands import postgres_app, worker
from smsapi_async.cli.serve import serve
from smsapi_async.cli.stop_list import StopList
from smsapi_async.cli.track_run import open_and_track
from smsapi_async.cli.tracking_counts import TrackingCounts, tracking_document, tracking_view
from smsapi_async.cli.usage_errors import named
from smsapi_async.cli.watching import IncomingResult, WatchOptions, list_messages, watch_messages
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
_SPEED = "How many seconds pass on the sandbox's clock in one real second."
Speed = Annotated[float, Parameter(help=_SPEED)]
_HYPHEN = "If the text begins with a hyphen, put -- before the text."
_LAST_PORT = 65535
_LONGEST_LATENCY = 3600
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s)?", re.ASCII)
_TOPICS = ", ".join(TOPICS)


app = App(
    name="smsapi-async",
    help="Send messages through an SMS gateway and follow their states. The commands demo and sandbox start "
    "a test gateway on this computer.\n\n`smsapi-async help exit-codes` explains the exit codes, and "
    "`smsapi-async help configuration` the configuration file.",
    help_format="plaintext",
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
    keep: Annotated[
        bool,
        Parameter(
            negative="",
            help="Leave the test gateway and its page open after the demo, until Ctrl-C, and print a link to "
            "a message on the page.",
        ),
    ] = False,
    backend: Annotated[Literal["asyncio", "trio"], Parameter(help="The Python event loop.")] = "asyncio",
    as_json: AsJson = False,
) -> Invocation[Any]:
    _check_speed(speed)
    if find_spec(backend) is None:
        raise ValidationError("--backend", backend, f"install the package first: pip install {backend}")
    return Invocation(
        run=partial(show_demo, speed=speed, keep=keep, as_json=as_json),
        document=demo_document,
        view=demo_view,
        as_json=as_json,
        backend=backend,
    )


@app.command(
    help="Run a test gateway (the sandbox) on this computer until Ctrl-C. The sandbox sends nothing to "
    "phones and bills nobody. A page shows the messages and the login codes, and a control API gives them to "
    "tests in any language: GET /api/v1/openapi.json describes it."
)
def sandbox(
    *,
    port: Annotated[int, Parameter(help="The port to listen on; 0 means any free port.")] = 8099,
    faults_port: Annotated[
        int | None,
        Parameter(
            help="The port of the faulty line, a second address of the sandbox, which produces the faults of "
            "the fault plan; 0 means any free port. Default: the port after --port or, if that port is in "
            "use, any free port."
        ),
    ] = None,
    host: Annotated[str, Parameter(help="The network address to listen on.")] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            help="A host name in the URLs of the sandbox's page and control API, besides localhost. Repeat "
            "the option for each name. If --host is not an address of this computer alone, the page and the "
            "control API are off without this option.",
        ),
    ] = None,
    speed: Annotated[float, Parameter(help=f"{_SPEED} With 0, the clock stands still.")] = 1.0,
    faults: Annotated[
        str | None,
        Parameter(
            help="A file with a fault plan (.json or .toml). Requests to the faulty line get the faults."
        ),
    ] = None,
    keep: Annotated[
        int,
        Parameter(
            help="How many requests, messages and incoming messages the sandbox stores. It removes the "
            "oldest ones first; the balance and the statistics stay right."
        ),
    ] = 1000,
    balance: Annotated[Amount, Parameter(help="The money on the account at the start.")] = Decimal(10000),
    price: Annotated[Amount, Parameter(help="The price of one segment.")] = Decimal("1.50"),
    latency: Annotated[
        str,
        Parameter(help="How long the sandbox waits before each response: seconds, or for example 50ms."),
    ] = "0",
    push_url: Annotated[
        str | None,
        Parameter(
            help="The URL of a handler on this computer, to which the sandbox pushes each incoming message: "
            "http://127.0.0.1:8000/sms."
        ),
    ] = None,
    dialect: Annotated[
        Literal["contract", "latest"],
        Parameter(
            help="The variations of the gateway: as in the contract or as in the later documents of the "
            "vendor, which add version 2 of the interface."
        ),
    ] = "contract",
    source_address: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            help="A source address that the account may use. Repeat the option for each source address. "
            "Default: every valid source address.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> Invocation[Any]:
    if speed:
        _check_speed(speed)
    account: dict[str, Any] = {
        "balance": balance,
        "price": price,
        "latency": _seconds("--latency", latency),
        "dialect": dialect,
        "source_addresses": source_address,
        "push_url": push_url,
        "keep": keep,
    }
    for option, number in (("--port", port), ("--faults-port", faults_port or 0)):
        if not 0 <= number <= _LAST_PORT:
            raise ValidationError(option, str(number), f"pass a number from 0 to {_LAST_PORT}")
    if port and port == faults_port:
        raise ValidationError("--faults-port", str(port), "pass another port than --port")
    if keep < 1:
        raise ValidationError("--keep", str(keep), "pass a number that is at least 1")
    return Invocation(
        run=partial(
            serve,
            host,
            port,
            speed,
            faults,
            faults_port=faults_port,
            allow_hosts=allow_host or (),
            account=account,
            as_json=as_json,
        ),
        as_json=as_json,
    )


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
    to: Annotated[str, Parameter(help="The phone number, for example 79031234567 or '8 (903) 123-45-67'.")],
    text: Annotated[
        str, Parameter(help=f"The text: at most 2000 characters; an emoji counts as two or more. {_HYPHEN}")
    ],
    /,
    *,
    source_address: SourceAddress = None,
    send_date: SendDate = None,
    validity: Minutes = None,
    region: Region = "RU",
    by_time_zone: ByTimeZone = False,
    account: AccountOptions = ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    destination = options.number(to, region)
    common: dict[str, Any] = {
        "source_address": options.source_address(source_address),
        "send_date": options.parse_send_date(send_date, by_time_zone=by_time_zone),
        "validity": validity,
    }

    async def call(sms: AsyncSmsClient) -> Receipt:
        return await (sms.send_by_time_zone if by_time_zone else sms.send)(destination, text, **common)

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
    send_date: SendDate = None,
    validity: Minutes = None,
    by_time_zone: ByTimeZone = False,
    region: Region = "RU",
    account: AccountOptions = ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    numbers = options.numbers(to, region)
    common: dict[str, Any] = {
        "source_address": options.source_address(source_address),
        "send_date": options.parse_send_date(send_date, by_time_zone=by_time_zone),
        "validity": validity,
        "by_time_zone": by_time_zone,
    }

    async def call(sms: AsyncSmsClient) -> list[Receipt]:
        return await sms.send_bulk(numbers, text, **common)

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
    longest: Annotated[
        float | None,
        Parameter(
            name="--for",
            help="For how many seconds the command looks for new states. No message is given up: later runs "
            "follow the messages that are not final. Default: until all states are final.",
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
    for name, seconds in (("deadline", deadline), ("--for", longest)):
        if seconds is not None:
            options.check_seconds(name, seconds)
    client = account.client(
        MemorySessionStore(), concurrency=concurrency, requests_per_second=requests_per_second
    )
    return Invocation(
        run=partial(open_and_track, ledger, client, deadline=deadline, longest=longest),
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
    since: Since = None,
    until: Until = None,
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
            help="With --follow: a file, or the URL of a PostgreSQL database, that stores the position. The "
            "next run continues at this position."
        ),
    ] = None,
    stop_words: Annotated[
        str | None,
        Parameter(
            help="Words, separated by commas, for example СТОП,STOP. If the whole text of a message is one "
            "of the words, the number of the sender is added to the file of --append."
        ),
    ] = None,
    append: Annotated[
        str | None,
        Parameter(help="With --stop-words: a CSV file for the numbers, which `batch --exclude` reads."),
    ] = None,
    account: AccountOptions = ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    first = None if since is None else options.parse_moment("since", since, day="begins")
    last = None if until is None else options.parse_moment("until", until, day="ends")
    stop_list = _stop_list(stop_words, append)
    if follow:
        options.check_seconds("every", every)
        if last is not None:
            hint = "leave out --until; Ctrl-C ends --follow"
            raise ValidationError("--until", "the option together with --follow", hint)
        watch = WatchOptions(since=first, every=every, ledger=ledger, as_json=as_json, stop_list=stop_list)
        client = account.client(MemorySessionStore())
        return Invocation(run=partial(watch_messages, watch, client), as_json=as_json, is_stream=True)
    if ledger is not None:
        raise ValidationError("--ledger", "the option without --follow", "pass --follow, too")
    return gateway_invocation(
        account,
        partial(list_messages, since=first, until=last, stop_list=stop_list),
        IncomingResult.document,
        IncomingResult.view,
        as_json=as_json,
    )


def _stop_list(stop_words: str | None, append: str | None) -> StopList | None:
    if stop_words is not None and append is not None:
        return StopList(stop_words, append)
    for given, option, other in (
        (stop_words, "--stop-words", "--append"),
        (append, "--append", "--stop-words"),
    ):
        if given is not None:
            raise ValidationError(option, f"the option without {other}", f"pass {other}, too")
    return None


@app.command(help="Show how many messages of a period were sent, delivered and failed.")
def statistics(
    start: Annotated[
        str,
        Parameter(
            help=f"The beginning of the period: a {DAY}. A date without a time means the beginning of the "
            "day in the time zone of this computer."
        ),
    ],
    end: Annotated[
        str,
        Parameter(
            help="The end of the period, in the same format as the beginning. The period includes the end. A "
            "date without a time means the end of the day."
        ),
    ],
    /,
    *,
    account: AccountOptions = ENVIRONMENT,
    as_json: AsJson = False,
) -> Invocation[Any]:
    first = options.parse_moment("start", start, day="begins")
    last = options.parse_moment("end", end, day="ends")
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
app.command(postgres_app)
app.command(
    worker,
    help="Send the pending messages of a PostgreSQL ledger until Ctrl-C or SIGTERM. Any number of workers on "
    "any number of machines can run at the same time. While the server of the ledger or the gateway cannot "
    "be reached, or the account is paused, the worker waits.",
)


@app.command(name="help", help=f"Explain a topic ({_TOPICS}), or show the help of a command.")
def show_help(
    topic: Annotated[list[str] | None, Parameter(help="A topic, or the name of a command.")] = None, /
) -> Invocation[Any] | None:
    words = topic or []
    if len(words) == 1 and words[0] in TOPICS:
        return Invocation(run=partial(topic_text, words[0]), view=lambda text: text, as_json=False)
    names, _, rest = app.parse_commands(words)
    if rest:
        known = [*TOPICS, *(name for name in app if not name.startswith("-"))]
        hint = f"{named('topic', rest[0], known)}; pass the name of a command, or a topic: {_TOPICS}"
        raise ValidationError("TOPIC", "the value", hint)
    app.help_print(names)
    return None


@app.command(
    help="Print a script that completes commands and options in a shell. For bash, write the script to a "
    "file in ~/.local/share/bash-completion/completions with the name smsapi-async."
)
def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish", "powershell"], Parameter(help="The shell for which the script is.")
    ],
    /,
) -> Invocation[Any]:
    script = partial(app.generate_completion, shell=shell)
    return Invocation(run=partial(write_script, script), as_json=False)


# The configuration needs all commands, because their options are its keys.
configuration = Configuration(app)
app.config = (configuration,)


def _seconds(name: str, text: str) -> float:
    """Parse seconds, such as ``0.05`` or ``2s``, or milliseconds, such as ``50ms``."""
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) / (1000 if match[2] == "ms" else 1) if match else -1
    if not 0 <= seconds <= _LONGEST_LATENCY:
        hint = (
            f"pass seconds, such as 0.05, or milliseconds, such as 50ms; at most {_LONGEST_LATENCY} seconds"
        )
        raise ValidationError(name, "the value", hint)
    return seconds


def _check_speed(speed: float) -> None:
    if not 0 < speed <= 1_000_000:
        raise ValidationError("--speed", str(speed), "pass a number above 0 and at most 1000000")
