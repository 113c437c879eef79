"""The choice between the transports of this package, asyncio and httpcore.

The choice depends on the running event loop. So the choice is made at the start of the client's `async
with` block or at the first request, and not in the constructor.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import httpx
from anyio import ClosedResourceError

from smsapi_async.errors import ValidationError
from smsapi_async.http.base import BundledTransport

if TYPE_CHECKING:
    import ssl

Kind = Literal["asyncio", "httpcore"]


class AutomaticTransport(BundledTransport):
    """Uses the asyncio transport if asyncio runs and no proxy is set; otherwise httpcore.

    Args:
        kind: the transport to use; None means that the choice depends on the running event loop.
        ssl_context: the TLS context for ``https://`` addresses.
        proxy: an ``http://``, ``https://`` or ``socks5://`` proxy. Only httpcore supports proxies.

    Raises:
        ValidationError: the transport named by `kind` cannot be used.
        RuntimeError: a package that the proxy needs is not installed.
    """

    def __init__(
        self, kind: Kind | None, ssl_context: ssl.SSLContext | None, proxy: httpx.Proxy | None
    ) -> None:
        if kind == "asyncio" and proxy is not None:
            raise ValidationError("transport", repr(kind), "omit this parameter: proxies need httpcore")
        self._is_forced = kind == "asyncio"
        self._ssl_context = ssl_context
        self._is_closed = False
        is_open = kind != "httpcore" and proxy is None
        self._chosen: BundledTransport | None = None if is_open else _over_httpcore(ssl_context, proxy)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of the chosen transport; ``auto`` before the choice."""
        if self._chosen is not None:
            return self._chosen.name
        return "asyncio" if self._is_forced else "auto"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request through the chosen transport, and return the response."""
        return await (self._chosen or self.choose()).handle_async_request(request)

    async def aclose(self) -> None:
        """Close every connection."""
        self._is_closed = True
        if self._chosen is not None:
            await self._chosen.aclose()

    def choose(self) -> BundledTransport:
        """Return the transport for the running event loop. The first choice is final.

        Raises:
            ValidationError: the caller requires the asyncio transport, but asyncio does not run.
            ClosedResourceError: this transport is closed.
        """
        if self._chosen is not None:
            return self._chosen
        if self._is_closed:
            raise ClosedResourceError
        runs_asyncio = _runs_asyncio()
        if self._is_forced and not runs_asyncio:
            hint = "omit this parameter: the asyncio transport runs on asyncio only"
            raise ValidationError("transport", "'asyncio'", hint)
        self._chosen = (
            _over_asyncio(self._ssl_context) if runs_asyncio else _over_httpcore(self._ssl_context, None)
        )
        return self._chosen


def _over_asyncio(ssl_context: ssl.SSLContext | None) -> BundledTransport:
    # A program on trio does not need to import asyncio.
    from smsapi_async.http.asyncio_transport import AsyncioTransport  # noqa: PLC0415

    return AsyncioTransport(ssl_context)


def _over_httpcore(ssl_context: ssl.SSLContext | None, proxy: httpx.Proxy | None) -> BundledTransport:
    # httpcore imports the whole of trio if trio is installed. The asyncio transport does not need this slow
    # import.
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
