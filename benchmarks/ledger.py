"""Measures what a ledger costs: batches with and without a ledger, the file size, and an early end."""

import asyncio
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

import attrs

from benchmarks.batches import RECIPIENTS_PER_REQUEST, TEXT, send_many
from benchmarks.contenders import client
from benchmarks.measure import Goal, Options, Stopwatch, Table, alternate
from smsapi_async import Message
from smsapi_async.ledger import Ledger

ONE_TEXT, DIFFERENT_TEXTS, UNSENT = 100_000, 20_000, 200_000
WITHOUT = "without a ledger"
ASCENDING, RANDOM = "numbers in ascending order", "numbers in random order"
RATE, BYTES = "messages/s", "bytes/message"
GOALS = {"one text": 0.35, "different texts": 0.5}
# The longest time, in seconds, in which a batch with 200,000 unsent messages ends.
LONGEST_END = 2.0

Make = Callable[[str], Message]


@attrs.frozen
class _Run:
    """The figures of one batch: the rate, and the size of the file of the ledger for each message."""

    rate: float
    size: float = 0.0


def _one_text(number: str) -> Message:
    return Message(number, TEXT)


def _different_text(number: str) -> Message:
    return Message(number, f"Ваш код: {number}")


def _one_of_many_texts(number: str) -> Message:
    # A chunk is full with 500 messages and then waits for a free task. With fewer messages, the batch goes on
    # to read.
    return Message(number, f"{TEXT} {int(number) // 100}")


def _numbers(count: int, *, shuffled: bool) -> list[str]:
    numbers = [f"7903{index:07}" for index in range(count)]
    if shuffled:
        random.Random(1).shuffle(numbers)
    return numbers


async def _send(url: str, make: Make, numbers: list[str], path: Path | None) -> _Run:
    async with client(url, "asyncio") as sms:
        # Send one request before the measurement, because the first request also opens a connection.
        await send_many(sms, [Message("79990000000", "warm")], None)
        messages: Iterator[Message] = map(make, numbers)
        if path is None:
            watch = Stopwatch()
            await send_many(sms, messages, None)
            return _Run(len(numbers) / watch.wall)
        async with Ledger.sqlite(path) as ledger:
            watch = Stopwatch()
            await send_many(sms, messages, ledger)
            seconds = watch.wall
    size = await asyncio.to_thread(lambda: path.stat().st_size)
    return _Run(len(numbers) / seconds, size / len(numbers))


def _in_a_new_file(url: str, make: Make, numbers: list[str]) -> _Run:
    with tempfile.TemporaryDirectory(prefix="smsapi-benchmark-") as directory:
        return asyncio.run(_send(url, make, numbers, Path(directory, "ledger.db")))


def _table(url: str, options: Options, what: str, make: Make, count: int) -> Table:
    table = Table(f"A batch with {what}, {count:,} messages", "", reference=WITHOUT, asides=(BYTES,))
    ascending, shuffled = _numbers(count, shuffled=False), _numbers(count, shuffled=True)
    runs: dict[str, Callable[[], _Run]] = {
        WITHOUT: lambda: asyncio.run(_send(url, make, ascending, None)),
        ASCENDING: lambda: _in_a_new_file(url, make, ascending),
        RANDOM: lambda: _in_a_new_file(url, make, shuffled),
    }
    for name, figures in alternate(runs, options.rounds).items():
        table.add(name, RATE, [figure.rate for figure in figures])
        if name != WITHOUT:
            table.add(name, BYTES, [figure.size for figure in figures])
            ratio = table.ratio(name, RATE) or 0.0
            table.goals.append(Goal(f"{name} / {WITHOUT}", ratio, GOALS[what], "x"))
    table.notes.append(
        f"A request has at most {RECIPIENTS_PER_REQUEST} recipients, and `max_in_flight` has its default. The"
        " file of the ledger is new, and `synchronous` is FULL."
    )
    return table


async def _leave_early(make: Make, count: int, path: Path) -> float:
    """Leave a batch after it has read `count` messages, and return the seconds until the block has ended."""

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    everything_read = asyncio.Event()

    def messages() -> Iterator[Message]:
        yield from map(make, _numbers(count, shuffled=False))
        everything_read.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/rest"
        async with client(url, "asyncio") as sms, Ledger.sqlite(path) as ledger:
            batch = sms.send_many(messages(), ledger=ledger, lookahead=count, linger=3600, grace=0)
            async with batch:
                await everything_read.wait()
                began = perf_counter()
            seconds = perf_counter() - began
            summary = await ledger.summary()
            assert summary.pending + summary.unknown == count, summary
    return seconds


def _ends(options: Options) -> Table:
    count = UNSENT // options.scale
    table = Table(f"The end of a batch with {count:,} unsent messages", "", higher_is_better=False)
    for what, make in {
        "100 recipients a text": _one_of_many_texts,
        "different texts": _different_text,
    }.items():
        seconds = []
        for _ in range(min(options.rounds, 3)):
            with tempfile.TemporaryDirectory(prefix="smsapi-benchmark-") as directory:
                seconds.append(asyncio.run(_leave_early(make, count, Path(directory, "ledger.db"))))
        table.add(what, "end, s", seconds)
        table.goals.append(Goal(what, table.rows[what]["end, s"], LONGEST_END, " s", at_least=False))
    return table


def run(url: str, options: Options) -> list[Table]:
    """Measure the cost of a ledger for one text and for different texts, and the time of an early end."""
    return [
        _table(url, options, "one text", _one_text, ONE_TEXT // options.scale),
        _table(url, options, "different texts", _different_text, DIFFERENT_TEXTS // options.scale),
        _ends(options),
    ]
