"""The result of ``track``: counts of messages by phase, the exit code, and a live table for a terminal."""

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
from smsapi_async.ledger import Ledger
from smsapi_async.states import Phase, describe
from smsapi_async.tracking import Delivery

_INTERVAL = 0.1
# The rate is the average over the last five seconds, because the live table takes one sample for each
# drawing, ten times per second.
_SAMPLES = 50


@attrs.define(kw_only=True)
class TrackingCounts:
    """The counts of the accepted messages of a ledger.

    Attributes:
        counts: the number of messages in each phase, including messages of earlier runs.
        failed_by_state: the number of failed messages for each state of the segment that failed.
        without_ids: the number of messages that cannot be followed, because the ledger does not contain their
            segment ids; `counts` leaves out the messages without segment ids.
        unknown_sends: the number of messages of the ledger that may or may not have been sent. They are not
            followed.
        finals: the number of messages that became final in this run.
        requests: the number of requests for a state in this run.
        is_interrupted: whether SIGINT, SIGTERM or SIGHUP stopped the run.
        is_time_over: whether the time of ``--for`` ended the run.
        halted: the error that stopped the run, or None.
    """

    counts: Counter[Phase] = attrs.field(factory=Counter)
    failed_by_state: Counter[int] = attrs.field(factory=Counter)
    without_ids: int = 0
    unknown_sends: int = 0
    finals: int = 0
    requests: int = 0
    is_interrupted: bool = False
    is_time_over: bool = False
    halted: SmsApiError | None = None

    async def enter(self, ledger: Ledger) -> None:
        """Replace the counts by the counts of an open ledger."""
        self.unknown_sends = (await ledger.summary()).unknown
        summary = await ledger.deliveries_summary()
        self.counts = Counter({phase: getattr(summary, phase.value) for phase in Phase})
        # The ledger contains no state of the `untracked` messages. If their segment ids are known,
        # `untracked` messages count as enroute.
        self.counts[Phase.ENROUTE] += summary.untracked - summary.without_ids
        self.failed_by_state = Counter(summary.failed_by_state)
        self.without_ids = summary.without_ids

    def take(self, delivery: Delivery) -> None:
        """Count the message of `delivery` if the message is final. Ignore other deliveries."""
        if not delivery.is_final:
            return
        self.finals += 1
        # Every message that is followed in this run was counted as enroute when the run began.
        self.counts[Phase.ENROUTE] -= 1
        self.counts[delivery.phase] += 1
        if delivery.failed_segment is not None:
            self.failed_by_state[int(delivery.failed_segment.state)] += 1

    @property
    def ending(self) -> str:
        """How the run ended: ``done``, ``interrupted`` (a signal), ``time over`` or ``halted`` (an error)."""
        if self.is_interrupted:
            return "interrupted"
        if self.halted is not None:
            return "halted"
        return "time over" if self.is_time_over and self.counts[Phase.ENROUTE] else "done"

    def failure(self) -> CommandFailure | None:
        """Return the exit code and the error line, or None if every message was sent and delivered."""
        if self.ending in {"interrupted", "halted"}:
            why = "interrupted" if self.halted is None else f"halted ({output.one_line(str(self.halted))})"
            line = f"{why}: {self._how_many()}; run `track` with the same ledger to continue"
            return CommandFailure(self._code_of_the_end(), line)
        if self.counts[Phase.UNKNOWN] or self.counts[Phase.ENROUTE] or self.unknown_sends:
            code = ExitCode.OUTCOME_UNKNOWN
        elif self.counts[Phase.FAILED]:
            code = ExitCode.REJECTED
        elif self.without_ids:
            code = ExitCode.IDS_UNATTRIBUTED
        else:
            return None
        advice = "; `smsapi-async ledger unknown` lists the unknown messages" if self.unknown_sends else ""
        if self.ending == "time over":
            why = "the time of --for is over"
            advice = f"; run `track` with the same ledger to continue{advice}"
        else:
            why = "done, but not all messages were delivered"
        return CommandFailure(code, f"{why}: {self._how_many()}{advice}")

    def _code_of_the_end(self) -> ExitCode:
        if self.is_interrupted or self.halted is None:
            return ExitCode.INTERRUPTED
        # The exit codes of ledger errors mean "not sent" or "no request was made", which is wrong for an
        # error that stops the tracking.
        is_of_ledger = isinstance(self.halted, LedgerError)
        return ExitCode.UNEXPECTED if is_of_ledger else explain(self.halted, in_doubt=False).code

    def _how_many(self) -> str:
        named = {phase.value: self.counts[phase] for phase in _ORDER}
        named["OUTCOME UNKNOWN (not followed)"] = self.unknown_sends
        named["that cannot be followed (segment ids not known)"] = self.without_ids
        return ", ".join(f"{count} {name}" for name, count in named.items() if count or name == "delivered")


# The order of the phases in the output.
_ORDER = (Phase.DELIVERED, Phase.FAILED, Phase.UNKNOWN, Phase.ENROUTE)


def tracking_document(following: TrackingCounts) -> Document:
    """Return the counts of the tracking as JSON data."""
    return {
        "ending": following.ending,
        **{phase.value: following.counts[phase] for phase in _ORDER},
        "failed_by_state": [
            {"state": state, "words": describe(state).meaning, "messages": count}
            for state, count in following.failed_by_state.most_common()
        ],
        "without_ids": following.without_ids,
        "unknown_sends": following.unknown_sends,
        "requests": following.requests,
    }


def tracking_view(following: TrackingCounts, rate: float | None = None) -> RenderableType:
    """Return the counts of the tracking as a table.

    Args:
        following: the counts of the tracking.
        rate: the number of messages that become final per second; None means that the rate is not shown.
    """
    rows = output.table("Delivery", "Messages", right=["Messages"])
    for phase in _ORDER:
        rows.add_row(output.phase_text(phase), f"{following.counts[phase]:,}")
        if phase is Phase.FAILED:
            for state, count in following.failed_by_state.most_common():
                rows.add_row(Text(f"  {describe(state).meaning}"), f"{count:,}")
    if following.without_ids:
        rows.add_row("cannot be followed", f"{following.without_ids:,}")
    if following.unknown_sends:
        rows.add_row("OUTCOME UNKNOWN, not followed", f"{following.unknown_sends:,}")
    words = f"requests of this run: {following.requests:,}"
    return Group(rows, "", Text(words if rate is None else f"{words}, final per second: {rate:,.1f}"))


class LiveTable:
    """A table on standard error that shows the current counts. Without a terminal, no table is shown.

    Enter the table as a context manager, and execute `run` in a task inside the block.

    Args:
        following: the counts of the tracking, which change during the run.
    """

    def __init__(self, following: TrackingCounts) -> None:
        console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
        self._following = following
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)
        self._is_shown = console.is_terminal
        # `run` draws the table in the event loop, because with `auto_refresh` a thread of rich would read the
        # counts while the event loop changes the counts.
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
        """Draw the table ten times per second until cancelled. Without a terminal, return at once."""
        while self._is_shown:
            self._live.update(tracking_view(self._following, self._rate()), refresh=True)
            await anyio.sleep(_INTERVAL)

    def _rate(self) -> float:
        """Return the number of messages that became final per second, averaged over the samples."""
        self._samples.append((monotonic(), self._following.finals))
        (began, first), (now, last) = self._samples[0], self._samples[-1]
        return (last - first) / (now - began) if now > began else 0.0
