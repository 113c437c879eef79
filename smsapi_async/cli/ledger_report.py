"""The command ``ledger report``: the messages of a ledger, or the rows of a table with their outcomes."""

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing

import attrs

from smsapi_async.cli import output
from smsapi_async.cli.batch.batch_run import BatchPlan, opened_table
from smsapi_async.cli.batch.exclusion import Exclusion
from smsapi_async.cli.batch.report_rows import ADDED, PENDING, ReportRow
from smsapi_async.cli.batch.report_table import Pair, ReportTable, records_of
from smsapi_async.cli.batch.row_converter import SkippedRow
from smsapi_async.cli.csv_output import Cell
from smsapi_async.cli.ledger_places import check_ledger_exists, files_of_ledger, ledger_at
from smsapi_async.cli.output import Document
from smsapi_async.cli.output_file import (
    ROWS_AT_ONCE,
    Target,
    in_blocks,
    print_table,
    write_table,
)
from smsapi_async.cli.tables.rows import BadRow, Table
from smsapi_async.ledger import Ledger, Record

_OWN_COLUMNS = (
    "key",
    "destination_address",
    "state",
    "delivery",
    "reason",
    "sent_at",
    "accepted_at",
    "delivered_at",
    "price",
    "segment_ids",
)
_NOT_FOUND = "the ledger does not have this message"


@attrs.frozen(kw_only=True)
class LedgerReport:
    """The arguments of ``ledger report``.

    Attributes:
        ledger: the path of the ledger file.
        target: the file to write; None means standard output.
        rows: the table whose rows are written, and the options that make messages of them; None means the
            messages of the ledger.
        is_masked: whether numbers are masked, and the columns of the table are left out.
        excel: whether standard output gets CSV in the form of Excel.
        as_json: whether standard output gets JSON.
    """

    ledger: str
    target: Target | None = None
    rows: BatchPlan | None = None
    is_masked: bool = False
    excel: bool = False
    as_json: bool = False


@attrs.define
class ReportCounts:
    """The counts of a report.

    Attributes:
        written: the number of rows in the report.
        messages: the number of rows that are messages, and not for example bad rows.
        not_found: the number of messages that are not in the ledger.
    """

    written: int = 0
    messages: int = 0
    not_found: int = 0


async def write_report(report: LedgerReport) -> ReportCounts | None:
    """Write the report. Another process may write the ledger at the same time. Times are in UTC, in ISO 8601.

    Returns:
        The counts of the report for ``--json``, if the report is in a file; otherwise None.

    Raises:
        ValidationError: if the ledger file does not exist, if the other file cannot be created, or if the
            table or an option cannot be used.
        LedgerError: if the file cannot be read as a ledger.
        OutputFailed: if writing failed.
    """
    check_ledger_exists(report.ledger)
    if report.target is not None:
        rows = [] if report.rows is None else report.rows.inputs
        report.target.check([*files_of_ledger(report.ledger), *rows])
    counts = ReportCounts()
    async with ledger_at(report.ledger, read_only=True) as ledger:
        if report.rows is None:
            await _write_messages(report, ledger, counts)
        else:
            await _write_rows(report, report.rows, ledger, counts)
    if counts.not_found:
        words = f"{counts.not_found:,} of {counts.messages:,} messages of the table are not in the ledger"
        sys.stderr.write(f"smsapi-async: {words}; pass the same text and options as to `batch`\n")
    return counts if report.as_json and report.target is not None else None


def report_document(counts: ReportCounts) -> Document:
    """Return the counts of a report as JSON data."""
    return attrs.asdict(counts)


async def _write_messages(report: LedgerReport, ledger: Ledger, counts: ReportCounts) -> None:
    """Write one row for each message of a ledger, without the text, in the order of the messages."""

    async def blocks() -> AsyncGenerator[list[list[Cell]], None]:
        async for records in in_blocks(ledger.report()):
            yield [_cells(record) for record in records]

    async def documents() -> AsyncIterator[Document]:
        async for record in ledger.report():
            yield _document(record)

    if report.as_json and report.target is None:
        await output.write_json_list("messages", documents())
    else:
        await _write(report, _OWN_COLUMNS, blocks(), counts)


async def _write_rows(report: LedgerReport, plan: BatchPlan, ledger: Ledger, counts: ReportCounts) -> None:
    """Write one row for each row of a table, in the order of the table."""
    async with opened_table(plan.recipients, plan.table) as table:
        exclusion = await plan.exclusion()
        found = _found(_pairs(plan, table, exclusion), ledger, counts, is_masked=report.is_masked)
        if report.as_json and report.target is None:
            await output.write_json_list("rows", _row_documents(found))
            return
        made = ReportTable([] if report.is_masked else table.columns)

        async def blocks() -> AsyncGenerator[list[list[Cell]], None]:
            async with aclosing(found):
                async for block in found:
                    yield [made.cells(row, record) for row, record in block]

        await _write(report, made.columns, blocks(), counts)


async def _write(
    report: LedgerReport,
    columns: Sequence[str],
    blocks: AsyncGenerator[list[list[Cell]], None],
    counts: ReportCounts,
) -> None:
    async def counted() -> AsyncGenerator[list[list[Cell]], None]:
        async with aclosing(blocks):
            async for block in blocks:
                counts.written += len(block)
                yield block

    try:
        if report.target is None:
            await print_table(columns, counted(), excel=report.excel)
        else:
            await write_table(report.target, columns, counted())
    except OSError as error:
        raise output.OutputFailed(error) from None


async def _pairs(plan: BatchPlan, table: Table, exclusion: Exclusion) -> AsyncGenerator[list[Pair], None]:
    """Yield the rows of a table in their order, in blocks."""
    block: list[Pair] = []

    async def take(row: BadRow | SkippedRow) -> None:
        message = row.message if isinstance(row, SkippedRow) else None
        block.append((ReportRow.of_unsent(source.place, row, has_ledger=True), message))

    source = plan.messages(table, exclusion, take)
    async for message in source:
        place = source.ended(message)
        row = ReportRow.of_message(place, message, has_ledger=True)
        block.append((attrs.evolve(row, why=_NOT_FOUND), message))
        if len(block) >= ROWS_AT_ONCE:
            yield block
            block = []
    yield block


async def _found(
    blocks: AsyncGenerator[list[Pair], None], ledger: Ledger, counts: ReportCounts, *, is_masked: bool
) -> AsyncGenerator[list[tuple[ReportRow, Record | None]], None]:
    """Yield the rows with what the ledger knows about them."""
    async with aclosing(blocks):
        async for pairs in blocks:
            records = await records_of(pairs, ledger)
            sendable = [row.outcome == PENDING for row, _ in pairs]
            counts.messages += sum(sendable)
            counts.not_found += sum(
                is_sendable and record is None for is_sendable, record in zip(sendable, records, strict=True)
            )
            rows = [row.masked() if is_masked else row for row, _ in pairs]
            yield list(zip(rows, records, strict=True))


async def _row_documents(
    blocks: AsyncGenerator[list[tuple[ReportRow, Record | None]], None],
) -> AsyncIterator[Document]:
    async with aclosing(blocks):
        async for block in blocks:
            for row, record in block:
                cells: Mapping[str, Cell] = dict(zip(ADDED, row.added_cells(record), strict=True))
                yield {"values": row.values, **{name: _plain(cell) for name, cell in cells.items()}}


def _plain(cell: Cell) -> Cell:
    return None if cell == "" else cell


def _document(record: Record) -> Document:
    return {
        "key": record.key,
        "destination_address": record.message.destination_address,
        "state": record.state,
        "delivery": None if record.delivery is None else record.delivery.phase.value,
        "reason": output.one_line(record.reason),
        "sent_at": record.sent_at,
        "accepted_at": record.accepted_at,
        "delivered_at": record.delivered_at,
        "price": record.price,
        "segment_ids": record.segment_ids,
    }


def _cells(record: Record) -> list[Cell]:
    document = _document(record)
    times = ("sent_at", "accepted_at", "delivered_at")
    shown = {name: document[name] and document[name].isoformat() for name in times}
    shown["segment_ids"] = " ".join(record.segment_ids)
    return [shown.get(name, document[name]) for name in _OWN_COLUMNS]
