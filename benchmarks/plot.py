"""Draws the tables of the benchmarks into one PNG file.

A table is drawn as lines if the names of all its columns are numbers. Any other table is drawn as bars if it
has one column, and as dots if it has several columns.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.measure import Goal, Table, short

# The colours of the contenders. Each key is the beginning of a contender's name. The first matching key is
# used, so that a longer key must come before a shorter key with the same beginning.
_COLOURS = {
    "smsapi-async, with ledger": "#17a2b8",
    "smsapi-async, httpcore": "#7fb3e6",
    "smsapi-async": "#0b4f9e",
    "import smsapi_async": "#7fb3e6",
    "from smsapi_async": "#0b4f9e",
    "httpx by hand, default": "#f4a261",
    "httpx by hand": "#d1495b",
    "aiohttp by hand": "#2a9d4a",
    "sw-python-sms-devino": "#8e6bbf",
    "asyncio transport alone": "#8a8a8a",
}
_OTHER = "#555555"
_MARKERS = ("o", "D", "X", "s")
_PANEL = (8.5, 4.0)


def draw(tables: Sequence[Table], file: Path) -> None:
    """Draw one panel for each table, two panels in a row, and write the picture to `file`."""
    across = min(len(tables), 2)
    down = -(-len(tables) // across)
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(_PANEL[0] * across, _PANEL[1] * down), layout="constrained")
        panels = list(figure.subplots(down, across, squeeze=False).flat)
        for axes, table in zip(panels, tables, strict=False):
            _panel(axes, table)
        for axes in panels[len(tables) :]:
            axes.remove()
        figure.savefig(file, dpi=110, format="png")


def _panel(axes: Axes, table: Table) -> None:
    columns = [column for column in table.columns if column not in table.asides]
    sense = "higher is better" if table.higher_is_better else "lower is better"
    axes.set_title(f"{table.title} [{table.unit}], {sense}", fontsize=10, loc="left")
    axes.grid(alpha=0.25)
    if all(column.replace(",", "").isdigit() for column in columns):
        _lines(axes, table, columns)
    elif len(columns) > 1:
        _dots(axes, table, columns)
    else:
        _bars(axes, table, columns[0])


def _lines(axes: Axes, table: Table, columns: list[str]) -> None:
    places = [int(column.replace(",", "")) for column in columns]
    for name, row in table.rows.items():
        dashed = "(upper bound)" in name or "alone" in name
        heights = [row[column] for column in columns]
        axes.plot(places, heights, "o--" if dashed else "o-", color=_colour(name), label=name, markersize=4)
    axes.set_xscale("log")
    axes.set_xticks(places, columns)
    axes.xaxis.set_minor_locator(NullLocator())
    if len(table.rows) > 1:
        axes.set_yscale("log")
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    else:
        axes.set_ylim(0, max(max(row.values()) for row in table.rows.values()) * 1.3)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def _dots(axes: Axes, table: Table, columns: list[str]) -> None:
    for place, (name, row) in enumerate(table.rows.items()):
        values = [row[column] for column in columns]
        axes.plot((min(values), max(values)), (place, place), color=_colour(name), alpha=0.3, linewidth=3)
        for marker, value in zip(_MARKERS, values, strict=False):
            axes.plot(value, place, marker, color=_colour(name), markersize=6)
    for marker, column in zip(_MARKERS, columns, strict=False):
        axes.plot([], [], marker, color=_OTHER, label=column)
    _rows(axes, table)
    wanted = {goal.wanted for goal in table.goals if goal.unit == table.unit}
    for value in wanted:
        axes.axvline(value, color=_OTHER, linestyle=":", label=f"goal: {value:,g}")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _bars(axes: Axes, table: Table, column: str) -> None:
    values = [row[column] for row in table.rows.values()]
    bars = axes.barh(range(len(values)), values, color=[_colour(name) for name in table.rows], height=0.7)
    names = list(table.rows)
    marks = {names.index(goal.what): goal for goal in table.goals if goal.what in names}
    for place, goal in marks.items():
        _mark(axes, place, goal)
    # Draw a white box behind each printed figure, so that the figure is readable if the line of a goal
    # crosses the figure.
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    axes.bar_label(bars, [short(value) for value in values], padding=3, fontsize=8, bbox=box)
    _rows(axes, table)
    axes.set_xlim(min(values) / 3, max(values) * 3)


def _mark(axes: Axes, place: int, goal: Goal) -> None:
    axes.plot((goal.wanted, goal.wanted), (place - 0.45, place + 0.45), ":", color="black", linewidth=2)


def _rows(axes: Axes, table: Table) -> None:
    axes.set_yticks(range(len(table.rows)), list(table.rows))
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    )
    axes.xaxis.set_minor_locator(NullLocator())


def _colour(name: str) -> str:
    return next((colour for start, colour in _COLOURS.items() if name.startswith(start)), _OTHER)
