"""Runs the contenders (programs to compare) in turn, and makes tables with medians, ratios and goals."""

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
    """The options that determine how long the benchmarks run.

    Attributes:
        rounds: how many times each contender runs in a benchmark.
        seconds: the duration in seconds of one run of a contender, in benchmarks with a time limit.
        scale: the number by which a benchmark divides its normal number of messages, to run faster.
    """

    rounds: int = 5
    seconds: float = 0.4
    scale: int = 1


QUICK = Options(rounds=1, seconds=0.2, scale=10)


@attrs.frozen
class Goal:
    """A goal for one figure (measured number) of a table.

    Attributes:
        what: the description of the figure, for the printed goal.
        value: the figure that was measured.
        wanted: the limit with which the figure is compared.
        unit: the unit of the figure and of the limit, for example ``ms``; ``x`` for a ratio.
        at_least: whether the figure must be at least the limit. If false, the limit is a maximum.
    """

    what: str
    value: float
    wanted: float
    unit: str
    at_least: bool = True

    @property
    def is_met(self) -> bool:
        """Whether the measured figure meets the goal."""
        return self.value >= self.wanted if self.at_least else self.value <= self.wanted

    def __str__(self) -> str:
        bound = "at least" if self.at_least else "at most"
        unit = self.unit if self.unit == "x" else f" {self.unit}"
        verdict = "met" if self.is_met else "MISSED"
        return f"goal: {self.what}: {bound} {self.wanted:,g}{unit}, measured {short(self.value)}: {verdict}"


@attrs.define
class Table:
    """A table of benchmark results: one row for each contender, with a figure in each column.

    Attributes:
        title: the heading of the table.
        unit: the unit of the figures in the table, except the columns in `asides`.
        reference: the name of the contender with which the table compares the others; None: no comparison.
        higher_is_better: whether a higher figure is better. If true, the ratio is figure / reference figure.
            If false, the ratio is reference figure / figure.
        asides: the names of the columns that only explain the other columns. The plot and the ratios leave
            these columns out.
        rows: one figure that summarizes all rounds, for each contender and column.
        rounds: the list with the figure of each round, for each contender and column.
        goals: the goals for figures of the table, which `show` prints below the table.
        notes: lines of explanation, which `show` prints below the goals.
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
        """Add the figures that a contender reached in all rounds to a column of the table.

        Args:
            contender: the name of the contender, which is the name of its row.
            column: the name of the column for the figures.
            figures: the figure that the contender reached in each round.
            summary: the function that computes the printed figure from the figures of the rounds.
        """
        self.rounds.setdefault(contender, {})[column] = list(figures)
        self.rows.setdefault(contender, {})[column] = summary(figures)

    @property
    def columns(self) -> list[str]:
        """The names of the columns of the table, in the order in which the columns were added."""
        return list(dict.fromkeys(column for row in self.rows.values() for column in row))

    def ratio(self, contender: str, column: str, reference: str | None = None) -> float | None:
        """Compare a contender with the reference: return the median of the ratios of all rounds.

        The median of the ratios is more reliable than the ratio of the medians. Two contenders in the same
        round run under nearly the same load of the machine, but two medians may come from rounds with
        different loads.

        Args:
            contender: the name of the contender to compare.
            column: the name of the column with the figures to compare.
            reference: the name of the contender to compare with. None means `self.reference`.

        Returns:
            The ratio, which is above 1 if the contender is better than the reference; None if a figure of the
            contender or of the reference is missing or zero.
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
        """Return the contents of the table as a dictionary that can be written as JSON."""
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

    Because the contenders run in turn, a load of the machine that changes slowly affects all of them equally.

    Args:
        contenders: a dictionary from the name of each contender to a function that runs the contender.
        rounds: how many times the function of each contender runs.

    Returns:
        A dictionary from the name of each contender to the list of its results, one result for each round.
    """
    figures: dict[str, list[_Figure]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            # Collect the garbage of the previous contender now. A collection during the run of the next
            # contender would make that run longer.
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
