"""The counts of a batch, its exit code and its error line."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

import attrs

from smsapi_async.cli.batch.costs import Balance
from smsapi_async.cli.batch.other_texts import AnotherText
from smsapi_async.cli.batch.row_converter import SkippedRow
from smsapi_async.cli.exit_codes import CommandFailure, ExitCode, explain
from smsapi_async.cli.output import one_line
from smsapi_async.cli.tables.rows import BadRow
from smsapi_async.cli.tracking_counts import TrackingCounts
from smsapi_async.errors import BatchHalted, SmsApiError
from smsapi_async.outcomes import Accepted, Outcome, Rejected, Unknown

_BAD_ROWS_KEPT = 20


@attrs.define(kw_only=True)
class BatchCounts:
    """The counts of a batch.

    Attributes:
        ledger: the path of the ledger, or None.
        notes: sentences that say how the table was read, for example its encoding.
        total: the number of all rows; None if the rows were not counted before the run.
        counts: the number of rows for each class of outcome.
        recorded: the part of `counts` for which this run sent nothing: the ledger already had the outcome,
            or the row repeats another row.
        segments: the number of segments that were billed in this run.
        unattributed: the number of accepted rows for which only the segment ids of the whole request are
            known.
        bad_rows: the number of rows that cannot be sent.
        first_bad: the first bad rows, at most 20.
        skipped: the number of skipped rows for each cause.
        price: the price of a segment, or None.
        balance: the balance of the account after the sending; None if nobody asked for the balance.
        left: the number of rows that were read and have no outcome.
        is_interrupted: whether SIGINT, SIGTERM or SIGHUP stopped the batch.
        halted: the error that stopped the batch, or None.
        report_error: the error of a write to the report, or None.
        following: the counts of the tracking; None if the messages were not followed.
    """

    ledger: str | None = None
    notes: Sequence[str] = ()
    total: int | None = None
    counts: Counter[type[Outcome]] = attrs.field(factory=Counter)
    recorded: Counter[type[Outcome]] = attrs.field(factory=Counter)
    segments: int = 0
    unattributed: int = 0
    bad_rows: int = 0
    first_bad: list[BadRow] = attrs.field(factory=list)
    skipped: Counter[str] = attrs.field(factory=Counter)
    price: Decimal | None = None
    balance: Balance | None = None
    left: int = 0
    is_interrupted: bool = False
    halted: SmsApiError | None = None
    report_error: OSError | None = None
    following: TrackingCounts | None = None
    _shared_ids: tuple[str, ...] = ()

    def add(self, outcome: Outcome) -> None:
        """Count the outcome of one row."""
        self.counts[type(outcome)] += 1
        if outcome.recorded:
            self.recorded[type(outcome)] += 1
        if isinstance(outcome, Accepted):
            self.unattributed += outcome.unattributed
            # Count the segment ids only for the first of the unattributed messages of a request: the
            # unattributed messages of one request follow each other, and each message has all segment ids of
            # the request.
            is_counted = outcome.unattributed and outcome.segment_ids == self._shared_ids
            if outcome.unattributed:
                self._shared_ids = outcome.segment_ids
            if not (outcome.recorded or is_counted):
                self.segments += len(outcome.segment_ids)

    def add_unsent(self, row: BadRow | SkippedRow) -> None:
        """Count a row that cannot be sent or is skipped."""
        if isinstance(row, SkippedRow):
            self.skipped[row.cause] += 1
            return
        self.bad_rows += 1
        if len(self.first_bad) < _BAD_ROWS_KEPT:
            self.first_bad.append(row)

    @property
    def done(self) -> int:
        """The number of rows that have an outcome, are bad or were skipped."""
        return self.counts.total() + self.bad_rows + self.skipped.total()

    @property
    def has_sent(self) -> bool:
        """Whether the gateway accepted a message in this run."""
        return self.counts[Accepted] > self.recorded[Accepted]

    @property
    def spent(self) -> Decimal | None:
        """The cost of the segments that were billed in this run, or None without a price."""
        return None if self.price is None else self.price * self.segments

    @property
    def pending(self) -> int:
        """The number of rows that were not sent.

        If the rows were not counted before the run, `pending` counts only rows that were read.
        """
        return self.left if self.total is None else max(self.left, self.total - self.done)

    @property
    def ending(self) -> str:
        """How the sending ended: ``done``, ``interrupted`` (by a signal) or ``halted`` (by an error)."""
        if self.is_interrupted:
            return "interrupted"
        return "halted" if self.halted is not None or self.report_error is not None else "done"

    def failure(self) -> CommandFailure | None:
        """Return the exit code and the error line.

        Return None if every row was accepted and, if the messages were followed, every message was delivered.
        """
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
            return code_of_a_halt(self.halted)
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
            return f"halted, because the report could not be written ({self.report_error.strerror})"
        return "done, with problems"

    def _how_many(self) -> str:
        counts = {
            "accepted": self.counts[Accepted],
            "rejected": self.counts[Rejected],
            "OUTCOME UNKNOWN": self.counts[Unknown],
            "bad rows": self.bad_rows,
            "with segment ids that belong to several messages": self.unattributed,
        }
        words = [f"{count} {name}" for name, count in counts.items() if count or name == "accepted"]
        if self.ending != "done":
            at_least = "at least " if self.total is None else ""
            words.append(f"{at_least}{self.pending} not sent")
        return ", ".join(words)

    def _advice(self, code: ExitCode) -> str:
        advice = ""
        if self.ending != "done" and self.ledger is not None and not isinstance(self.halted, AnotherText):
            advice = "; run the same command with the same ledger to continue"
        if self.counts[Unknown] and self.ledger is not None:
            advice += "; `smsapi-async ledger unknown` lists the unknown messages"
        elif self.counts[Unknown] or code is ExitCode.IDS_UNATTRIBUTED:
            advice += "; do not send these messages again without a check"
        return advice


def code_of_a_halt(error: SmsApiError) -> ExitCode:
    """Return the exit code for an error that halted the sending."""
    if isinstance(error, AnotherText):
        return ExitCode.REJECTED
    code = explain(_cause(error), in_doubt=False).code
    # `BAD_INPUT` means "no request was made", which is wrong for an error during the run.
    return ExitCode.UNEXPECTED if code is ExitCode.BAD_INPUT else code


def _cause(error: SmsApiError) -> SmsApiError:
    return error.cause if isinstance(error, BatchHalted) else error
