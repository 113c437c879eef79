"""Which transport runs: decided when the client is entered or first asked, in the loop that runs."""

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
# The connector and the parser, which the transport uses without aiohttp's session, may change with 3.15.
_VERSIONS = ("3.14.",)


class AutomaticTransport(BundledTransport):
    """aiohttp where it is installed, asyncio runs and the proxy allows; else httpcore.

    Args:
        kind: the one to use; None leaves the choice to the loop that runs.
        ssl_context: for ``https://``.
        proxy: an ``http://``, ``https://`` or ``socks5://`` proxy; only the first can go with aiohttp.

    Raises:
        ValidationError: the one to use cannot be used.
        RuntimeError: a package for the proxy is not installed.
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
        """Which one runs; ``auto`` while that is still open."""
        if self._chosen is not None:
            return self._chosen.name
        return "aiohttp" if self._is_forced else "auto"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange, through the transport that runs."""
        chosen = self._chosen or await self.choose()
        return await chosen.handle_async_request(request)

    async def aclose(self) -> None:
        """Close every connection."""
        self._is_closed = True
        if self._chosen is not None:
            await self._chosen.aclose()

    async def choose(self) -> BundledTransport:
        """The transport for the loop that runs; from here on it is the one.

        Raises:
            ValidationError: aiohttp is forced, and asyncio does not run.
        """
        if self._chosen is not None:
            return self._chosen
        is_fast = _runs_asyncio()
        if self._is_forced and not is_fast:
            raise ValidationError("transport", "'aiohttp'", "leave it out: aiohttp runs on asyncio only")
        make = await _fast_transport() if is_fast else _over_httpcore
        if self._is_closed:
            raise ClosedResourceError
        if self._chosen is None:  # else another call chose while this one waited
            self._chosen = make(self._ssl_context, self._proxy)
        return self._chosen


async def _fast_transport() -> Callable[[ssl.SSLContext | None, httpx.Proxy | None], BundledTransport]:
    """aiohttp's, whose import takes a fifth of a second, which is not the event loop's.

    A look into `sys.modules` would not do: a module stands there while another call still imports it.
    AnyIO's own threads would keep a process alive whose loop was stopped and not run to its end.
    """
    loop = sys.modules["asyncio"].get_running_loop()
    module = await loop.run_in_executor(None, importlib.import_module, _FAST)
    transport: type[BundledTransport] = module.AiohttpTransport
    return transport


def _over_httpcore(ssl_context: ssl.SSLContext | None, proxy: httpx.Proxy | None) -> BundledTransport:
    # httpcore imports all of trio where it finds it; with aiohttp nobody needs to wait for that.
    from smsapi_async.http.httpcore_transport import HttpcoreTransport  # noqa: PLC0415

    return HttpcoreTransport(ssl_context, proxy)


def _runs_asyncio() -> bool:
    """Whether this is a task of asyncio's; a trio loop that is a guest of asyncio's has none."""
    asyncio = sys.modules.get("asyncio")
    try:
        return asyncio is not None and asyncio.current_task() is not None
    except RuntimeError:
        return False


def _obstacle(proxy: httpx.Proxy | None) -> str | None:
    """What stands against aiohttp, as a hint; None for nothing."""
    if proxy is not None and proxy.url.scheme != "http":
        return "leave it out: aiohttp is used with http:// proxies only"
    if importlib.util.find_spec("aiohttp") is None:
        return "install smsapi-async[speed]"
    from importlib.metadata import version  # noqa: PLC0415 - it takes as long as a small library

    if not version("aiohttp").startswith(_VERSIONS):
        return f"install smsapi-async[speed]: aiohttp {_VERSIONS[0]}x"
    return None
