"""Measures the duration of an import: the run time of an interpreter with the import minus without it."""

import subprocess
import sys
from functools import partial

from benchmarks.measure import Goal, Options, Stopwatch, Table, alternate

ROUNDS = 5
GOAL = 1.8
EMPTY, REFERENCE = "pass", "import httpx"
OURS = ("import smsapi_async", "import smsapi_async; smsapi_async.AsyncSmsClient")
OTHERS = ("import aiohttp",)


def _milliseconds(statement: str) -> float:
    """Run a statement in a new Python process, and return the run time of the process in milliseconds."""
    watch = Stopwatch()
    # Do not pass a timeout to `subprocess.run`. With a timeout, `subprocess` checks in steps of up to 50 ms
    # whether the process has ended, so the measured time would be up to 50 ms too long.
    subprocess.run([sys.executable, "-c", statement], check=True)  # noqa: S603
    return watch.wall * 1000


def run(_: str, options: Options) -> list[Table]:
    """Measure the milliseconds that each import adds to the run time of an interpreter."""
    table = Table("Import, in a new interpreter", "ms", reference=REFERENCE, higher_is_better=False)
    statements = (EMPTY, REFERENCE, *OURS, *OTHERS)
    runs = {statement: partial(_milliseconds, statement) for statement in statements}
    # Do not use the time of the first run, because the first run is slower: it also writes the bytecode and
    # reads the files into the page cache.
    alternate(runs, 1)
    figures = alternate(runs, options.rounds * ROUNDS)
    for statement in statements[1:]:
        pairs = zip(figures[statement], figures[EMPTY], strict=True)
        table.add(statement, "ms", [whole - empty for whole, empty in pairs])
    for statement in OURS:
        ratio = 1 / (table.ratio(statement, "ms") or 1.0)
        table.goals.append(Goal(f"{statement} / {REFERENCE}", ratio, GOAL, "x", at_least=False))
    table.notes.append("The client imports httpx in a thread, when the client is entered.")
    return [table]
