"""The eight resources of the contract and their methods."""

import attrs


@attrs.frozen
class Resource:
    """One resource below the base URL."""

    name: str
    method: str

    @property
    def sends(self) -> bool:
        """Whether a call is billed, and so must never be made twice."""
        return self.method == "POST"


LOGIN = Resource("user/sessionid", "GET")
BALANCE = Resource("User/Balance", "GET")
SEND = Resource("Sms/Send", "POST")
SEND_BY_TIME_ZONE = Resource("Sms/SendByTimeZone", "POST")
SEND_BULK = Resource("Sms/SendBulk", "POST")
STATE = Resource("Sms/State", "GET")
INCOMING = Resource("Sms/In", "GET")
STATISTICS = Resource("Sms/Statistics", "GET")
