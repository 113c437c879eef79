"""What a batch has come to: counts, and an exit code with its line."""

from collections import Counter

import attrs

from smsapi_async.cli.batch.rows import BadRow
from smsapi_async.cli.exit_codes import CommandFailure, ExitCode, explain
from smsapi_async.cli.output import one_line
from smsapi_async.cli.track_tally import TrackTally
from smsapi_async.errors import BatchHalted, SmsApiError
from smsapi_async.outcomes import Accepted, Outcome, Rejected, Unknown

_BAD_ROWS_KEPT = 20


@attrs.define(kw_only=True)
class Tally:
    """The counts of a batch.

    Attributes:
        ledger: its path, or None.
        total: all rows; None where they were not counted.
        counts: rows by the kind of their outcome.
        recorded: those of them whose outcome was in the ledger already, or that repeat another row.
        segments: what this run was billed for.
        unattributed: accepted rows whose segment ids cannot be told from those of others.
        bad_rows: how many rows could not be sent.
        first_bad: the first of them.
        left: rows that were read and have no outcome.
        is_interrupted: whether Ctrl-C ended it.
        halted: what ended it early, or None.
        report_error: why the report could not be written, or None.
        following: what became of the messages that were accepted; None where they were not followed.
    """

    ledger: str | None = None
    total: int | None = None
    counts: Counter[type[Outcome]] = attrs.field(factory=Counter)
    recorded: Counter[type[Outcome]] = attrs.field(factory=Counter)
    segments: int = 0
    unattributed: int = 0
    bad_rows: int = 0
    first_bad: list[BadRow] = attrs.field(factory=list)
    left: int = 0
    is_interrupted: bool = False
    halted: SmsApiError | None = None
    report_error: OSError | None = None
    following: TrackTally | None = None
    _shared_ids: tuple[str, ...] = ()

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.counts[type(outcome)] += 1
        if outcome.recorded:
            self.recorded[type(outcome)] += 1
        if isinstance(outcome, Accepted):
            self.unattributed += outcome.unattributed
            # The messages of one request come one after another, all with the ids of all.
            is_counted = outcome.unattributed and outcome.segment_ids == self._shared_ids
            if outcome.unattributed:
                self._shared_ids = outcome.segment_ids
            if not (outcome.recorded or is_counted):
                self.segments += len(outcome.segment_ids)

    def add_bad(self, row: BadRow) -> None:
        """Count a row that cannot be sent."""
        self.bad_rows += 1
        if len(self.first_bad) < _BAD_ROWS_KEPT:
            self.first_bad.append(row)

    @property
    def done(self) -> int:
        """Rows that are finished with."""
        return self.counts.total() + self.bad_rows

    @property
    def pending(self) -> int:
        """Rows that were not sent; of rows that were not counted, those that were read."""
        return self.left if self.total is None else max(self.left, self.total - self.done)

    @property
    def ending(self) -> str:
        """``done``, ``interrupted`` or ``halted``."""
        if self.is_interrupted:
            return "interrupted"
        return "halted" if self.halted is not None or self.report_error is not None else "done"

    def failure(self) -> CommandFailure | None:
        """The exit code and its line; None where each row was accepted and, if followed, delivered."""
        code = self._code()
        followed = None if self.following is None else self.following.failure()
        if code is ExitCode.DONE or (followed is not None and followed.code is ExitCode.INTERRUPTED):
            return followed
        return CommandFailure(code, f"{self._why()}: {self._how_many()}{self._advice(code)}")

    def _code(self) -> ExitCode:
        if self.is_interrupted:
            return ExitCode.INTERRUPTED
        if self.counts[Unknown]:
            return ExitCode.OUTCOME_UNKNOWN
        if self.halted is not None:
            code = explain(_cause(self.halted), in_doubt=False).code
            # Whatever is wrong, it was found in the middle of the run.
            return ExitCode.UNEXPECTED if code is ExitCode.BAD_INPUT else code
        if self.report_error is not None:
            return ExitCode.UNEXPECTED
        if self.counts[Rejected] or self.bad_rows:
            return ExitCode.REJECTED
        return ExitCode.IDS_UNATTRIBUTED if self.unattributed else ExitCode.DONE

    def _why(self) -> str:
        if self.is_interrupted:
            return "interrupted"
        if self.halted is not None:
            return f"halted ({one_line(str(_cause(self.halted)))})"
        if self.report_error is not None:
            return f"halted, since the report could not be written ({self.report_error.strerror})"
        return "done, but not for all"

    def _how_many(self) -> str:
        counts = {
            "accepted": self.counts[Accepted],
            "rejected": self.counts[Rejected],
            "OUTCOME UNKNOWN": self.counts[Unknown],
            "bad rows": self.bad_rows,
            "segment ids of others among their own": self.unattributed,
        }
        words = [f"{count} {name}" for name, count in counts.items() if count or name == "accepted"]
        if self.ending != "done":
            at_least = "at least " if self.total is None else ""
            words.append(f"{at_least}{self.pending} left unsent")
        return ", ".join(words)

    def _advice(self, code: ExitCode) -> str:
        advice = ""
        if self.ending != "done" and self.ledger is not None:
            advice = "; the same command with the same ledger goes on"
        if self.counts[Unknown] and self.ledger is not None:
            advice += "; for the unknown see `smsapi-async ledger unknown`"
        elif self.counts[Unknown] or code is ExitCode.IDS_UNATTRIBUTED:
            advice += "; do not send these again blindly"
        return advice


def _cause(error: SmsApiError) -> SmsApiError:
    return error.cause if isinstance(error, BatchHalted) else error
