"""Blocks the requests of the sandbox to other computers while the guard of the pytest plugin is on.

The sandbox makes two kinds of requests: pushes to the handler of a customer, and the requests that a fault
proxy passes on. The sandbox shares no code with the client, so this module knows the guard by its two
environment variables only: `SMSAPI_GUARD` switches the guard on, and `SMSAPI_GUARD_FILE` is the path of the
file to which blocked requests are reported.
"""

import ipaddress
import os

_OFF = {"", "0", "false", "no", "off"}


class RemoteRequestBlocked(OSError):
    """The guard blocked a request of the sandbox to another computer. Nothing was sent."""


def check_remote(host: str, resource: str) -> None:
    """Check the host of a request before the request is made.

    Args:
        host: the host.
        resource: the resource, which the report names.

    Raises:
        RemoteRequestBlocked: if the guard is on, and the host is beyond loopback.
    """
    if os.environ.get("SMSAPI_GUARD", "").lower() in _OFF or is_loopback_host(host):
        return
    _report(os.environ.get("SMSAPI_GUARD_FILE", ""), host, resource)
    raise RemoteRequestBlocked(f"the guard blocked a request to {host}; mark the test with sms_real")


def is_loopback_host(host: str) -> bool:
    """Whether a host is an address of this computer: 127.0.0.0/8, ::1, or the name ``localhost``."""
    name = host.lower().removesuffix(".")
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _report(file: str, host: str, resource: str) -> None:
    line = "\t".join(" ".join(part.split()) for part in (resource, host, ""))
    try:
        # One write in append mode: the reports of several processes do not mix.
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND)
    except OSError:
        # There is no file, or the pytest process has ended. The request is blocked anyway.
        return
    try:
        os.write(descriptor, f"{line}\n".encode("utf-8", "replace"))
    finally:
        os.close(descriptor)
