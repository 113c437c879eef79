"""Requests as the wire wants them, checked first: nothing here is sent before all of it is valid."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import quote_plus, urlencode

import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.models import Message
from smsapi_async.privacy import Secret, is_encodable, mask_text
from smsapi_async.protocol import dates
from smsapi_async.protocol.addresses import checked_destination, checked_source
from smsapi_async.protocol.resources import (
    BALANCE,
    INCOMING,
    LOGIN,
    SEND,
    SEND_BULK,
    SEND_BY_TIME_ZONE,
    STATE,
    STATISTICS,
    Resource,
)
from smsapi_async.protocol.segments import utf16_units

_TEXT_LIMIT = 2000
_DOTNET_INT_LIMIT = 2**31 - 1
_MINUTE = timedelta(minutes=1)


@attrs.frozen
class Request:
    """One call, ready for the wire except for its session.

    Attributes:
        form: the parameters, URL-encoded, without the session id.
        private: values that no error text may show.
    """

    resource: Resource
    form: str = attrs.field(repr=False)
    private: tuple[str, ...] = attrs.field(default=(), repr=False)

    def with_session(self, session_id: Secret) -> bytes:
        """The parameters with the session id in front."""
        head = "SessionID=" + _quoted(session_id.reveal())
        return f"{head}&{self.form}".encode("ascii") if self.form else head.encode("ascii")


def login_request(login: str, password: Secret) -> Request:
    """``user/sessionid``; its form needs no session."""
    form = urlencode({"Login": login, "Password": password.reveal()})
    return Request(LOGIN, form, private=(password.reveal(),))


def balance_request() -> Request:
    """``User/Balance``."""
    return Request(BALANCE, "")


def state_request(segment_id: str) -> Request:
    """``Sms/State`` of one segment.

    Raises:
        ValidationError: the id is not a non-empty `str`.
    """
    return Request(STATE, urlencode({"messageId": _checked_segment_id(segment_id)}))


def incoming_request(since: datetime | None, until: datetime) -> Request:
    """``Sms/In``, with the period widened to whole seconds.

    Raises:
        ValidationError: a date is naive, or the period ends before it begins.
    """
    end = dates.aware("until", until)
    form = {"maxDateUTC": dates.utc_time(dates.ceiling(end))}
    if since is not None:
        start = dates.aware("since", since)
        _check_order("since", start, "until", end)
        form["minDateUTC"] = dates.utc_time(dates.floor(start))
    return Request(INCOMING, urlencode(form))


def statistics_requests(start: datetime, end: datetime) -> list[Request]:
    """``Sms/Statistics`` for each window of at most 90 days, with fractions of seconds dropped.

    Raises:
        ValidationError: a date is naive, or the period ends before it begins.
    """
    first = dates.aware("start", start)
    last = dates.aware("end", end)
    _check_order("start", first, "end", last)
    return [
        Request(
            STATISTICS,
            urlencode(
                {"startDateTime": dates.statistics_time(begin), "endDateTime": dates.statistics_time(finish)}
            ),
        )
        for begin, finish in dates.statistics_windows(dates.floor(first), dates.floor(last))
    ]


def prepared(message: Message, default_source_address: str | None) -> Message:
    """The message as it will be sent: digits only, source address filled in.

    Raises:
        ValidationError: a part of it cannot be sent.
    """
    number = checked_destination(message.destination_address)
    _check_text(message.text)
    source = checked_source(
        message.source_address if message.source_address is not None else default_source_address
    )
    validity = _checked_validity(message.validity)
    if (number, source, validity) == (message.destination_address, message.source_address, message.validity):
        return message
    return attrs.evolve(message, destination_address=number, source_address=source, validity=validity)


def prepared_bulk(
    destination_addresses: Sequence[str], template: Message, default_source_address: str | None
) -> tuple[Message, list[str]]:
    """The checked template and the digits of each address.

    Raises:
        ValidationError: there is no address, or one of them or the rest cannot be sent.
    """
    name = "destination_addresses"
    hint = "pass a list of at least one number"
    if isinstance(destination_addresses, str | bytes) or not isinstance(destination_addresses, Sequence):
        raise ValidationError(name, f"<{type(destination_addresses).__name__}>", hint)
    if not destination_addresses:
        raise ValidationError(name, "an empty list", hint)
    digits = [
        checked_destination(address, f"{name}[{index}]")
        for index, address in enumerate(destination_addresses)
    ]
    return prepared(attrs.evolve(template, destination_address=digits[0]), default_source_address), digits


def send_request(message: Message) -> Request:
    """``Sms/Send`` or ``Sms/SendByTimeZone`` of a checked message.

    Raises:
        ValidationError: its date is missing, or is naive where it must be aware, or the other way round.
    """
    return single_request_from_form(common_form(message), message, message.destination_address)


def single_request_from_form(form: str, template: Message, number: str) -> Request:
    """``Sms/Send`` or ``Sms/SendByTimeZone`` with the parameters that `common_form` encoded."""
    resource = SEND_BY_TIME_ZONE if template.by_time_zone else SEND
    return Request(resource, f"{form}&DestinationAddress={number}", private=(template.text, number))


def bulk_request(template: Message, numbers: Sequence[str]) -> Request:
    """``Sms/SendBulk`` of a checked message to each of the checked numbers.

    Raises:
        ValidationError: the date is naive.
    """
    return bulk_request_from_form(common_form(template), template.text, numbers)


def bulk_request_from_form(form: str, text: str, numbers: Sequence[str]) -> Request:
    """``Sms/SendBulk`` with the parameters that `common_form` encoded once for all."""
    destinations = "&DestinationAddresses=".join(("", *numbers))
    return Request(SEND_BULK, form + destinations, private=(text, *numbers))


def common_form(message: Message) -> str:
    """The parameters of a checked message without its destination, URL-encoded.

    Raises:
        ValidationError: its date is missing, or is naive where it must be aware, or the other way round.
    """
    form = f"SourceAddress={_quoted(message.source_address or '')}&Data={quote_plus(message.text)}"
    further = _further_parameters(message)
    return f"{form}&{urlencode(further)}" if further else form


def _quoted(value: str) -> str:
    # Session ids and most source addresses have nothing to quote, which is told much faster than done.
    return value if value.isascii() and value.isalnum() else quote_plus(value)


def _further_parameters(message: Message) -> dict[str, str]:
    form = {}
    if message.by_time_zone:
        form["SendDate"] = dates.wall_clock("send_date", message.send_date)
    elif message.send_date is not None:
        form["SendDate"] = dates.gateway_time("send_date", message.send_date)
    if message.validity is not None:
        form["Validity"] = str(message.validity)
    return form


def _checked_segment_id(segment_id: object) -> str:
    hint = "pass one segment id as it stands in Receipt.segment_ids"
    if not isinstance(segment_id, str):
        raise ValidationError("segment_id", f"<{type(segment_id).__name__}>", hint)
    if not segment_id.strip():
        raise ValidationError("segment_id", repr(segment_id), hint)
    return _encodable("segment_id", segment_id)


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise ValidationError("text", mask_text(text), "pass a str")
    if not text:
        raise ValidationError("text", "an empty text", "pass 1 to 2000 UTF-16 units")
    units = utf16_units(text)
    if units > _TEXT_LIMIT:
        raise ValidationError("text", f"a text of {units} UTF-16 units", "pass 1 to 2000 UTF-16 units")
    _encodable("text", text)


def _encodable(parameter: str, text: str) -> str:
    # Raised here, an encoding error would carry the text into the error's context.
    if not is_encodable(text):
        raise ValidationError(parameter, mask_text(text), "pass text without lone surrogates")
    return text


def _checked_validity(validity: object) -> int | None:
    if validity is None:
        return None
    hint = "pass whole minutes as an int, or a timedelta of whole minutes; None or 0 is the gateway's default"
    minutes = validity
    if isinstance(validity, timedelta):
        minutes, rest = divmod(validity, _MINUTE)
        if rest:
            raise ValidationError("validity", str(validity), hint)
    if isinstance(minutes, bool) or not isinstance(minutes, int):
        raise ValidationError("validity", f"<{type(validity).__name__}>", hint)
    if not 0 <= minutes <= _DOTNET_INT_LIMIT:
        raise ValidationError("validity", str(validity), hint)
    return minutes


def _check_order(first: str, start: datetime, second: str, end: datetime) -> None:
    if start > end:
        raise ValidationError(first, str(start), f"pass a date that is not after {second} ({end})")
