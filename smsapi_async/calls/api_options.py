"""The variants of the gateway's HTTP API that a client can use (contract, "Later documents")."""

from datetime import tzinfo
from typing import Literal, Self

import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.privacy import mask_misplaced, type_name
from smsapi_async.protocol.dates import checked_time_zone
from smsapi_async.session import MemorySessionStore, SessionStore
from smsapi_async.settings import checked_methods

_VERSION_2 = "/v2"


@attrs.frozen
class ApiOptions:
    """The variant of the gateway's HTTP API that a client uses.

    Attributes:
        version: 1 means that each request contains a session id, 2 means that each request contains the login
            and the password.
        time_zone: the time zone of the send dates and of the statistics.
        bulk_by_time_zone: whether a batch uses ``Sms/SendByTimeZoneToAddresses``.
    """

    version: Literal[1, 2]
    time_zone: tzinfo
    bulk_by_time_zone: bool

    @classmethod
    def checked(cls, api_version: object, gateway_time_zone: object, bulk_by_time_zone: object) -> Self:
        """Check the parameters of `AsyncSmsClient` with these names.

        Raises:
            ValidationError: if a parameter is wrong.
        """
        if type(api_version) is not int or api_version not in {1, 2}:
            raise ValidationError("api_version", mask_misplaced(api_version), "pass 1 or 2")
        if type(bulk_by_time_zone) is not bool:
            raise ValidationError("bulk_by_time_zone", type_name(bulk_by_time_zone), "pass True or False")
        version: Literal[1, 2] = 2 if api_version == 2 else 1
        return cls(version, checked_time_zone(gateway_time_zone), bulk_by_time_zone)

    def url(self, base_url: str) -> str:
        """Return the URL to which a slash and the name of a resource are added.

        Args:
            base_url: the base URL without a slash at its end. For version 2, the URL may end with ``/v2``.

        Raises:
            ValidationError: if the URL belongs to version 2, and the client uses version 1.
        """
        is_version_2 = base_url.lower().endswith(_VERSION_2)
        # A gateway of version 1 may be behind a proxy whose path ends with ``/v2``.
        if self.version == 1 and base_url.lower().endswith(f"/rest{_VERSION_2}"):
            hint = f"pass api_version=2, or a URL without {_VERSION_2}"
            raise ValidationError("base_url", f"a URL that ends with /rest{_VERSION_2}", hint)
        return base_url if self.version == 1 or is_version_2 else f"{base_url}{_VERSION_2}"

    def session_store(self, given: SessionStore | None) -> SessionStore | None:
        """Return the session store of a client; None if the client has no sessions.

        Raises:
            ValidationError: if the caller passed an object that is no session store, or a session store for
                version 2.
        """
        if self.version == 2:
            if given is not None:
                raise ValidationError(
                    "session_store", type_name(given), "leave it out: with api_version=2 there is no session"
                )
            return None
        return checked_methods("session_store", given, ("load", "save"), MemorySessionStore())
