"""The command ``ledger report``: write all messages of a ledger as CSV."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from anyio import to_thread

from smsapi_async.cli import csv_output, output
from smsapi_async.cli.ledger_results import check_file_exists
from smsapi_async.ledger import Ledger, Record

_HEADER = (
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
_ROWS_AT_ONCE = 500


async def write_report(path: str, target: str | None) -> None:
    """Write one row for each message of a ledger, without the text, in the order of the messages.

    Another process may write the ledger at the same time. Times are in UTC, in ISO 8601.

    Args:
        path: the path of the ledger file.
        target: the path of the file to write; None means standard output.

    Raises:
        ValidationError: if the ledger file does not exist, or the other file cannot be created.
        LedgerError: if the file cannot be read as a ledger.
        OutputFailed: if writing failed.
    """
    check_file_exists(path)
    async with Ledger.sqlite(path, read_only=True) as ledger:
        if target is None:
            await _write(ledger, sys.stdout)
            return
        inputs = [path, f"{path}-wal", f"{path}-shm", f"{path}-lock"]
        file = await to_thread.run_sync(csv_output.create, "--output", target, inputs)
        try:
            await _write(ledger, file)
        finally:
            # `_write` has flushed the file, or has already raised the error of a flush.
            with suppress(OSError):
                file.close()


async def _write(ledger: Ledger, file: IO[str]) -> None:
    rows: list[Sequence[object]] = [_HEADER]
    async for record in ledger.report():
        rows.append(_row(record))
        if len(rows) >= _ROWS_AT_ONCE:
            await _flush(file, rows)
            rows = []
    await _flush(file, rows)


async def _flush(file: IO[str], rows: Sequence[Sequence[object]]) -> None:
    try:
        await to_thread.run_sync(csv_output.write, file, rows)
    except OSError as error:
        raise output.OutputFailed(error) from None


def _row(record: Record) -> Sequence[object]:
    times = (record.sent_at, record.accepted_at, record.delivered_at)
    return (
        record.key,
        record.message.destination_address,
        record.state,
        "" if record.delivery is None else record.delivery.phase.value,
        output.one_line(record.reason),
        *("" if time is None else time.isoformat() for time in times),
        "" if record.price is None else f"{record.price:f}",
        " ".join(record.segment_ids),
    )
