"""Counts the outcomes of a batch, and emits events with the counts."""

from collections.abc import Sequence
from itertools import count
from time import perf_counter

from smsapi_async.calls.event_hub import EventHub, name_of_error
from smsapi_async.observers import BatchProgress
from smsapi_async.outcomes import Accepted, Outcome, Rejected

# The shortest time between two events of a batch in seconds. An event for each request would cost a batch of
# single messages as much as both events of the request.
_INTERVAL = 0.05
# The number of outcomes that are counted together. To count each outcome by itself takes five times as long.
_GROUP = 64
# The numbers of the batches of this process.
_numbers = count(1)


class ProgressCounts:
    """Counts the outcomes of a batch. Without observers, nothing is counted.

    Args:
        hub: gives the events to the observers.

    Attributes:
        read: the number of messages that the batch has read.
        has_ended: whether the last event was emitted.
    """

    def __init__(self, hub: EventHub) -> None:
        self._hub = hub
        self._number = next(_numbers)
        self._began_at = self._next_at = perf_counter()
        self._accepted = 0
        self._rejected = 0
        self._unknown = 0
        self._recorded = 0
        self._segments = 0
        self._uncounted: list[Outcome] = []
        self.read = 0
        self.has_ended = False

    @property
    def is_active(self) -> bool:
        """Whether there is an observer."""
        return self._hub.is_active

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count the outcomes of one request, now or before the next event."""
        self._uncounted += outcomes
        if len(self._uncounted) >= _GROUP:
            self._count()

    def report(self, outcomes: Sequence[Outcome]) -> None:
        """Count the outcomes of one request, and emit the counts as `emit` does."""
        self.add(outcomes)
        # Most calls come a moment after an event. This check takes less time than a call of `emit`.
        if perf_counter() >= self._next_at:
            self.emit()

    def _count(self) -> None:
        # All messages of a request share their ids if the ids cannot be divided among the messages.
        shared: set[tuple[str, ...]] = set()
        for outcome in self._uncounted:
            self._recorded += outcome.recorded
            if isinstance(outcome, Accepted):
                self._accepted += 1
                if outcome.recorded:
                    continue
                if not outcome.unattributed:
                    self._segments += len(outcome.segment_ids)
                elif outcome.segment_ids not in shared:
                    self._segments += len(outcome.segment_ids)
                    shared.add(outcome.segment_ids)
            elif isinstance(outcome, Rejected):
                self._rejected += 1
            else:
                self._unknown += 1
        self._uncounted.clear()

    def emit(
        self, pending: int | None = None, *, has_ended: bool = False, error: BaseException | None = None
    ) -> None:
        """Emit the counts, unless the event before was a moment ago. The last event is always emitted.

        Args:
            pending: the number of messages in flight; None means the messages that were read and have no
                outcome yet.
            has_ended: whether this is the last event.
            error: the error for which the batch halted, or None.
        """
        if self._hub.is_active and not self.has_ended and (has_ended or perf_counter() >= self._next_at):
            self.has_ended = has_ended
            self._count()
            self._next_at = perf_counter() + _INTERVAL
            if pending is None:
                pending = self.read - self._accepted - self._rejected - self._unknown
            self._hub.emit(
                BatchProgress(
                    batch=self._number,
                    accepted=self._accepted,
                    rejected=self._rejected,
                    unknown=self._unknown,
                    recorded=self._recorded,
                    segments=self._segments,
                    pending=pending,
                    elapsed=perf_counter() - self._began_at,
                    has_ended=has_ended,
                    error_type=None if error is None else name_of_error(error),
                )
            )
