"""A connection of aiohttp that never returns a response to the wrong request.

The connection class of aiohttp has three faults. The class reads surplus bytes as the next response. The
class treats a response without a length as whole if the response is cut off. In some cases the class stops
the read timeout while a call waits. This module uses internal state of aiohttp, so the version of aiohttp is
fixed.
"""

import asyncio

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import set_exception
from aiohttp.http import RawResponseMessage, StreamWriter

from smsapi_async.http.answer_end import RETAINED, AnswerEnd
from smsapi_async.http.sockets import is_readable

_PIECE = 64 * 1024
# h11 has this limit for the whole header. aiohttp's own limit is 8 KiB for each line. With aiohttp's limit a
# send that was accepted could become unknown.
_HEADER_LIMIT = 100 * 1024
_FIELDS_LIMIT = 1000


class Protocol(ResponseHandler):
    """One connection, with a check for bytes that arrive after the response to the last request.

    Args:
        loop: the running event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.is_new = True
        self._idle = False
        self._received = 0
        self._retained = bytearray()
        self._end = AnswerEnd()
        self._length: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the write buffer limit to 0, so that a drain waits until every byte is written."""
        super().connection_made(transport)
        if self.transport is not None:
            self.transport.set_write_buffer_limits(0)

    def data_received(self, data: bytes) -> None:
        """Process a part of the response. Close the connection if no response is expected."""
        if self._idle:
            self.abort()
            return
        if not data:
            # No bytes have arrived. This call lets a paused parser continue with the bytes in its buffer.
            super().data_received(data)
            return
        before = self._received
        self._received += len(data)
        if len(self._retained) < RETAINED:
            self._retained += data
        self._length = self._end.find(self._retained)
        if self._length is not None and self._received > self._length:
            # Surplus bytes would cause an error in the parser, and the response would be lost.
            data = data[: max(0, self._length - before)]
        if data:
            super().data_received(data)

    def eof_received(self) -> None:
        """Abort the connection if the server ends the connection before the request is written."""
        super().eof_received()
        if self.transport is not None and self.transport.get_write_buffer_size():
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Handle the end of the connection.

        If an error ended the connection, the response is not whole. This is also true for a response
        without a length.
        """
        if exc is not None:
            self._break_off(exc if isinstance(exc, OSError) else aiohttp.ServerDisconnectedError())
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close the connection at once. The normal end of TLS would wait for the server."""
        self._break_off(aiohttp.ServerDisconnectedError())
        super().abort()
        self._drop_timeout()

    def close(self) -> None:
        """Close the connection at once.

        The connector calls this function when the connector is closed. A call may still wait for a response.
        """
        self.abort()

    def is_clean(self) -> bool:
        """Return whether a request may be written: the socket has no bytes to read."""
        if self.should_close or self.transport is None:
            return False
        if self.is_new and self.transport.get_extra_info("sslcontext") is not None:
            # On a new TLS connection session tickets may be readable (RFC 8446, 4.6.1). Session tickets are
            # no response.
            return True
        return not is_readable(self.transport.get_extra_info("socket"))

    def begin(self, read_timeout: float | None) -> None:
        """Prepare the connection for one response."""
        self.is_new = self._idle = False
        self._received = 0
        self._retained.clear()
        self._end = AnswerEnd()
        self._length = None
        self.set_response_params(
            auto_decompress=False,
            read_until_eof=True,
            read_timeout=read_timeout,
            max_line_size=_HEADER_LIMIT,
            max_field_size=_HEADER_LIMIT,
            max_headers=_FIELDS_LIMIT,
        )

    async def send(self, wire: bytes, seconds: float | None) -> None:
        """Write a request. The read timeout begins after the write."""
        assert self.transport is not None  # noqa: S101 - for the type checker
        if len(wire) <= _PIECE:
            self.transport.write(wire)
            if self.transport.get_write_buffer_size():
                await self._drain(StreamWriter(self, self._loop), seconds)
        else:
            await self._send_pieces(memoryview(wire), seconds)
        self.start_timeout()

    async def _send_pieces(self, wire: memoryview, seconds: float | None) -> None:
        writer = StreamWriter(self, self._loop)
        for start in range(0, len(wire), _PIECE):
            if self.transport is None or self.transport.is_closing():
                return  # a response may have arrived that explains the end of the connection
            self.transport.write(wire[start : start + _PIECE])
            # With TLS, asyncio may pause writing although the buffer is empty. asyncio then never resumes
            # writing, and a drain would wait for ever.
            if self.transport.get_write_buffer_size():
                await self._drain(writer, seconds)

    async def _drain(self, writer: StreamWriter, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await writer.drain()
        except TimeoutError:
            raise httpx.WriteTimeout("the request was not written in time") from None
        except OSError:
            return

    async def receive(self) -> tuple[RawResponseMessage, bytes]:
        """Return the whole response."""
        message, payload = await self.read()
        while 100 <= message.code < 200:
            if message.code == 101:
                raise httpx.RemoteProtocolError(
                    "the server sent HTTP 101, but the request asked for no upgrade"
                )
            self.start_timeout()  # aiohttp stops the timeout at the end of an interim response
            message, payload = await self.read()
        return message, await payload.read()

    def finish(self) -> bool:
        """Return whether the connection can be used again: exactly one response has arrived."""
        self._idle = True
        self._drop_timeout()
        return self._received == self._length and not self.should_close

    def _break_off(self, error: BaseException) -> None:
        payload = self._payload
        if payload is not None and not payload.is_eof():
            set_exception(payload, error)
