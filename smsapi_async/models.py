"""What goes in and what comes out: frozen values, whose `repr` shows no text and no number in full."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from operator import attrgetter
from typing import Any, Final

import attrs

from smsapi_async.privacy import mask_key, mask_number, mask_source, mask_text
from smsapi_async.states import Phase, State, describe

_MINUTE = timedelta(minutes=1)
_CONTENT_FORM: Final = "smsapi_async.content_form"
"""The metadata key of a field's function that gives equal sendable values one form."""


def _moment(value: object) -> object:
    """A date with a time zone, in UTC: two moments of a repeated hour are equal in local time."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        return value
    try:
        return value.astimezone(UTC)
    except OverflowError:
        return value


def _as_given(value: object) -> object:
    return value


def _minutes(value: object) -> object:
    """A validity in whole minutes. What cannot be sent must not equal a number that can: True equals 1."""
    if isinstance(value, timedelta):
        minutes, rest = divmod(value, _MINUTE)
        return value if rest else minutes
    return value if value is None or type(value) is int else (type(value).__name__, value)


@attrs.frozen
class Message:
    """One text to one recipient.

    Attributes:
        destination_address: country code, network code and number, with or without ``+``.
        text: 1 to 2000 UTF-16 units.
        source_address: at most 11 Latin characters or 15 digits; None means the client's default.
        send_date: when to send. Aware, or, with ``by_time_zone``, naive: the recipient's wall clock.
            None means at once.
        validity: how long the gateway keeps trying: whole minutes, or a `timedelta` of whole minutes.
            None means the gateway's default.
        key: the caller's own name for this message, unique in a ledger; None derives one from the
            message's content.
        by_time_zone: whether ``send_date`` is in the recipient's own time zone (``Sms/SendByTimeZone``).
    """

    destination_address: str = attrs.field(repr=mask_number)
    text: str = attrs.field(repr=mask_text)
    source_address: str | None = attrs.field(default=None, kw_only=True, repr=mask_source)
    send_date: datetime | None = attrs.field(default=None, kw_only=True, metadata={_CONTENT_FORM: _moment})
    validity: int | timedelta | None = attrs.field(
        default=None, kw_only=True, metadata={_CONTENT_FORM: _minutes}
    )
    by_time_zone: bool = attrs.field(default=False, kw_only=True)
    key: str | None = attrs.field(default=None, kw_only=True, repr=mask_key)

    def content(self) -> tuple[object, ...]:
        """All that is sent but the destination address: the values of `CONTENT_FIELDS`, in their order.

        Two messages are the same for the gateway where their contents and their destination addresses
        (without ``+``) are equal. Equal values have one form: a date with a time zone is in UTC, and a
        validity is in minutes. A value that cannot be sent equals none that can. The fields that a
        subclass adds are not sent, and so are no part of the content.
        """
        values: tuple[object, ...] = _values(self)
        if _values_with_forms(self) == _NO_VALUES:
            return values
        return tuple([_FORMS.get(index, _as_given)(value) for index, value in enumerate(values)])


CONTENT_FIELDS: Final[tuple["attrs.Attribute[Any]", ...]] = tuple(
    field for field in attrs.fields(Message) if field.name not in {"destination_address", "key"}
)
"""The fields of a `Message` that are sent, beside its destination address."""

_values = attrgetter(*(field.name for field in CONTENT_FIELDS))
# Most messages have no date and no validity, and are compared by the million.
_values_with_forms = attrgetter(*(field.name for field in CONTENT_FIELDS if _CONTENT_FORM in field.metadata))
_NO_VALUES = (None, None)
_FORMS: Final[dict[int, Callable[[object], object]]] = {
    index: field.metadata[_CONTENT_FORM]
    for index, field in enumerate(CONTENT_FIELDS)
    if _CONTENT_FORM in field.metadata
}


@attrs.frozen
class Receipt:
    """The gateway accepted a message.

    Attributes:
        message: the message as it was sent: digits without ``+``, the source address filled in.
        segment_ids: one id per segment, in the text's order.
        accepted_at: when the answer came; aware, UTC.
    """

    message: Message
    segment_ids: tuple[str, ...]
    accepted_at: datetime


@attrs.frozen
class SegmentState:
    """What the gateway says of one segment (contract, "State object"). Dates are aware, UTC.

    Attributes:
        segment_id: the segment asked about.
        state: a `State` where the contract knows it, else the number as it came.
        state_description: the gateway's own words, in Russian.
        price: what the segment cost, or None while it is not known.
    """

    segment_id: str
    state: State | int
    creation_date: datetime | None = None
    submitted_date: datetime | None = None
    reported_date: datetime | None = None
    time_stamp: datetime | None = None
    state_description: str = ""
    price: Decimal | None = None

    @property
    def phase(self) -> Phase:
        """Pending, delivered, failed or unknown."""
        return describe(self.state).phase

    @property
    def is_final(self) -> bool:
        """Whether the gateway will not change this state any more."""
        return describe(self.state).is_final


@attrs.frozen
class IncomingMessage:
    """A message that somebody sent to one of the account's numbers (contract, "Incoming object")."""

    id: str
    text: str = attrs.field(repr=mask_text)
    source_address: str = attrs.field(repr=mask_number)
    destination_address: str = attrs.field(repr=mask_number)
    creation_date: datetime | None
    """Aware, UTC; None where the gateway gave no date."""


@attrs.frozen
class Statistics:
    """Counts over a period (contract, "Statistics object").

    Attributes:
        total, total_with_errors, delivery_ratio: None where the gateway left them out. Over several
            windows the ratio is the mean weighted by `total`.
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
        """The statistics of periods that do not overlap, put together."""
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
    """The alphabet a text is sent in."""

    GSM_03_38 = "GSM 03.38"
    UCS_2 = "UCS-2"


@attrs.frozen
class Segmentation:
    """How a text is split into segments (contract, "Text").

    Attributes:
        encoding: GSM 03.38 where every character is in it, else UCS-2.
        parts: the text of each segment.
        units: the length of the whole text, in septets (GSM 03.38) or 16-bit units (UCS-2).
        forcing_ucs2: the characters that are not in GSM 03.38, each once, in order of appearance.
    """

    encoding: Encoding
    parts: tuple[str, ...] = attrs.field(repr=lambda parts: f"<{len(parts)} parts>")
    units: int
    forcing_ucs2: tuple[str, ...] = attrs.field(repr=lambda characters: f"<{len(characters)} characters>")

    @property
    def count(self) -> int:
        """The number of segments, each of which is billed."""
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
