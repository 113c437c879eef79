"""Connections for httpcore and httpcore2 that never return a response to the wrong request.

httpcore keeps the bytes that arrive after a response, and reads these surplus bytes as the next response.
Therefore this module never uses a connection again after surplus bytes have arrived.
"""

import ssl
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Protocol

import anyio

from smsapi_async.http.answer_end import HEAD_LIMIT, AnswerEnd
from smsapi_async.http.base import ResponseTooLarge
from smsapi_async.http.sockets import is_readable
from smsapi_async.privacy import HiddenBytes

# To find the end of a response, a connection keeps about this number of received bytes. If a chunked response
# is longer, its end is not found, and the connection is not used again.
_RETAINED = 2 * HEAD_LIMIT


class WriteObserver(Protocol):
    """Observes the writes of one request. All calls come from the task that makes the request.

    Attributes:
        written: whether a connection began to write the request. The connection sets this attribute.
        body_limit: the largest allowed body of the response in bytes.
    """

    written: bool
    body_limit: int

    async def refused(self) -> None:
        """Handle the case that a connection refused to write the request."""


write_observer: ContextVar[WriteObserver | None] = ContextVar("write_observer", default=None)
"""The `WriteObserver` of the request that the current task makes; None outside a request."""

SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class HttpcoreBackend:
    """Opens connections that check for surplus bytes.

    Args:
        network: the httpcore backend that opens the underlying connections.
        core: the package httpcore or httpcore2, whose exceptions the connections raise.

    Attributes:
        core: see "Args".
        is_closed: whether all connections refuse to write. The flag is necessary because a connection attempt
            in progress continues after httpcore's pool is closed.
    """

    def __init__(self, network: Any, core: Any) -> None:  # noqa: ANN401 - of either package
        self._network = network
        self.core = core
        self.is_closed = False

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> "HttpcoreStream":
        """Open a connection to a host."""
        stream = await self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        return HttpcoreStream(stream, self)


class HttpcoreStream:
    """One connection, with a check for bytes that arrive after the response to the last request.

    Args:
        stream: the underlying connection, which sends and receives the bytes.
        backend: the backend that opened the connection.
    """

    def __init__(self, stream: Any, backend: HttpcoreBackend) -> None:  # noqa: ANN401
        self._stream = stream
        self._backend = backend
        self._is_new = True
        # The socket and the TLS object are stored, because AnyIO's look-up is slow and the pool checks each
        # idle connection very often.
        self._socket = stream.get_extra_info("socket")
        self._ssl_object = stream.get_extra_info("ssl_object")
        # Whether the received bytes are exactly one whole response. None means that this is not known,
        # because bytes may have arrived since the last search.
        self._is_whole: bool | None = None
        self._received = 0
        self._retained = bytearray()
        self._end = AnswerEnd()
        # True from the first byte of a response until the first write of the next request.
        self._answering = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Read a part of the response."""
        data: bytes = await self._stream.read(max_bytes, timeout)
        if not data and self._was_cut_off():
            raise self._backend.core.ReadError("the TLS connection was cut off")
        self._answering = True
        self._is_whole = None
        self._received += len(data)
        if len(self._retained) < _RETAINED:
            self._retained += data
            self._end.find(self._retained)
        if self._end.flaw is not None:
            raise self._backend.core.RemoteProtocolError(self._end.flaw)
        request = write_observer.get()
        if request is not None:
            # Surplus bytes after a whole response do not make the response too large. Surplus bytes only
            # prevent another use of the connection.
            count = self._received if self._end.length is None else 0
            words = self._end.oversize(count, request.body_limit)
            if words is not None:
                raise ResponseTooLarge(words)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Write a part of a request.

        Raises:
            httpcore.ConnectError: if the client is closed, or if the server sent bytes before the first
                request. In both cases nothing was written.
            httpcore.ConnectionNotAvailable: if bytes arrived after the last response. Nothing was written.
        """
        buffer = HiddenBytes(buffer)
        request = write_observer.get()
        refusal = self._refusal()
        if refusal is not None:
            if request is not None:
                await request.refused()
            raise refusal
        # The first write after a response begins a new request.
        if self._answering:
            self._answering = False
            self._is_whole = None
            self._received = 0
            self._retained.clear()
            self._end = AnswerEnd()
        # `written` is set before the write, because a failed write may have sent a part of the request.
        if request is not None:
            request.written = True
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    def _refusal(self) -> Exception | None:
        """Return the exception to raise in place of a write, or None if the connection may write."""
        core = self._backend.core
        refused: Exception | None = None
        is_new, self._is_new = self._is_new, False
        if self._backend.is_closed:
            refused = core.ConnectError("the client was closed")
        # A new TLS connection is not checked: the server may have sent session tickets (RFC 8446, 4.6.1), and
        # session tickets are not a response.
        elif is_new and self._ssl_object is None and is_readable(self._socket):
            refused = core.ConnectError("the server sent bytes before the first request")
        # Bytes that arrived since httpcore's check of the idle connection are not a response to this request.
        # After `ConnectionNotAvailable` the pool sends the request on another connection.
        elif self._answering and self.has_surplus():
            refused = core.ConnectionNotAvailable()
        return refused

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
    ) -> "HttpcoreStream":
        """Start TLS on this connection, and return the connection under TLS."""
        try:
            stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            # We close the connection here, because httpcore does not close the connection after a
            # cancellation.
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()
            raise
        return HttpcoreStream(stream, self._backend)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's interface
        """Return a property of the connection, for example the socket.

        Before httpcore uses an idle connection again, httpcore requests the property ``is_readable``. If
        ``is_readable`` is True, httpcore closes the connection.
        """
        return self.has_surplus() if info == "is_readable" else self._stream.get_extra_info(info)

    def has_surplus(self) -> bool:
        """Return whether the connection must not be used again.

        The connection must not be used again if bytes, or the end of the connection, can be read from the
        socket. The same applies if the received bytes are not exactly one whole response.
        """
        if is_readable(self._socket):
            return True
        if not self._answering:
            return False
        if self._is_whole is None:
            self._is_whole = self._received == self._end.find(self._retained)
        return not self._is_whole or self._has_surplus_under_tls()

    def _was_cut_off(self) -> bool:
        """Return whether the TLS connection ended without the message ``close_notify`` (RFC 8446, 6.1).

        The check for ``close_notify`` is necessary because AnyIO reports an end without ``close_notify`` like
        an orderly end.
        """
        if self._ssl_object is None:
            return False
        try:
            self._ssl_object.read(1)
        except ssl.SSLZeroReturnError:
            return False
        except ssl.SSLError:
            return True
        return False

    def _has_surplus_under_tls(self) -> bool:
        if self._ssl_object is None:
            return False
        try:
            # A check of the socket does not find a TLS record that is already in memory. If we can read a
            # byte from such a record, the byte is surplus, and the connection is not used again.
            self._ssl_object.read(1)
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            return True
        return True
