"""Rounds in the order A B A B, their medians, tables with ratios, and the goals they have to meet."""

import gc
import statistics
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import attrs

WIDTH = 110
_CELL = 17
_Figure = TypeVar("_Figure")


@attrs.frozen
class Options:
    """How long to measure.

    Attributes:
        rounds: how often each contender runs.
        seconds: for how long it runs, where time bounds it.
        scale: by what the counts are divided.
    """

    rounds: int = 5
    seconds: float = 0.4
    scale: int = 1


QUICK = Options(rounds=1, seconds=0.2, scale=10)


@attrs.frozen
class Goal:
    """What was wanted, and what came.

    Attributes:
        at_least: whether the wanted figure is the lowest that will do; else it is the highest.
    """

    what: str
    value: float
    wanted: float
    unit: str
    at_least: bool = True

    @property
    def is_met(self) -> bool:
        """Whether what came is good enough."""
        return self.value >= self.wanted if self.at_least else self.value <= self.wanted

    def __str__(self) -> str:
        bound = "at least" if self.at_least else "at most"
        unit = self.unit if self.unit == "x" else f" {self.unit}"
        verdict = "met" if self.is_met else "MISSED"
        return f"goal: {self.what}: {bound} {self.wanted:,g}{unit}, is {short(self.value)}: {verdict}"


@attrs.define
class Table:
    """Figures by contender and column: every round, and what they come to.

    Attributes:
        unit: of every figure in it, except in the columns named in `asides`.
        reference: the contender that the others are divided by, or None.
        higher_is_better: the sense of the ratio: how many times better than the reference.
        asides: columns that explain the others and are not drawn.
    """

    title: str
    unit: str
    reference: str | None = None
    higher_is_better: bool = True
    asides: tuple[str, ...] = ()
    rows: dict[str, dict[str, float]] = attrs.field(factory=dict)
    rounds: dict[str, dict[str, list[float]]] = attrs.field(factory=dict)
    goals: list[Goal] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)

    def add(
        self,
        contender: str,
        column: str,
        figures: Sequence[float],
        summary: Callable[[Sequence[float]], float] = statistics.median,
    ) -> None:
        """A contender's rounds; the table shows their median, or another summary."""
        self.rounds.setdefault(contender, {})[column] = list(figures)
        self.rows.setdefault(contender, {})[column] = summary(figures)

    @property
    def columns(self) -> list[str]:
        """Of all rows, in the order in which they came."""
        return list(dict.fromkeys(column for row in self.rows.values() for column in row))

    def ratio(self, contender: str, column: str, reference: str | None = None) -> float | None:
        """How many times better than the reference: the median of each round's own ratio.

        Neighbours in a round had much the same machine; the medians of either may not.
        """
        bases = self.rounds.get(reference or self.reference or "", {}).get(column, [])
        values = self.rounds.get(contender, {}).get(column, [])
        if len(bases) != len(values) or not all((*bases, *values)):
            return None
        ratio = statistics.median([value / base for value, base in zip(values, bases, strict=True)] or [0.0])
        return None if not ratio else ratio if self.higher_is_better else 1 / ratio

    def show(self) -> None:
        """Print it."""
        width = max(map(len, self.rows), default=0)
        print(f"\n{self.title} [{self.unit}]")
        print(" " * width + "".join(f"{column:>{_CELL}}" for column in self.columns))
        for contender, row in self.rows.items():
            cells = (self._cell(contender, column, row) for column in self.columns)
            print(contender.ljust(width) + "".join(f"{cell:>{_CELL}}" for cell in cells))
        for line in (*map(str, self.goals), *self.notes):
            print(textwrap.fill(line, WIDTH, initial_indent="  ", subsequent_indent="    "))

    def _cell(self, contender: str, column: str, row: Mapping[str, float]) -> str:
        if column not in row:
            return "-"
        ratio = None if column in self.asides else self.ratio(contender, column)
        return short(row[column]) + ("" if ratio is None else f" ({short(ratio)}x)")

    def plain(self) -> dict[str, Any]:
        """The same for JSON."""
        goals = [{**attrs.asdict(goal), "is_met": goal.is_met} for goal in self.goals]
        return {**attrs.asdict(self), "goals": goals}


def short(value: float) -> str:
    """Three figures of it, or all before the point."""
    decimals = (
        0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 or not value else 3
    )
    return f"{value:,.{decimals}f}"


def alternate(contenders: Mapping[str, Callable[[], _Figure]], rounds: int) -> dict[str, list[_Figure]]:
    """Each contender once, then each once more, so that a drift of the machine meets them all."""
    figures: dict[str, list[_Figure]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            gc.collect()  # nobody pays for what the one before left behind
            figures[name].append(contender())
    return figures


class Stopwatch:
    """Wall-clock and CPU seconds of this process since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    @property
    def wall(self) -> float:
        """Seconds on the clock."""
        return time.perf_counter() - self._wall

    @property
    def cpu(self) -> float:
        """Seconds of work, of all threads."""
        return time.process_time() - self._cpu
