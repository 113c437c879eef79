"""Who may use the page and the control API: the host names under which a browser may reach them."""

import ipaddress
import re
from collections.abc import Iterable

import attrs

from smsapi_async.sandbox.listening import bracketed

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?\.?)(?::([0-9]{1,5}))?")


@attrs.frozen
class WebAccess:
    """The host names that the header field `Host` may contain.

    Attributes:
        allowed_hosts: pairs (name, port) in lower case besides the names of this computer; the port None
            means any port.
        is_on: whether the page and the control API are served.
    """

    allowed_hosts: tuple[tuple[str, str | None], ...]
    is_on: bool

    @classmethod
    def to(cls, listening_host: str, allowed_hosts: Iterable[str] = ()) -> "WebAccess":
        """Return the access to a server.

        Args:
            listening_host: the network address on which the server listens. If the address is not a loopback
                address and `allowed_hosts` is empty, the page and the control API are off.
            allowed_hosts: further host names or addresses, with or without a port.

        Raises:
            ValueError: if one of `allowed_hosts` is no host name.
        """
        names = (allowed_hosts,) if isinstance(allowed_hosts, str) else tuple(allowed_hosts)
        allowed = tuple(map(_checked_host, names))
        return cls(allowed, is_on=bool(allowed) or is_loopback_name(listening_host.lower()))

    def allows(self, authority: str) -> bool:
        """Whether the value of a header field `Host` names this computer or an allowed host."""
        match = _AUTHORITY.fullmatch(authority.lower())
        if match is None:
            return False
        name, port = match[1].strip("[]").rstrip("."), match[2]
        return is_loopback_name(name) or any(
            each in {(name, None), (name, port)} for each in self.allowed_hosts
        )

    def page_url(self, listening_host: str, port: int) -> str | None:
        """Return the URL of the page, or None if the page is off.

        Args:
            listening_host: the network address on which the server listens.
            port: the port on which the server listens.
        """
        if not self.is_on:
            return None
        if is_loopback_name(listening_host.lower()):
            return f"http://{bracketed(listening_host)}:{port}/"
        name, own_port = self.allowed_hosts[0]
        return f"http://{bracketed(name)}:{own_port or port}/"


def is_loopback_name(name: str) -> bool:
    """Whether a host name or an IP address, in lower case, always means this computer."""
    # The top-level domain `localhost` cannot be registered (RFC 6761, section 6.3).
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _checked_host(host: str) -> tuple[str, str | None]:
    text = host.strip().lower()
    if ":" in text and "[" not in text and text.count(":") > 1:
        text = f"[{text}]"
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise ValueError("an allowed host must be a host name or an IP address, with or without a port")
    return match[1].strip("[]").rstrip("."), match[2]
