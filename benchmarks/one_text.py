"""One text to 100,000 recipients, sent with `send_many` and with hand-written loops."""

import asyncio
import os
import tempfile
from statistics import median

from benchmarks.batches import BATCHES, LIMIT, PEER, RECIPIENTS_PER_REQUEST, WORKERS, numbers
from benchmarks.contenders import AIOHTTP, FAST
from benchmarks.measure import Goal, Options, Stopwatch, Table, alternate

RECIPIENTS = 100_000
# The least ratio of this package to each reference.
GOALS = {AIOHTTP: 0.4, PEER: 1.7}


async def _send_batch(name: str, url: str, count: int) -> float:
    """Send one batch to `count` recipients with the contender `name`. Return the recipients per second."""
    recipients = numbers(RECIPIENTS_PER_REQUEST, count)
    async with BATCHES[name](url) as send:
        # The first request also opens a connection. So this request is not measured.
        await send(numbers(0, RECIPIENTS_PER_REQUEST))
        watch = Stopwatch()
        ids = await send(recipients)
        seconds = watch.wall
    assert ids == count
    return count / seconds


def _fsync_milliseconds() -> float:
    """Measure one `fsync` of a page on the disk that holds the ledger, in milliseconds."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(4096))
        file.flush()
        watch = Stopwatch()
        os.fsync(file.fileno())
        return watch.wall * 1000


def run(url: str, options: Options) -> list[Table]:
    """Measure the recipients per second of all contenders."""
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
