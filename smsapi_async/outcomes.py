"""The outcome of one message of a batch: accepted, rejected, or unknown."""

from datetime import datetime

import attrs

from smsapi_async.models import Message, Receipt
from smsapi_async.privacy import mask_ids, mask_key, steady_repr


@steady_repr
@attrs.frozen(kw_only=True)
class Accepted:
    """The gateway accepted the message, returned segment ids, and bills each segment.

    Attributes:
        message: the message as the caller passed it.
        segment_ids: one id for each segment of the message. If ``unattributed`` is True, the tuple contains
            all segment ids of the request.
        accepted_at: the time at which the client received the response; aware, in UTC.
        unattributed: True if the segment ids of the request could not be divided among the messages of the
            request.
        key: the key that identifies the message in the ledger; None if the batch has no ledger.
        recorded: True if the batch did not send this message, because the ledger already contained an outcome
            for its key, or because the batch sent an equal message with the same key.
    """

    message: Message
    segment_ids: tuple[str, ...] = attrs.field(repr=mask_ids)
    accepted_at: datetime
    unattributed: bool = False
    key: str | None = attrs.field(default=None, repr=mask_key)
    recorded: bool = False

    @property
    def receipt(self) -> Receipt:
        """A `Receipt` of the message, for `AsyncSmsClient.track`."""
        return Receipt(self.message, self.segment_ids, self.accepted_at)


@steady_repr
@attrs.frozen(kw_only=True)
class Rejected:
    """The gateway refused the message, or the message is invalid. The message was not sent.

    Attributes:
        message: the message as the caller passed it.
        reason: why the message was refused or is invalid, in words without personal data.
        code: the error code of the gateway (contract, "Codes"); None for an invalid message.
        key: the same as `Accepted.key`.
        recorded: the same as `Accepted.recorded`.
    """

    message: Message
    reason: str
    code: int | None = None
    key: str | None = attrs.field(default=None, repr=mask_key)
    recorded: bool = False


@steady_repr
@attrs.frozen(kw_only=True)
class Unknown:
    """The message may or may not have been sent. This package never sends the message again by itself.

    Attributes:
        message: the message as the caller passed it.
        reason: why the outcome is unknown, in words without personal data.
        code: the error code of the gateway (contract, "Codes"), or None if there is no code.
        key: the same as `Accepted.key`.
        recorded: the same as `Accepted.recorded`.
    """

    message: Message
    reason: str
    code: int | None = None
    key: str | None = attrs.field(default=None, repr=mask_key)
    recorded: bool = False


Outcome = Accepted | Rejected | Unknown
"""The three possible outcomes of a message of a batch: accepted, rejected, or unknown."""
