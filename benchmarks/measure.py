"""Runs contenders in the order A B A B, and makes tables with medians, ratios and goals for the figures."""

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
    """The length of the benchmarks.

    Attributes:
        rounds: how many times each contender runs.
        seconds: how long each run of a contender takes, in benchmarks with a time limit.
        scale: the divisor of all counts, in benchmarks with a fixed number of messages.
    """

    rounds: int = 5
    seconds: float = 0.4
    scale: int = 1


QUICK = Options(rounds=1, seconds=0.2, scale=10)


@attrs.frozen
class Goal:
    """A limit for one figure of a table.

    Attributes:
        what: the name of the figure.
        value: the measured figure.
        wanted: the limit.
        unit: the unit of `value` and `wanted`. The unit of a ratio is ``x``.
        at_least: whether the limit is the lowest good figure. If false, the limit is the highest good figure.
    """

    what: str
    value: float
    wanted: float
    unit: str
    at_least: bool = True

    @property
    def is_met(self) -> bool:
        """Whether the measured figure is within the limit."""
        return self.value >= self.wanted if self.at_least else self.value <= self.wanted

    def __str__(self) -> str:
        bound = "at least" if self.at_least else "at most"
        unit = self.unit if self.unit == "x" else f" {self.unit}"
        verdict = "met" if self.is_met else "MISSED"
        return f"goal: {self.what}: {bound} {self.wanted:,g}{unit}, measured {short(self.value)}: {verdict}"


@attrs.define
class Table:
    """The figures of each contender in each column.

    Attributes:
        title: the heading.
        unit: the unit of every figure, except the figures in the columns of `asides`.
        reference: the contender with which the other contenders are compared, or None.
        higher_is_better: whether a higher figure is better. If true, a ratio is figure / reference. If false,
            a ratio is reference / figure.
        asides: the columns that only explain the other columns. These columns are not drawn and have no
            ratios.
        rows: the summary of the rounds, by contender and column.
        rounds: the figure of each round, by contender and column.
        goals: the goals, which are printed below the table.
        notes: the notes, which are printed below the goals.
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
        """Add the figures of all rounds of a contender.

        Args:
            contender: the name of the contender.
            column: the name of the column.
            figures: the figure of each round.
            summary: the function that computes the figure in the table from the figures of the rounds.
        """
        self.rounds.setdefault(contender, {})[column] = list(figures)
        self.rows.setdefault(contender, {})[column] = summary(figures)

    @property
    def columns(self) -> list[str]:
        """The columns of all rows, in the order in which they were added."""
        return list(dict.fromkeys(column for row in self.rows.values() for column in row))

    def ratio(self, contender: str, column: str, reference: str | None = None) -> float | None:
        """Compare a contender with the reference. The result is the median of the ratios of all rounds.

        Two contenders in the same round run within a few seconds, under nearly the same load of the machine.
        The medians of two contenders may come from rounds with different loads. So the ratio of the medians
        would be less reliable than the median of the ratios.

        Args:
            contender: the name of the contender.
            column: the name of the column.
            reference: the name of the reference. None means `self.reference`.

        Returns:
            The ratio, which is above 1 if the contender is better than the reference. None if a figure is
            missing or zero.
        """
        bases = self.rounds.get(reference or self.reference or "", {}).get(column, [])
        values = self.rounds.get(contender, {}).get(column, [])
        if len(bases) != len(values) or not all((*bases, *values)):
            return None
        ratio = statistics.median([value / base for value, base in zip(values, bases, strict=True)] or [0.0])
        return None if not ratio else ratio if self.higher_is_better else 1 / ratio

    def show(self) -> None:
        """Print the table, its goals and its notes."""
        width = max(map(len, self.rows), default=0)
        print(f"\n{self.title} [{self.unit}]")
        print(" " * width + "".join(f"{column:>{_CELL}}" for column in self.columns))
        for contender, row in self.rows.items():
            cells = (self._cell(contender, column, row) for column in self.columns)
            print(contender.ljust(width) + "".join(f"{cell:>{_CELL}}" for cell in cells))
        for line in (*map(str, self.goals), *self.notes):
            print(
                textwrap.fill(
                    line, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
                )
            )

    def _cell(self, contender: str, column: str, row: Mapping[str, float]) -> str:
        if column not in row:
            return "-"
        ratio = None if column in self.asides else self.ratio(contender, column)
        return short(row[column]) + ("" if ratio is None else f" ({short(ratio)}x)")

    def plain(self) -> dict[str, Any]:
        """Return the table as values that can be written as JSON."""
        goals = [{**attrs.asdict(goal), "is_met": goal.is_met} for goal in self.goals]
        return {**attrs.asdict(self), "goals": goals}


def short(value: float) -> str:
    """Format a number with about three significant digits."""
    decimals = (
        0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 or not value else 3
    )
    return f"{value:,.{decimals}f}"


def alternate(contenders: Mapping[str, Callable[[], _Figure]], rounds: int) -> dict[str, list[_Figure]]:
    """Run all contenders once, then all contenders again, and so on.

    With this order, a load of the machine that changes slowly affects all contenders equally.

    Args:
        contenders: the functions to run, by the name of the contender.
        rounds: how many times each function runs.

    Returns:
        The results of all rounds of each contender.
    """
    figures: dict[str, list[_Figure]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            # Without this call, the garbage of the previous contender could be collected during the run of
            # the next contender. This would increase the time of the next contender.
            gc.collect()
            figures[name].append(contender())
    return figures


class Stopwatch:
    """Measures the wall-clock time and the CPU time of this process since the creation of the stopwatch."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    @property
    def wall(self) -> float:
        """The wall-clock time since the creation of the stopwatch, in seconds."""
        return time.perf_counter() - self._wall

    @property
    def cpu(self) -> float:
        """The CPU time of all threads since the creation of the stopwatch, in seconds."""
        return time.process_time() - self._cpu
