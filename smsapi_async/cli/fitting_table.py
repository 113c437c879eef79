"""A table that breaks no words: in a narrow terminal, the table becomes a list of records."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

# A longer word, for example an address of a web page, does not make a column wider. The word is broken,
# unless its column must stay whole.
_LONGEST_WORD = 30
_INDENT = "  "


class FittingTable(Table):
    """A table that is as wide as its content, or as wide as the terminal.

    A column that must not be wrapped is as wide as its widest cell. Another column is at least as wide as its
    longest word. If these columns are too wide for the terminal, the table is printed as a list: each cell on
    a line of its own, after the heading of its column.

    Args:
        title: the title above the table, or None.
    """

    def __init__(self, title: str | None) -> None:
        super().__init__(
            box=box.SIMPLE_HEAD,
            title=title,
            title_justify="left",
            title_style="bold",
            show_edge=False,
            pad_edge=False,
            collapse_padding=True,
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Print the table in the width of the terminal."""
        columns = [_measured(console, options, column) for column in self.columns]
        for column, measure in zip(self.columns, columns, strict=True):
            column.width = measure.maximum
        free = options.update(width=sum(measure.maximum for measure in columns) + 100 * len(columns))
        borders = Table.__rich_measure__(self, console, free).maximum - sum(m.maximum for m in columns)
        widths = _fitting(columns, options.max_width - borders)
        if widths is None:
            yield from self._records(console, options.max_width)
            return
        for column, width in zip(self.columns, widths, strict=True):
            column.width = width
        yield from super().__rich_console__(console, options)

    def _records(self, console: Console, width: int) -> Iterator[Text]:
        if isinstance(self.title, str):
            yield Text(self.title, style="bold")
        cells = zip(*(column.cells for column in self.columns), strict=True)
        for index, (row, described) in enumerate(zip(self.rows, cells, strict=True)):
            if index:
                yield Text()
            for column, cell in zip(self.columns, described, strict=True):
                value = _text(cell)
                if value.plain.strip():
                    line = _record_line(console, _text(column.header).plain, value, width)
                    line.stylize_before(row.style or "")
                    yield line


def _record_line(console: Console, heading: str, value: Text, width: int) -> Text:
    """Return the heading and the value on one line, or the value on the lines below the heading."""
    label = Text(f"{heading}: ", style="dim")
    value = value.copy()
    value.plain = value.plain.strip()
    if "\n" not in value.plain and cell_len(label.plain) + value.cell_len <= width:
        return Text.assemble(label, value)
    label.rstrip()
    lines = value.wrap(console, max(width - len(_INDENT), 1))
    return Text("\n" + _INDENT).join([label, *lines])


def _measured(console: Console, options: ConsoleOptions, column: Column) -> Measurement:
    """Return the least and the natural width of the content of a column."""
    free = options.update(width=100_000)
    measures = [Measurement.get(console, free, _text(cell)) for cell in [column.header, *column.cells]]
    natural = max(measure.maximum for measure in measures)
    least = natural if column.no_wrap else min(max(each.minimum for each in measures), _LONGEST_WORD)
    return Measurement(least, natural)


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))


def _fitting(columns: Sequence[Measurement], width: int) -> list[int] | None:
    """Return the widths of the columns, or None if the least widths are too wide.

    Columns that need little more than their least width get it first. The others share the rest.
    """
    widths = [column.minimum for column in columns]
    rest = width - sum(widths)
    if rest < 0:
        return None
    order = sorted(range(len(columns)), key=lambda index: columns[index].span)
    for position, index in enumerate(order):
        more = min(columns[index].span, rest // (len(order) - position))
        widths[index] += more
        rest -= more
    return widths
