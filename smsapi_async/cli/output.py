"""Output of the commands: JSON documents for programs, tables and lines for people."""

import json
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from smsapi_async.cli.fitting_table import FittingTable
from smsapi_async.models import IncomingMessage, Receipt, SegmentState, Statistics
from smsapi_async.privacy import mask_number, visible
from smsapi_async.protocol.segments import segment
from smsapi_async.states import Phase, State, describe

Document: TypeAlias = Mapping[str, Any]

_STYLES = {Phase.ENROUTE: "yellow", Phase.DELIVERED: "green", Phase.FAILED: "red", Phase.UNKNOWN: "magenta"}
_COUNTS = ("sent", "delivered", "errors", "in_process", "expired", "rejected", "total", "total_with_errors")
# The characters that JSON allows in a string, and that a terminal does not show as they are: control
# characters, marks for the direction of the text, line separators and lone surrogates.
_INVISIBLE = re.compile(
    r"[\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    r"\ud800-\udfff\ufeff\ufff0-\uffff\U000e0000-\U000e0fff]"
)

# Spaces at the end of a line, before the codes that end the colours of the line.
_PADDING = re.compile(r" +((?:\x1b\[[0-9;]*m)*)$", re.MULTILINE)


class OutputFailed(Exception):
    """Writing to standard output failed.

    Attributes:
        cause: the error that the operating system reported.
    """

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause)
        self.cause = cause


def write_json(document: Document) -> None:
    """Write an indented JSON document to standard output."""
    _write_json(document, indent=2)


def write_json_line(document: Document) -> None:
    """Write a JSON document on one line to standard output."""
    _write_json(document, indent=None)


class _JsonList:
    """The state of the JSON list that `write_json_list` writes."""

    is_open = False


def has_open_list() -> bool:
    """Return whether the document of a JSON list is incomplete."""
    return _JsonList.is_open


def end_json_list(error: Document) -> bool:
    """Complete the document of a JSON list that an error ended, so that the output is one valid document.

    Args:
        error: the value of the key ``error`` in the document.

    Returns:
        Whether there was an incomplete document.

    Raises:
        OSError: if writing failed.
    """
    if not _JsonList.is_open:
        return False
    _JsonList.is_open = False
    sys.stdout.write(f'\n  ],\n  "error": {_json(error, indent=None)}\n}}\n')
    return True


async def write_json_list(name: str, documents: AsyncIterator[Document]) -> None:
    """Write a JSON document with one list to standard output. Each item is written when it arrives.

    If the iteration raises an error after the first item, the document is incomplete: see `end_json_list`.

    Args:
        name: the key of the list in the document.
        documents: the items of the list.

    Raises:
        OutputFailed: if writing failed.
    """
    before = f"{{\n  {json.dumps(name)}: [\n    "
    async for document in documents:
        _JsonList.is_open = False  # If writing fails, nothing more can be written.
        write_text(before + _json(document, indent=None))
        before, _JsonList.is_open = ",\n    ", True
    is_open, _JsonList.is_open = _JsonList.is_open, False
    write_text("\n  ]\n}\n" if is_open else f'{{"{name}": []}}\n')


def write_text(text: str) -> None:
    """Write text to standard output.

    Raises:
        OutputFailed: if writing failed.
    """
    try:
        sys.stdout.write(text)
    except OSError as error:
        raise OutputFailed(error) from None


def write_incoming_json(message: IncomingMessage) -> None:
    """Write an incoming message to standard output as a JSON document on one line."""
    _write_json(_incoming(message), indent=None)


def write_incoming_line(message: IncomingMessage) -> None:
    """Write an incoming message to standard output on one line: date (UTC), source, destination, text."""
    words = (time(message.creation_date), message.source_address, message.destination_address, message.text)
    sys.stdout.write("  ".join(map(one_line, words)) + "\n")


def write_view(view: RenderableType) -> None:
    """Write tables to standard output. Colours are used only on a terminal."""
    console = Console(highlight=False, markup=False, emoji=False)
    # rich must not write to standard output itself: if the reader of a pipe has exited, rich ends the process
    # without a message (`rich.console.Console.on_broken_pipe`).
    with console.capture() as captured:
        console.print(view)
    # rich fills the lines of tables and of indented texts with spaces. These spaces would get into each copy.
    sys.stdout.write(_PADDING.sub(r"\1", captured.get()))


def printable(words: str) -> str:
    """Return the text with its control characters as escape sequences. Line breaks stay as they are.

    A control character in a text of other people, for example in an incoming message, could change the
    display of the terminal.
    """
    return "\n".join(map(visible, words.split("\n")))


def one_line(words: str) -> str:
    """Return the text on one line: white space becomes single spaces, control characters become escapes."""
    return printable(" ".join(words.split()))


def table(
    *columns: str, right: Sequence[str] = (), whole: Sequence[str] = (), title: str | None = None
) -> Table:
    """Return an empty table in the common style. In a narrow terminal, it becomes a list: see `FittingTable`.

    Args:
        columns: the headings of the columns of the table.
        right: the headings of the columns that are aligned to the right.
        whole: the headings of the columns that are never wrapped.
        title: the title above the table, or None.
    """
    made = FittingTable(title)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        made.add_column(column, justify=justify, no_wrap=column in whole, overflow="fold")
    return made


def state_text(state: State | int, *, brief: bool = False) -> Text:
    """Return the description of a state in the colour of the state's phase.

    Args:
        state: the state, or the number of a state that the contract does not define.
        brief: whether to return only the part before the first colon or comma.
    """
    description = describe(state)
    words = description.meaning.split(":")[0].split(",")[0] if brief else description.meaning
    return Text(words, style=_STYLES[description.phase])


def phase_text(phase: Phase) -> Text:
    """Return the name of a phase in the colour of the phase."""
    return Text(phase.value, style=_STYLES[phase])


def money(amount: Decimal | None) -> str:
    """Return an amount with at least two decimals, or "" for None.

    The text names no currency, because the contract does not name the currency.
    """
    if amount is None:
        return ""
    return max(f"{amount:f}", f"{amount:.2f}", key=len)


def time(moment: datetime | None) -> str:
    """Format a datetime in UTC as date and time without the fraction of a second. Return "" for None."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def balance_document(balance: Decimal) -> Document:
    """Return the balance as JSON data."""
    return {"balance": balance}


def balance_view(balance: Decimal) -> RenderableType:
    """Return the balance as text: only the amount."""
    return Text(money(balance))


def receipt_document(receipt: Receipt) -> Document:
    """Return a receipt as JSON data. Dates are in UTC.

    The phone number is not masked, because programs use the number to match receipts with recipients. The
    data does not contain the message text.
    """
    segmentation = segment(receipt.message.text)
    return {
        "destination_address": receipt.message.destination_address,
        "source_address": receipt.message.source_address,
        "segment_ids": receipt.segment_ids,
        "segments": len(receipt.segment_ids),
        "encoding": segmentation.encoding.value,
        "accepted_at": receipt.accepted_at,
    }


def receipt_view(receipt: Receipt) -> RenderableType:
    """Return the same tables as `receipts_view`, for one receipt."""
    return receipts_view([receipt])


def receipts_document(receipts: Sequence[Receipt]) -> Document:
    """Return receipts as JSON data, in the given order."""
    return {"receipts": [receipt_document(receipt) for receipt in receipts]}


def receipts_view(receipts: Sequence[Receipt]) -> RenderableType:
    """Return the number of accepted messages and segments, the encoding, and a table of the segment ids.

    The phone numbers in the table are masked.

    Args:
        receipts: at least one receipt; all messages have the same text.
    """
    segmentation = segment(receipts[0].message.text)
    ids = table("To", "Segment", "Segment id", whole=["Segment id"])
    for receipt in receipts:
        for index, segment_id in enumerate(receipt.segment_ids):
            to = "" if index else mask_number(receipt.message.destination_address).strip("'")
            ids.add_row(to, f"{index + 1}/{len(receipt.segment_ids)}", printable(segment_id))
    total = sum(len(receipt.segment_ids) for receipt in receipts)
    words = (
        f"accepted: {_count(len(receipts), 'message')}, {_count(total, 'segment')}, "
        f"{segmentation.encoding.value}"
    )
    return Group(Text(words), ids)


def state_document(state: SegmentState) -> Document:
    """Return the state of a segment as JSON data. Dates are in UTC; unknown values are null."""
    return {
        "segment_id": state.segment_id,
        "state": int(state.state),
        "state_name": state.state.name if isinstance(state.state, State) else None,
        "words": describe(state.state).meaning,
        "phase": state.phase.value,
        "is_final": state.is_final,
        "state_description": state.state_description,
        "price": state.price,
        "creation_date": state.creation_date,
        "submitted_date": state.submitted_date,
        "reported_date": state.reported_date,
        "time_stamp": state.time_stamp,
    }


def states_document(states: Sequence[SegmentState]) -> Document:
    """Return states as JSON data, in the given order."""
    return {"states": [state_document(state) for state in states]}


def states_view(states: Sequence[SegmentState]) -> RenderableType:
    """Return a table with one row for each segment."""
    whole = ["Segment id", "Reported, UTC"]
    rows = table("Segment id", "State", "Reported, UTC", "Price", right=["Price"], whole=whole)
    for state in states:
        rows.add_row(
            printable(state.segment_id),
            state_text(state.state),
            time(state.reported_date),
            money(state.price),
        )
    return rows


def incoming_document(messages: Sequence[IncomingMessage]) -> Document:
    """Return incoming messages as JSON data. Texts and numbers are complete and not masked."""
    return {"incoming": [_incoming(message) for message in messages]}


def incoming_view(messages: Sequence[IncomingMessage], title: str | None = None) -> RenderableType:
    """Return a table with one row for each incoming message. Without messages, return a line of text."""
    if not messages:
        return Text("no incoming messages")
    rows = table("Came in, UTC", "From", "To", "Text", title=title, whole=["Came in, UTC", "From", "To"])
    for message in messages:
        rows.add_row(
            time(message.creation_date),
            printable(message.source_address),
            printable(message.destination_address),
            printable(message.text),
        )
    return rows


def statistics_document(statistics: Statistics) -> Document:
    """Return the counts of Sms/Statistics as JSON data. A count that the gateway did not return is null."""
    counts = {name: getattr(statistics, name) for name in _COUNTS}
    return {**counts, "delivery_ratio": statistics.delivery_ratio}


def statistics_view(statistics: Statistics, title: str | None = None) -> RenderableType:
    """Return a table with a column for each count that the gateway returned."""
    known = {name: getattr(statistics, name) for name in _COUNTS if getattr(statistics, name) is not None}
    row = [str(count) for count in known.values()]
    heads = [name.replace("_", " ").capitalize() for name in known]
    if statistics.delivery_ratio is not None:
        heads.append("Ratio")
        row.append(f"{statistics.delivery_ratio:.2f}")
    rows = table(*heads, right=heads, title=title)
    rows.add_row(*row)
    return rows


def _incoming(message: IncomingMessage) -> Document:
    return {
        "id": message.id,
        "source_address": message.source_address,
        "destination_address": message.destination_address,
        "creation_date": message.creation_date,
        "text": message.text,
    }


def _write_json(document: Document, *, indent: int | None) -> None:
    sys.stdout.write(_json(document, indent=indent) + "\n")


def _json(document: Document, *, indent: int | None) -> str:
    # An encoding other than UTF-8 may lack characters of the document, so `json.dumps` writes all characters
    # outside ASCII as JSON escapes. The error handler `backslashreplace`, which `run` sets for standard
    # output, would write escapes that are not valid JSON.
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    text = json.dumps(document, default=_plain, ensure_ascii=encoding != "utf8", indent=indent)
    # An invisible character in a text of other people could change the display of the terminal. A program
    # that reads the JSON escape gets exactly the same character.
    return _INVISIBLE.sub(lambda match: json.dumps(match[0])[1:-1], text)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        # Write the amount as a string, because many programs read a JSON number as a binary float, which may
        # be inexact.
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"a document cannot hold {type(value).__name__}")
