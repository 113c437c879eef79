"""The transport for asyncio: makes its own connections, and parses exactly one response to each request.

The transport uses only public interfaces of asyncio. The transport never repeats a request, never follows a
redirect, and never uses a connection again after a failed exchange.
"""

import asyncio
import os
import re
import ssl
from collections import deque
from functools import lru_cache, partial
from typing import Any

import attrs
import httpx
from anyio.lowlevel import checkpoint_if_cancelled

from smsapi_async.http.asyncio_connection import AsyncioConnection, ExchangeLimits
from smsapi_async.http.base import (
    KEEPALIVE_SECONDS,
    BundledTransport,
    body_limit_of,
    target_of,
    timeouts_of,
    trace_of,
    whole_response,
)
from smsapi_async.http.happy_eyeballs import connected_socket
from smsapi_async.privacy import HiddenBytes

_NOT_IN_A_TARGET = re.compile(rb"[\x00-\x20\x7f]")
_NOT_IN_A_HEADER = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@attrs.define(eq=False)
class _Origin:
    """A server and its idle connections.

    Attributes:
        host: the host name or the IP address of the server.
        port: the TCP port of the server.
        ssl_context: the TLS context for connections to the server; None for ``http://``.
        idle: the open connections without a request in flight. The most recently used connection comes last.
    """

    host: str
    port: int
    ssl_context: ssl.SSLContext | None
    idle: deque[AsyncioConnection] = attrs.field(factory=deque)


class AsyncioTransport(BundledTransport):
    """Sends requests on asyncio, and raises httpx's exceptions. The constructor needs a running event loop.

    Args:
        ssl_context: the TLS context for ``https://`` addresses.
    """

    name = "asyncio"
    ends_exchanges = True

    def __init__(self, ssl_context: ssl.SSLContext | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._ssl_context = ssl_context
        self._origins: dict[tuple[str, str, int | None], _Origin] = {}
        self._connections: set[AsyncioConnection] = set()
        self._attempts: set[asyncio.Timeout] = set()
        self._cleaner: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._process = os.getpid()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return the whole response."""
        timeouts, trace = timeouts_of(request), trace_of(request)
        total = timeouts.get("total")
        deadline = None if total is None else self._loop.time() + total
        content: bytes | None = request.extensions.get("content")
        wire = _wire(request, HiddenBytes(await request.aread()) if content is None else content)
        origin = self._origin_of(request.url)
        connection = self._idle_connection(origin)
        if connection is None:
            connection = await self._connect(origin, timeouts["connect"], deadline)
        limits = ExchangeLimits(timeouts["read"], timeouts["write"], deadline, body_limit_of(request))
        try:
            # The cancellation of this task may be requested, but not yet raised. In this case, the checkpoint
            # raises the cancellation before the request is written.
            await checkpoint_if_cancelled()
            # No other task runs between this trace event and the write of the first byte of the request.
            await trace("http11.send_request_headers.started", {})
            response = await connection.exchange(wire, limits)
        finally:
            self._release(origin, connection)
        return whole_response(response.status, response.headers, response.body)

    async def aclose(self) -> None:
        """Close every connection. Requests in flight fail."""
        self._is_closed = True
        # A forked child process shares the sockets and the selector with its parent process. If the child
        # closed the connections, the connections of the parent would end.
        if self._process != os.getpid():
            return
        if self._cleaner is not None:
            self._cleaner.cancel()
        for attempt in self._attempts:
            # An expired attempt ends by itself, and asyncio refuses to change its time.
            if not attempt.expired():
                attempt.reschedule(self._loop.time())
        for connection in self._connections:
            connection.abort()
        # asyncio closes the sockets in the next iteration of the event loop.
        await asyncio.sleep(0)

    def _origin_of(self, url: httpx.URL) -> _Origin:
        key = (url.scheme, url.host, url.port)
        origin = self._origins.get(key)
        if origin is None:
            is_tls = url.scheme == "https"
            host, port = url.raw_host.decode("ascii"), url.port or (443 if is_tls else 80)
            origin = self._origins[key] = _Origin(host, port, self._ssl_context if is_tls else None)
        return origin

    def _idle_connection(self, origin: _Origin) -> AsyncioConnection | None:
        """Return a connection on which nothing has arrived since its last response, or None."""
        oldest = self._loop.time() - KEEPALIVE_SECONDS
        while origin.idle:
            connection = origin.idle.pop()
            if connection.idle_since > oldest and connection.is_clean():
                return connection
            self._drop(connection)
        return None

    async def _connect(
        self, origin: _Origin, seconds: float | None, deadline: float | None
    ) -> AsyncioConnection:
        self._check_open()
        task = asyncio.current_task()
        cancellations = 0 if task is None else task.cancelling()
        now = self._loop.time()
        ends = [end for end in (None if seconds is None else now + seconds, deadline) if end is not None]
        attempt = asyncio.timeout_at(min(ends, default=None))
        try:
            async with attempt:
                self._attempts.add(attempt)
                connection = await self._open(origin)
        except TimeoutError:
            self._check_open()
            raise httpx.ConnectTimeout("no connection in time") from None
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(str(error) or type(error).__name__) from None
        finally:
            self._attempts.discard(attempt)
        self._connections.add(connection)
        try:
            self._check_usable(
                connection, is_cancelled=task is not None and task.cancelling() > cancellations
            )
        except BaseException:
            self._drop(connection)
            raise
        return connection

    def _check_usable(self, connection: AsyncioConnection, *, is_cancelled: bool) -> None:
        self._check_open()
        if not connection.is_clean():
            raise httpx.ConnectError("the server sent bytes before the first request")
        if is_cancelled:
            # The code that connects to several addresses at once can swallow a cancellation, so we raise the
            # cancellation here.
            raise asyncio.CancelledError

    def _check_open(self) -> None:
        if self._is_closed:
            raise httpx.ConnectError("the client was closed") from None

    async def _open(self, origin: _Origin) -> AsyncioConnection:
        opened = await connected_socket(self._loop, origin.host, origin.port)
        tls: dict[str, Any] = {}
        if origin.ssl_context is not None:
            tls = {"ssl": origin.ssl_context, "server_hostname": origin.host}
        try:
            _, connection = await self._loop.create_connection(
                partial(AsyncioConnection, self._loop), sock=opened, **tls
            )
        except BaseException:
            opened.close()
            raise
        return connection

    def _release(self, origin: _Origin, connection: AsyncioConnection) -> None:
        """Keep a connection for the next request, or close the connection if it cannot be reused."""
        if self._is_closed or not connection.can_be_reused:
            self._drop(connection)
            return
        origin.idle.append(connection)
        if self._cleaner is None:
            self._cleaner = self._loop.call_later(KEEPALIVE_SECONDS, self._drop_old_connections)

    def _drop(self, connection: AsyncioConnection) -> None:
        self._connections.discard(connection)
        connection.abort()

    def _drop_old_connections(self) -> None:
        self._cleaner = None
        oldest = self._loop.time() - KEEPALIVE_SECONDS
        for origin in self._origins.values():
            while origin.idle and origin.idle[0].idle_since <= oldest:
                self._drop(origin.idle.popleft())
        if any(origin.idle for origin in self._origins.values()):
            self._cleaner = self._loop.call_later(KEEPALIVE_SECONDS, self._drop_old_connections)


def _wire(request: httpx.Request, content: bytes) -> HiddenBytes:
    """Return the bytes of a request, as they are written to the socket.

    Raises:
        httpx.LocalProtocolError: if the target or a header field contains a character that HTTP forbids.
    """
    target = target_of(request)
    if _NOT_IN_A_TARGET.search(target):
        raise httpx.LocalProtocolError("a space or a control character in the target")
    lines = _field_lines(tuple(request.headers.raw))
    method = request.method.encode("ascii")
    return HiddenBytes(b"%s %s HTTP/1.1\r\n%s\r\n%s" % (method, target, lines, content))


# The header lines are cached, because the headers of two requests for one resource differ only in the length
# of the body.
@lru_cache(maxsize=256)
def _field_lines(fields: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Return the header fields of a request as the lines that are sent.

    Raises:
        httpx.LocalProtocolError: if a header field contains a character that HTTP forbids.
    """
    lines = b"".join([b"%s: %s\r\n" % field for field in fields])
    if _NOT_IN_A_HEADER.search(lines):
        raise httpx.LocalProtocolError("a control character in a header field")
    if lines.count(b"\r") != len(fields) or lines.count(b"\n") != len(fields):
        raise httpx.LocalProtocolError("a line break in a header field")
    return lines
