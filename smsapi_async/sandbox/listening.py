"""The host in the URL of a server that listens on a socket."""

import ipaddress
import socket


def url_host(host: str, listener: socket.socket) -> str:
    """Return the host for the URL of a server, which clients on this computer can use.

    Args:
        host: the network address on which the server listens, or a name of this address.
        listener: the socket that is bound to the address.

    Returns:
        `host`, or the loopback address if the server listens on all network interfaces; an IPv6 address in
        brackets.
    """
    if listens_everywhere(listener):
        host = "127.0.0.1" if listener.family is socket.AF_INET else "::1"
    return bracketed(host)


def listens_everywhere(listener: socket.socket) -> bool:
    """Whether a socket is bound to the addresses of all network interfaces."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_unspecified


def bracketed(host: str) -> str:
    """Return a host as in a URL, which contains an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]" if ":" in host else host
