"""What a ledger knows about a message: the rows of a report, of unknown messages, and of resolutions."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Literal

import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.models import Message
from smsapi_async.outcomes import Accepted, Outcome, Rejected, Unknown
from smsapi_async.privacy import mask_ids, mask_key, steady_repr, type_name
from smsapi_async.protocol.placeholders import has_placeholder
from smsapi_async.tracking import Delivery

MessageState = Literal["pending", "sending", "accepted", "rejected", "unknown"]
"""The states of a message in a ledger; `Ledger` explains each state."""


@steady_repr
@attrs.frozen(kw_only=True)
class UnknownMessage:
    """A message that may or may not have been sent, with what you need to ask the vendor about the message.

    Attributes:
        message: the message. In a redacted ledger, the destination address and the text are ``""``.
        key: the key of the message in the ledger, for `Ledger.resolve`.
        request: the number of the request in the ledger. Messages with the same number were sent in one
            request.
        sent_at: the time at which the request was about to be written; aware, in UTC.
        reason: why the outcome is unknown, in words without personal data.
        code: the error code of the gateway (contract, "Codes"), or None if there is no code.
        segment_ids: the segment ids that are known for the whole request, for example from a response that
            was only partly valid.
    """

    message: Message
    key: str = attrs.field(repr=mask_key)
    request: int
    sent_at: datetime
    reason: str
    code: int | None = None
    segment_ids: tuple[str, ...] = attrs.field(default=(), repr=mask_ids)


def _checked_ids(segment_ids: Iterable[str]) -> tuple[str, ...]:
    # One id in place of a sequence of ids would become a tuple of characters.
    if not isinstance(segment_ids, str):
        ids = tuple(segment_ids)
        if all(each and type(each) is str for each in ids):
            if any(map(has_placeholder, ids)):
                hint = "pass the ids as the gateway returned them, without a placeholder, or omit them"
                raise ValidationError("segment_ids", f"<{len(ids)} ids>", hint)
            return ids
    hint = "pass a sequence with each segment id as a `str`"
    raise ValidationError("segment_ids", type_name(segment_ids), hint)


def checked_sent(sent: object) -> bool:
    """Check the parameter `sent` of a resolution: any other value, for example "no", would count as True.

    Raises:
        ValidationError: if the value is not a `bool`.
    """
    if not isinstance(sent, bool):
        raise ValidationError("sent", type_name(sent), "pass True or False")
    return sent


def checked_codes(codes: Iterable[object]) -> list[int]:
    """Check the parameter `codes` of `Ledger.retry_rejected`: a code as text would match no message.

    Raises:
        ValidationError: if a code is not an `int`.
    """
    checked: list[int] = []
    for code in codes:
        if isinstance(code, bool) or not isinstance(code, int):
            raise ValidationError("codes", type_name(code), "pass the codes as a sequence of `int`")
        checked.append(int(code))
    return checked


@steady_repr
@attrs.frozen
class Resolution:
    """What you found out about one unknown message, for `Ledger.resolve_many`.

    Attributes:
        key: the key of the message in the ledger.
        sent: whether the message was sent.
        segment_ids: the segment ids of the message, if you know the ids.

    Raises:
        ValidationError: if a value has a wrong type, or segment ids were passed for a message that was not
            sent. Also if a segment id contains a placeholder of a redacted ledger.
    """

    key: str = attrs.field(repr=mask_key)
    sent: bool
    segment_ids: tuple[str, ...] = attrs.field(default=(), converter=_checked_ids, repr=mask_ids)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.key, str):
            raise ValidationError("key", type_name(self.key), "pass the key of the message as a `str`")
        checked_sent(self.sent)
        if self.segment_ids and not self.sent:
            hint = "a message that was not sent has no segment ids; omit `segment_ids`"
            raise ValidationError("segment_ids", f"<{len(self.segment_ids)} ids>", hint)


@steady_repr
@attrs.frozen(kw_only=True)
class Record:
    """Everything that a ledger knows about one message. `Ledger.report` returns one record for each message.

    Attributes:
        message: the message. In a redacted ledger, the destination address and the text are ``""``.
        key: the key of the message in the ledger.
        state: the state of the message.
        sent_at: the time at which the request was about to be written; aware, in UTC. None if the message is
            pending.
        outcome: the outcome; None if the message is pending or sending.
        delivery: the last recorded delivery; None if no delivery was recorded.
    """

    message: Message
    key: str = attrs.field(repr=mask_key)
    state: MessageState
    sent_at: datetime | None = None
    outcome: Outcome | None = None
    delivery: Delivery | None = None

    @property
    def accepted_at(self) -> datetime | None:
        """The time at which the gateway accepted the message; aware, in UTC; None if it did not."""
        return self.outcome.accepted_at if isinstance(self.outcome, Accepted) else None

    @property
    def segment_ids(self) -> tuple[str, ...]:
        """The segment ids of an accepted message. They are empty if only those of its request are known."""
        is_own = isinstance(self.outcome, Accepted) and not self.outcome.unattributed
        return self.outcome.segment_ids if is_own and isinstance(self.outcome, Accepted) else ()

    @property
    def reason(self) -> str:
        """Why the message was refused, failed, or has an unknown outcome; "" if none of these is true."""
        if isinstance(self.outcome, Rejected | Unknown):
            return self.outcome.reason
        return "" if self.delivery is None else self.delivery.reason or ""

    @property
    def delivered_at(self) -> datetime | None:
        """The time at which the message was delivered; aware, in UTC. None if it is not delivered."""
        return None if self.delivery is None else self.delivery.delivered_at

    @property
    def price(self) -> Decimal | None:
        """The price of the message, as far as the states of its segments contain prices."""
        return None if self.delivery is None else self.delivery.price
