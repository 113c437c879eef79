"""The HTTP libraries whose clients and transports a caller can supply: httpx and httpx2.

httpx2 has the interface of httpx, but its own classes and exceptions. This module imports neither of them: if
the caller supplies an object of a library, the caller has imported the library.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Protocol

import anyio

from smsapi_async.errors import ValidationError
from smsapi_async.privacy import mask_word

if TYPE_CHECKING:
    from collections.abc import Coroutine

Kind = Literal["asyncio", "httpcore"]
"""A transport of this package."""
Http = Literal["httpx", "httpx2"]
"""A library whose connections this package can use."""

LIBRARIES: tuple[Http, ...] = ("httpx", "httpx2")
_CORES: dict[Http, str] = {"httpx": "httpcore", "httpx2": "httpcore2"}
_LIBRARY_ERRORS = ("HTTPError", "InvalidURL", "StreamError")
_CORE_ERRORS = (
    "ConnectionNotAvailable",
    "NetworkError",
    "ProtocolError",
    "ProxyError",
    "TimeoutException",
    "UnsupportedProtocol",
)


class SuppliedClient(Protocol):
    """The part of `httpx.AsyncClient` and `httpx2.AsyncClient` that this package uses."""

    @property
    def is_closed(self) -> bool:
        """Whether the client was closed."""

    def build_request(self, method: str, url: Any) -> Any:  # noqa: ANN401 - each library has its own classes
        """Return a request with the headers of the client."""

    def send(self, request: Any, *, stream: bool, follow_redirects: bool) -> Coroutine[Any, Any, Any]:  # noqa: ANN401
        """Send a request."""

    def aclose(self) -> Coroutine[Any, Any, None]:
        """Close the connections of the client."""


class SuppliedTransport(Protocol):
    """The part of `httpx.AsyncBaseTransport` and `httpx2.AsyncBaseTransport` that this package uses."""

    def handle_async_request(self, request: Any, /) -> Coroutine[Any, Any, Any]:  # noqa: ANN401
        """Send a request."""

    def aclose(self) -> Coroutine[Any, Any, None]:
        """Close the connections of the transport."""


def library_of(value: object, name: Literal["AsyncClient", "AsyncBaseTransport"]) -> Any:  # noqa: ANN401
    """Return the library of a client or a transport; None for all other objects.

    Args:
        value: the object that the caller supplied.
        name: the name of the class in the library.
    """
    for module in imported(*LIBRARIES):
        # A library that another thread imports at this moment may not have the class yet.
        if isinstance(value, getattr(module, name, ())):
            return module
    return None


def imported(*names: str) -> list[ModuleType]:
    """Return those modules that are imported."""
    return [module for name in names if (module := sys.modules.get(name)) is not None]


def core_of(http: Http | None) -> str:
    """Return the name of the package that opens the connections of a library."""
    return _CORES[http or "httpx"]


def check_installed(http: object) -> None:
    """Check the parameter ``http`` of the client.

    Raises:
        ValidationError: if the value is not the name of a library, or the library is not installed.
    """
    if http is None:
        return
    if not isinstance(http, str) or http not in LIBRARIES:
        raise ValidationError("http", mask_word(http), "pass 'httpx' or 'httpx2'")
    if not is_installed(http):
        raise ValidationError("http", repr(http), f"run `pip install {http}`")


def is_installed(name: str) -> bool:
    """Return whether a package is installed."""
    # The value None in `sys.modules` means that the package must not be imported.
    return sys.modules[name] is not None if name in sys.modules else find_spec(name) is not None


@lru_cache(maxsize=4)
def private_url(library: Any) -> Any:  # noqa: ANN401
    """Return a class of URLs for requests. The query is sent, but `str` and `repr` do not show the query.

    httpx and httpx2 log the URL of each request, and the query contains the session id.
    """

    def shown(url: object) -> str:
        return str(library.URL(url).copy_with(query=None))

    members = {"__str__": shown, "__repr__": lambda url: f"URL({shown(url)!r})"}
    return type("PrivateURL", (library.URL,), members)


def transport_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that transports are known to raise for a failed exchange.

    Any other exception is a defect of the program. We do not catch `Exception`, because an error of the SDK
    would hide the defect. The function imports no module: if a library is not imported, no code can raise its
    exceptions.
    """
    found: list[type[Exception]] = [
        anyio.BrokenResourceError,
        anyio.ClosedResourceError,
        anyio.EndOfStream,
        OSError,
        EOFError,
    ]
    for names, errors in ((LIBRARIES, _LIBRARY_ERRORS), (_CORES.values(), _CORE_ERRORS)):
        for module in imported(*names):
            # A library that another thread imports at this moment may not have its classes yet.
            found += [getattr(module, error) for error in errors if hasattr(module, error)]
    return tuple(found)
