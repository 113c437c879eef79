"""The summaries of a ledger: the number of messages in each state and in each phase."""

from typing import Literal, get_args

import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.privacy import mask_word, steady_repr

OutcomeState = Literal["accepted", "rejected", "unknown"]
"""The states of a message that has an outcome."""


def outcome_states(state: object) -> tuple[str, ...]:
    """Check a state, and return the states of the outcomes to read: all states if the state is None.

    Raises:
        ValidationError: if the state is not None, and not the name of a state with an outcome.
    """
    names: tuple[str, ...] = get_args(OutcomeState)
    if state is None:
        return names
    if not isinstance(state, str) or state not in names:
        hint = "pass 'accepted', 'rejected' or 'unknown', or None for all"
        raise ValidationError("state", mask_word(state), hint)
    return (state,)


@steady_repr
@attrs.frozen
class Summary:
    """The number of messages in each state, as `Ledger.summary` returns it.

    Attributes:
        pending: the number of messages that are not sent yet. A run of a batch with the same messages sends
            them.
        sending: the number of messages in flight. A ledger opened with ``read_only=True`` also counts the
            messages of a process that ended during a request.
        accepted: the number of messages that the gateway accepted and bills.
        rejected: the number of messages that the gateway refused and did not send.
        unknown: the number of messages that may or may not have been sent. A batch sends an unknown message
            again only after ``resolve(key, sent=False)``.
        segments: the number of segment ids of all messages in the ledger.
    """

    pending: int = 0
    sending: int = 0
    accepted: int = 0
    rejected: int = 0
    unknown: int = 0
    segments: int = 0


@steady_repr
@attrs.frozen(kw_only=True)
class DeliverySummary:
    """The number of accepted messages in each phase, according to the last recorded delivery of each message.

    `Ledger.deliveries_summary` returns a `DeliverySummary`. `Phase` and `Delivery` define the phases.

    Attributes:
        enroute: the number of messages without a final state, also those whose tracking ended at the
            deadline.
        delivered: the number of messages with all segments delivered.
        failed: the number of messages with at least one failed segment.
        unknown: the number of messages without a failed segment and with at least one segment of unknown
            state.
        untracked: the number of accepted messages without a recorded delivery.
        without_ids: the number of messages in `untracked` that cannot be tracked, because their own segment
            ids are not known. Either the segment ids of the request could not be divided among its messages,
            or `Ledger.resolve` was called without segment ids.
        failed_by_state: the number of failed messages for each state; each dict key is the number of a
            `State`. If several segments of a message failed, only the state of the first failed segment
            counts.
    """

    enroute: int = 0
    delivered: int = 0
    failed: int = 0
    unknown: int = 0
    untracked: int = 0
    without_ids: int = 0
    failed_by_state: dict[int, int] = attrs.field(factory=dict)
