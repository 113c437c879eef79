"""One text to 100,000 recipients."""

import asyncio
import os
import tempfile
from statistics import median

from benchmarks.batches import AT_ONCE, BATCHES, FAST_LEDGER, LIMIT, WORKERS, numbers
from benchmarks.contenders import FAST
from benchmarks.measure import Goal, Options, Stopwatch, Table, alternate

RECIPIENTS = 100_000
GOALS = {FAST: 250_000, FAST_LEDGER: 50_000}


async def _batch(name: str, url: str, count: int) -> float:
    recipients = numbers(AT_ONCE, count)
    async with BATCHES[name](url) as send:
        await send(numbers(0, AT_ONCE))
        watch = Stopwatch()
        ids = await send(recipients)
        seconds = watch.wall
    assert ids == count
    return count / seconds


def _flush() -> float:
    """Milliseconds until a page of the ledger's disk is written for good."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(4096))
        file.flush()
        watch = Stopwatch()
        os.fsync(file.fileno())
        return watch.wall * 1000


def run(url: str, options: Options) -> list[Table]:
    """Recipients a second."""
    count = RECIPIENTS // options.scale
    table = Table(f"One text to {count:,} recipients", "recipients/s", reference=LIMIT)
    runs = {name: lambda name=name: asyncio.run(_batch(name, url, count)) for name in BATCHES}
    for name, values in alternate(runs, options.rounds).items():
        table.add(name, "recipients/s", values)
    for name, goal in GOALS.items():
        table.goals.append(Goal(name, table.rows[name]["recipients/s"], goal, "a second"))
    table.notes.append(
        f"Bulks of {AT_ONCE}; by hand {WORKERS} in flight, by the peer one after another. The package's "
        "figures contain the making of the messages. The ledger is on a disk whose fsync takes "
        f"{median(_flush() for _ in range(20)):.1f} ms."
    )
    return [table]
