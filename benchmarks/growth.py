"""Memory and CPU as a batch grows: each size in a process of its own."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.batches import BATCHES
from benchmarks.contenders import FAST
from benchmarks.measure import Goal, Options, Stopwatch, Table, alternate

SIZES = (1_000, 10_000, 100_000, 1_000_000)
FLAT = 1.2
_ROUNDS = 3
# A small batch is repeated until so many messages are sent: its few milliseconds alone tell little.
_ENOUGH = 20_000


def _numbers(count: int) -> Iterator[str]:
    return (f"7903{index:07}" for index in range(count))


async def _batch(url: str, count: int) -> tuple[float, float]:
    """MiB at the peak, and microseconds of CPU a message."""
    times = max(_ENOUGH // count, 1)
    async with BATCHES[FAST](url) as send:
        await send(_numbers(1_000))
        watch = Stopwatch()
        for _ in range(times):
            assert await send(_numbers(count)) == count
        return _peak(), watch.cpu / count / times * 1e6


def _peak() -> float:
    # Linux counts what the parent had before the exec into getrusage's maximum.
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    import resource  # noqa: PLC0415 - Windows has none

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1024**2 if sys.platform == "darwin" else 1024
    )


def _in_a_process(url: str, size: int) -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.growth", url, str(size)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=120)  # noqa: S603
    memory, cpu = json.loads(answer.stdout)
    return memory, cpu


def run(url: str, options: Options) -> list[Table]:
    """Peak memory of the process, and CPU a message."""
    memory = Table("Peak memory of the process, by messages of the batch", "MiB", higher_is_better=False)
    work = Table("CPU a message, by messages of the batch", "µs", higher_is_better=False)
    sizes = [size for size in SIZES if size <= SIZES[-1] // options.scale]
    runs = {size: lambda size=size: _in_a_process(url, size) for size in sizes}
    figures = alternate({str(size): run for size, run in runs.items()}, min(options.rounds, _ROUNDS))
    for size in sizes:
        memory.add(FAST, f"{size:,}", [peak for peak, _ in figures[str(size)]])
        work.add(FAST, f"{size:,}", [cpu for _, cpu in figures[str(size)]])
    for table, smallest in ((memory, sizes[1]), (work, sizes[0])):
        row = table.rows[FAST]
        growth = row[f"{sizes[-1]:,}"] / row[f"{smallest:,}"]
        what = f"flat from {smallest:,} to {sizes[-1]:,}"
        table.goals.append(Goal(what, growth, FLAT, "x", at_least=False))
    return [memory, work]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_batch(sys.argv[1], int(sys.argv[2])))))
