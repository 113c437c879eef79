"""The line on standard error that shows a worker: its state and its counts."""

import sys
from time import monotonic
from types import TracebackType
from typing import Self

import anyio
from rich.console import Console
from rich.live import Live
from rich.text import Text

from smsapi_async.cli.output import one_line
from smsapi_async.ledger import Summary

_INTERVAL = 0.2
# With some free columns, a terminal does not wrap the line when it shows ^C.
_FREE_COLUMNS = 3
_GAP = "  "


class WorkerView:
    """Shows a worker: on a terminal as one line that changes, and otherwise each change of the state.

    Enter the view as a context manager, and execute `run` in a task inside the block.

    Attributes:
        counts: the number of messages for each outcome.
        queued: the number of messages in the queue, and whether there are more; None if it is not known.
        state: the state of the worker in one word.
    """

    def __init__(self) -> None:
        self.counts = Summary()
        self.queued: tuple[int, bool] | None = None
        self.state = "starting"
        self._words = ""
        self._console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
        self._spinner = "-\\|/" if self._console.options.ascii_only else "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
        self._live: Live | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether the view is one line that changes."""
        return self._console.is_terminal

    def __enter__(self) -> Self:
        if self.is_terminal:
            self._live = Live(
                console=self._console, get_renderable=self._line, auto_refresh=False, transient=True
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def show(self, state: str, words: str = "") -> None:
        """Show a new state.

        Args:
            state: the state in one word.
            words: more about the state.
        """
        if (state, words) == (self.state, self._words):
            return
        self.state, self._words = state, words
        if not self.is_terminal:
            sys.stderr.write(f"smsapi-async: {one_line(self._sentence)}\n")
            sys.stderr.flush()

    async def run(self) -> None:
        """Draw the line until cancelled. Without a terminal, return at once."""
        while self._live is not None:
            self._live.refresh()
            await anyio.sleep(_INTERVAL)

    @property
    def _sentence(self) -> str:
        return f"{self.state}: {self._words}" if self._words else self.state

    def _line(self) -> Text:
        counts = self.counts
        queued, has_more = self.queued or (0, False)
        parts = [
            Text(one_line(self._sentence), style="yellow" if self.state == "paused" else ""),
            Text(f"accepted {counts.accepted:,}", style="green" if counts.accepted else ""),
            Text(f"rejected {counts.rejected:,}", style="red" if counts.rejected else ""),
            Text(f"unknown {counts.unknown:,}", style="magenta" if counts.unknown else ""),
        ]
        if self.queued is not None:
            parts.append(Text(f"pending {queued:,}{'+' if has_more else ''}"))
        mark = self._spinner[int(monotonic() / _INTERVAL) % len(self._spinner)]
        line = Text.assemble(mark, " ", Text(_GAP).join(parts))
        line.truncate(max(self._console.width - _FREE_COLUMNS, 1))
        return line
