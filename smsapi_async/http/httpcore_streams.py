"""Connections that never hand one request's answer to another.

httpcore keeps the bytes it has read beyond an answer and takes them for the next one. Here a
connection on which anything more than the one answer arrived is never used again.
"""

import ssl
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Protocol

import anyio
import httpcore

from smsapi_async.http.answer_end import RETAINED, AnswerEnd
from smsapi_async.http.sockets import is_readable


class WriteObserver(Protocol):
    """Told of the writes of a request, in the task that makes them."""

    written: bool

    async def refused(self) -> None:
        """A connection has refused to write."""


write_observer: ContextVar[WriteObserver | None] = ContextVar("write_observer", default=None)
"""Of the request that this task makes."""

SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class HttpcoreBackend(httpcore.AsyncNetworkBackend):
    """A network with guarded streams.

    Args:
        network: makes the connections.

    Attributes:
        is_closed: whether nothing may be written any more. The pool's own end leaves a connection that
            is being made to go on.
    """

    def __init__(self, network: httpcore.AsyncNetworkBackend) -> None:
        self._network = network
        self.is_closed = False

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect."""
        stream = await self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        return HttpcoreStream(stream, self)


class HttpcoreStream(httpcore.AsyncNetworkStream):
    """One connection, which knows whether more has arrived than the answer to the last request."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, backend: HttpcoreBackend) -> None:
        self._stream = stream
        self._backend = backend
        self._is_new = True
        # Asked for on every look that the pool takes at its idle connections: AnyIO takes long to tell.
        self._socket = stream.get_extra_info("socket")
        self._ssl_object = stream.get_extra_info("ssl_object")
        self._is_whole: bool | None = None
        self._received = 0
        self._retained = bytearray()
        self._answering = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Read a part of the answer."""
        data = await self._stream.read(max_bytes, timeout)
        self._answering = True
        self._is_whole = None
        self._received += len(data)
        if len(self._retained) < RETAINED:
            self._retained += data
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Write a part of a request."""
        request = write_observer.get()
        refusal = self._refusal()
        if refusal is not None:
            if request is not None:
                await request.refused()
            raise refusal
        if self._answering:
            self._answering = False
            self._is_whole = None
            self._received = 0
            self._retained.clear()
        if request is not None:
            request.written = True
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    def _refusal(self) -> Exception | None:
        """Why nothing may be written, if so."""
        if self._backend.is_closed:
            return httpcore.ConnectError("the client was closed")
        is_new, self._is_new = self._is_new, False
        # Behind a new TLS connection its session tickets may wait; they are no answer.
        if is_new and self._ssl_object is None and is_readable(self._socket):
            return httpcore.ConnectError("the server spoke before it was asked")
        # httpcore looked at the idle connection a moment ago; what came since is no answer to this
        # request. The pool takes another connection.
        return httpcore.ConnectionNotAvailable() if self._answering and self.has_surplus() else None

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
    ) -> httpcore.AsyncNetworkStream:
        """The same connection under TLS."""
        try:
            stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            # httpcore closes it after a failure, and leaves it open after a cancellation.
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()
            raise
        return HttpcoreStream(stream, self._backend)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's interface
        """`is_readable` is what httpcore asks of an idle connection before it uses it again."""
        return self.has_surplus() if info == "is_readable" else self._stream.get_extra_info(info)

    def has_surplus(self) -> bool:
        """Whether anything arrived, or is waiting to be read, that the last request did not ask for."""
        if is_readable(self._socket):
            return True
        if not self._answering:
            return False
        if self._is_whole is None:
            self._is_whole = self._received == AnswerEnd().find(self._retained)
        return not self._is_whole or self._has_surplus_under_tls()

    def _has_surplus_under_tls(self) -> bool:
        if self._ssl_object is None:
            return False
        try:
            # A further record may wait in memory, where the socket does not show it. A byte that can
            # be read is surplus, and so the connection's last.
            self._ssl_object.read(1)
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            return True
        return True
