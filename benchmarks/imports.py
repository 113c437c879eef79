"""What an import costs: whole new interpreters, less one that imports nothing."""

import subprocess
import sys
from functools import partial

from benchmarks.measure import Goal, Options, Stopwatch, Table, alternate

ROUNDS = 5
GOAL = 1.2
EMPTY, REFERENCE = "pass", "import httpx"
OURS = ("import smsapi_async", "from smsapi_async import AsyncSmsClient")
OTHERS = ("import aiohttp",)


def _milliseconds(statement: str) -> float:
    watch = Stopwatch()
    # No timeout: with one, the end is looked for in steps of up to 50 ms, which would be the figure.
    subprocess.run([sys.executable, "-c", statement], check=True)  # noqa: S603
    return watch.wall * 1000


def run(_: str, options: Options) -> list[Table]:
    """Milliseconds that the statement adds to the life of an interpreter."""
    table = Table("Import, in a new interpreter", "ms", reference=REFERENCE, higher_is_better=False)
    statements = (EMPTY, REFERENCE, *OURS, *OTHERS)
    runs = {statement: partial(_milliseconds, statement) for statement in statements}
    alternate(runs, 1)  # the bytecode is written, the files are in memory
    figures = alternate(runs, options.rounds * ROUNDS)
    for statement in statements[1:]:
        pairs = zip(figures[statement], figures[EMPTY], strict=True)
        table.add(statement, "ms", [whole - empty for whole, empty in pairs])
    for statement in OURS:
        ratio = 1 / (table.ratio(statement, "ms") or 1.0)
        table.goals.append(Goal(f"{statement} / {REFERENCE}", ratio, GOAL, "x", at_least=False))
    table.notes.append("Names are imported when they are asked for: the second of ours brings httpx with it.")
    return [table]
