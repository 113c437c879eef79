"""The progress bar of a batch: on standard error, and only where that is a terminal."""

import sys
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
# Leaves room in 80 columns: the ^C that a terminal shows must not wrap into another line.
_BAR_WIDTH = 28


class _Rate(ProgressColumn):
    """Rows in a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")


class Meter:
    """Shows how far a batch has come.

    Attributes:
        done: rows that are finished with.

    Args:
        total: all rows, or None where that is not known.
    """

    def __init__(self, total: int | None) -> None:
        console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
        self.done = 0
        # A thread that draws would contend with the event loop; `run` draws.
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
        """Say what is being done."""
        self._progress.update(self._task, description=step)

    async def run(self) -> None:
        """Draw again and again, until cancelled."""
        while not self._progress.disable:
            self._progress.update(self._task, completed=self.done, refresh=True)
            await anyio.sleep(_INTERVAL)
