"""The summaries of a ledger: the number of messages in each state and in each phase."""

from typing import Literal

import attrs

OutcomeState = Literal["accepted", "rejected", "unknown"]
"""The states of a message that has an outcome."""


@attrs.frozen
class Summary:
    """The number of messages in each state. `Ledger.summary` returns this object.

    Attributes:
        pending: messages that are not sent yet. The next run with these messages sends them.
        sending: messages in flight. A ledger opened with ``read_only=True`` also counts the messages of a
            process that ended during a request.
        accepted: messages that the gateway accepted. The gateway bills these messages.
        rejected: messages that the gateway refused. The gateway did not send these messages.
        unknown: messages that may or may not have been sent. A run sends an unknown message again only after
            ``resolve(key, sent=False)``.
        segments: the number of recorded segment ids.
    """

    pending: int = 0
    sending: int = 0
    accepted: int = 0
    rejected: int = 0
    unknown: int = 0
    segments: int = 0


@attrs.frozen(kw_only=True)
class DeliverySummary:
    """The number of accepted messages in each phase, according to the last recorded delivery of each message.

    `Ledger.deliveries_summary` returns this summary. `Phase` and `Delivery` define the phases.

    Attributes:
        enroute: messages that are not final, or were not final at the deadline.
        delivered: messages with all segments delivered.
        failed: messages with at least one failed segment.
        unknown: messages with at least one segment of unknown state and no failed segment.
        untracked: accepted messages without a recorded delivery.
        without_ids: the messages in `untracked` that cannot be tracked, because the ledger does not know
            which segment ids belong to each message. Either the segment ids of the request could not be
            divided among its messages, or `Ledger.resolve` was called without segment ids.
        failed_by_state: the number of failed messages for each state. The key is the number of the state, see
            `State`. If several segments of a message failed, only the state of the first of these segments
            counts.
    """

    enroute: int = 0
    delivered: int = 0
    failed: int = 0
    unknown: int = 0
    untracked: int = 0
    without_ids: int = 0
    failed_by_state: dict[int, int] = attrs.field(factory=dict)
