"""What a request must give, and the checks before a send."""

from datetime import datetime

import attrs

from smsapi_async.sandbox.answers import Refusal
from smsapi_async.sandbox.number_rules import GATEWAY_OFFSET, destination_digits, is_source, recipient_offset
from smsapi_async.sandbox.splitting import utf16_units
from smsapi_async.sandbox.tables import GatewayResource
from smsapi_async.sandbox.wire import Malformed, Parameters, to_utc

LONGEST_TEXT = 2000

_ASKED_TO_FAIL = {"806": 6, "807": 7, "808": 8, "809": 9}


@attrs.frozen(repr=False)
class Order:
    """What a request asks to be sent, as it gave it."""

    destinations: list[str]
    text: str
    source_address: str
    send_date: datetime | None
    validity: int


def required(parameters: Parameters, name: str, shown_as: str | None = None) -> str:
    """A parameter's text; a missing or empty one is refused."""
    text = parameters.text(name)
    if text is None:
        raise _missing(name, shown_as)
    return text


def required_date(
    parameters: Parameters, name: str, resource: GatewayResource, shown_as: str | None = None
) -> datetime:
    """A parameter's naive date; a missing or unreadable one is refused in ASP.NET's words."""
    # MVC binds a date it cannot read to null, and then misses the argument.
    try:
        date = parameters.date(name)
    except Malformed:
        date = None
    if date is None:
        raise Refusal(9, _NULL_ENTRY.format(parameter=shown_as or name, action=resource.action))
    return date


def read_order(parameters: Parameters, resource: GatewayResource) -> tuple[str, Order]:
    """The session and the order; what is required and missing is refused."""
    validity = parameters.integer("Validity")
    if resource.name == "Sms/SendByTimeZone":
        send_date: datetime | None = required_date(parameters, "SendDate", resource, shown_as="sendDate")
    else:
        send_date = parameters.date("SendDate")
    session = required(parameters, "SessionID")
    if resource.name == "Sms/SendBulk":
        destinations = parameters.all("DestinationAddresses")
        if not destinations:
            raise _missing("DestinationAddresses")
    else:
        destinations = [required(parameters, "DestinationAddress")]
    text = required(parameters, "Data")
    return session, Order(destinations, text, required(parameters, "SourceAddress"), send_date, validity or 0)


def checked_destinations(addresses: list[str]) -> list[str]:
    """The digits of each address; one bad address refuses them all."""
    checked = []
    for address in addresses:
        digits = destination_digits(address)
        if digits is None:
            raise Refusal(6, "Invalid destination address")
        checked.append(digits)
    return checked


def check_rest(order: Order, destinations: list[str]) -> None:
    """The checks after the destination: source, length, and the endings that ask for a failure."""
    if not is_source(order.source_address):
        raise Refusal(6, "Invalid source address")
    if utf16_units(order.text) > LONGEST_TEXT:
        raise Refusal(2, f"Data can not be longer than {LONGEST_TEXT} characters Parameter name: data")
    if order.validity < 0:
        raise Refusal(2, "Validity can not be negative Parameter name: validity")
    for digits in destinations:
        code = _ASKED_TO_FAIL.get(digits[-3:])
        if code is not None:
            raise Refusal(code)


def due(send_date: datetime | None, digits: str, resource: GatewayResource) -> datetime | None:
    """When a message is due, in UTC: the resource says whose wall clock the date is of."""
    if send_date is None:
        return None
    is_local = resource.name == "Sms/SendByTimeZone"
    return to_utc(send_date, recipient_offset(digits) if is_local else GATEWAY_OFFSET)


_NULL_ENTRY = (
    "The parameters dictionary contains a null entry for parameter '{parameter}' of non-nullable type "
    "'DateTime' for method 'System.Web.Mvc.ActionResult {action}' in "
    "'RestService.Controllers.SmsController'. An optional parameter must be a reference type, a nullable "
    "type, or be declared as an optional parameter. Parameter name: parameters"
)


def _missing(name: str, shown_as: str | None = None) -> Refusal:
    argument = name[0].lower() + name[1:].replace("ID", "Id")
    return Refusal(1, f"{shown_as or name} can not be null or empty Parameter name: {argument}")
