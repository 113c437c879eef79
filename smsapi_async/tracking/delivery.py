"""What is known of a message, put together from its segments."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

import attrs

from smsapi_async.models import Receipt, SegmentState
from smsapi_async.states import Phase, describe


@attrs.frozen
class Delivery:
    """A message as it stands.

    Attributes:
        receipt: the message and its segment ids.
        phase: delivered when every segment is; failed as soon as one segment is final and failed; unknown
            when the gateway no longer knows, or still does not know at the deadline; else pending.
        states: what the gateway last said of each segment, in the order of ``receipt.segment_ids``; None
            for a segment of which it has said nothing yet. A segment that the gateway has forgotten
            (state 255 after 48 hours) keeps its last state.
        is_final: whether nothing more follows about this message. At the deadline that is so in any phase.
        updated_at: when this became known here; aware, UTC.
    """

    receipt: Receipt
    phase: Phase
    states: tuple[SegmentState | None, ...]
    is_final: bool
    updated_at: datetime

    @property
    def price(self) -> Decimal | None:
        """The sum of the prices known; None while there is none."""
        prices = [state.price for state in self.states if state is not None and state.price is not None]
        return sum(prices, Decimal(0)) if prices else None

    @property
    def failed_segment(self) -> SegmentState | None:
        """The segment that failed: its ``segment_id`` and ``state`` say which and why; None unless failed."""
        for state in self.states:
            if state is not None and state.phase is Phase.FAILED:
                return state
        return None

    @property
    def reason(self) -> str | None:
        """Why the message failed, in the contract's words; None unless failed."""
        failed = self.failed_segment
        return None if failed is None else describe(failed.state).words

    @property
    def delivered_at(self) -> datetime | None:
        """When the last segment was delivered, by the gateway's dates; aware, UTC. None unless delivered."""
        if self.phase is not Phase.DELIVERED:
            return None
        dates = [state.reported_date or state.time_stamp for state in self.states if state is not None]
        return max((date for date in dates if date is not None), default=None)


class DeliverySink(Protocol):
    """Where deliveries are kept, such as a ledger."""

    async def record(self, deliveries: Sequence[Delivery]) -> None:
        """Keep deliveries, in order; a later one of the same message replaces an earlier one.

        After a cancellation the same deliveries may be recorded once more.
        """


def phase_of(states: Sequence[SegmentState | None], open_segments: int, *, at_the_end: bool) -> Phase:
    """The phase of a message.

    Args:
        states: what is known of each segment.
        open_segments: a bit for each segment that is still asked about; the others are final or forgotten.
        at_the_end: whether the deadline has come.
    """
    phases = [None if state is None else state.phase for state in states]
    if Phase.FAILED in phases:
        return Phase.FAILED
    if phases and all(phase is Phase.DELIVERED for phase in phases):
        return Phase.DELIVERED
    if not open_segments:
        return Phase.UNKNOWN
    if at_the_end and any(
        phase is Phase.UNKNOWN or (phase is not Phase.DELIVERED and not open_segments >> index & 1)
        for index, phase in enumerate(phases)
    ):
        return Phase.UNKNOWN
    return Phase.ENROUTE
