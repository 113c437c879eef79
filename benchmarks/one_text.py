"""Compares `send_many` with hand-written loops that send one text to 100,000 recipients."""

import asyncio
import os
import tempfile
from statistics import median

from benchmarks.batches import BATCHES, LIMIT, PEER, RECIPIENTS_PER_REQUEST, WORKERS, numbers
from benchmarks.contenders import AIOHTTP, FAST
from benchmarks.measure import Goal, Options, Stopwatch, Table, alternate

RECIPIENTS = 100_000
# For each other contender: how many times the rate of that contender this package must reach.
GOALS = {AIOHTTP: 0.4, PEER: 1.7}


async def _send_batch(name: str, url: str, count: int) -> float:
    """Send one batch to `count` recipients with the contender `name`; return the recipients per second."""
    recipients = numbers(RECIPIENTS_PER_REQUEST, count)
    async with BATCHES[name](url) as send:
        # Send one request before the measurement, because the first request also opens a connection.
        await send(numbers(0, RECIPIENTS_PER_REQUEST))
        watch = Stopwatch()
        ids = await send(recipients)
        seconds = watch.wall
    assert ids == count
    return count / seconds


def _fsync_milliseconds() -> float:
    """Measure how many milliseconds one `fsync` of a page takes on the disk that holds the ledger."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(4096))
        file.flush()
        watch = Stopwatch()
        os.fsync(file.fileno())
        return watch.wall * 1000


def run(url: str, options: Options) -> list[Table]:
    """Measure to how many recipients per second each contender sends."""
    count = RECIPIENTS // options.scale
    table = Table(f"One text to {count:,} recipients", "recipients/s", reference=LIMIT)
    runs = {name: lambda name=name: asyncio.run(_send_batch(name, url, count)) for name in BATCHES}
    for name, values in alternate(runs, options.rounds).items():
        table.add(name, "recipients/s", values)
    for reference, goal in GOALS.items():
        ratio = table.ratio(FAST, "recipients/s", reference) or 0.0
        table.goals.append(Goal(f"{FAST} / {reference}", ratio, goal, "x"))
    table.notes.append(
        f"Each bulk has {RECIPIENTS_PER_REQUEST} recipients. Hand-written loops have {WORKERS} requests in "
        "flight; sw-python-sms-devino sends one request after another. The figures of smsapi-async include "
        "the construction of the messages. One fsync on the disk of the ledger takes "
        f"{median(_fsync_milliseconds() for _ in range(20)):.1f} ms."
    )
    return [table]
