"""The guard: blocks each request to an address beyond loopback while tests run.

The pytest plugin of this package switches the guard on, for its own process and, by the environment variable
`SMSAPI_GUARD`, for the processes that the tests start. Each blocked request is also reported, so that the
plugin fails the test even if the application ignores the error.

pytest imports this module at each start. So the module is short, and imports few other modules: the module
`blocked_requests` contains what is necessary only after a request was blocked.
"""

import atexit
import os
import threading
from collections import deque
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from smsapi_async.guard.blocked_requests import BlockedRequest

VARIABLE = "SMSAPI_GUARD"
"""The environment variable that switches the guard on.

The guard reads the variable at each request. Each value that is not in `OFF` switches the guard on, and
`AsyncSmsClient.from_env` refuses a value that is no switch.
"""
FILE_VARIABLE = "SMSAPI_GUARD_FILE"
"""The environment variable with the path of the file to which other processes report blocked requests."""

OFF = {"", "0", "false", "no", "off", "f", "n"}
"""The values that leave the guard off."""


class Guard:
    """Reports the blocked requests of one process and of the processes that it starts.

    Args:
        file: the path of a file, to which all processes but this process append the blocked requests; "" for
            no file.

    Attributes:
        is_over: whether the tests have ended. Each later report is printed, because no test can fail.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.is_over = False
        self._process = os.getpid()
        self._blocked: deque[BlockedRequest] = deque()
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

    def report(self, blocked: "BlockedRequest") -> None:
        """Report a blocked request. Any thread may call this method, also after a fork."""
        # A program may replace the file system or close all files, so this process does not use the file.
        if os.getpid() != self._process:
            blocked.append_to(self.file)
            return
        self._blocked.append(blocked)
        if self.is_over:
            blocked.print_late()

    def reported(self) -> "list[BlockedRequest]":
        """Return the blocked requests since the last call, in the order of their reports."""
        blocked = []
        while self._blocked:
            blocked.append(self._blocked.popleft())
        try:
            if os.path.getsize(self.file) > self._position:
                with open(self.file, "rb") as lines:
                    lines.seek(self._position)
                    new = lines.read()
                self._position += len(new)
                # The import is inside the function, because pytest imports this module at each start.
                from smsapi_async.guard.blocked_requests import parsed  # noqa: PLC0415

                blocked += parsed(new)
        except OSError:
            # Without a file, only the requests of this process are reported.
            pass
        return blocked


_own: Guard | None = None
"""The guard of this process, which remains on even if a program clears the environment."""
_ended: Guard | None = None
"""The last guard of this process whose tests have ended."""
_left: "WeakSet[threading.Thread]" = WeakSet()
"""The threads that ran when the tests ended. The guard `_ended` still blocks their requests."""


def switch(guard: Guard | None) -> Guard | None:
    """Switch the guard on or off, for this process and for the processes that it starts from now on.

    Args:
        guard: the guard that reports the blocked requests; None switches the guard off.

    Returns:
        The guard before the call; None if the guard was off.
    """
    global _own
    previous, _own = _own, guard
    if guard is not None:
        _left.clear()
    if guard is None:
        os.environ.pop(VARIABLE, None)
        os.environ.pop(FILE_VARIABLE, None)
    else:
        os.environ[VARIABLE] = "1"
        os.environ[FILE_VARIABLE] = guard.file
    return previous


def end(guard: Guard | None, previous: Guard | None) -> None:
    """Restore the guard before the tests.

    If there was no guard before the tests, the guard stays on for the threads that the tests leave behind,
    and for the functions that Python calls at its exit.

    Args:
        guard: the guard of the tests; None if the guard was off.
        previous: the guard before the tests, which `switch` returned.
    """
    global _ended
    switch(previous)
    if guard is None:
        return
    guard.remove_file()
    if previous is None:
        guard.is_over, _ended = True, guard
        _left.update(thread for thread in threading.enumerate() if thread is not threading.current_thread())
        atexit.unregister(_at_exit)
        atexit.register(_at_exit)


def _at_exit() -> None:
    if _own is None:
        switch(_ended)


def is_on() -> bool:
    """Return whether the guard blocks the requests of this thread."""
    if _own is not None or os.environ.get(VARIABLE, "").strip().lower() not in OFF:
        return True
    return bool(_left) and threading.current_thread() in _left


def _report(blocked: "BlockedRequest") -> None:
    guard = _own or (_ended if threading.current_thread() in _left else None)
    if guard is None:
        # The variable leads to the guard of a parent process.
        blocked.append_to(os.environ.get(FILE_VARIABLE, ""))
    else:
        guard.report(blocked)


def check(*hosts: str | None, resource: str = "") -> None:
    """Check the hosts of a request before a byte of the request is written and before a name is looked up.

    Args:
        hosts: the hosts to which the request or a part of the request goes: the gateway and a proxy. None is
            ignored.
        resource: the resource of the request, for example ``Sms/Send``.

    Raises:
        RealSendBlocked: if the guard is on, and a host is beyond loopback.
    """
    if not is_on():
        return
    for host in hosts:
        if host is not None and not is_loopback(host):
            # The import is inside the function, because pytest imports this module at each start.
            from smsapi_async.guard.blocked_requests import block  # noqa: PLC0415

            block(host, resource, _report)


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
