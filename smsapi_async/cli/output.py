"""What the commands print: JSON documents, and tables for people."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from smsapi_async.models import IncomingMessage, Receipt, SegmentState, Statistics
from smsapi_async.privacy import mask_number
from smsapi_async.protocol.segments import segment
from smsapi_async.states import Phase, State, describe

Document: TypeAlias = Mapping[str, Any]

_STYLES = {Phase.ENROUTE: "yellow", Phase.DELIVERED: "green", Phase.FAILED: "red", Phase.UNKNOWN: "magenta"}
_COUNTS = ("sent", "delivered", "errors", "in_process", "expired", "rejected", "total", "total_with_errors")


def write_json(document: Document) -> None:
    """One JSON document on standard output."""
    _write_json(document, indent=2)


def write_incoming_json(message: IncomingMessage) -> None:
    """A message as a JSON document on a line of its own."""
    _write_json(_incoming(message), indent=None)


def write_incoming_line(message: IncomingMessage) -> None:
    """A message on a line of its own: when it came in (UTC), from, to, text."""
    words = (time(message.creation_date), message.source_address, message.destination_address, message.text)
    sys.stdout.write("  ".join(map(one_line, words)) + "\n")


def write_view(view: RenderableType) -> None:
    """Tables on standard output; coloured only where that is a terminal."""
    console = Console(highlight=False, markup=False, emoji=False)
    # Written here and not by rich, which ends the process without a word where the reader has gone away.
    with console.capture() as captured:
        console.print(view)
    sys.stdout.write(captured.get())


def printable(words: str) -> str:
    """Words of others with their control characters as escapes, so that no message steers a terminal."""
    return "".join(
        character if character.isprintable() or character == "\n" else repr(character)[1:-1]
        for character in words
    )


def one_line(words: str) -> str:
    """Words for a line of their own."""
    return printable(" ".join(words.split()))


def table(
    *columns: str, right: Sequence[str] = (), whole: Sequence[str] = (), title: str | None = None
) -> Table:
    """An empty table in the style of this command line.

    Args:
        columns: their heads.
        right: those aligned to the right.
        whole: those whose words are never broken.
        title: above it.
    """
    made = Table(
        box=box.SIMPLE_HEAD,
        title=title,
        title_justify="left",
        title_style="bold",
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for column in columns:
        longest_word = max(map(len, column.split()))
        justify: Literal["left", "right"] = "right" if column in right else "left"
        made.add_column(
            column, justify=justify, no_wrap=column in whole, overflow="fold", min_width=longest_word
        )
    return made


def state_text(state: State | int, *, brief: bool = False) -> Text:
    """A state in words, in the colour of its phase."""
    description = describe(state)
    words = description.words.split(":")[0].split(",")[0] if brief else description.words
    return Text(words, style=_STYLES[description.phase])


def phase_text(phase: Phase) -> Text:
    """A phase in its colour."""
    return Text(phase.value, style=_STYLES[phase])


def money(amount: Decimal | None) -> str:
    """An amount with two decimals or more; the contract does not name the currency."""
    if amount is None:
        return ""
    return max(f"{amount:f}", f"{amount:.2f}", key=len)


def time(moment: datetime | None) -> str:
    """A moment to the second, in UTC."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def balance_document(balance: Decimal) -> Document:
    """``balance``."""
    return {"balance": balance}


def balance_view(balance: Decimal) -> RenderableType:
    """The amount alone."""
    return Text(money(balance))


def receipt_document(receipt: Receipt) -> Document:
    """A receipt with the number in full: programs match by it. The text is left out."""
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
    """``receipts_view`` of one."""
    return receipts_view([receipt])


def receipts_document(receipts: Sequence[Receipt]) -> Document:
    """``receipts``, in the order given."""
    return {"receipts": [receipt_document(receipt) for receipt in receipts]}


def receipts_view(receipts: Sequence[Receipt]) -> RenderableType:
    """How many messages were accepted, of how many segments, and the ids."""
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
    """One segment's state, as a number and in words."""
    return {
        "segment_id": state.segment_id,
        "state": int(state.state),
        "state_name": state.state.name if isinstance(state.state, State) else None,
        "words": describe(state.state).words,
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
    """``states``, in the order asked."""
    return {"states": [state_document(state) for state in states]}


def states_view(states: Sequence[SegmentState]) -> RenderableType:
    """A row for each segment."""
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
    """``incoming``, with texts and numbers in full: they are what was asked for."""
    return {"incoming": [_incoming(message) for message in messages]}


def incoming_view(messages: Sequence[IncomingMessage], title: str | None = None) -> RenderableType:
    """A row for each message."""
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
    """The counts; what the gateway left out is null."""
    counts = {name: getattr(statistics, name) for name in _COUNTS}
    return {**counts, "delivery_ratio": statistics.delivery_ratio}


def statistics_view(statistics: Statistics, title: str | None = None) -> RenderableType:
    """A column for each count that the gateway gave."""
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
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    text = json.dumps(document, default=_plain, ensure_ascii=encoding != "utf8", indent=indent)
    sys.stdout.write(text + "\n")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"a document cannot hold {type(value).__name__}")
