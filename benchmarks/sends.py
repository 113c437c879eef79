"""Sends of different texts, at several concurrencies."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from sms_devino.client import DevinoClient

from benchmarks.contenders import AIOHTTP, ALONE, FAST, HTTPX, HTTPX_DEFAULT, PEER, SLOW, WAYS
from benchmarks.measure import Goal, Options, Stopwatch, Table, alternate

CONCURRENCIES = (1, 10, 50, 500)
# More threads than this make the peer slower, not faster.
_THREADS = 50
GOALS = (
    (FAST, AIOHTTP, {50: 0.6, 500: 0.8}),
    (FAST, HTTPX, {50: 5.0, 500: 12.0}),
    (FAST, HTTPX_DEFAULT, {50: 5.0, 500: 12.0}),
    (SLOW, HTTPX, {50: 1.5, 500: 4.5}),
    (SLOW, HTTPX_DEFAULT, {50: 1.5, 500: 4.5}),
)
OWN_SHARE = 40.0
# Above its concurrency the client has fewer requests in flight than its transport alone.
_SAME_IN_FLIGHT = (1, 10)


async def _by_tasks(name: str, url: str, concurrency: int, seconds: float) -> tuple[float, float]:
    """Sends a second, and microseconds of CPU a send, with so many tasks sending all the time."""
    sent = 0
    async with WAYS[name](url, concurrency) as send:
        await asyncio.gather(*(send("79030000000", "warm-up") for _ in range(min(concurrency, 50))))
        watch = Stopwatch()
        end = time.perf_counter() + seconds

        async def worker(number: int) -> None:
            nonlocal sent
            while time.perf_counter() < end:
                ids = await send(f"7903{number:03}{sent % 10000:04}", f"Ваш код: {number}-{sent}")
                assert len(ids) == 1
                sent += 1

        await asyncio.gather(*map(worker, range(concurrency)))
        return sent / watch.wall, watch.cpu / sent * 1e6


def _by_threads(url: str, concurrency: int, seconds: float) -> tuple[float, float]:
    """The same of the peer, which has nothing but threads."""
    workers = min(concurrency, _THREADS)
    peer = DevinoClient("login", "password", url)
    with ThreadPoolExecutor(workers) as threads:

        def worker(number: int) -> int:
            sent = 0
            while time.perf_counter() < end:
                to, text = f"7903{number:03}{sent % 10000:04}", f"Ваш код: {number}-{sent}"
                assert len(peer.send_one("ACME", to, text).sms_ids) == 1
                sent += 1
            return sent

        peer.send_one("ACME", "79030000000", "warm-up")
        watch = Stopwatch()
        end = time.perf_counter() + seconds
        sent = sum(threads.map(worker, range(workers)))
        return sent / watch.wall, watch.cpu / sent * 1e6


def run(url: str, options: Options) -> list[Table]:
    """Rates, and the CPU of this process a send."""
    rates = Table("Sends of different texts, by tasks that send at once", "sends/s", reference=AIOHTTP)
    work = Table("CPU a send, by tasks that send at once", "µs", reference=AIOHTTP, higher_is_better=False)
    for concurrency in CONCURRENCIES:

        def measured(name: str, concurrency: int = concurrency) -> tuple[float, float]:
            if name == PEER:
                return _by_threads(url, concurrency, options.seconds)
            return asyncio.run(_by_tasks(name, url, concurrency, options.seconds))

        runs = {name: lambda name=name: measured(name) for name in (*WAYS, PEER)}
        for name, figures in alternate(runs, options.rounds).items():
            rates.add(name, str(concurrency), [rate for rate, _ in figures])
            work.add(name, str(concurrency), [cpu for _, cpu in figures])
    _judge(rates, work)
    return [rates, work]


def _judge(rates: Table, work: Table) -> None:
    for name, reference, goals in GOALS:
        for concurrency, goal in goals.items():
            ratio = rates.ratio(name, str(concurrency), reference) or 0.0
            rates.goals.append(Goal(f"{name} / {reference}, at {concurrency}", ratio, goal, "x"))
    for column in map(str, _SAME_IN_FLIGHT):
        share = work.rows[FAST][column] - work.rows[ALONE][column]
        what = f"the client's own share ({FAST}, less {ALONE}), at {column}"
        work.goals.append(Goal(what, share, OWN_SHARE, "µs", at_least=False))
    had = [
        rate * cpu / 1e6
        for column in ("50", "500")
        for rate, cpu in zip(rates.rounds[AIOHTTP][column], work.rounds[AIOHTTP][column], strict=True)
    ]
    rates.notes.append(
        f"Of its core {AIOHTTP} had {min(had):.0%} to {max(had):.0%} at 50 and 500. Where that is below "
        "90 %, other programs ran there: then only the CPU a send can be trusted."
    )
    rates.notes.append(
        "By hand over httpx no semaphore stands before the pool: one of about 10 would help it, and users do "
        "not write one. Its own limits are 100 connections, 20 of them idle. The peer has "
        f"{_THREADS} threads at most."
    )
