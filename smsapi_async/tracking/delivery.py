"""The delivery of a message: the states of its segments, combined into one phase."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

import attrs

from smsapi_async.models import Receipt, SegmentState
from smsapi_async.privacy import steady_repr
from smsapi_async.states import Phase, describe


@steady_repr
@attrs.frozen
class Delivery:
    """The phase of one tracked message and the states of its segments.

    `AsyncSmsClient.track` returns a new delivery when a state or a price of the message changes.
    `AsyncSmsClient.wait_delivered` returns one delivery. A `Delivery` object itself never changes.

    The phase combines the states of all segments:

    - ``Phase.DELIVERED``: every segment is delivered.
    - ``Phase.FAILED``: at least one segment failed. `failed_segment` and `reason` describe the failure.
    - ``Phase.UNKNOWN``: no segment failed, and the gateway does not know the state of at least one segment.
      For such a segment, the gateway returned state 255 after 48 hours or state 99 at the deadline. A message
      gets the phase unknown only when its tracking ends.
    - ``Phase.ENROUTE``: the message is accepted, and its final state is not known yet. A message that is
      still enroute at the deadline keeps the phase enroute in its last delivery.

    State 255 means "not yet in the database" while the message is younger than 48 hours, and "no longer in
    the database" afterwards (contract, "States"). The 48 hours for which the gateway keeps a state start when
    the gateway accepts the message, or at ``send_date`` if ``send_date`` is later.

    To continue after a restart, pass the latest delivery of the message to `AsyncSmsClient.track`.

    Attributes:
        receipt: the receipt of the message, with the message and its segment ids.
        phase: the phase of the whole message.
        states: the last known state of each segment, in the order of ``receipt.segment_ids``. None means that
            the client has received no state yet, or only state 255 within the 48 hours. If the gateway
            returns state 255 after the 48 hours, the segment keeps its last known state; only a segment
            without a known state gets state 255.
        is_final: whether this delivery is the last delivery of the message. The delivery at the deadline is
            final in every phase. The delivery that `AsyncSmsClient.wait_delivered` returns at its timeout is
            not final: you can continue to track the message.
        updated_at: the time at which the client computed this delivery; aware, in UTC.
    """

    receipt: Receipt
    phase: Phase
    states: tuple[SegmentState | None, ...]
    is_final: bool
    updated_at: datetime

    @property
    def price(self) -> Decimal | None:
        """The sum of the prices that the gateway has reported so far for the segments.

        The price is None while no segment has a price. If only some segments have a price, the sum contains
        only the prices of these segments.
        """
        prices = [state.price for state in self.states if state is not None and state.price is not None]
        return sum(prices, Decimal(0)) if prices else None

    @property
    def failed_segment(self) -> SegmentState | None:
        """The state of the first segment that failed, with its segment id; None if no segment failed."""
        for state in self.states:
            if state is not None and state.phase is Phase.FAILED:
                return state
        return None

    @property
    def reason(self) -> str | None:
        """The failed state in English, such as "expired: validity ran out"; None if no segment failed."""
        failed = self.failed_segment
        return None if failed is None else describe(failed.state).meaning

    @property
    def delivered_at(self) -> datetime | None:
        """The time at which the last segment was delivered; aware, in UTC.

        The gateway reports the time of delivery. `delivered_at` is None if the message is not delivered, or
        if the gateway reported no date for its segments.
        """
        if self.phase is not Phase.DELIVERED:
            return None
        dates = [state.reported_date or state.time_stamp for state in self.states if state is not None]
        return max((date for date in dates if date is not None), default=None)


class DeliverySink(Protocol):
    """An object that stores deliveries, for example a `Ledger`."""

    async def record(self, deliveries: Sequence[Delivery]) -> None:
        """Store deliveries.

        After a cancellation, `Tracking` may pass the same deliveries to `record` a second time.

        Args:
            deliveries: the deliveries in the order in which they occurred. A later delivery of a message
                replaces an earlier delivery of the same message.
        """


def phase_of(states: Sequence[SegmentState | None], open_segments: int, *, at_the_end: bool) -> Phase:
    """Compute the phase of a message from the states of its segments.

    Args:
        states: the last known state of each segment.
        open_segments: a bit mask. A set bit means that the state of the segment with this index can still
            change. All other segments are final, or no longer in the database of the gateway.
        at_the_end: whether tracking of the message ends now.
    """
    phases = [None if state is None else state.phase for state in states]
    if Phase.FAILED in phases:
        return Phase.FAILED
    # A receipt without segment ids must not count as delivered, although `all` is true for an empty list.
    if phases and all(phase is Phase.DELIVERED for phase in phases):
        return Phase.DELIVERED
    if not open_segments:
        return Phase.UNKNOWN
    # A segment that is neither open nor delivered is no longer in the database of the gateway. Such a segment
    # makes the phase UNKNOWN only when tracking ends. Until then the message stays enroute, because an open
    # segment may still fail and make the phase FAILED.
    if at_the_end and any(
        phase is Phase.UNKNOWN or (phase is not Phase.DELIVERED and not open_segments >> index & 1)
        for index, phase in enumerate(phases)
    ):
        return Phase.UNKNOWN
    return Phase.ENROUTE
