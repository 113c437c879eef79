"""The transport for every loop: httpcore's pool over guarded connections."""

import ssl
from typing import Self

import httpcore
import httpx

from smsapi_async.http.base import KEEPALIVE_SECONDS, WITHDRAWN, BundledTransport, Trace, target_of, trace_of
from smsapi_async.http.httpcore_streams import HttpcoreBackend, write_observer


class HttpcoreTransport(BundledTransport):
    """On asyncio and trio, over httpcore; its exceptions come through as they are."""

    name = "httpcore"

    def __init__(self, ssl_context: ssl.SSLContext | None, proxy: httpx.Proxy | None) -> None:
        if proxy is not None and proxy.url.scheme in {"socks5", "socks5h"}:
            self._backend, proxy = HttpcoreBackend(_socks(proxy)), None
        else:
            self._backend = HttpcoreBackend(httpcore.AnyIOBackend())
        self._pool = _pool(self._backend, ssl_context, proxy)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange."""
        url, content, trace = request.url, await request.aread(), trace_of(request)
        token = write_observer.set(_Withdrawal(trace))
        try:
            answer = await self._pool.handle_async_request(
                httpcore.Request(
                    request.method,
                    # The target goes into the URL, not into the extensions: from there httpcore would
                    # also put it into the CONNECT request to a proxy, in the clear.
                    httpcore.URL(
                        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=target_of(request)
                    ),
                    headers=request.headers.raw,
                    content=_Body(content),
                    extensions={"timeout": request.extensions["timeout"], "trace": trace},
                )
            )
        finally:
            write_observer.reset(token)
        try:
            body = await answer.aread()
        finally:
            await answer.aclose()
        return httpx.Response(answer.status, headers=answer.headers, content=body)

    async def aclose(self) -> None:
        """Close every connection."""
        self._backend.is_closed = True
        await self._pool.aclose()


class _Withdrawal:
    """Takes back what httpcore reports of a request that a connection then refuses to write."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self.written = False

    async def refused(self) -> None:
        """A connection has refused to write; what another one has written, it has."""
        if not self.written:
            await self._trace(f"http11.{WITHDRAWN}", {})


class _Body:
    """A body in one piece.

    httpcore's own is an async generator, which trio complains of when a broken write abandons it.
    """

    def __init__(self, content: bytes) -> None:
        self._pieces = iter((content,))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


def _socks(proxy: httpx.Proxy) -> httpcore.AsyncNetworkBackend:
    try:
        from smsapi_async.http.socks import SocksBackend  # noqa: PLC0415 - socksio may not be there
    except ModuleNotFoundError as error:
        raise RuntimeError(f"pip install {error.name}") from None
    return SocksBackend(proxy)


def _pool(
    backend: HttpcoreBackend, ssl_context: ssl.SSLContext | None, proxy: httpx.Proxy | None
) -> httpcore.AsyncConnectionPool:
    if proxy is None:
        return httpcore.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=None,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=backend,
        )
    address = httpcore.URL(
        scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=proxy.url.raw_path
    )
    return httpcore.AsyncHTTPProxy(
        proxy_url=address,
        proxy_auth=proxy.raw_auth,
        proxy_headers=proxy.headers.raw,
        proxy_ssl_context=proxy.ssl_context,
        ssl_context=ssl_context,
        max_connections=None,
        keepalive_expiry=KEEPALIVE_SECONDS,
        network_backend=backend,
    )
