"""A burst of 5,000 sends, all started at once by `asyncio.gather`."""

import asyncio

from benchmarks.contenders import AIOHTTP, CONTENDERS, FAST, HTTPX_DEFAULT, SLOW
from benchmarks.measure import Options, Stopwatch, Table, alternate

BURST = 5_000
# Each contender sends at most three bursts, because one burst over plain httpx takes ten seconds.
_ROUNDS = 3
# The highest number of open connections that httpx and aiohttp allow by default.
_DEFAULT_LIMIT = 100


async def _burst(name: str, url: str, count: int) -> float:
    """Send one burst of `count` messages with the contender `name`, and return the sends per second."""
    async with CONTENDERS[name](url, _DEFAULT_LIMIT) as send:
        await send("79030000000", "warm-up")
        watch = Stopwatch()
        ids = await asyncio.gather(*(send(f"7903{index:07}", f"Ваш код: {index}") for index in range(count)))
        seconds = watch.wall
    assert sum(map(len, ids)) == count
    return count / seconds


def run(url: str, options: Options) -> list[Table]:
    """Measure how many messages per second each contender sends in a burst."""
    count = BURST // options.scale
    table = Table(f"A burst of {count:,} sends by gather", "sends/s", reference=AIOHTTP)
    names = (FAST, SLOW, HTTPX_DEFAULT, AIOHTTP)
    runs = {name: lambda name=name: asyncio.run(_burst(name, url, count)) for name in names}
    for name, values in alternate(runs, min(options.rounds, _ROUNDS)).items():
        table.add(name, "sends/s", values)
    table.notes.append(
        "httpx by hand has a pool timeout of 120 s. With the default pool timeout of 5 s, a send fails if it "
        "waits longer than 5 s for a connection."
    )
    return [table]
