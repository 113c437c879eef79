"""What a ledger says of its messages in numbers."""

from typing import Literal

import attrs

OutcomeState = Literal["accepted", "rejected", "unknown"]
"""The states in which a message has an outcome."""


@attrs.frozen
class Summary:
    """How many messages are in which state.

    Attributes:
        pending: known not to have been sent; the next run sends them.
        sending: in flight, or left behind by a process that has died.
        accepted: the gateway returned segment ids.
        rejected: the gateway refused, or the message failed validation.
        unknown: they may or may not have been sent, and are not sent again until `Ledger.resolve`.
        segments: how many segment ids are recorded.
    """

    pending: int = 0
    sending: int = 0
    accepted: int = 0
    rejected: int = 0
    unknown: int = 0
    segments: int = 0


@attrs.frozen(kw_only=True)
class DeliverySummary:
    """What became of the accepted messages, as it was recorded last.

    Attributes:
        enroute: under way, or still so at the deadline.
        delivered: every segment was.
        failed: a segment was final and failed.
        unknown: the gateway did not know.
        untracked: accepted, and nothing was recorded yet.
        without_ids: those of `untracked` that cannot be followed: the ids of their request could not be
            divided, or a person who settled them gave none.
        failed_by_state: how many of the failed messages failed with which state.
    """

    enroute: int = 0
    delivered: int = 0
    failed: int = 0
    unknown: int = 0
    untracked: int = 0
    without_ids: int = 0
    failed_by_state: dict[int, int] = attrs.field(factory=dict)
