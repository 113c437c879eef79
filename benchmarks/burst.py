"""A burst of 5,000 sends by gather, all begun at once."""

import asyncio

from benchmarks.contenders import AIOHTTP, FAST, HTTPX_DEFAULT, SLOW, WAYS
from benchmarks.measure import Options, Stopwatch, Table, alternate

BURST = 5_000
# By hand over httpx a burst takes ten seconds.
_ROUNDS = 3
# What users leave as it is, over httpx and over aiohttp.
_DEFAULT_LIMIT = 100


async def _burst(name: str, url: str, count: int) -> float:
    async with WAYS[name](url, _DEFAULT_LIMIT) as send:
        await send("79030000000", "warm-up")
        watch = Stopwatch()
        answers = await asyncio.gather(
            *(send(f"7903{index:07}", f"Ваш код: {index}") for index in range(count))
        )
        seconds = watch.wall
    assert sum(map(len, answers)) == count
    return count / seconds


def run(url: str, options: Options) -> list[Table]:
    """Sends a second over the whole burst."""
    count = BURST // options.scale
    table = Table(f"A burst of {count:,} sends by gather", "sends/s", reference=AIOHTTP)
    names = (FAST, SLOW, HTTPX_DEFAULT, AIOHTTP)
    runs = {name: lambda name=name: asyncio.run(_burst(name, url, count)) for name in names}
    for name, values in alternate(runs, min(options.rounds, _ROUNDS)).items():
        table.add(name, "sends/s", values)
    table.notes.append(
        "By hand over httpx with a pool timeout of 120 s: with the 5 s that it comes with, sends that wait "
        "longer for a connection fail."
    )
    return [table]
