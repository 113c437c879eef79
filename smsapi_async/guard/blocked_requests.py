"""What the guard does with a blocked request: the report and the error."""

import os
import sys
from collections.abc import Callable
from ipaddress import ip_address
from typing import NoReturn

import attrs

from smsapi_async.errors import RealSendBlocked
from smsapi_async.privacy import HTTP_PACKAGES

ADVICE = (
    "use the fixture sms_sandbox, or allow real requests: mark the test with @pytest.mark.sms_real, run "
    "pytest with --sms-guard=off, or set sms_guard = false in the configuration of pytest"
)
"""What a reader of the error can do."""

# The packages whose frames lie between a request and the code that makes the request.
_BETWEEN = HTTP_PACKAGES | {
    "anyio",
    "asyncio",
    "concurrent",
    "contextlib",
    "cyclopts",
    "outcome",
    "runpy",
    "smsapi_async",
    "threading",
    "trio",
    "uvloop",
}
# The frames of pytest: the code that makes the request is not on the stack.
_RUNNERS = {"_pytest", "pluggy", "pytest", "pytest_asyncio", "pytest_trio"}
# The ends of the names that networks of containers and local networks use.
_LOCAL_NAMES = (".internal", ".lan", ".local", ".localhost")


@attrs.frozen
class BlockedRequest:
    """A blocked request.

    Attributes:
        resource: the resource, for example ``Sms/Send``; "" if it is not known.
        host: the host: of the gateway, of a proxy, or of the handler of a push.
        place: the file and the line of the code that made the request; "" if they are not known.
    """

    resource: str
    host: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.what} at {self.place}" if self.place else self.what

    @property
    def what(self) -> str:
        """The resource and the host in words."""
        return f"{self.resource or 'a request'} to {self.host or 'an empty host'}"

    def append_to(self, file: str) -> None:
        """Append the request to the file of a guard. If the file cannot be written, nothing happens."""
        if not file:
            return
        try:
            # One write in append mode: the reports of several processes do not mix.
            descriptor = os.open(file, os.O_WRONLY | os.O_APPEND)
        except OSError:
            # The pytest process has ended, or this process must not write the file.
            return
        line = "\t".join(" ".join(part.split()) for part in (self.resource, self.host, self.place))
        try:
            os.write(descriptor, f"{line}\n".encode("utf-8", "replace"))
        finally:
            os.close(descriptor)

    def print_late(self) -> None:
        """Print that the request was blocked after the tests, when no test can fail."""
        if sys.stderr is not None:
            print(f"after the tests, the guard of smsapi-async blocked {self}", file=sys.stderr)  # noqa: T201


def block(host: str, resource: str, report: Callable[[BlockedRequest], None]) -> NoReturn:
    """Report a request, and raise the error.

    Args:
        host: the host.
        resource: the resource; "" if it is not known.
        report: gets the request.

    Raises:
        RealSendBlocked: always.
    """
    blocked = BlockedRequest(resource, host, _place())
    report(blocked)
    raise RealSendBlocked(f"the guard blocked {blocked.what}; nothing was sent; {_hint(host)}{ADVICE}")


def _hint(host: str) -> str:
    """Return what to do about a host that may be near, such as a container; "" for all other hosts."""
    name = host.lower().removesuffix(".")
    if name and ("." not in name or name.endswith(_LOCAL_NAMES) or _is_private(name)):
        return "only 127.0.0.1, ::1 and localhost pass the guard, and no container or other computer; "
    return ""


def _is_private(name: str) -> bool:
    try:
        return ip_address(name).is_private
    except ValueError:
        return False


def _place() -> str:
    """Return the file and the line of the code that makes the request; "" if they are not on the stack."""
    frame = sys._getframe(1)  # noqa: SLF001 - a traceback would need an exception
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in _RUNNERS:
            break
        if package not in _BETWEEN:
            return f"{_relative(frame.f_code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""


def _relative(file: str) -> str:
    try:
        return file.removeprefix(os.getcwd() + os.sep)
    except OSError:
        # The working directory was removed.
        return file


def parsed(lines: bytes) -> list[BlockedRequest]:
    """Return the requests in lines of the file of a guard."""
    fields = [[*line.split("\t"), "", ""] for line in lines.decode("utf-8", "replace").splitlines()]
    return [BlockedRequest(resource, host, place) for resource, host, place, *_ in fields]
