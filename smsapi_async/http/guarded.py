"""Connections that never hand one request's answer to another.

httpcore keeps the bytes it has read beyond an answer and takes them for the next one. Here a
connection on which anything more than the one answer arrived is never used again.
"""

import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

# Retained only to find where an answer ends; a longer chunked answer costs its connection.
RETAINED = 64 * 1024

SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class GuardedBackend(httpcore.AnyIOBackend):
    """The network through AnyIO, on asyncio and trio, with guarded streams."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect."""
        stream = await super().connect_tcp(host, port, timeout, local_address, socket_options)
        return GuardedStream(stream)


class GuardedStream(httpcore.AsyncNetworkStream):
    """One connection, which knows whether more has arrived than the answer to the last request."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._received = 0
        self._retained = bytearray()
        self._answering = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Read a part of the answer."""
        data = await self._stream.read(max_bytes, timeout)
        self._answering = True
        self._received += len(data)
        if len(self._retained) < RETAINED:
            self._retained += data
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Write a part of a request."""
        if self._answering:
            # httpcore looked at the idle connection a moment ago; what came since is no answer to this
            # request. Nothing of it has been written: the pool takes another connection.
            if self.has_surplus():
                raise httpcore.ConnectionNotAvailable
            self._answering = False
            self._received = 0
            self._retained.clear()
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
    ) -> httpcore.AsyncNetworkStream:
        """The same connection under TLS."""
        return GuardedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's interface
        """`is_readable` is what httpcore asks of an idle connection before it uses it again."""
        return self.has_surplus() if info == "is_readable" else self._stream.get_extra_info(info)

    def has_surplus(self) -> bool:
        """Whether anything arrived, or is waiting to be read, that the last request did not ask for."""
        if self._stream.get_extra_info("is_readable"):
            return True
        if not self._answering:
            return False
        return self._received != answer_length(bytes(self._retained)) or self._has_surplus_under_tls()

    def _has_surplus_under_tls(self) -> bool:
        ssl_object = self._stream.get_extra_info("ssl_object")
        if ssl_object is None:
            return False
        try:
            # A further record may wait in memory, where the socket does not show it. A byte that can
            # be read is surplus, and so the connection's last.
            ssl_object.read(1)
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            return True
        return True


def answer_length(received: bytes) -> int | None:
    """How many of the received bytes are the (one) answer; None where that cannot be told."""
    start = 0
    while True:
        end = received.find(b"\r\n\r\n", start)
        if end < 0:
            return None
        head = received[start:end].lower()
        if not head.startswith((b"http/1.1 1", b"http/1.0 1")):
            break
        start = end + 4  # an interim answer, such as 100 Continue, precedes the real one
    body = end + 4
    if b"\r\ntransfer-encoding:" in head:
        return _end_of_chunks(received, body)
    _, found, rest = head.partition(b"\r\ncontent-length:")
    if found:
        digits = rest.split(b"\r\n", 1)[0].strip()
        return body + int(digits) if digits.isdigit() else None
    return body


def _end_of_chunks(received: bytes, position: int) -> int | None:
    while True:
        line_end = received.find(b"\r\n", position)
        if line_end < 0:
            return None
        try:
            size = int(received[position:line_end].split(b";", 1)[0], 16)
        except ValueError:
            return None
        if size == 0:
            trailer_end = received.find(b"\r\n\r\n", line_end)
            return trailer_end + 4 if trailer_end >= 0 else None
        position = line_end + 2 + size + 2
