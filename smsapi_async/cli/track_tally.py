"""What has become of the messages of a ledger: counts, an exit code, a table that is live on a terminal."""

import sys
from collections import Counter, deque
from time import monotonic
from types import TracebackType
from typing import Self

import anyio
import attrs
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.exit_codes import CommandFailure, ExitCode, explain
from smsapi_async.cli.output import Document
from smsapi_async.errors import LedgerError, SmsApiError
from smsapi_async.ledger import DeliverySummary
from smsapi_async.states import Phase, describe
from smsapi_async.tracking import Delivery

_INTERVAL = 0.1
_SAMPLES = 50


@attrs.define(kw_only=True)
class TrackTally:
    """The counts of a ledger's messages that were accepted.

    Attributes:
        counts: messages by phase; also those of earlier runs.
        failed_by_state: the failed ones by the state of the segment that failed.
        without_ids: those that cannot be followed, in no phase.
        finals: how many became final in this run.
        requests: how many states this run asked for.
        is_interrupted: whether Ctrl-C ended it.
        halted: what ended it early, or None.
    """

    counts: Counter[Phase] = attrs.field(factory=Counter)
    failed_by_state: Counter[int] = attrs.field(factory=Counter)
    without_ids: int = 0
    finals: int = 0
    requests: int = 0
    is_interrupted: bool = False
    halted: SmsApiError | None = None

    def enter(self, summary: DeliverySummary) -> None:
        """Take over what a ledger has recorded."""
        self.counts = Counter({phase: getattr(summary, phase.value) for phase in Phase})
        self.counts[Phase.ENROUTE] += summary.untracked - summary.without_ids
        self.failed_by_state = Counter(summary.failed_by_state)
        self.without_ids = summary.without_ids

    def take(self, delivery: Delivery) -> None:
        """Count a message that has become final."""
        if not delivery.is_final:
            return
        self.finals += 1
        self.counts[Phase.ENROUTE] -= 1
        self.counts[delivery.phase] += 1
        if delivery.failed_segment is not None:
            self.failed_by_state[int(delivery.failed_segment.state)] += 1

    @property
    def ending(self) -> str:
        """``done``, ``interrupted`` or ``halted``."""
        if self.is_interrupted:
            return "interrupted"
        return "done" if self.halted is None else "halted"

    def failure(self) -> CommandFailure | None:
        """The exit code and its line; None where each message was delivered."""
        if self.ending != "done":
            why = "interrupted" if self.halted is None else f"halted ({output.one_line(str(self.halted))})"
            line = f"{why}: {self._how_many()}; `track` with the same ledger goes on"
            return CommandFailure(self._code_of_the_end(), line)
        if self.counts[Phase.UNKNOWN] or self.counts[Phase.ENROUTE]:
            code = ExitCode.OUTCOME_UNKNOWN
        elif self.counts[Phase.FAILED]:
            code = ExitCode.REJECTED
        elif self.without_ids:
            code = ExitCode.IDS_UNATTRIBUTED
        else:
            return None
        return CommandFailure(code, f"done, but not all were delivered: {self._how_many()}")

    def _code_of_the_end(self) -> ExitCode:
        if self.is_interrupted or self.halted is None:
            return ExitCode.INTERRUPTED
        # That of a ledger would say that something was not sent.
        is_of_ledger = isinstance(self.halted, LedgerError)
        return ExitCode.UNEXPECTED if is_of_ledger else explain(self.halted, in_doubt=False).code

    def _how_many(self) -> str:
        named = {phase.value: self.counts[phase] for phase in _ORDER}
        named["that cannot be followed, without ids of their own"] = self.without_ids
        return ", ".join(f"{count} {name}" for name, count in named.items() if count or name == "delivered")


_ORDER = (Phase.DELIVERED, Phase.FAILED, Phase.UNKNOWN, Phase.ENROUTE)


def following_document(following: TrackTally) -> Document:
    """The counts for programs."""
    return {
        "ending": following.ending,
        **{phase.value: following.counts[phase] for phase in _ORDER},
        "failed_by_state": [
            {"state": state, "words": describe(state).words, "messages": count}
            for state, count in following.failed_by_state.most_common()
        ],
        "without_ids": following.without_ids,
        "requests": following.requests,
    }


def following_view(following: TrackTally, rate: float | None = None) -> RenderableType:
    """The counts for people.

    Args:
        following: the counts.
        rate: how many messages become final in a second, where that is shown.
    """
    rows = output.table("Delivery", "Messages", right=["Messages"])
    for phase in _ORDER:
        rows.add_row(output.phase_text(phase), f"{following.counts[phase]:,}")
        if phase is Phase.FAILED:
            for state, count in following.failed_by_state.most_common():
                rows.add_row(Text(f"  {describe(state).words}"), f"{count:,}")
    if following.without_ids:
        rows.add_row("cannot be followed", f"{following.without_ids:,}")
    words = f"requests of this run: {following.requests:,}"
    return Group(rows, "", Text(words if rate is None else f"{words}, final in a second: {rate:,.1f}"))


class LiveTable:
    """Shows the counts again and again: on standard error, and only where that is a terminal.

    Args:
        following: the counts; they change meanwhile.
    """

    def __init__(self, following: TrackTally) -> None:
        console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
        self._following = following
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)
        self._is_shown = console.is_terminal
        # A thread that draws would read what is being changed; `run` draws.
        self._live = Live(console=console, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        if self._is_shown:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_shown:
            self._live.stop()

    async def run(self) -> None:
        """Draw again and again, until cancelled."""
        while self._is_shown:
            self._live.update(following_view(self._following, self._rate()), refresh=True)
            await anyio.sleep(_INTERVAL)

    def _rate(self) -> float:
        """Messages that became final in a second, over the last few seconds."""
        self._samples.append((monotonic(), self._following.finals))
        (began, first), (now, last) = self._samples[0], self._samples[-1]
        return (last - first) / (now - began) if now > began else 0.0
