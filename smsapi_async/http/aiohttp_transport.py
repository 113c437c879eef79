"""The fast transport, for asyncio only. It uses the connector and the parser of aiohttp.

The session of aiohttp is not used, because the session repeats requests and reads the bytes on an idle
connection as a response. This module writes the request: the trace event is reported immediately before
the write.
"""

import asyncio
import re
import ssl
from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache, partial

import aiohttp
import attrs
import httpx
import yarl
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from anyio.lowlevel import checkpoint_if_cancelled
from multidict import CIMultiDict

from smsapi_async.http.aiohttp_protocol import Protocol
from smsapi_async.http.base import KEEPALIVE_SECONDS, BundledTransport, Fields, Trace, target_of, trace_of

_NOT_IN_A_TARGET = re.compile(rb"[\x00-\x20\x7f]")
_NOT_IN_A_HEADER = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

# The exceptions of aiohttp for a response that is cut off or not valid. `OSError` includes the timeouts.
_BROKEN = (aiohttp.ClientError, aiohttp.EofStream, HttpProcessingError, OSError)
_NO_ANSWER = (
    aiohttp.ClientPayloadError,
    aiohttp.ClientResponseError,
    aiohttp.EofStream,
    aiohttp.ServerDisconnectedError,
    HttpProcessingError,
)


class AiohttpTransport(BundledTransport):
    """Sends requests through aiohttp, on asyncio. The exceptions are those of httpx.

    The transport follows no redirect, stores no cookie and repeats no request. After a failed exchange the
    connection is closed. The transport must be made inside a running asyncio event loop.

    Args:
        ssl_context: the TLS context for ``https://`` addresses.
        proxy: an ``http://`` proxy, or None.
    """

    name = "aiohttp"

    def __init__(self, ssl_context: ssl.SSLContext | None, proxy: httpx.Proxy | None) -> None:
        self._connector = _Connector(ssl_context)
        self._proxy = proxy
        self._destinations: dict[tuple[str, str, int | None], _Destination] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return the whole response."""
        destination = self._destination_of(request.url)
        wire = _on_the_wire(request, destination, await request.aread())
        message, body = await self._exchange(
            destination, wire, request.extensions["timeout"], trace_of(request)
        )
        return httpx.Response(message.code, headers=message.raw_headers, content=body)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._connector.close()

    async def _exchange(
        self, destination: "_Destination", wire: bytes, seconds: Mapping[str, float | None], trace: Trace
    ) -> tuple[RawResponseMessage, bytes]:
        await trace("connection.connect_tcp.started", {})
        connection, protocol = await self._connection(destination, seconds["connect"])
        try:
            protocol.begin(seconds["read"])
            # The task may be cancelled already, although the cancellation was not delivered yet. In this case
            # nothing must be written. This call only waits if the task is cancelled.
            await checkpoint_if_cancelled()
            await trace("http11.send_request_headers.started", {})
            await protocol.send(wire, seconds["write"])
            message, body = await protocol.receive()
        except _BROKEN as error:
            _drop(connection, protocol)
            raise _translated(error) from None
        except BaseException:
            _drop(connection, protocol)
            raise
        if protocol.finish():
            connection.release()
        else:
            _drop(connection, protocol)
        return message, body

    def _destination_of(self, url: httpx.URL) -> "_Destination":
        origin = (url.scheme, url.host, url.port)
        destination = self._destinations.get(origin)
        if destination is None:
            destination = self._destinations[origin] = _new_destination(url, self._proxy)
        return destination

    async def _connection(
        self, destination: "_Destination", seconds: float | None
    ) -> tuple[Connection, Protocol]:
        """Return a connection that has no bytes to read."""
        while True:
            connection = await self._connect(destination, seconds)
            protocol = connection.protocol
            assert isinstance(protocol, Protocol)  # noqa: S101 - for the type checker
            # The code between this check and the write does not wait. So no byte can arrive unnoticed.
            if protocol.is_clean():
                return connection, protocol
            is_new = protocol.is_new
            _drop(connection, protocol)
            if is_new:
                raise httpx.ConnectError("the server sent bytes before the first request")

    async def _connect(self, destination: "_Destination", seconds: float | None) -> Connection:
        task = asyncio.current_task()
        before = 0 if task is None else task.cancelling()
        try:
            connection = await self._connector.connect(destination.request, [], _connect_timeout(seconds))
        except asyncio.CancelledError:
            if task is not None and task.cancelling() > before:
                raise
            # When the connector is closed, the connector cancels the tasks that wait for a host name.
            raise httpx.ConnectError("the client was closed") from None
        except TimeoutError:
            raise httpx.ConnectTimeout("the connection was not established in time") from None
        except aiohttp.ClientHttpProxyError as error:
            raise httpx.ProxyError(f"the proxy answered with HTTP {error.status}") from None
        except aiohttp.ClientConnectorError as error:
            raise httpx.ConnectError(str(error)) from None
        except (*_BROKEN, UnicodeError) as error:
            # The text of the exception is not shown: the text may quote a proxy, and a proxy may quote the
            # password of the proxy.
            raise httpx.ConnectError(type(error).__name__) from None
        if task is not None and task.cancelling() > before:
            # aiohttp may lose a cancellation while aiohttp tries several addresses at the same time.
            connection.close()
            raise asyncio.CancelledError
        return connection


class _Connector(aiohttp.TCPConnector):
    """Makes connections of the class `Protocol`, and does not limit the number of connections."""

    def __init__(self, ssl_context: ssl.SSLContext | None) -> None:
        if ssl_context is not None:
            ssl_context.set_alpn_protocols(["http/1.1"])
        super().__init__(
            limit=0,
            keepalive_timeout=KEEPALIVE_SECONDS,
            ssl=True if ssl_context is None else ssl_context,
            resolver=aiohttp.ThreadedResolver(),
        )
        self._factory = partial(_protocol, self._loop)


def _protocol(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return Protocol(loop)


@attrs.frozen
class _Destination:
    """The server for requests, and the parts of a request that depend on the server.

    Attributes:
        request: tells the connector the destination; this request is never sent.
        prefix: the text before the path. A proxy that forwards requests needs the whole address.
        fields: the header fields for a proxy that forwards requests.
    """

    request: aiohttp.ClientRequest = attrs.field(repr=False)
    prefix: bytes = b""
    fields: Fields = attrs.field(default=(), repr=False)


def _new_destination(url: httpx.URL, proxy: httpx.Proxy | None) -> _Destination:
    address = _address(url)
    loop = asyncio.get_running_loop()
    if proxy is None:
        return _Destination(aiohttp.ClientRequest("GET", address, loop=loop))
    through = _address(proxy.url)
    # The login is in a header, not in aiohttp's `proxy_auth`: error texts may show `proxy_auth`, which is a
    # part of the key of the pool.
    login = () if proxy.raw_auth is None else ((b"Proxy-Authorization", _basic(*proxy.raw_auth)),)
    if url.scheme == "http":
        request = aiohttp.ClientRequest("GET", address, loop=loop, proxy=through)
        return _Destination(request, b"http://" + url.netloc, login)
    # aiohttp adds the Host header to the headers of the CONNECT request. The key of the pool depends on these
    # headers, so the Host header must be present before.
    connect = CIMultiDict({"Host": url.netloc.decode("ascii")})
    connect.update((name.decode("ascii"), value.decode("ascii")) for name, value in login)
    request = aiohttp.ClientRequest("GET", address, loop=loop, proxy=through, proxy_headers=connect)
    return _Destination(request)


def _address(url: httpx.URL) -> yarl.URL:
    return yarl.URL.build(scheme=url.scheme, host=url.raw_host.decode("ascii"), port=url.port, path="/")


def _basic(user: bytes, password: bytes) -> bytes:
    return b"Basic " + b64encode(user + b":" + password)


def _on_the_wire(request: httpx.Request, destination: _Destination, content: bytes) -> bytes:
    target, method = target_of(request), request.method.encode("ascii")
    fields = (*request.headers.raw, *destination.fields)
    header = b"".join([b"%s: %s\r\n" % field for field in fields])
    if _NOT_IN_A_TARGET.search(target) or _NOT_IN_A_HEADER.search(header):
        raise httpx.LocalProtocolError("the target or the header contains a space or a control character")
    if header.count(b"\r") != len(fields) or header.count(b"\n") != len(fields):
        raise httpx.LocalProtocolError("a header field contains a line break")
    return b"%s %s%s HTTP/1.1\r\n%s\r\n%s" % (method, destination.prefix, target, header, content)


def _drop(connection: Connection, protocol: Protocol) -> None:
    protocol.abort()
    connection.close()


@lru_cache(maxsize=16)
def _connect_timeout(timeout: float | None) -> aiohttp.ClientTimeout:
    # Without this threshold aiohttp rounds times above 5 seconds up to whole seconds.
    return aiohttp.ClientTimeout(
        total=None, connect=timeout, sock_connect=timeout, ceil_threshold=float("inf")
    )


def _translated(error: Exception) -> httpx.TransportError:
    """Return the httpx exception for an aiohttp exception.

    The text of the aiohttp exception is dropped, because the text may quote the server.
    """
    if isinstance(error, TimeoutError):
        return httpx.ReadTimeout("no response arrived in time")
    kind = httpx.RemoteProtocolError if isinstance(error, _NO_ANSWER) else httpx.ReadError
    return kind(type(error).__name__)
