"""The choice between the transports of this package, asyncio and httpcore.

The choice depends on the running event loop. Therefore the client chooses the transport at the start of its
`async with` block or at the first request, and not in the constructor.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import httpx
from anyio import ClosedResourceError

from smsapi_async.errors import ValidationError
from smsapi_async.eventloop import running_asyncio_task
from smsapi_async.http.base import BundledTransport
from smsapi_async.http.libraries import Kind

if TYPE_CHECKING:
    import ssl

__all__ = ["AutomaticTransport", "Kind"]


class AutomaticTransport(BundledTransport):
    """Uses the asyncio transport if asyncio runs and no proxy is set, else the httpcore transport.

    Args:
        kind: the transport to use; None means the transport for the running event loop.
        ssl_context: the TLS context for ``https://`` addresses.
        proxy: an ``http://``, ``https://`` or ``socks5://`` proxy, or None. Only httpcore supports proxies.
        core: the package that opens the connections of the httpcore transport: ``httpcore`` or ``httpcore2``.

    Attributes:
        proxy_host: the name or the IP address of the proxy; None without a proxy.

    Raises:
        ValidationError: if the transport named by `kind` cannot be used.
        RuntimeError: if a package that the proxy needs is not installed.
    """

    def __init__(
        self,
        kind: Kind | None,
        ssl_context: ssl.SSLContext | None,
        proxy: httpx.Proxy | None,
        core: str = "httpcore",
    ) -> None:
        if kind == "asyncio" and proxy is not None:
            raise ValidationError("transport", repr(kind), "omit this parameter: proxies need httpcore")
        self.proxy_host = None if proxy is None else proxy.url.host
        self._is_forced = kind == "asyncio"
        self._ssl_context = ssl_context
        self._core = core
        self._is_closed = False
        is_open = kind != "httpcore" and proxy is None
        self._chosen: BundledTransport | None = None if is_open else _over_httpcore(ssl_context, proxy, core)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of the chosen transport; ``auto`` before the choice."""
        if self._chosen is not None:
            return self._chosen.name
        return "asyncio" if self._is_forced else "auto"

    @property
    def ends_exchanges(self) -> bool:  # type: ignore[override]
        """Whether `aclose` of the chosen transport ends each exchange at once."""
        return self._chosen is not None and self._chosen.ends_exchanges

    def handle_async_request(self, request: httpx.Request) -> Coroutine[Any, Any, httpx.Response]:
        """Send a request through the chosen transport, and return the response."""
        return (self._chosen or self.choose()).handle_async_request(request)

    async def aclose(self) -> None:
        """Close every connection of the chosen transport."""
        self._is_closed = True
        if self._chosen is not None:
            await self._chosen.aclose()

    def choose(self) -> BundledTransport:
        """Return the transport for the running event loop. The first choice is final.

        Raises:
            ValidationError: if the caller requires the asyncio transport, but asyncio does not run.
            ClosedResourceError: if this transport is closed.
        """
        if self._chosen is not None:
            return self._chosen
        if self._is_closed:
            raise ClosedResourceError
        runs_asyncio = running_asyncio_task() is not None
        if self._is_forced and not runs_asyncio:
            hint = "omit this parameter: the asyncio transport runs on asyncio only"
            raise ValidationError("transport", "'asyncio'", hint)
        self._chosen = (
            _over_asyncio(self._ssl_context)
            if runs_asyncio
            else _over_httpcore(self._ssl_context, None, self._core)
        )
        return self._chosen


def _over_asyncio(ssl_context: ssl.SSLContext | None) -> BundledTransport:
    # The import is inside the function, so that a program on trio does not import asyncio.
    from smsapi_async.http.asyncio_transport import AsyncioTransport  # noqa: PLC0415

    return AsyncioTransport(ssl_context)


def _over_httpcore(
    ssl_context: ssl.SSLContext | None, proxy: httpx.Proxy | None, core: str
) -> BundledTransport:
    # The import is inside the function, because httpcore imports the whole of trio if trio is installed. The
    # asyncio transport does not need this slow import.
    from smsapi_async.http.httpcore_transport import HttpcoreTransport  # noqa: PLC0415

    return HttpcoreTransport(ssl_context, proxy, core)
