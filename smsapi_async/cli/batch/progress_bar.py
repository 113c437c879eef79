"""The progress bar of a batch on standard error. Without a terminal, no progress bar is shown."""

import math
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from textwrap import wrap
from time import monotonic
from types import TracebackType
from typing import Self

import anyio
from rich.console import Console
from rich.live import Live
from rich.text import Text

from smsapi_async.cli.batch.batch_counts import BatchCounts
from smsapi_async.cli.batch.costs import amount
from smsapi_async.outcomes import Accepted, Rejected, Unknown

_INTERVAL = 0.1
# The rate is the average over the last 30 seconds, because `run` takes one sample in 0.1 seconds.
_SAMPLES = 300
_MARK = "━"
_NARROWEST_BAR, _WIDEST_BAR = 10, 28
# On Ctrl-C, a terminal shows ^C after the last line. With three free columns, the terminal does not wrap the
# line.
_FREE_COLUMNS = 3
_GAP = "  "


class ProgressBar:
    """The progress bar of a batch, the counts of the outcomes, and the money spent.

    Enter the progress bar as a context manager, and execute `run` in a task inside the block. No line is
    wider than the terminal: in a narrow terminal, the progress bar has more lines.

    Attributes:
        done: the number of rows that have an outcome, are bad or were skipped.

    Args:
        total: the number of all rows, or None if it is not known.
        counts: the counts of the batch, which change during the run; None if nothing is sent.
        price: the price of a segment, or None. Without the price, the segments are shown in place of the
            money.
    """

    def __init__(
        self, total: int | None, counts: BatchCounts | None = None, price: Decimal | None = None
    ) -> None:
        self.done = 0
        self._total = total
        self._counts = counts
        self._price = price
        self._step = "sending"
        self._shows_pace = True
        self._waits_until = 0.0
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)
        self._console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
        self._spinner = "-\\|/" if self._console.options.ascii_only else "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
        self._live: Live | None = None

    def __enter__(self) -> Self:
        self._show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hide()

    def begin(self, step: str, *, shows_pace: bool = True) -> None:
        """Show the name of the current step.

        Args:
            step: the name of the step.
            shows_pace: whether the rate and the time left are shown.
        """
        self._step = step
        self._shows_pace = shows_pace
        self._waits_until = 0.0

    def wait(self, seconds: float) -> None:
        """Show for `seconds` that the batch waits for the window."""
        self._waits_until = monotonic() + seconds

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Return a context manager that hides the progress bar, for example during a question."""
        self._hide()
        try:
            yield
        finally:
            self._show()

    async def run(self) -> None:
        """Draw the progress bar ten times per second until cancelled. Without a terminal, return at once."""
        while self._console.is_terminal:
            self._samples.append((monotonic(), self.done))
            if self._live is not None:
                self._live.refresh()
            await anyio.sleep(_INTERVAL)

    def _show(self) -> None:
        if not self._console.is_terminal:
            return
        # A `Live` that is started again would erase the lines above, because it would move the cursor to the
        # first line of its last drawing. `run` draws in the event loop, because with `auto_refresh` rich
        # would draw in a thread that slows the event loop down.
        self._live = Live(
            console=self._console,
            get_renderable=self._drawing,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
        )
        self._live.start()

    def _hide(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _drawing(self) -> Text:
        limit = max(self._console.width - _FREE_COLUMNS, 1)
        lines = [*self._progress(limit), *_lines(self._outcomes(), limit)]
        for line in lines:
            line.truncate(limit)
        return Text("\n", no_wrap=True, overflow="crop").join(lines)

    def _progress(self, limit: int) -> list[Text]:
        """Return the lines with the step, the bar, the number of rows, the rate and the time left."""
        waits = self._waits_until - monotonic()
        step = self._step if waits <= 0 else f"waiting {_duration(waits)} for the window"
        spinner = self._spinner[int(monotonic() / _INTERVAL) % len(self._spinner)]
        first, *more = wrap(step, max(limit - 2, 1)) or [""]
        lines = [Text.assemble(spinner, " ", first), *(Text(f"  {words}") for words in more)]
        total = "?" if self._total is None else f"{self._total:,}"
        parts = [Text(f"{self.done:>{len(total)},}/{total}")]
        # While the batch waits, no rows are sent, and the time left would be wrong.
        if waits <= 0 and self._shows_pace:
            parts += self._pace()
        if self._total is None:
            return [*lines[:-1], *_lines([lines[-1], *parts], limit)]
        # The bar has its least width until it gets the rest of its line.
        place = Text(_MARK * _NARROWEST_BAR)
        parts[0] = Text(" ").join([place, parts[0]])
        packed = _lines([lines[-1], *parts], limit)
        return [*lines[:-1], *(self._with_bar(line, place.plain, limit) for line in packed)]

    def _with_bar(self, line: Text, place: str, limit: int) -> Text:
        """Return the line with the bar at its place, if the line has the place and the bar fits."""
        at = line.plain.find(place)
        if at < 0:
            return line
        width = min(_NARROWEST_BAR + limit - line.cell_len, _WIDEST_BAR)
        if width < _NARROWEST_BAR:
            return line[at + len(place) + 1 :]
        return Text.assemble(line[:at], self._bar(width), line[at + len(place) :])

    def _bar(self, width: int) -> Text:
        share = min(self.done / self._total, 1.0) if self._total else 1.0
        full = int(share * width)
        mark = "-" if self._console.options.ascii_only else _MARK
        # Without colours, both parts of the bar would look the same.
        rest = " " if self._console.no_color or self._console.color_system is None else mark
        style = "bar.finished" if share == 1.0 else "bar.complete"
        return Text.assemble((mark * full, style), (rest * (width - full), "bar.back"))

    def _pace(self) -> list[Text]:
        """Return the rate and the time left, if they are known."""
        (began, first), (now, last) = (
            (self._samples[0], self._samples[-1]) if self._samples else [(0.0, 0)] * 2
        )
        rate = (last - first) / (now - began) if now > began else 0.0
        if rate <= 0:
            return []
        left = "" if self._total is None else f"left {_duration((self._total - self.done) / rate)}"
        words = [f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s", left]
        return [Text(each) for each in words if each]

    def _outcomes(self) -> list[Text]:
        """Return the number of rows for each outcome, and the money spent in this run."""
        if self._counts is None:
            return []
        styles = {Accepted: "green", Rejected: "red", Unknown: "magenta"}
        parts = []
        for kind, style in styles.items():
            count = self._counts.counts[kind]
            parts.append(Text(f"{kind.__name__.lower()} {count:,}", style=style if count else ""))
        segments = self._counts.segments
        words = f"segments {segments:,}"
        if self._price is not None:
            words = f"spent {amount(segments * self._price)}"
        return [*parts, Text(words)]


def _lines(parts: Sequence[Text], limit: int) -> list[Text]:
    """Join texts to lines that have at most `limit` columns, if no text alone is wider."""
    lines: list[list[Text]] = []
    width = 0
    for part in parts:
        if lines and width + len(_GAP) + part.cell_len <= limit:
            lines[-1].append(part)
            width += len(_GAP) + part.cell_len
        else:
            lines.append([part])
            width = part.cell_len
    return [Text(_GAP).join(line) for line in lines]


def _duration(seconds: float) -> str:
    """Return the duration as minutes and seconds (``1:20``), from an hour on with hours (``1:01:20``)."""
    minutes, rest = divmod(max(math.ceil(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
