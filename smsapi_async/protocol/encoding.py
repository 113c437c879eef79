"""Checks the parameters of a call and encodes the parameters as a request (contract, "Requests")."""

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Self
from urllib.parse import quote_plus, urlencode

import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.models import Message, minutes_of
from smsapi_async.privacy import HiddenBytes, Secret, is_encodable, mask_text, sealed
from smsapi_async.protocol import dates
from smsapi_async.protocol.addresses import checked_destination_address, checked_source_address
from smsapi_async.protocol.credentials import credentials_hint
from smsapi_async.protocol.placeholders import has_placeholder
from smsapi_async.protocol.resources import (
    BALANCE,
    INCOMING,
    LOGIN,
    SEND,
    SEND_BULK,
    SEND_BULK_BY_TIME_ZONE,
    SEND_BY_TIME_ZONE,
    STATE,
    STATISTICS,
    Resource,
)
from smsapi_async.protocol.segments import segment_count, utf16_units
from smsapi_async.settings import checked_credential

_TEXT_LIMIT = 2000
# The gateway runs on .NET, and an `int` of .NET has 32 bits.
_DOTNET_INT_LIMIT = 2**31 - 1


@attrs.frozen
class Request:
    """A request without the parameters that identify the account.

    The same request can be sent again with another session id.

    Attributes:
        resource: the resource of the gateway that the request addresses.
        form: the URL-encoded parameters of the request, without the parameters that identify the account.
        private: the parameter values that must not appear in an error text, for example phone numbers. For a
            send: the text, and then the numbers.
    """

    resource: Resource
    form: str = attrs.field(repr=False)
    private: tuple[str, ...] = attrs.field(default=(), repr=False)

    def size(self) -> tuple[int, int]:
        """Return the number of recipients of a send, and of all segments; for a read, both are 0."""
        if not self.resource.sends:
            return 0, 0
        recipients = len(self.private) - 1
        return recipients, recipients * segment_count(self.private[0])

    def with_grant(self, parameters: Secret) -> HiddenBytes:
        """Return the URL-encoded parameters of the request.

        Args:
            parameters: the URL-encoded parameters that identify the account, which come first.
        """
        head = parameters.reveal()
        return HiddenBytes((f"{head}&{self.form}" if self.form else head).encode("ascii"))


def login_request() -> Request:
    """Build the login request, which asks for a session id (contract, "user/sessionid")."""
    return Request(LOGIN, "")


def session_parameter(session_id: Secret) -> Secret:
    """Encode the parameter with a session id, which identifies the account in each request."""
    return Secret("SessionID=" + _quoted(session_id.reveal()))


@attrs.frozen
class Credentials:
    """The login and the password of an account.

    Attributes:
        parameters: the URL-encoded parameters with the login and the password.
        private: the values that must not appear in an error text.
        hint: a probable cause of a refusal; see `credentials_hint`.
    """

    parameters: Secret
    private: tuple[str, ...] = attrs.field(repr=False)
    hint: str

    @classmethod
    def of(cls, login: str, password: Secret) -> Self:
        """Encode a login and a password."""
        revealed = password.reveal()
        return cls(
            Secret(urlencode({"Login": login, "Password": revealed})),
            (revealed,),
            credentials_hint(login, revealed),
        )

    @classmethod
    def checked(cls, login: object, password: object) -> Self:
        """Check and encode a login and a password.

        Raises:
            ValidationError: if one of them is not a `str`, is empty, or contains a lone surrogate.
        """
        checked = checked_credential("login", login)
        return cls.of(checked, Secret(checked_credential("password", password)))


def balance_request() -> Request:
    """Build the request for the balance (contract, "User/Balance")."""
    return Request(BALANCE, "")


@sealed
def state_request(segment_id: str) -> Request:
    """Build the request for the state of one segment (contract, "Sms/State").

    Raises:
        ValidationError: if the segment id is not a `str`, is empty, or contains a lone surrogate.
    """
    checked = _checked_segment_id(segment_id)
    return Request(STATE, urlencode({"messageId": checked}), private=(checked,))


def incoming_request(since: datetime, until: datetime) -> Request:
    """Build the request for incoming messages (contract, "Sms/In").

    Requests have no fractions of a second. `incoming_request` rounds the beginning down and the end up, so
    that the request includes the whole period.

    Args:
        since: the beginning of the period, an aware datetime.
        until: the end of the period, an aware datetime.

    Raises:
        ValidationError: if a date is not an aware datetime, or ``since`` is not before ``until``.
    """
    end = dates.aware("until", until)
    start = dates.aware("since", since)
    if start >= end:
        raise ValidationError("since", str(start), f"pass a date that is before until ({end})")
    form = {
        "minDateUTC": dates.utc_time(dates.floor_to_second(start)),
        "maxDateUTC": dates.utc_time(dates.ceil_to_second(end)),
    }
    return Request(INCOMING, urlencode(form))


def statistics_requests(start: datetime, end: datetime, zone: tzinfo) -> list[Request]:
    """Build one request for each window of at most 90 days (contract, "Sms/Statistics").

    Requests have no fractions of a second. `statistics_requests` rounds both dates down to whole seconds.

    Args:
        start: the beginning of the period, an aware datetime.
        end: the end of the period, an aware datetime. The period includes its last second.
        zone: the time zone of the gateway.

    Raises:
        ValidationError: if a date is not an aware datetime, has no unique local time in ``zone``, or
            ``start`` is after ``end``.
    """
    first = dates.aware("start", start)
    last = dates.aware("end", end)
    _check_order("start", first, "end", last)
    first, last = dates.local_time("start", first, zone), dates.local_time("end", last, zone)
    return [
        Request(
            STATISTICS,
            urlencode(
                {"startDateTime": dates.statistics_time(begin), "endDateTime": dates.statistics_time(finish)}
            ),
        )
        for begin, finish in dates.statistics_windows(
            dates.floor_to_second(first), dates.floor_to_second(last)
        )
    ]


def prepared(message: Message, default_source_address: str | None) -> Message:
    """Check a message and return the message in the form that is sent.

    The returned message has a destination address without ``+``, a source address, and a validity in minutes.
    `prepared` does not check `send_date`; `common_form` checks the send date.

    Args:
        message: the message that the caller passed.
        default_source_address: the source address for a message without a source address.

    Raises:
        ValidationError: if an address, the text, the validity or ``by_time_zone`` is invalid.
    """
    source = message.source_address if message.source_address is not None else default_source_address
    number, source, validity = _checked_fields(message, source)
    if (number, source, validity) == (message.destination_address, message.source_address, message.validity):
        return message
    return attrs.evolve(message, destination_address=number, source_address=source, validity=validity)


def check_message(message: Message, zone: tzinfo) -> None:
    """Check all that is sent of a message, and encode nothing. The source address may be missing.

    Args:
        message: the message that the caller passed.
        zone: the time zone of the gateway.

    Raises:
        ValidationError: as described in `prepared` and `common_form`.
    """
    # Any valid address serves for the check.
    _checked_fields(message, "0" if message.source_address is None else message.source_address)
    _further_parameters(message, zone)


def _checked_fields(message: Message, source_address: str | None) -> tuple[str, str, int | None]:
    """Return the destination address, the source address and the validity of a message as they are sent."""
    number = checked_destination_address(message.destination_address)
    _check_text(message.text)
    source = checked_source_address(source_address)
    validity = _checked_validity(message.validity)
    if message.by_time_zone not in (True, False):
        kind = type(message.by_time_zone).__name__
        raise ValidationError("by_time_zone", f"<{kind}>", "pass True or False")
    return number, source, validity


def checked_recipients(destination_addresses: Sequence[str]) -> Sequence[str]:
    """Check that the recipients of a bulk are a sequence with at least one item. The items are not checked.

    Raises:
        ValidationError: if the recipients are no sequence, are a `str` or `bytes`, or are empty.
    """
    name = "destination_addresses"
    hint = "pass a list of at least one number"
    if isinstance(destination_addresses, str | bytes) or not isinstance(destination_addresses, Sequence):
        raise ValidationError(name, f"<{type(destination_addresses).__name__}>", hint)
    if not destination_addresses:
        raise ValidationError(name, "an empty list", hint)
    return destination_addresses


def send_request(message: Message, zone: tzinfo) -> Request:
    """Build the request for one message.

    The resource is ``Sms/SendByTimeZone`` if `Message.by_time_zone` is true, and otherwise ``Sms/Send``.

    Args:
        message: a message that `prepared` returned.
        zone: the time zone of the gateway.

    Raises:
        ValidationError: if `send_date` is invalid, as described in `common_form`.
    """
    return single_request_from_form(common_form(message, zone), message, message.destination_address)


def single_request_from_form(form: str, template: Message, number: str) -> Request:
    """Build the request for one message from the parameters that `common_form` encoded.

    Args:
        form: the parameters that `common_form` returned.
        template: the message from which the parameters were encoded.
        number: the digits of the destination address, without ``+``.
    """
    resource = SEND_BY_TIME_ZONE if template.by_time_zone else SEND
    return Request(resource, f"{form}&DestinationAddress={number}", private=(template.text, number))


def bulk_request(template: Message, numbers: Sequence[str], zone: tzinfo) -> Request:
    """Build the request for one text to several recipients.

    The resource is ``Sms/SendByTimeZoneToAddresses`` if `Message.by_time_zone` is true, and otherwise
    ``Sms/SendBulk``.

    Args:
        template: a message that `prepared` returned.
        numbers: the digits of each destination address.
        zone: the time zone of the gateway.

    Raises:
        ValidationError: if `send_date` is invalid, as described in `common_form`.
    """
    return bulk_request_from_form(common_form(template, zone), template, numbers)


def bulk_request_from_form(form: str, template: Message, numbers: Sequence[str]) -> Request:
    """Build the request for several recipients from the parameters that `common_form` encoded.

    Args:
        form: the parameters that `common_form` returned.
        template: the message from which the parameters were encoded.
        numbers: the digits of each destination address.
    """
    resource = SEND_BULK_BY_TIME_ZONE if template.by_time_zone else SEND_BULK
    destinations = "&DestinationAddresses=".join(("", *numbers))
    return Request(resource, form + destinations, private=(template.text, *numbers))


def common_form(message: Message, zone: tzinfo) -> str:
    """Encode the parameters of a message except the destination address.

    A batch encodes the common parameters only once for all messages of equal content.

    Args:
        message: a message that `prepared` returned.
        zone: the time zone of the gateway, in which `send_date` is encoded (contract, "Dates sent").

    Raises:
        ValidationError: if `send_date` is not aware, or has no unique local time in ``zone``. With
            `Message.by_time_zone`, the error means that `send_date` is missing or not naive.
    """
    form = f"SourceAddress={_quoted(message.source_address or '')}&Data={quote_plus(message.text)}"
    further = _further_parameters(message, zone)
    return f"{form}&{urlencode(further)}" if further else form


def _quoted(value: str) -> str:
    # Session ids and most source addresses contain no character that must be quoted. For such values, the
    # check `is_plain` is much faster than `quote_plus`. A member of an enum is never plain, because an
    # f-string would write the name of the member and not its value.
    is_plain = type(value) is str and value.isascii() and value.isalnum()
    return value if is_plain else quote_plus(value)


def _further_parameters(message: Message, zone: tzinfo) -> dict[str, str]:
    form = {}
    if message.by_time_zone:
        form["SendDate"] = dates.wall_clock("send_date", message.send_date)
    elif message.send_date is not None:
        form["SendDate"] = dates.gateway_time("send_date", message.send_date, zone)
    validity = minutes_of(message.validity)
    if validity is not None:
        form["Validity"] = str(validity)
    return form


def _checked_segment_id(segment_id: object) -> str:
    hint = "pass one of the ids in Receipt.segment_ids"
    if not isinstance(segment_id, str):
        raise ValidationError("segment_id", f"<{type(segment_id).__name__}>", hint)
    if not segment_id.strip():
        raise ValidationError("segment_id", repr(segment_id), hint)
    if has_placeholder(segment_id):
        raise ValidationError("segment_id", "an id with a placeholder of a redacted ledger", hint)
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
    # `quote_plus` raises UnicodeEncodeError for a lone surrogate, and this error contains the text. We check
    # the text first, so that the ValidationError does not have the UnicodeEncodeError as its context.
    if not is_encodable(text):
        raise ValidationError(parameter, mask_text(text), "pass text without lone surrogates")
    return text


def _checked_validity(validity: object) -> int | None:
    hint = "pass whole minutes as an int, or a timedelta of whole minutes; None or 0 is the gateway's default"
    minutes = minutes_of(validity)
    if minutes is None:
        return None
    if not isinstance(minutes, int | timedelta):
        raise ValidationError("validity", f"<{type(validity).__name__}>", hint)
    if isinstance(minutes, timedelta) or not 0 <= minutes <= _DOTNET_INT_LIMIT:
        raise ValidationError("validity", str(validity), hint)
    return minutes


def _check_order(first: str, start: datetime, second: str, end: datetime) -> None:
    if start > end:
        raise ValidationError(first, str(start), f"pass a date that is not after {second} ({end})")
