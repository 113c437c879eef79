"""What became of one message of a batch: accepted, rejected, or unknown."""

from datetime import datetime

import attrs

from smsapi_async.models import Message, Receipt
from smsapi_async.privacy import mask_key


@attrs.frozen(kw_only=True)
class Accepted:
    """The gateway returned segment ids; the message is billed.

    Attributes:
        message: the message as it was given.
        segment_ids: one id per segment; with ``unattributed`` the ids of the whole request.
        accepted_at: when the answer came; aware, UTC.
        unattributed: whether the ids could not be divided among the messages of their request.
        key: the message's key in the ledger; None without a ledger.
        recorded: whether this is what the ledger says of an earlier run, and nothing was sent now.
    """

    message: Message
    segment_ids: tuple[str, ...]
    accepted_at: datetime
    unattributed: bool = False
    key: str | None = attrs.field(default=None, repr=mask_key)
    recorded: bool = False

    @property
    def receipt(self) -> Receipt:
        """The same as a `Receipt`, for `AsyncSmsClient.track`."""
        return Receipt(self.message, self.segment_ids, self.accepted_at)


@attrs.frozen(kw_only=True)
class Rejected:
    """The gateway refused the message, or it failed validation; nothing was sent.

    Attributes:
        message: the message as it was given.
        reason: why, without personal data.
        code: the gateway's REST code; None for a message that failed validation.
        key: as for `Accepted`.
        recorded: as for `Accepted`.
    """

    message: Message
    reason: str
    code: int | None = None
    key: str | None = attrs.field(default=None, repr=mask_key)
    recorded: bool = False


@attrs.frozen(kw_only=True)
class Unknown:
    """The message may or may not have been sent; it is never sent again on its own.

    Attributes:
        message: the message as it was given.
        reason: what happened, without personal data.
        code: the gateway's REST code (8 or 9), or None.
        key: as for `Accepted`.
        recorded: as for `Accepted`.
    """

    message: Message
    reason: str
    code: int | None = None
    key: str | None = attrs.field(default=None, repr=mask_key)
    recorded: bool = False


Outcome = Accepted | Rejected | Unknown
"""The three things that can become of a message."""
