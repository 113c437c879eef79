"""The resources of the gateway and their HTTP methods (contract, "Resources")."""

import attrs


@attrs.frozen
class Resource:
    """A resource of the gateway's HTTP API: a path and its HTTP method.

    Attributes:
        name: the path of the resource below the base URL, without a leading slash.
        method: the HTTP method of the resource, ``GET`` or ``POST``.
        body_factor: the maximum size of a response body, as a multiple of the setting ``response_limit``.
        sends: True if a request to this resource sends messages, which the gateway bills.
    """

    name: str
    method: str
    body_factor: int = 1
    sends: bool = attrs.field()

    @sends.default
    def _sends_by_default(self) -> bool:
        return self.method == "POST"


LOGIN = Resource("user/sessionid", "GET")
BALANCE = Resource("User/Balance", "GET")
SEND = Resource("Sms/Send", "POST")
SEND_BY_TIME_ZONE = Resource("Sms/SendByTimeZone", "POST")
SEND_BULK = Resource("Sms/SendBulk", "POST")
SEND_BULK_BY_TIME_ZONE = Resource("Sms/SendByTimeZoneToAddresses", "POST")
STATE = Resource("Sms/State", "GET")
INCOMING = Resource("Sms/In", "GET", body_factor=4)
STATISTICS = Resource("Sms/Statistics", "GET")
