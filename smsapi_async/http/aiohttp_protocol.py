"""One connection of aiohttp's, on which each request has one answer, each wait an end, and each end a word.

aiohttp's own handler of connections keeps bytes that nobody asked for and takes them for the next
answer, takes an answer that was cut off for whole where it has no length, and in places stops to count
the time while somebody waits. Where its state is looked into below, its version is fixed.
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
# h11's limit on a whole header; aiohttp's own of 8 KiB a line would make an accepted send unknown.
_HEADER_LIMIT = 100 * 1024
_FIELDS_LIMIT = 1000


class Protocol(ResponseHandler):
    """One connection, which knows whether more has arrived than the answer to the last request."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.is_new = True
        self._idle = False
        self._received = 0
        self._retained = bytearray()
        self._end = AnswerEnd()
        self._length: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Have every byte that waits to be written waited for."""
        super().connection_made(transport)
        if self.transport is not None:
            self.transport.set_write_buffer_limits(0)

    def data_received(self, data: bytes) -> None:
        """Take in a part of the answer; what nobody asked for costs the connection."""
        if self._idle:
            self.abort()
            return
        if not data:
            # Nothing has come: the parser had stopped, and is to go on with what it has.
            super().data_received(data)
            return
        before = self._received
        self._received += len(data)
        if len(self._retained) < RETAINED:
            self._retained += data
        self._length = self._end.find(self._retained)
        if self._length is not None and self._received > self._length:
            # The parser would trip over what follows, and the answer would be lost with it.
            data = data[: max(0, self._length - before)]
        if data:
            super().data_received(data)

    def eof_received(self) -> None:
        """The server says no more: what it has not taken by now it will not take."""
        super().eof_received()
        if self.transport is not None and self.transport.get_write_buffer_size():
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The end. An answer that a failure cut off is not whole, even one that goes on to the end."""
        if exc is not None:
            self._break_off(exc if isinstance(exc, OSError) else aiohttp.ServerDisconnectedError())
        super().connection_lost(exc)

    def abort(self) -> None:
        """Cut the connection. Not in order: an orderly end of TLS would wait for the other side."""
        self._break_off(aiohttp.ServerDisconnectedError())
        super().abort()
        self._drop_timeout()

    def close(self) -> None:
        """The same; the connector calls it at its own end, when somebody may be waiting for an answer."""
        self.abort()

    def is_clean(self) -> bool:
        """Whether a request may be written: nothing has come, and nothing waits in the socket."""
        if self.should_close or self.transport is None:
            return False
        if self.is_new and self.transport.get_extra_info("sslcontext") is not None:
            # Behind a new TLS connection its session tickets may wait; they are no answer.
            return True
        return not is_readable(self.transport.get_extra_info("socket"))

    def begin(self, read_timeout: float | None) -> None:
        """Expect one answer."""
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
        """Write a request; from its end on, the time to read is counted."""
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
                return  # the answer that explains it may have come
            self.transport.write(wire[start : start + _PIECE])
            # asyncio's TLS calls for a pause also where nothing waits, and then never for the end of it.
            if self.transport.get_write_buffer_size():
                await self._drain(writer, seconds)

    async def _drain(self, writer: StreamWriter, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await writer.drain()
        except TimeoutError:
            raise httpx.WriteTimeout("the request was not taken in time") from None
        except OSError:
            return

    async def receive(self) -> tuple[RawResponseMessage, bytes]:
        """The whole answer."""
        message, payload = await self.read()
        while 100 <= message.code < 200:
            if message.code == 101:
                raise httpx.RemoteProtocolError("an upgrade that nobody asked for")
            self.start_timeout()  # the end of an interim answer has stopped it
            message, payload = await self.read()
        return message, await payload.read()

    def finish(self) -> bool:
        """Whether the connection is fit for another request: just one answer has come."""
        self._idle = True
        self._drop_timeout()
        return self._received == self._length and not self.should_close

    def _break_off(self, error: BaseException) -> None:
        payload = self._payload
        if payload is not None and not payload.is_eof():
            set_exception(payload, error)
