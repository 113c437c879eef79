"""Measures how late a timer of 1 ms (the heartbeat) fires while the same event loop sends messages."""

import asyncio
import statistics
from collections.abc import Callable, Coroutine, Iterator
from itertools import count
from time import perf_counter

import attrs

from benchmarks.batches import BATCHES, FAST_LEDGER, HTTPX, ledger_in_use, send_many
from benchmarks.contenders import AIOHTTP, CONTENDERS, FAST, HTTPX_DEFAULT, SLOW, client
from benchmarks.measure import Goal, Options, Table, alternate
from smsapi_async import Message
from smsapi_async.http.choice import Kind

BEAT = 0.001
# The goal for each contender: 99 % of the heartbeats must not be later than this number of milliseconds.
GOALS = {FAST: 4.0, FAST_LEDGER: 5.0}
TASKS = 50
NOTHING, RATE = "no sends", "messages/s"

# The type of a function that sends messages for a given time. The arguments are the base URL and the time in
# seconds; the function returns how many segment ids the responses contained.
Work = Callable[[str, float], Coroutine[None, None, int]]


@attrs.frozen
class Beats:
    """The measured delays of the heartbeat (a timer of 1 ms), and the message rate, in one round.

    Attributes:
        median: the median delay of the heartbeat, in milliseconds.
        percentile_99: the delay in milliseconds that 99 % of the heartbeats do not exceed.
        worst: the longest delay of the heartbeat, in milliseconds.
        rate: the number of messages that were sent per second.
    """

    median: float
    percentile_99: float
    worst: float
    rate: float


async def beside(work: Coroutine[None, None, int]) -> Beats:
    """Measure the delays of a heartbeat while `work` runs in the same event loop."""
    late: list[float] = []

    async def beat() -> None:
        while not done:
            began = perf_counter()
            await asyncio.sleep(BEAT)
            late.append((perf_counter() - began - BEAT) * 1000)

    done = False
    began = perf_counter()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(beat())
        ids = await work
        seconds = perf_counter() - began
        done = True  # the heartbeat that is still asleep ends after this line, and its delay also counts
    late.sort()
    return Beats(statistics.median(late), late[int(len(late) * 0.99)], late[-1], ids / seconds)


def _numbers(seconds: float) -> Iterator[str]:
    """Yield different phone numbers for the given number of seconds."""
    end = perf_counter() + seconds
    for index in count():
        if perf_counter() >= end:
            return
        yield f"7903{index:07}"


def _different_texts(http: Kind, *, with_ledger: bool = False) -> Work:
    async def work(url: str, seconds: float) -> int:
        async with client(url, http) as sms, ledger_in_use(with_ledger) as ledger:
            messages = (Message(number, f"Ваш код: {number}") for number in _numbers(seconds))
            return await send_many(sms, messages, ledger)

    return work


def _different_texts_by_hand(name: str) -> Work:
    async def work(url: str, seconds: float) -> int:
        recipients = _numbers(seconds)
        async with CONTENDERS[name](url, TASKS) as send:

            async def worker() -> int:
                return sum([len(await send(number, f"Ваш код: {number}")) for number in recipients])

            return sum(await asyncio.gather(*(worker() for _ in range(TASKS))))

    return work


def _one_text(name: str) -> Work:
    async def work(url: str, seconds: float) -> int:
        async with BATCHES[name](url) as send:
            return await send(_numbers(seconds))

    return work


async def _nothing(_: str, seconds: float) -> int:
    await asyncio.sleep(seconds)
    return 0


WORKS: dict[str, dict[str, Work]] = {
    "a batch of different texts is sent": {
        NOTHING: _nothing,
        FAST: _different_texts("asyncio"),
        SLOW: _different_texts("httpcore"),
        FAST_LEDGER: _different_texts("asyncio", with_ledger=True),
        HTTPX_DEFAULT: _different_texts_by_hand(HTTPX_DEFAULT),
        AIOHTTP: _different_texts_by_hand(AIOHTTP),
    },
    "one text is sent to many": {
        NOTHING: _nothing,
        **{name: _one_text(name) for name in (FAST, SLOW, FAST_LEDGER, HTTPX, AIOHTTP)},
    },
}


def run(url: str, options: Options) -> list[Table]:
    """Measure the delays of the heartbeat, once with different texts and once with the same text."""
    return [_table(title, works, url, options) for title, works in WORKS.items()]


def _table(title: str, works: dict[str, Work], url: str, options: Options) -> Table:
    table = Table(f"Delay of a heartbeat of 1 ms while {title}", "ms", higher_is_better=False, asides=(RATE,))
    seconds = options.seconds * 2
    runs = {name: lambda work=work: asyncio.run(beside(work(url, seconds))) for name, work in works.items()}
    for name, rounds in alternate(runs, options.rounds).items():
        table.add(name, "median", [beats.median for beats in rounds])
        table.add(name, "99 %", [beats.percentile_99 for beats in rounds])
        table.add(name, "worst", [beats.worst for beats in rounds], max)
        table.add(name, RATE, [beats.rate for beats in rounds])
        if name in GOALS:
            delay, goal = table.rows[name]["99 %"], GOALS[name]
            table.goals.append(Goal(f"{name}: 99 %", delay, goal, "ms", at_least=False))
    return table
