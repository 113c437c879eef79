"""Compares how fast the contenders send different texts, with 1 to 500 tasks that send at the same time."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import uvloop
from sms_devino.client import DevinoClient

from benchmarks.contenders import (
    AIOHTTP,
    AIOHTTP_UVLOOP,
    ALONE,
    CONTENDERS,
    FAST,
    FAST_UVLOOP,
    H11,
    HTTPX,
    HTTPX_DEFAULT,
    ON_UVLOOP,
    PEER,
    SLOW,
)
from benchmarks.measure import Goal, Options, Stopwatch, Table, alternate

CONCURRENCIES = (1, 10, 50, 500)
# The highest number of threads for sw-python-sms-devino, which becomes slower with more than 50 threads.
_THREADS = 50
GOALS = (
    (FAST, AIOHTTP, {50: 1.0, 500: 1.2}),
    (FAST_UVLOOP, AIOHTTP_UVLOOP, {50: 1.0, 500: 1.2}),
    (H11, SLOW, {1: 2.0, 10: 2.0, 50: 2.0}),
    (FAST, HTTPX, {50: 18.0, 500: 22.0}),
    (FAST, HTTPX_DEFAULT, {50: 18.0, 500: 22.0}),
    (SLOW, HTTPX, {50: 1.5, 500: 4.5}),
    (SLOW, HTTPX_DEFAULT, {50: 1.5, 500: 4.5}),
)
CLIENT_SHARE = 25.0
# The CPU time of the client above its transport is computed only for these numbers of tasks. With more than
# 10 tasks, the CPU times of the client and of the transport alone cannot be compared: the client has fewer
# requests in flight, because its default concurrency is 10.
_SAME_IN_FLIGHT = (1, 10)


async def _by_tasks(name: str, url: str, concurrency: int, seconds: float) -> tuple[float, float]:
    """Send messages with the contender `name` from `concurrency` tasks for `seconds` seconds.

    Returns:
        The sends per second, and the CPU time per send in microseconds.
    """
    sent = 0
    async with CONTENDERS[name](url, concurrency) as send:
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
    """Measure sw-python-sms-devino in the way in which `_by_tasks` measures the other contenders.

    The messages are sent by threads instead of tasks, because sw-python-sms-devino is synchronous.
    """
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
    """Measure the sends per second of each contender, and the CPU time of this process per send."""
    rates = Table("Sends of different texts, by number of tasks", "sends/s", reference=AIOHTTP)
    work = Table("CPU time per send, by number of tasks", "µs", reference=AIOHTTP, higher_is_better=False)
    for concurrency in CONCURRENCIES:

        def measured(name: str, concurrency: int = concurrency) -> tuple[float, float]:
            if name == PEER:
                return _by_threads(url, concurrency, options.seconds)
            run_in_loop = uvloop.run if name in ON_UVLOOP else asyncio.run
            return run_in_loop(_by_tasks(name, url, concurrency, options.seconds))

        runs = {name: lambda name=name: measured(name) for name in (*CONTENDERS, PEER)}
        for name, figures in alternate(runs, options.rounds).items():
            rates.add(name, str(concurrency), [rate for rate, _ in figures])
            work.add(name, str(concurrency), [cpu for _, cpu in figures])
    _judge(rates, work)
    return [rates, work]


def _judge(rates: Table, work: Table) -> None:
    for name, reference, goals in GOALS:
        for concurrency, goal in goals.items():
            ratio = rates.ratio(name, str(concurrency), reference) or 0.0
            rates.goals.append(Goal(f"{name} / {reference}, {concurrency} tasks", ratio, goal, "x"))
    for column in map(str, _SAME_IN_FLIGHT):
        share = work.rows[FAST][column] - work.rows[ALONE][column]
        what = f"CPU time of the client ({FAST}, minus {ALONE}), tasks: {column}"
        work.goals.append(Goal(what, share, CLIENT_SHARE, "µs", at_least=False))
    had = [
        rate * cpu / 1e6
        for column in ("50", "500")
        for rate, cpu in zip(rates.rounds[AIOHTTP][column], work.rounds[AIOHTTP][column], strict=True)
    ]
    rates.notes.append(
        f"With 50 and 500 tasks, {AIOHTTP} had {min(had):.0%} to {max(had):.0%} of its core. If this share "
        "is below 90 %, other programs ran on the same core, and only the CPU time per send is reliable."
    )
    rates.notes.append(
        "The contender httpx by hand does not limit its tasks with a semaphore, because most users do not "
        "use a semaphore; with a semaphore of about 10 it would be faster. By default, httpx has at most 100 "
        "connections, and at most 20 of these connections are idle. "
        f"sw-python-sms-devino has at most {_THREADS} threads."
    )
