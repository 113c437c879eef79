"""The required parameters of a request, and the checks before a send."""

from collections.abc import Collection
from datetime import datetime, timezone

import attrs

from smsapi_async.sandbox.account import Arrival
from smsapi_async.sandbox.answers import Refusal
from smsapi_async.sandbox.dialect import Dialect
from smsapi_async.sandbox.number_rules import destination_digits, is_source, recipient_offset
from smsapi_async.sandbox.splitting import utf16_units
from smsapi_async.sandbox.tables import BULKS, BY_TIME_ZONE, GatewayResource
from smsapi_async.sandbox.wire import Malformed, Parameters, to_utc

# The greatest length of a message text, in UTF-16 units (contract, "Text").
LONGEST_TEXT = 2000

# Maps the last three digits of a destination address to the error code with which the sandbox refuses the
# request.
_ASKED_TO_FAIL = {"806": 6, "807": 7, "808": 8, "809": 9}


@attrs.frozen(repr=False)
class Order:
    """The parameters of a send request, before the checks.

    Attributes:
        destinations: the destination addresses in the request.
        text: the text of the message.
        source_address: the source address of the message.
        send_date: the naive send date, which `due` converts to UTC; None means that the message is sent at
            once.
        validity: the validity of the message in minutes; 0 means the default validity.
    """

    destinations: list[str]
    text: str
    source_address: str
    send_date: datetime | None
    validity: int


def required(parameters: Parameters, name: str, shown_as: str | None = None) -> str:
    """Return the text of a parameter.

    Args:
        parameters: the parameters of the request.
        name: the name of the parameter to read.
        shown_as: the spelling of the parameter name in the error description; None means the spelling of
            `name`.

    Raises:
        Refusal: if the parameter is missing or empty (error code 1).
    """
    text = parameters.text(name)
    if text is None:
        raise _missing(name, shown_as)
    return text


def required_date(
    parameters: Parameters, name: str, resource: GatewayResource, shown_as: str | None = None
) -> datetime:
    """Return the naive date of a parameter.

    Args:
        parameters: the parameters of the request.
        name: the name of the parameter to read.
        resource: the resource of the request; the error description quotes its .NET method.
        shown_as: the spelling of the parameter name in the error description; None means the spelling of
            `name`.

    Raises:
        Refusal: if the date is missing or cannot be read (error code 9, with ASP.NET's description).
    """
    # An unreadable date gets the same error as a missing date, because ASP.NET MVC converts a date that it
    # cannot read to null.
    try:
        date = parameters.date(name)
    except Malformed:
        date = None
    if date is None:
        raise Refusal(9, _NULL_ENTRY.format(parameter=shown_as or name, action=resource.action))
    return date


def read_credentials(arrival: Arrival) -> tuple[str, ...]:
    """Return the session id for version 1 of the interface; the login and the password for version 2.

    Raises:
        Refusal: if a parameter is missing.
    """
    names = ("Login", "Password") if arrival.version == 2 else ("SessionID",)
    return tuple(required(arrival.parameters, name) for name in names)


def read_order(arrival: Arrival, resource: GatewayResource) -> tuple[tuple[str, ...], Order]:
    """Return the credentials and the parameters of a send request.

    Raises:
        Refusal: if a required parameter is missing.
        Malformed: if the validity or an optional send date cannot be read.
    """
    parameters = arrival.parameters
    # A validity or a date that cannot be read is reported before a missing parameter, because ASP.NET MVC
    # converts numbers and dates before the resource checks any parameter.
    validity = parameters.integer("Validity")
    if resource.name in BY_TIME_ZONE:
        send_date: datetime | None = required_date(parameters, "SendDate", resource, shown_as="sendDate")
    else:
        send_date = parameters.date("SendDate")
    credentials = read_credentials(arrival)
    if resource.name in BULKS:
        destinations = parameters.all("DestinationAddresses")
        if not destinations:
            raise _missing("DestinationAddresses")
    else:
        destinations = [required(parameters, "DestinationAddress")]
    text = required(parameters, "Data")
    source_address = required(parameters, "SourceAddress")
    return credentials, Order(destinations, text, source_address, send_date, validity or 0)


def checked_destinations(addresses: list[str], dialect: Dialect, version: int) -> list[str]:
    """Return the digits of each destination address.

    Args:
        addresses: the destination addresses in the request.
        dialect: the dialect of the sandbox.
        version: the version of the interface that the request uses.

    Raises:
        Refusal: if there are too many addresses (code 2), or if an address is invalid (code 6). The sandbox
            then refuses the whole request.
    """
    limit = dialect.recipients_limit(version)
    if limit is not None and len(addresses) > limit:
        raise Refusal(
            2,
            f"DestinationAddresses can not contain more than {limit} addresses "
            "Parameter name: destinationAddresses",
        )
    checked = []
    for address in addresses:
        digits = destination_digits(
            address.strip() if dialect.trims_numbers else address,
            accepts_trunk_prefix=dialect.accepts_trunk_prefix,
        )
        if digits is None:
            raise Refusal(6, "Invalid destination address")
        checked.append(digits)
    return checked


def check_rest(order: Order, destinations: list[str], allowed: Collection[str] | None) -> None:
    """Run the checks that follow the check of the destination addresses.

    `check_rest` checks the source address, the length of the text, the validity and the number endings.

    Args:
        order: the parameters of the send request.
        destinations: the digits of each destination address.
        allowed: the source addresses that the account may use; None means all valid source addresses.

    Raises:
        Refusal: if a check fails.
    """
    if not is_source(order.source_address) or (allowed is not None and order.source_address not in allowed):
        raise Refusal(6, "Invalid source address")
    if utf16_units(order.text) > LONGEST_TEXT:
        raise Refusal(2, f"Data can not be longer than {LONGEST_TEXT} characters Parameter name: data")
    if order.validity < 0:
        raise Refusal(2, "Validity can not be negative Parameter name: validity")
    for digits in destinations:
        code = _ASKED_TO_FAIL.get(digits[-3:])
        if code is not None:
            raise Refusal(code)


def due(
    send_date: datetime | None, digits: str, resource: GatewayResource, dialect: Dialect
) -> datetime | None:
    """Return the send date of a message, aware, in UTC; None means that the message is sent at once.

    For Sms/SendByTimeZone and Sms/SendByTimeZoneToAddresses, `send_date` is in the local time of the
    recipient. For the other resources, `send_date` is in the time zone of the gateway (contract, "Dates
    sent").

    Args:
        send_date: the naive send date in the request; None if the request has no send date.
        digits: the digits of the destination address.
        resource: the resource that the request calls.
        dialect: the dialect of the sandbox.
    """
    if send_date is None:
        return None
    is_local = resource.name in BY_TIME_ZONE
    return to_utc(send_date, timezone(recipient_offset(digits)) if is_local else dialect.gateway_time_zone)


# The error description that ASP.NET MVC writes for a missing date (contract, "Codes").
_NULL_ENTRY = (
    "The parameters dictionary contains a null entry for parameter '{parameter}' of non-nullable type "
    "'DateTime' for method 'System.Web.Mvc.ActionResult {action}' in "
    "'RestService.Controllers.SmsController'. An optional parameter must be a reference type, a nullable "
    "type, or be declared as an optional parameter. Parameter name: parameters"
)


def _missing(name: str, shown_as: str | None = None) -> Refusal:
    # .NET appends the name of the C# parameter to the error description, for example `messageId` for
    # `MessageID`.
    argument = name[0].lower() + name[1:].replace("ID", "Id")
    return Refusal(1, f"{shown_as or name} can not be null or empty Parameter name: {argument}")
