"""The output of ``batch --dry-run``: a JSON document for programs, tables and lines for people."""

import unicodedata
from collections.abc import Sequence
from typing import get_args

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.batch.batch_view import bad_rows_document, bad_rows_view, skipped_document
from smsapi_async.cli.batch.costs import Costs, amount, costs_document
from smsapi_async.cli.batch.dry_run import DryRun, LedgerCounts
from smsapi_async.cli.batch.row_converter import RowMessage
from smsapi_async.cli.batch.text_counts import FEW_CHARACTERS, TextCounts, text_facts
from smsapi_async.cli.output import Document
from smsapi_async.ledger import MessageState
from smsapi_async.models import Encoding
from smsapi_async.privacy import mask_number

_COUNTRIES_SHOWN = 10
_CHARACTERS_SHOWN = 5
_STATES: tuple[MessageState, ...] = get_args(MessageState)
_NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}
_ORDINALS = {2: "second", 3: "third", 4: "fourth", 5: "fifth"}


def dry_run_document(counted: DryRun) -> Document:
    """Return the counts of a dry run as JSON data."""
    texts = counted.texts
    return {
        "notes": [output.one_line(note) for note in counted.notes],
        "messages": texts.messages,
        "segments": texts.segments,
        "messages_by_segments": {str(count): texts.by_segments[count] for count in sorted(texts.by_segments)},
        "encodings": {encoding.value: texts.encodings[encoding] for encoding in Encoding},
        "countries": dict(counted.countries.most_common()),
        "few_characters": FEW_CHARACTERS,
        "spills": {str(count): texts.spills[count] for count in sorted(texts.spills)},
        "forcing_ucs2": [
            {"character": character, "code_point": f"U+{ord(character):04X}", "messages": messages}
            for character, messages in texts.forcing.most_common()
        ],
        "forced_messages": texts.forced,
        "needless_segments": texts.needless,
        "skipped": skipped_document(counted.unsent),
        "duplicates": counted.unsent.skipped["duplicate"],
        **({} if counted.recorded is None else {"ledger": _recorded_document(counted.recorded)}),
        "costs": costs_document(counted.costs),
        "preview": [_message_document(message) for message in counted.preview],
        **bad_rows_document(counted.unsent.bad_rows, counted.unsent.first_bad),
    }


def dry_run_view(counted: DryRun) -> RenderableType:
    """Return the counts of a dry run as tables and lines. An empty line separates the parts."""
    parts: list[RenderableType] = [
        *_lines([output.one_line(note) for note in counted.notes]),
        _segments_view(counted.texts),
        *_lines(_sentences(counted)),
        *_recorded_view(counted.recorded, counted.texts.messages),
        *_costs_view(counted.costs),
        *_preview_view(counted.preview),
        # `bad_rows_view` begins with an empty line.
        *bad_rows_view(counted.unsent.bad_rows, counted.unsent.first_bad)[1:],
        "nothing was sent",
    ]
    return Group(parts[0], *(each for part in parts[1:] for each in ("", part)))


def _lines(lines: Sequence[str]) -> list[RenderableType]:
    return [Text("\n".join(lines))] if lines else []


def _segments_view(texts: TextCounts) -> RenderableType:
    heads = ["Segments each", "Messages", "Segments"]
    rows = output.table(*heads, right=heads)
    for count in sorted(texts.by_segments):
        messages = texts.by_segments[count]
        rows.add_row(str(count), f"{messages:,}", f"{count * messages:,}")
    rows.add_row("all", f"{texts.messages:,}", f"{texts.segments:,}", style="bold")
    return rows


def _sentences(counted: DryRun) -> list[str]:
    encodings = counted.texts.encodings
    kinds = ", ".join(f"{encoding.value}: {encodings[encoding]:,}" for encoding in Encoding)
    lines = [f"{kinds} messages"]
    countries = counted.countries.most_common()
    if countries:
        shown = [f"{country} {messages:,}" for country, messages in countries[:_COUNTRIES_SHOWN]]
        rest = countries[_COUNTRIES_SHOWN:]
        if rest:
            shown.append(f"{len(rest)} more countries {sum(messages for _, messages in rest):,}")
        lines.append(f"countries: {', '.join(shown)}")
    lines += [_spill(count, messages) for count, messages in sorted(counted.texts.spills.items())]
    lines += _forcing(counted.texts)
    skipped = counted.unsent.skipped
    if skipped["duplicate"]:
        lines.append(f"rows that repeat an earlier row: {skipped['duplicate']:,} (not sent)")
    if skipped["excluded"]:
        lines.append(f"rows with a number of --exclude: {skipped['excluded']:,} (not sent)")
    return lines


def _spill(count: int, messages: int) -> str:
    """Return the sentence about the messages that are a little too long for one segment less."""
    verb = "spills" if messages == 1 else "spill"
    segment = f"a {_ORDINALS[count]} segment" if count in _ORDINALS else f"segment {count}"
    few = _NUMBERS.get(FEW_CHARACTERS, str(FEW_CHARACTERS))
    return f"{_count(messages, 'message')} {verb} into {segment} by {few} characters or fewer"


def _forcing(texts: TextCounts) -> list[str]:
    if not texts.forced:
        return []
    found = [character for character, _ in texts.forcing.most_common()]
    shown = " ".join(map(_shown, found[:_CHARACTERS_SHOWN]))
    more = f" and {len(found) - _CHARACTERS_SHOWN} more" if len(found) > _CHARACTERS_SHOWN else ""
    verb = "needs" if texts.forced == 1 else "need"
    noun = "character" if len(found) == 1 else "characters"
    line = f"{_count(texts.forced, 'message')} {verb} UCS-2 only because of the {noun} {shown}{more}"
    return [f"{line} ({_count(texts.needless, 'segment')} more)" if texts.needless else line]


def _shown(character: str) -> str:
    """Return the character, or its code point and name if the character is invisible."""
    # Characters of the Unicode categories C (control), Z (separator) and M (mark) are not visible on their
    # own.
    if unicodedata.category(character)[0] not in "CZM":
        return character
    name = unicodedata.name(character, "").lower()
    return f"U+{ord(character):04X}" + (f" ({name})" if name else "")


def _recorded_document(recorded: LedgerCounts) -> Document:
    return {
        **{state: recorded.states[state] for state in _STATES},
        "to_send": recorded.to_send,
        "segments_to_send": recorded.segments_to_send,
        "other_texts": recorded.other_texts,
    }


def _recorded_view(recorded: LedgerCounts | None, messages: int) -> list[RenderableType]:
    if recorded is None:
        return []
    rows = output.table("In the ledger", "Messages", right=["Messages"])
    for state in _STATES:
        if recorded.states[state]:
            rows.add_row(state, f"{recorded.states[state]:,}")
    verb = "remains" if recorded.to_send == 1 else "remain"
    segments = _count(recorded.segments_to_send, "segment")
    lines = [f"{recorded.to_send:,} of {_count(messages, 'message')} {verb} to send: {segments}"]
    if recorded.other_texts:
        lines.append(
            f"of these, to numbers that were already sent another text: {recorded.other_texts:,}"
            "\n(the batch sends them only with --again)"
        )
    shown: list[RenderableType] = [rows] if recorded.states else []
    return [*shown, *_lines(lines)]


def _costs_view(costs: Costs) -> list[RenderableType]:
    rows = output.table("Money", "Amount", right=["Amount"], whole=["Amount"])
    if costs.price is not None and costs.all_messages is not None and costs.to_send is not None:
        rows.add_row("price of a segment", amount(costs.price))
        rows.add_row("all messages", amount(costs.all_messages))
        if costs.segments_to_send != costs.segments:
            rows.add_row("messages that remain", amount(costs.to_send))
    if costs.balance is not None and costs.balance.amount is not None:
        rows.add_row("balance", amount(costs.balance.amount))
    if costs.short_by is not None:
        rows.add_row("short by", amount(costs.short_by), style="bold red")
    elif costs.left_after is not None:
        rows.add_row("balance after the batch", amount(costs.left_after))
    problem = None if costs.balance is None else costs.balance.problem
    notes = [] if problem is None else [f"the balance is not known: {output.one_line(problem)}"]
    return [*([rows] if rows.row_count else []), *_lines(notes)]


def _message_document(message: RowMessage) -> Document:
    segmentation = text_facts(message.text).segmentation
    return {
        "line": message.line,
        "destination_address": _masked(message),
        "segments": segmentation.count,
        "encoding": segmentation.encoding.value,
        "text": message.text,
    }


def _preview_view(preview: Sequence[RowMessage]) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for message in preview:
        segmentation = text_facts(message.text).segmentation
        facts = f"{_count(segmentation.count, 'segment')}, {segmentation.encoding.value}"
        head = f"line {message.line} to {_masked(message)}: {facts}"
        text = Padding(Text(output.printable(message.text)), (0, 0, 0, 2), expand=False)
        parts.append(Group(Text(head, style="bold"), text))
    return parts


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _masked(message: RowMessage) -> str:
    return mask_number(message.destination_address).strip("'")
