"""Compares two ways to send messages with different texts: `send_many`, and `send` in many tasks."""

import asyncio
from collections.abc import Iterator

from benchmarks.batches import send_many
from benchmarks.contenders import client
from benchmarks.measure import Goal, Options, Stopwatch, Table, alternate
from smsapi_async import Message

MESSAGES = 10_000
TASKS = 50
MANY, TASK = "send_many", f"send in {TASKS} tasks"
GOAL = 0.9


def _texts(count: int) -> Iterator[tuple[str, str]]:
    return ((f"7903{index:07}", f"Ваш код: {index}") for index in range(count))


async def _run(name: str, url: str, count: int) -> tuple[float, float]:
    """Send `count` messages. Return the messages per second, and the CPU time per message in microseconds."""
    async with client(url, "asyncio") as sms:
        await sms.send("79030000000", "warm-up")
        watch = Stopwatch()
        if name == MANY:
            sent = await send_many(sms, (Message(*each) for each in _texts(count)), None)
        else:
            texts, sent = _texts(count), 0

            async def worker() -> int:
                return sum([len((await sms.send(*each)).segment_ids) for each in texts])

            sent = sum(await asyncio.gather(*(worker() for _ in range(TASKS))))
        seconds, cpu = watch.wall, watch.cpu
    assert sent == count
    return count / seconds, cpu / count * 1e6


def run(url: str, options: Options) -> list[Table]:
    """Measure the messages per second with `send_many` and with `send`."""
    count = MESSAGES // options.scale
    table = Table(f"{count:,} different texts", "messages/s", reference=TASK, asides=("CPU µs",))
    runs = {name: lambda name=name: asyncio.run(_run(name, url, count)) for name in (MANY, TASK)}
    for name, figures in alternate(runs, options.rounds).items():
        table.add(name, "messages/s", [rate for rate, _ in figures])
        table.add(name, "CPU µs", [cpu for _, cpu in figures])
    ratio = table.ratio(MANY, "messages/s") or 0.0
    table.goals.append(Goal(f"{MANY} / {TASK}", ratio, GOAL, "x"))
    return [table]
