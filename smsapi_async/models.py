"""The frozen classes for parameters and results of calls. `repr` masks message texts and phone numbers."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from operator import attrgetter
from typing import Any, Final

import attrs

from smsapi_async.datetimes import InvalidDateError, plain_datetime
from smsapi_async.privacy import (
    mask_id,
    mask_ids,
    mask_key,
    mask_misplaced,
    mask_number,
    mask_source_address,
    mask_text,
    mask_words,
    steady_repr,
)
from smsapi_async.states import Phase, State, describe

_MINUTE = timedelta(minutes=1)
_CONTENT_FORM: Final = "smsapi_async.content_form"
"""The metadata key of a field's conversion function, which converts equal values to the same form."""


def _moment(value: object) -> object:
    """Convert an aware datetime to UTC, and return any other valid value unchanged.

    Python compares two datetimes of the same time zone by their local times. When the clock is set back, one
    hour of local time occurs twice, so that two different moments have equal local times. In UTC, the times
    of different moments differ. For an invalid date, the name of its type and its `id` are returned, because
    an invalid date must not be equal to a valid date.
    """
    if not isinstance(value, datetime):
        return value
    try:
        date = plain_datetime(value)
    except InvalidDateError:
        # The result does not contain the date, because each method of the date may raise an error.
        return type(value).__name__, id(value)
    try:
        return date if date.tzinfo is None else date.astimezone(UTC)
    except OverflowError:
        return date


def _as_given(value: object) -> object:
    return value


def minutes_of(value: object) -> object:
    """Convert a validity to whole minutes.

    A value of a wrong type is returned together with the name of its type, because an invalid value must not
    be equal to a valid value: in Python, True and 1.0 are equal to 1.
    """
    if isinstance(value, timedelta):
        minutes, rest = divmod(value, _MINUTE)
        return value if rest else minutes
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return value if value is None else (type(value).__name__, value)


@steady_repr
@attrs.frozen
class Message:
    """One text to one recipient. The fields are checked when the message is sent.

    Attributes:
        destination_address: 7 to 15 digits: country code, network code and number. A leading ``+`` is
            optional. Spaces and brackets are not allowed (contract, "Addresses"). The client sends a Russian
            mobile number that begins with 89 as 79.
        text: 1 to 2000 UTF-16 units (contract, "Text"). The function `segment` returns the segments of a
            text.
        source_address: at most 11 Latin characters, or at most 15 digits. None means the ``source_address``
            of the client.
        send_date: the time of the send in whole seconds. Without ``by_time_zone``, pass an aware datetime, or
            None to send immediately. With ``by_time_zone``, pass a naive datetime in the recipient's local
            time.
        validity: the time for which the gateway tries to deliver: whole minutes as an `int`, or a `timedelta`
            of whole minutes. None or 0 means the gateway's default (contract, "Validity").
        by_time_zone: whether ``send_date`` is the recipient's local time. If True, the client sends the
            message with ``Sms/SendByTimeZone``, and the request contains only this message, unless the client
            was created with ``bulk_by_time_zone``.
        key: the identifier of the message in a ledger. Each message needs a different key. None means that
            the ledger derives the key from the content and the destination address. Without a ledger, the key
            has no effect.
    """

    destination_address: str = attrs.field(repr=mask_number)
    text: str = attrs.field(repr=mask_text)
    source_address: str | None = attrs.field(default=None, kw_only=True, repr=mask_source_address)
    send_date: datetime | None = attrs.field(
        default=None, kw_only=True, repr=mask_misplaced, metadata={_CONTENT_FORM: _moment}
    )
    validity: int | timedelta | None = attrs.field(
        default=None, kw_only=True, repr=mask_misplaced, metadata={_CONTENT_FORM: minutes_of}
    )
    by_time_zone: bool = attrs.field(default=False, kw_only=True, repr=mask_misplaced)
    key: str | None = attrs.field(default=None, kw_only=True, repr=mask_key)

    def content(self) -> tuple[object, ...]:
        """Return the values that are sent, except the destination address, in the order of `CONTENT_FIELDS`.

        Two messages are the same for the gateway if their contents are equal and their destination addresses
        (without ``+``) are equal. Equal values have the same form: an aware datetime is converted to UTC, and
        a validity to minutes. An invalid value is never equal to a valid value. Fields that a subclass adds
        are not sent and do not belong to the content.
        """
        values: tuple[object, ...] = _values(self)
        for index in _FORMS:
            if values[index] is not None:
                break
        else:
            # Most messages have no date and no validity. For these messages we skip the conversion, because a
            # batch may compare millions of messages.
            return values
        return tuple([_FORMS.get(index, _as_given)(value) for index, value in enumerate(values)])


CONTENT_FIELDS: Final[tuple["attrs.Attribute[Any]", ...]] = tuple(
    field for field in attrs.fields(Message) if field.name not in {"destination_address", "key"}
)
"""The fields of a `Message` that are sent, except the destination address."""

_values = attrgetter(*(field.name for field in CONTENT_FIELDS))
_FORMS: Final[dict[int, Callable[[object], object]]] = {
    index: field.metadata[_CONTENT_FORM]
    for index, field in enumerate(CONTENT_FIELDS)
    if _CONTENT_FORM in field.metadata
}


@steady_repr
@attrs.frozen
class Receipt:
    """The gateway accepted a message and bills each of its segments.

    Attributes:
        message: the accepted message. In the receipt of a send, the message has the form that was sent: the
            destination address has no ``+``, the source address is not None, and the validity is in minutes.
            `Accepted.receipt` contains the message as the caller passed it.
        segment_ids: one id for each segment of the message, in the order of the text.
        accepted_at: the time at which the client received the response; aware, in UTC.
    """

    message: Message
    segment_ids: tuple[str, ...] = attrs.field(repr=mask_ids)
    accepted_at: datetime

    @property
    def destination_address(self) -> str:
        """The destination address of the message."""
        return self.message.destination_address


@steady_repr
@attrs.frozen
class SegmentState:
    """The state of one segment (contract, "State object"). All dates are aware, in UTC.

    Attributes:
        segment_id: the id that the gateway gave to the segment.
        state: a `State`, or the number in the gateway's response if the number is not in the contract.
        creation_date: the time at which the gateway created the message, or None.
        submitted_date: the time at which the gateway sent the message, or None.
        reported_date: the time at which the message was delivered, or None.
        time_stamp: the time at which the delivery report arrived at the gateway, or None.
        state_description: the gateway's description of the state, in Russian.
        price: the price of the segment, or None if the price is not known.
    """

    segment_id: str = attrs.field(repr=mask_id)
    state: State | int
    creation_date: datetime | None = None
    submitted_date: datetime | None = None
    reported_date: datetime | None = None
    time_stamp: datetime | None = None
    state_description: str = attrs.field(default="", repr=mask_words)
    price: Decimal | None = None

    @property
    def phase(self) -> Phase:
        """The phase that belongs to the state (contract, "States")."""
        return describe(self.state).phase

    @property
    def is_final(self) -> bool:
        """True if the state is final: the gateway does not change the state any more (contract, "States")."""
        return describe(self.state).is_final


@steady_repr
@attrs.frozen
class IncomingMessage:
    """A message that was sent to a number of the account (contract, "Incoming object").

    Attributes:
        id: the id that the gateway gave to the message.
        text: the text of the message.
        source_address: the number from which the message came.
        destination_address: the number of the account to which the message was sent.
        creation_date: the time at which the message was created; aware, in UTC; None if the response has no
            date.
    """

    id: str = attrs.field(repr=mask_key)
    text: str = attrs.field(repr=mask_text)
    source_address: str = attrs.field(repr=mask_number)
    destination_address: str = attrs.field(repr=mask_number)
    creation_date: datetime | None


@steady_repr
@attrs.frozen
class Statistics:
    """The statistics of a period (contract, "Statistics object").

    Attributes:
        sent: number of messages that the gateway counts as sent in the period.
        delivered: number of messages that the gateway counts as delivered.
        errors: number of messages that the gateway counts as errors.
        in_process: number of messages that the gateway counts as being in process.
        expired: number of messages that the gateway counts as expired.
        rejected: number of messages that the gateway counts as rejected.
        total: number of all messages in the period; None if the response contains no total.
        total_with_errors: number of all messages, including the messages with errors; None if the response
            contains no such number.
        delivery_ratio: ratio of delivered messages; None if the response contains no ratio. The contract
            does not define how the gateway computes the delivery ratio.
    """

    sent: int
    delivered: int
    errors: int
    in_process: int
    expired: int
    rejected: int
    total: int | None = None
    total_with_errors: int | None = None
    delivery_ratio: Decimal | None = None

    @classmethod
    def sum(cls, parts: Iterable["Statistics"]) -> "Statistics":
        """Add up the statistics of periods that do not overlap.

        Args:
            parts: the statistics of each period, for at least one period.

        Returns:
            The sum of each number. The sum is None if the number is None in at least one period.
            ``delivery_ratio`` is the mean of the ratios of the periods, weighted by ``total``; it is None if
            a ratio or a total is None.
        """
        periods = list(parts)
        if len(periods) == 1:
            return periods[0]
        return cls(
            sent=sum(period.sent for period in periods),
            delivered=sum(period.delivered for period in periods),
            errors=sum(period.errors for period in periods),
            in_process=sum(period.in_process for period in periods),
            expired=sum(period.expired for period in periods),
            rejected=sum(period.rejected for period in periods),
            total=_sum_or_none([period.total for period in periods]),
            total_with_errors=_sum_or_none([period.total_with_errors for period in periods]),
            delivery_ratio=_mean_ratio(periods),
        )


class Encoding(Enum):
    """The encoding of a text (contract, "Text")."""

    GSM_03_38 = "GSM 03.38"
    UCS_2 = "UCS-2"


@steady_repr
@attrs.frozen
class Segmentation:
    """The segments of a text (contract, "Text").

    Attributes:
        encoding: GSM 03.38 if GSM 03.38 contains every character of the text, else UCS-2.
        parts: the part of the text that each segment contains.
        units: the length of the whole text, in septets (GSM 03.38) or in UTF-16 units (UCS-2).
        forcing_ucs2: the characters that are not in GSM 03.38, each once, in the order of the text.
    """

    encoding: Encoding
    parts: tuple[str, ...] = attrs.field(repr=lambda parts: f"<{len(parts)} parts>")
    units: int
    forcing_ucs2: tuple[str, ...] = attrs.field(repr=lambda characters: f"<{len(characters)} characters>")

    @property
    def count(self) -> int:
        """The number of segments. The gateway bills each segment."""
        return len(self.parts)


def _sum_or_none(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _mean_ratio(periods: list[Statistics]) -> Decimal | None:
    weighted = Decimal(0)
    total = 0
    for period in periods:
        if period.delivery_ratio is None or period.total is None:
            return None
        weighted += period.delivery_ratio * period.total
        total += period.total
    return weighted / total if total else Decimal(0)
