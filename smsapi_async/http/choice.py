"""The choice between the transports of this package, aiohttp and httpcore.

The choice depends on the running event loop. So the choice is made at the start of the client's `async
with` block or at the first request, and not in the constructor.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Literal

import httpx
from anyio import ClosedResourceError

from smsapi_async.errors import ValidationError
from smsapi_async.http.base import BundledTransport

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

Kind = Literal["aiohttp", "httpcore"]

_FAST = "smsapi_async.http.aiohttp_transport"
# The transport uses aiohttp's connector and parser without aiohttp's session. These interfaces may change
# in aiohttp 3.15.
_VERSIONS = ("3.14.",)


class AutomaticTransport(BundledTransport):
    """Uses aiohttp if aiohttp is installed, asyncio runs and the proxy allows aiohttp; otherwise httpcore.

    Args:
        kind: the transport to use; None means that the choice depends on the running event loop.
        ssl_context: the TLS context for ``https://`` addresses.
        proxy: an ``http://``, ``https://`` or ``socks5://`` proxy. aiohttp is used with an ``http://``
            proxy only.

    Raises:
        ValidationError: the transport named by `kind` cannot be used.
        RuntimeError: a package that the proxy needs is not installed.
    """

    def __init__(
        self, kind: Kind | None, ssl_context: ssl.SSLContext | None, proxy: httpx.Proxy | None
    ) -> None:
        obstacle = None if kind == "httpcore" else _obstacle(proxy)
        if kind == "aiohttp" and obstacle is not None:
            raise ValidationError("transport", repr(kind), obstacle)
        self._is_forced = kind == "aiohttp"
        self._ssl_context = ssl_context
        self._proxy = proxy
        self._is_closed = False
        may_be_fast = kind != "httpcore" and obstacle is None
        self._chosen: BundledTransport | None = None if may_be_fast else _over_httpcore(ssl_context, proxy)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of the chosen transport; ``auto`` before the choice."""
        if self._chosen is not None:
            return self._chosen.name
        return "aiohttp" if self._is_forced else "auto"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request through the chosen transport, and return the response."""
        chosen = self._chosen or await self.choose()
        return await chosen.handle_async_request(request)

    async def aclose(self) -> None:
        """Close every connection."""
        self._is_closed = True
        if self._chosen is not None:
            await self._chosen.aclose()

    async def choose(self) -> BundledTransport:
        """Return the transport for the running event loop. The first choice is final.

        Raises:
            ValidationError: the caller requires aiohttp, but asyncio does not run.
            ClosedResourceError: this transport is closed.
        """
        if self._chosen is not None:
            return self._chosen
        is_fast = _runs_asyncio()
        if self._is_forced and not is_fast:
            raise ValidationError(
                "transport", "'aiohttp'", "omit this parameter: aiohttp runs on asyncio only"
            )
        make = await _fast_transport() if is_fast else _over_httpcore
        # `aclose` may have run during the import. A transport made now would never be closed.
        if self._is_closed:
            raise ClosedResourceError
        # Another call may have chosen the transport during the import.
        if self._chosen is None:
            self._chosen = make(self._ssl_context, self._proxy)
        return self._chosen


async def _fast_transport() -> Callable[[ssl.SSLContext | None, httpx.Proxy | None], BundledTransport]:
    """Import the aiohttp transport in a thread, and return the class of the transport.

    The import takes 0.2 seconds. In the event loop the import would block all other tasks.
    """
    # `importlib` waits if another thread imports the module at the same time. A look-up in `sys.modules` is
    # not enough: `sys.modules` contains a module before the import is complete.
    # asyncio's executor runs the import. A worker thread of AnyIO would keep the process alive if the event
    # loop is stopped early.
    loop = sys.modules["asyncio"].get_running_loop()
    module = await loop.run_in_executor(None, importlib.import_module, _FAST)
    transport: type[BundledTransport] = module.AiohttpTransport
    return transport


def _over_httpcore(ssl_context: ssl.SSLContext | None, proxy: httpx.Proxy | None) -> BundledTransport:
    # httpcore imports the whole of trio if trio is installed. The aiohttp transport does not need this
    # slow import.
    from smsapi_async.http.httpcore_transport import HttpcoreTransport  # noqa: PLC0415

    return HttpcoreTransport(ssl_context, proxy)


def _runs_asyncio() -> bool:
    """Return whether this code runs in an asyncio task.

    Trio in guest mode on asyncio has no current asyncio task.
    """
    # If no module has imported asyncio, asyncio does not run.
    asyncio = sys.modules.get("asyncio")
    try:
        return asyncio is not None and asyncio.current_task() is not None
    except RuntimeError:
        return False


def _obstacle(proxy: httpx.Proxy | None) -> str | None:
    """Return the reason against aiohttp as a hint for the user; None if aiohttp can be used."""
    if proxy is not None and proxy.url.scheme != "http":
        return "omit this parameter: aiohttp is used with http:// proxies only"
    if importlib.util.find_spec("aiohttp") is None:
        return "install smsapi-async[speed]"
    from importlib.metadata import version  # noqa: PLC0415 - this import is slow

    if not version("aiohttp").startswith(_VERSIONS):
        return f"install smsapi-async[speed]: only aiohttp {_VERSIONS[0]}x is supported"
    return None
