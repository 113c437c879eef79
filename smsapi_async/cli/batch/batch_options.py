"""The options of the command ``batch``, apart from the options of the table and of the account."""

from typing import Annotated, Literal

import attrs
from cyclopts import Group, Parameter

from smsapi_async.cli.options import Amount, ByTimeZone, Minutes, Region, SendDate, SourceAddress
from smsapi_async.cli.output_file import ForExcel
from smsapi_async.settings import CONCURRENCY

_MESSAGE = Group("Message", sort_key=3)
_LEDGER = Group("Ledger", sort_key=4)
_PACE = Group("Pace", sort_key=5)
_RESULT = Group("Result", sort_key=6)


@Parameter(name="*", group=_MESSAGE)
@attrs.frozen(kw_only=True)
class MessageOptions:
    """What is sent to whom, and when."""

    text: Annotated[
        str | None,
        Parameter(
            help="The text. A column name in braces, for example {name}, is replaced by the value in the "
            "row; {name|client} has a default for an empty value. Default: the value of the column with the "
            "name text."
        ),
    ] = None
    text_file: Annotated[
        str | None, Parameter(help="A file in UTF-8 with the text. The option replaces --text.")
    ] = None
    region: Region = "RU"
    exclude: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            help="A table with numbers to which nothing is sent. Repeat the option for several tables.",
        ),
    ] = None
    duplicates: Annotated[
        Literal["skip", "send"],
        Parameter(help="Whether a row with the number and the text of an earlier row is skipped or sent."),
    ] = "skip"
    source_address: SourceAddress = None
    send_date: SendDate = None
    validity: Minutes = None
    by_time_zone: ByTimeZone = False
    window: Annotated[
        str | None,
        Parameter(
            help="The hours of the day in which messages are sent, for example 10:00-20:00: in GMT+03:00, or "
            "in the recipient's time with --by-time-zone."
        ),
    ] = None


@Parameter(name="*", group=_LEDGER)
@attrs.frozen(kw_only=True)
class LedgerOptions:
    """What records the messages."""

    ledger: Annotated[
        str | None,
        Parameter(
            help="A file that records each message. After an interruption, run the same command with the "
            "same file: the command sends the remaining rows and sends no message twice. A URL such as "
            "postgresql://user@host/database in place of a file means the ledger in a PostgreSQL database."
        ),
    ] = None
    again: Annotated[
        bool,
        Parameter(
            negative="",
            help="Also send rows whose number was already sent another text with the ledger. Without this "
            "option, the command asks in a terminal, and otherwise stops before it sends such a row.",
        ),
    ] = False
    redact: Annotated[
        bool,
        Parameter(
            negative="",
            help="Store only hashes of numbers and texts in the ledger. The report then has masked numbers, "
            "and the numbers of the lines in place of the columns of the table.",
        ),
    ] = False


@Parameter(name="*", group=_PACE)
@attrs.frozen(kw_only=True)
class PaceOptions:
    """How fast the messages are sent."""

    messages_per_minute: Annotated[
        float | None, Parameter(help="The highest number of messages per minute. Default: no limit.")
    ] = None
    requests_per_second: Annotated[
        float | None, Parameter(help="The highest number of requests per second. Default: no limit.")
    ] = None
    concurrency: Annotated[
        int, Parameter(help="The highest number of requests in flight at the same time.")
    ] = CONCURRENCY
    recipients_per_request: Annotated[
        int, Parameter(help="The highest number of recipients in one request.")
    ] = 500
    max_in_flight: Annotated[
        int,
        Parameter(
            help="The highest number of messages in all requests in flight. A crash leaves at most this "
            "number of messages with an unknown outcome."
        ),
    ] = 1000
    bulk_by_time_zone: Annotated[
        bool,
        Parameter(
            negative="",
            help="With --by-time-zone, send messages with the same text in bulks. If the gateway cannot do "
            "this, the messages are sent one by one.",
        ),
    ] = False


@Parameter(name="*", group=_RESULT)
@attrs.frozen(kw_only=True)
class ResultOptions:
    """What the command shows and writes."""

    dry_run: Annotated[
        bool,
        Parameter(
            negative="",
            help="Check the rows, and count messages and segments. With --ledger, also count the messages "
            "that the ledger already has. Nothing is sent.",
        ),
    ] = False
    preview: Annotated[
        int, Parameter(help="With --dry-run: how many of the first messages are shown with their texts.")
    ] = 0
    price: Annotated[
        Amount | None, Parameter(help="The price of a segment, for example 3.20, to show the cost.")
    ] = None
    report: Annotated[
        str | None,
        Parameter(
            help="Write the rows with their own columns and their outcomes to this file (.csv or .xlsx), in "
            "the order of the table. If the table has a column with the name of an added column, the added "
            "column gets the prefix report_. `ledger report --rows` writes the same report later."
        ),
    ] = None
    excel: ForExcel = False
    wait: Annotated[
        bool,
        Parameter(
            negative="",
            help="After the sending, follow all accepted messages of the ledger, as `track` does. The option "
            "needs --ledger.",
        ),
    ] = False


MESSAGE = MessageOptions()
LEDGER = LedgerOptions()
PACE = PaceOptions()
RESULT = ResultOptions()
