"""The guard: blocks each request to an address beyond loopback while tests run.

The pytest plugin of this package switches the guard on, for its own process and, by the environment variable
`SMSAPI_GUARD`, for the processes that the tests start. Each blocked request is also reported, so that the
plugin fails the test even if the application ignores the error.

The module imports few other modules, because pytest imports the module at each start.
"""

import os
from contextlib import suppress
from functools import lru_cache

VARIABLE = "SMSAPI_GUARD"
"""The environment variable that switches the guard on. Empty, 0, false, no and off leave the guard off."""
FILE_VARIABLE = "SMSAPI_GUARD_FILE"
"""The environment variable with the path of the file to which other processes report blocked requests."""

ADVICE = (
    "use the fixture sms_sandbox, or allow real requests: mark the test with @pytest.mark.sms_real, run "
    "pytest with --sms-guard=off, or set sms_guard = false in the configuration of pytest"
)
"""What a reader of the error can do."""

_OFF = {"", "0", "false", "no", "off"}


class Guard:
    """Reports the blocked requests of one process and of the processes that it starts.

    Args:
        file: the path of a file, to which all processes but this process append the hosts; "" for no file.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self._process = os.getpid()
        self._hosts: list[str] = []
        self._position = 0

    @classmethod
    def with_file(cls) -> "Guard":
        """Return a guard with a new temporary file, so that other processes can report, too."""
        # The import is inside the function, because the client also imports this module.
        from tempfile import mkstemp  # noqa: PLC0415

        descriptor, file = mkstemp(prefix="smsapi-guard-")
        os.close(descriptor)
        return cls(file)

    def remove_file(self) -> None:
        """Remove the file of the guard."""
        with suppress(OSError):
            os.unlink(self.file)

    def report(self, host: str) -> None:
        """Report a blocked request. Any thread may call this method, also after a fork."""
        # A program may replace the file system or close all files, so this process does not use the file.
        if os.getpid() == self._process:
            self._hosts.append(host)
        else:
            _append(self.file, host)

    def reported(self) -> list[str]:
        """Return the hosts of the blocked requests since the last call, in the order of their reports."""
        hosts, self._hosts = self._hosts, []
        try:
            if os.path.getsize(self.file) > self._position:
                with open(self.file, "rb") as lines:
                    lines.seek(self._position)
                    new = lines.read()
                    self._position += len(new)
                hosts += new.decode("utf-8", "replace").split()
        except OSError:
            # Without a file, only the requests of this process are reported.
            pass
        return hosts


_own: Guard | None = None
"""The guard of this process, which remains on even if a program clears the environment."""


def switch(guard: Guard | None) -> Guard | None:
    """Switch the guard on or off, for this process and for the processes that it starts from now on.

    Args:
        guard: the guard that reports the blocked requests; None switches the guard off.

    Returns:
        The guard before the call; None if the guard was off.
    """
    global _own
    previous, _own = _own, guard
    if guard is None:
        os.environ.pop(VARIABLE, None)
        os.environ.pop(FILE_VARIABLE, None)
    else:
        os.environ[VARIABLE] = "1"
        os.environ[FILE_VARIABLE] = guard.file
    return previous


def is_on() -> bool:
    """Return whether the guard blocks requests in this process."""
    return _own is not None or os.environ.get(VARIABLE, "").lower() not in _OFF


def check(*hosts: str | None) -> None:
    """Check the hosts of a request before a byte of the request is written and before a name is looked up.

    Args:
        hosts: the hosts to which the request or a part of the request goes: the gateway and a proxy. None is
            ignored.

    Raises:
        RealSendBlocked: if the guard is on, and a host is beyond loopback.
    """
    if _own is None and os.environ.get(VARIABLE, "").lower() in _OFF:
        return
    for host in hosts:
        if host is not None and not is_loopback(host):
            if _own is None:
                _append(os.environ.get(FILE_VARIABLE, ""), host)
            else:
                _own.report(host)
            # The import is inside the function, because pytest imports this module at each start.
            from smsapi_async.errors import RealSendBlocked  # noqa: PLC0415

            raise RealSendBlocked(f"the guard blocked a request to {host}; nothing was sent; {ADVICE}")


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Return whether a host is an address of this machine: 127.0.0.0/8, ::1, or the name ``localhost``.

    A name below ``localhost`` is not, because some systems look up such a name on another machine.
    """
    # The import is inside the function, because pytest imports this module at each start.
    from ipaddress import IPv6Address, ip_address  # noqa: PLC0415

    name = host.lower().removesuffix(".")
    try:
        address = ip_address(name.strip("[]"))
    except ValueError:
        return name == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _append(file: str, host: str) -> None:
    if not file:
        return
    try:
        # One write in append mode: the reports of several processes do not mix.
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND)
    except OSError:
        # The pytest process has ended, or the process must not write the file. The request is blocked anyway.
        return
    try:
        os.write(descriptor, f"{host}\n".encode("utf-8", "replace"))
    finally:
        os.close(descriptor)
