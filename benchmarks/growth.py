"""Measures the peak memory and the CPU time of batches of different sizes, each size in a new process."""

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
GROWTH_LIMIT = 1.2
_ROUNDS = 3
# The minimum number of messages in one run. A run repeats a small batch until this number is reached, because
# a single small batch takes only a few milliseconds.
_MESSAGES_AT_LEAST = 20_000


def _numbers(count: int) -> Iterator[str]:
    return (f"7903{index:07}" for index in range(count))


async def _send_batches(url: str, count: int) -> tuple[float, float]:
    """Send one or more batches of `count` messages.

    Returns:
        The peak memory in MiB, and the CPU time per message in microseconds.
    """
    times = max(_MESSAGES_AT_LEAST // count, 1)
    async with BATCHES[FAST](url) as send:
        await send(_numbers(1_000))
        watch = Stopwatch()
        for _ in range(times):
            assert await send(_numbers(count)) == count
        return _peak(), watch.cpu / count / times * 1e6


def _peak() -> float:
    """Return the peak memory of this process in MiB."""
    # On Linux, read the peak memory from `/proc`, because `ru_maxrss` of a child process also includes the
    # memory of the parent process before the exec.
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    import resource  # noqa: PLC0415 - Windows does not have this module

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1024**2 if sys.platform == "darwin" else 1024
    )


def _in_a_process(url: str, size: int) -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.growth", url, str(size)]
    process = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=120)  # noqa: S603
    memory, cpu = json.loads(process.stdout)
    return memory, cpu


def run(url: str, options: Options) -> list[Table]:
    """Measure the peak memory of the process and the CPU time per message, for several sizes of a batch."""
    memory = Table("Peak memory of the process, by messages in the batch", "MiB", higher_is_better=False)
    work = Table("CPU time per message, by messages in the batch", "µs", higher_is_better=False)
    sizes = [size for size in SIZES if size <= SIZES[-1] // options.scale]
    runs = {size: lambda size=size: _in_a_process(url, size) for size in sizes}
    figures = alternate({str(size): run for size, run in runs.items()}, min(options.rounds, _ROUNDS))
    for size in sizes:
        memory.add(FAST, f"{size:,}", [peak for peak, _ in figures[str(size)]])
        work.add(FAST, f"{size:,}", [cpu for _, cpu in figures[str(size)]])
    for table, smallest in ((memory, sizes[1]), (work, sizes[0])):
        row = table.rows[FAST]
        growth = row[f"{sizes[-1]:,}"] / row[f"{smallest:,}"]
        what = f"growth from {smallest:,} to {sizes[-1]:,} messages"
        table.goals.append(Goal(what, growth, GROWTH_LIMIT, "x", at_least=False))
    return [memory, work]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_send_batches(sys.argv[1], int(sys.argv[2])))))
