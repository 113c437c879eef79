"""The commands ``ledger unknown`` and ``ledger rejected``: lists of messages, also in a file."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator

import attrs
from rich.console import Group, RenderableType
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.csv_output import Cell
from smsapi_async.cli.ledger_places import check_ledger_exists, files_of_ledger, ledger_at
from smsapi_async.cli.output import Document
from smsapi_async.cli.output_file import Target, in_blocks, write_table
from smsapi_async.ledger import Ledger, UnknownMessage
from smsapi_async.outcomes import Outcome, Rejected

# `ledger resolve --from` reads the columns key, sent and segment_ids. The ids of a whole request have a name
# of their own, because they are not the ids of one message.
_UNKNOWN_COLUMNS = (
    "number",
    "key",
    "sent_at",
    "request",
    "code",
    "reason",
    "request_segment_ids",
    "sent",
    "segment_ids",
)
_REJECTED_COLUMNS = ("number", "key", "sent_at", "code", "reason")


@attrs.define
class Written:
    """What a command has written to a file.

    Attributes:
        path: the path of the file.
        written: the number of messages in the file.
        without_number: the number of messages whose number the ledger does not have, because it is redacted.
    """

    path: str
    written: int = 0
    without_number: int = 0

    def add(self, number: str) -> None:
        """Count a message."""
        self.written += 1
        self.without_number += not number


async def show_unknown(path: str, target: Target | None, *, as_json: bool) -> Written | None:
    """Print the unknown messages of a ledger, page by page, or write them to a file.

    Another process may write the ledger at the same time. Messages that an ended process left in flight are
    unknown, too.

    Args:
        path: the path of the ledger file.
        target: the file to write; None means that the messages are printed.
        as_json: whether to print one JSON document in place of lines.

    Returns:
        What was written to the file; None if the messages were printed.

    Raises:
        ValidationError: if the ledger file does not exist, or the other file cannot be created.
        LedgerError: if the file cannot be read as a ledger.
        OutputFailed: if writing failed.
    """
    _check(target, path)
    async with ledger_at(path, read_only=True) as ledger:
        if target is not None:
            written = Written(target.path)
            await _write(target, _UNKNOWN_COLUMNS, _unknown_rows(ledger, written))
            return written
        if as_json:
            await output.write_json_list("unknown", _unknown_documents(ledger.unknown()))
            return None
        is_empty = True
        async for message in ledger.unknown():
            is_empty = False
            output.write_text(_unknown_lines(message))
        if is_empty:
            output.write_text("no message has an unknown outcome\n")
    return None


def written_document(written: Written) -> Document:
    """Return what was written to a file as JSON data."""
    return {"output": written.path, "written": written.written}


def unknown_view(written: Written) -> RenderableType:
    """Return the number of messages in the file, and what to do with the file."""
    if not written.written:
        return Text("no message has an unknown outcome; the file has only a header")
    words = (
        f"unknown messages in the file: {written.written:,}{_no_numbers(written)}\n"
        "write yes or no into the column sent, then run `smsapi-async ledger resolve LEDGER --from FILE`"
    )
    return Text(words)


@attrs.frozen(kw_only=True)
class RejectedCounts:
    """The rejected messages of a ledger.

    Attributes:
        counts: the number of messages for each pair of a code and a reason, the highest number first. The
            code is None for a message that was refused without a code.
        written: what was written to a file, or None.
    """

    counts: Counter[tuple[int | None, str]]
    written: Written | None = None


async def count_rejected(path: str, target: Target | None) -> RejectedCounts:
    """Count the rejected messages of a ledger by code and reason, and write them to a file.

    Another process may write the ledger at the same time.

    Args:
        path: the path of the ledger file.
        target: the file to write, or None.

    Raises:
        ValidationError: if the ledger file does not exist, or the other file cannot be created.
        LedgerError: if the file cannot be read as a ledger.
        OutputFailed: if writing failed.
    """
    _check(target, path)
    counts: Counter[tuple[int | None, str]] = Counter()
    async with ledger_at(path, read_only=True) as ledger:
        if target is None:
            async for outcome in ledger.outcomes(state="rejected"):
                _count(counts, outcome)
            return RejectedCounts(counts=counts)
        written = Written(target.path)
        await _write(target, _REJECTED_COLUMNS, _rejected_rows(ledger, written, counts))
        return RejectedCounts(counts=counts, written=written)


def rejected_document(rejected: RejectedCounts) -> Document:
    """Return the counts of rejected messages as JSON data."""
    by_code = [
        {"code": code, "reason": reason, "messages": count}
        for (code, reason), count in rejected.counts.most_common()
    ]
    written = {} if rejected.written is None else written_document(rejected.written)
    return {"rejected": rejected.counts.total(), "by_code": by_code, **written}


def rejected_view(rejected: RejectedCounts) -> RenderableType:
    """Return a table of the codes with their counts and reasons, and what to do next."""
    if not rejected.counts:
        return Text("no message was rejected")
    rows = output.table("Code", "Messages", "Reason", right=["Code", "Messages"])
    for (code, reason), count in rejected.counts.most_common():
        rows.add_row("" if code is None else str(code), f"{count:,}", Text(reason))
    code = next((code for (code, _), _ in rejected.counts.most_common() if code is not None), None)
    option = "" if code is None else f" --code {code}"
    advice = f"to send messages again: `smsapi-async ledger retry LEDGER{option}`, then the same batch"
    words = [Text(advice)]
    if rejected.written is not None:
        in_file = f"messages in the file: {rejected.written.written:,}{_no_numbers(rejected.written)}"
        words.insert(0, Text(in_file))
    return Group(rows, "", *words)


def _no_numbers(written: Written) -> str:
    return "; the ledger is redacted, so the file has no numbers" if written.without_number else ""


def _check(target: Target | None, ledger: str) -> None:
    check_ledger_exists(ledger)
    if target is not None:
        target.check(files_of_ledger(ledger))


async def _write(
    target: Target, columns: tuple[str, ...], blocks: AsyncGenerator[list[list[Cell]], None]
) -> None:
    try:
        await write_table(target, columns, blocks)
    except OSError as error:
        raise output.OutputFailed(error) from None


async def _unknown_rows(ledger: Ledger, written: Written) -> AsyncGenerator[list[list[Cell]], None]:
    async for messages in in_blocks(ledger.unknown()):
        yield [_unknown_cells(message, written) for message in messages]


def _unknown_cells(message: UnknownMessage, written: Written) -> list[Cell]:
    number = message.message.destination_address
    written.add(number)
    time = message.sent_at.isoformat()
    reason, ids = output.one_line(message.reason), " ".join(message.segment_ids)
    return [number, message.key, time, message.request, message.code, reason, ids, "", ""]


async def _rejected_rows(
    ledger: Ledger, written: Written, counts: Counter[tuple[int | None, str]]
) -> AsyncGenerator[list[list[Cell]], None]:
    async for outcomes in in_blocks(ledger.outcomes(state="rejected")):
        for outcome in outcomes:
            _count(counts, outcome)
            written.add(outcome.message.destination_address)
        yield await _rejected_cells(ledger, outcomes)


async def _rejected_cells(ledger: Ledger, block: list[Outcome]) -> list[list[Cell]]:
    """Return the cells of rejected messages. The ledger is asked for the times of the requests."""
    records = await ledger.records([outcome.key or "" for outcome in block])
    cells: list[list[Cell]] = []
    for outcome, record in zip(block, records, strict=True):
        at = None if record is None or record.sent_at is None else record.sent_at.isoformat()
        code, reason = _code_and_reason(outcome)
        cells.append([outcome.message.destination_address, outcome.key, at, code, reason])
    return cells


def _count(counts: Counter[tuple[int | None, str]], outcome: Outcome) -> None:
    counts[_code_and_reason(outcome)] += 1


def _code_and_reason(outcome: Outcome) -> tuple[int | None, str]:
    assert isinstance(outcome, Rejected)  # noqa: S101 - for the type checker
    return outcome.code, output.one_line(outcome.reason)


async def _unknown_documents(messages: AsyncIterator[UnknownMessage]) -> AsyncIterator[Document]:
    """Convert unknown messages to JSON data.

    A redacted ledger contains no phone numbers, so each `destination_address` is "". Keys and numbers are not
    masked, because programs use keys and numbers to match messages.
    """
    async for message in messages:
        yield {
            "key": message.key,
            "destination_address": message.message.destination_address,
            "request": message.request,
            "sent_at": message.sent_at,
            "code": message.code,
            "reason": message.reason,
            "segment_ids": message.segment_ids,
        }


def _unknown_lines(message: UnknownMessage) -> str:
    """Return two lines for an unknown message: the key, then what the vendor needs to find the message.

    The key has its own line, so that a user can copy the key. The number is not masked, because the vendor
    needs the number, and most keys contain the number.
    """
    # A redacted ledger does not contain the number of the recipient.
    number = message.message.destination_address
    words = [number] if number else []
    words += [f"{output.time(message.sent_at)} UTC", f"request {message.request}"]
    words += [f"code {message.code}"] if message.code is not None else []
    words += [message.reason] if message.reason else []
    if message.segment_ids:
        words.append(f"segment ids of the request: {' '.join(message.segment_ids)}")
    return f"{output.one_line(message.key)}\n    {output.one_line(', '.join(words))}\n"
