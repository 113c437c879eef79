"""The progress bar of a batch on standard error. Without a terminal, no progress bar is shown."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import anyio
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_INTERVAL = 0.1
# On Ctrl-C, a terminal shows ^C after the progress bar. A bar of 28 columns keeps the line with ^C shorter
# than 80 columns, so that the terminal does not wrap the line.
_BAR_WIDTH = 28


class _Rate(ProgressColumn):
    """A column with the number of rows per second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")


class ProgressBar:
    """The progress bar of a batch.

    Enter the progress bar as a context manager, and execute `run` in a task inside the block.

    Attributes:
        done: the number of rows that have an outcome or are bad.

    Args:
        total: the number of all rows, or None if it is not known.
    """

    def __init__(self, total: int | None) -> None:
        console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
        self.done = 0
        self._is_hidden = False
        # `run` draws the progress bar in the event loop, because with `auto_refresh` rich would draw it in a
        # thread that slows the event loop down.
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=_BAR_WIDTH),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(compact=True),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("sending", total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, step: str) -> None:
        """Show the name of the current step."""
        self._progress.update(self._task, description=step)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Return a context manager that hides the progress bar, for example during a question."""
        self._progress.stop()
        self._is_hidden = True
        try:
            yield
        finally:
            self._is_hidden = False
            self._progress.start()

    async def run(self) -> None:
        """Draw the progress bar ten times per second until cancelled. Without a terminal, return at once."""
        while not self._progress.disable:
            if not self._is_hidden:
                self._progress.update(self._task, completed=self.done, refresh=True)
            await anyio.sleep(_INTERVAL)
