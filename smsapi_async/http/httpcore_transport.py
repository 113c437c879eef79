"""The transport for asyncio and trio: the pool of httpcore or httpcore2, with checked connections."""

import os
import ssl
from importlib import import_module
from typing import Any, Self

import anyio
import httpx

from smsapi_async.http.base import (
    KEEPALIVE_SECONDS,
    BundledTransport,
    ResponseTooLarge,
    Trace,
    body_limit_of,
    target_of,
    timeouts_of,
    trace_of,
    whole_response,
)
from smsapi_async.http.exchange import WITHDRAWN
from smsapi_async.http.httpcore_streams import HttpcoreBackend, write_observer
from smsapi_async.privacy import HiddenBytes


class HttpcoreTransport(BundledTransport):
    """Sends requests through httpcore, on asyncio and trio. httpcore's exceptions are raised unchanged.

    httpcore2, the package below httpx2, has the interface of httpcore.

    Args:
        ssl_context: the TLS context for ``https://`` addresses.
        proxy: an ``http://``, ``https://`` or ``socks5://`` proxy, or None.
        core: the name of the package: ``httpcore`` or ``httpcore2``.

    Attributes:
        name: the name of the package.

    Raises:
        RuntimeError: if the package `socksio` for SOCKS proxies is not installed.
    """

    def __init__(
        self, ssl_context: ssl.SSLContext | None, proxy: httpx.Proxy | None, core: str = "httpcore"
    ) -> None:
        self.name = core
        self._core: Any = import_module(core)
        if proxy is not None and proxy.url.scheme in {"socks5", "socks5h"}:
            self._backend, proxy = HttpcoreBackend(_socks(proxy, self._core), self._core), None
        else:
            self._backend = HttpcoreBackend(self._core.AnyIOBackend(), self._core)
        self._pool = _pool(self._backend, ssl_context, proxy)
        self._process = os.getpid()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return the whole response."""
        try:
            with anyio.fail_after(timeouts_of(request).get("total")):
                return await self._exchange(request)
        except TimeoutError:
            raise self._core.ReadTimeout("the exchange took too long") from None

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        url, content, trace = request.url, HiddenBytes(await request.aread()), trace_of(request)
        # The connection gets the observer of the request from a context variable, because httpcore does not
        # pass the request to the methods of a connection.
        token = write_observer.set(_Withdrawal(trace, body_limit_of(request)))
        try:
            response = await self._pool.handle_async_request(
                self._core.Request(
                    request.method,
                    # The target is in the URL and not in the `target` extension. httpcore would copy the
                    # extension into the CONNECT request, and the proxy would receive the target unencrypted.
                    self._core.URL(
                        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=target_of(request)
                    ),
                    headers=request.headers.raw,
                    content=_Body(content),
                    extensions={"timeout": timeouts_of(request), "trace": trace},
                )
            )
            try:
                # `HttpcoreStream` stops the read of a body that is too large. If we stopped the read here,
                # httpcore's async generators would stay unfinished, and trio would issue a warning.
                body = await response.aread()
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
        finally:
            write_observer.reset(token)
        if len(body) > body_limit_of(request):
            raise ResponseTooLarge("the body of the response is too large")
        return whole_response(response.status, response.headers, body)

    async def aclose(self) -> None:
        """Close every connection of the pool."""
        self._backend.is_closed = True
        # A forked child process does not close the connections, because it shares the sockets with its
        # parent: a close would end the parent's TLS connections.
        if self._process == os.getpid():
            await self._pool.aclose()


class _Withdrawal:
    """Reports the trace event `WITHDRAWN` if a connection refuses to write a request.

    The event is necessary because httpcore reports the write before the connection refuses.

    Args:
        trace: the ``trace`` extension of the request.
        body_limit: the largest allowed body of the response in bytes.
    """

    def __init__(self, trace: Trace, body_limit: int) -> None:
        self._trace = trace
        self.written = False
        self.body_limit = body_limit

    async def refused(self) -> None:
        """Report the refusal, unless another connection has begun to write the request."""
        if not self.written:
            await self._trace(f"http11.{WITHDRAWN}", {})


class _Body:
    """The body of a request, in one piece.

    httpcore's own class for bodies is not used, because it is based on an async generator. A failed write
    would leave the generator unfinished, and trio would issue a warning.
    """

    def __init__(self, content: bytes) -> None:
        self._pieces = iter((content,))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


def _socks(proxy: httpx.Proxy, core: Any) -> object:  # noqa: ANN401 - a module
    try:
        from smsapi_async.http.socks import SocksBackend  # noqa: PLC0415 - socksio is optional
    except ModuleNotFoundError as error:
        raise RuntimeError(f"run `pip install {error.name}`") from None
    return SocksBackend(proxy, core)


def _pool(backend: HttpcoreBackend, ssl_context: ssl.SSLContext | None, proxy: httpx.Proxy | None) -> Any:  # noqa: ANN401 - of httpcore or httpcore2
    # `max_connections` is None because the client's `Limiter` limits the requests in flight.
    if proxy is None:
        return backend.core.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=None,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=backend,
        )
    address = backend.core.URL(
        scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=proxy.url.raw_path
    )
    return backend.core.AsyncHTTPProxy(
        proxy_url=address,
        proxy_auth=proxy.raw_auth,
        proxy_headers=proxy.headers.raw,
        proxy_ssl_context=proxy.ssl_context,
        ssl_context=ssl_context,
        max_connections=None,
        keepalive_expiry=KEEPALIVE_SECONDS,
        network_backend=backend,
    )
