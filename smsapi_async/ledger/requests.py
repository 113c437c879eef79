"""Requests in a ledger: the answer that ends a request, and the outcomes of its messages."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import repeat
from typing import Literal

import attrs

from smsapi_async.models import Message
from smsapi_async.outcomes import Accepted, Outcome, Rejected, Unknown
from smsapi_async.privacy import mask_ids, steady_repr
from smsapi_async.protocol.attribution import attribute

ANOTHER_MESSAGE = "this ledger already has a different message with the same key"
"""The reason of `Rejected` for a message that differs from the recorded message with the same key."""

ENDED = "the process ended before the outcome was recorded"
"""The reason of `Unknown` for a message that an earlier process left in flight."""

UNRECORDED = "the outcome was not recorded"
"""The reason of `Unknown` for a message whose sender has ended without a record of the outcome."""


@steady_repr
@attrs.frozen(kw_only=True)
class RequestAnswer:
    """What ended a request. All messages of the request have the same answer.

    Attributes:
        state: the state of the messages of the request.
        at: the time at which the client received the response; aware, in UTC.
        segment_ids: all segment ids of the response, in the order of the response.
        reason: why the messages were refused, or why their outcome is unknown; "" if they were accepted.
        code: the error code of the gateway (contract, "Codes"), or None.
    """

    state: Literal["accepted", "rejected", "unknown"]
    at: datetime
    segment_ids: tuple[str, ...] = attrs.field(default=(), repr=mask_ids)
    reason: str = ""
    code: int | None = None

    def outcomes(self, messages: Sequence[Message], keys: Iterable[str | None]) -> list[Outcome]:
        """Return the outcome of each message of the request.

        Args:
            messages: the messages of the request, in the order in which they were sent.
            keys: the key of each message; None if there is no ledger.
        """
        shares = attribute(len(messages), self.segment_ids) if self.state == "accepted" else None
        each: Iterable[tuple[str, ...] | None] = shares or repeat(None, len(messages))
        return [
            self.outcome(message, key, share)
            for message, key, share in zip(messages, keys, each, strict=True)
        ]

    def outcome(
        self, message: Message, key: str | None, share: tuple[str, ...] | None, *, recorded: bool = False
    ) -> Outcome:
        """Return the outcome of one message of the request.

        Args:
            message: the message.
            key: the key of the message; None if there is no ledger.
            share: the segment ids of the message; None if they are not known.
            recorded: the value of `Accepted.recorded`.
        """
        if self.state == "accepted":
            return Accepted(
                message=message,
                segment_ids=self.segment_ids if share is None else share,
                accepted_at=self.at,
                unattributed=share is None and bool(self.segment_ids),
                key=key,
                recorded=recorded,
            )
        kind = Rejected if self.state == "rejected" else Unknown
        return kind(message=message, reason=self.reason, code=self.code, key=key, recorded=recorded)


@steady_repr
@attrs.frozen
class InFlight:
    """Another sender has claimed the message and not settled its request yet.

    Attributes:
        token: the token of the other sender's claim, for `Ledger.wait`.
    """

    token: str


Claimed = Outcome | InFlight | None
"""The result of a claim for one message; see `Ledger.claim`."""
