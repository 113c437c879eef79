"""One connection of the asyncio transport: each request gets exactly one response, within its limits."""

import asyncio
import ssl
from typing import cast

import attrs
import httpx

from smsapi_async.http.answer_end import AnswerEnd
from smsapi_async.http.base import ResponseTooLarge
from smsapi_async.http.response_parser import ParsedResponse, parse_response
from smsapi_async.http.sockets import is_readable

_NO_RESPONSE = "the server closed the connection before the end of the response"


@attrs.frozen
class ExchangeLimits:
    """The limits of one exchange (a request and its response).

    Attributes:
        read: the maximum wait for the next bytes of the response, in seconds; None means no limit.
        write: the maximum wait until the next bytes of the request are written, in seconds; None means no
            limit.
        deadline: the event loop's time after which the exchange fails; None means no limit.
        body: the largest allowed body of the response in bytes.
    """

    read: float | None
    write: float | None
    deadline: float | None
    body: int


_NO_LIMITS = ExchangeLimits(None, None, None, 0)


class AsyncioConnection(asyncio.Protocol):
    """A connection to the gateway. If bytes arrive while no request is in flight, the connection is closed.

    Args:
        loop: the event loop in which the connection is used.

    Attributes:
        is_new: whether no request has been written to the connection yet.
        can_be_reused: whether the last response was complete, and the server accepts another request on the
            connection.
        idle_since: the event loop's time at which the last exchange ended.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.is_new = True
        self.can_be_reused = False
        self.idle_since = 0.0
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._is_tls = False
        self._limits = _NO_LIMITS
        self._received = bytearray()
        self._end = AnswerEnd()
        # The future of the response; None if no request is in flight.
        self._response: asyncio.Future[ParsedResponse] | None = None
        # The number of bytes of the request that the socket has not accepted yet.
        self._unwritten = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport. asyncio calls this method after the TLS handshake."""
        # `cast` is used because uvloop's transports are not subclasses of `asyncio.Transport`.
        self._transport = cast("asyncio.Transport", transport)
        # With a limit of 0 bytes, asyncio calls `resume_writing` only when the last byte is written.
        self._transport.set_write_buffer_limits(0)
        self._is_tls = transport.get_extra_info("sslcontext") is not None

    def data_received(self, data: bytes) -> None:
        """Add bytes to the response. If no request is in flight, close the connection."""
        if self._response is None:
            self.abort()
            return
        self._received += data
        length = self._end.find(self._received)
        if (error := self._refusal()) is not None:
            self._fail(error)
        elif length is not None and len(self._received) >= length:
            self._complete(length, until_eof=False)
        else:
            self._set_timer()

    def resume_writing(self) -> None:
        """Start the read timeout, because the whole request is now written."""
        if self._unwritten:
            self._unwritten = 0
            self._set_timer()

    def eof_received(self) -> None:
        """Handle the end of the server's data, which is also the end of a response without a length."""
        if self._response is None:
            return
        if self._end.is_until_eof and not self._unwritten and self._is_orderly_end():
            self._complete(len(self._received), until_eof=True)
        else:
            self._fail(httpx.RemoteProtocolError(_NO_RESPONSE))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request in flight, because its response was cut off when the connection was lost."""
        self._transport = None
        # Only the name of the exception is shown: the text of the exception may quote the server.
        error = (
            httpx.RemoteProtocolError(_NO_RESPONSE) if exc is None else httpx.ReadError(type(exc).__name__)
        )
        self._fail(error)

    def is_clean(self) -> bool:
        """Return whether a request may be written: the connection is open, and no extra byte has arrived."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        # A new TLS connection is not checked, because the server may have sent session tickets (RFC 8446,
        # 4.6.1).
        return (self.is_new and self._is_tls) or not is_readable(transport.get_extra_info("socket"))

    async def exchange(self, wire: bytes, limits: ExchangeLimits) -> ParsedResponse:
        """Write a request, and return the response.

        After the exchange, the connection is closed unless `can_be_reused` is true.

        Args:
            wire: all bytes of the request, as they are written to the socket.
            limits: the time limits and the size limit of this exchange.

        Raises:
            httpx.TransportError: if no whole response arrived within the limits.
        """
        self.is_new = self.can_be_reused = False
        self._limits = limits
        self._received = bytearray()
        self._end = AnswerEnd()
        response: asyncio.Future[ParsedResponse] = self._loop.create_future()
        self._response = response
        assert self._transport is not None  # noqa: S101 - for the type checker
        self._transport.write(wire)
        self._unwritten = self._transport.get_write_buffer_size()
        self._set_timer()
        try:
            return await response
        finally:
            self._response = None
            # We keep the timer for the next exchange, because a new timer for each exchange takes more time.
            self.idle_since = self._loop.time()
            if not self.can_be_reused:
                self.abort()

    def abort(self) -> None:
        """Close the connection at once. A request in flight fails.

        The connection is aborted, because an orderly end of a TLS connection would wait for the server.
        """
        self._fail(httpx.ReadError("the client was closed"))

    def _is_orderly_end(self) -> bool:
        """Return whether the server ended the connection in order.

        If a TLS connection ends without the message ``close_notify``, an attacker may have cut off the
        response (RFC 8446, 6.1). asyncio reports an end with and without ``close_notify`` in the same way.
        """
        ssl_object = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        if ssl_object is None:
            return True
        try:
            return not ssl_object.read(1)
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLError:
            return False

    def _refusal(self) -> httpx.TransportError | None:
        """Return the error if the response must be refused before its end has arrived, else None."""
        if self._end.flaw is not None:
            return httpx.RemoteProtocolError(self._end.flaw)
        # Surplus bytes after a whole response do not make the response too large. Surplus bytes only prevent
        # another use of the connection.
        count = len(self._received) if self._end.length is None else 0
        words = self._end.oversize(count, self._limits.body)
        return None if words is None else ResponseTooLarge(words)

    def _complete(self, length: int, *, until_eof: bool) -> None:
        try:
            raw = bytes(self._received[self._end.begin : length])
            parsed = parse_response(raw, until_eof=until_eof)
        except httpx.RemoteProtocolError as error:
            self._fail(error)
            return
        if len(parsed.body) > self._limits.body:
            self._fail(ResponseTooLarge("the body of the response is too large"))
            return
        is_exact = len(self._received) == length and not self._unwritten
        self.can_be_reused = parsed.keeps_alive and is_exact and self._transport is not None
        response, self._response = self._response, None
        if response is not None and not response.done():
            response.set_result(parsed)

    def _fail(self, error: httpx.TransportError) -> None:
        self.can_be_reused = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        response, self._response = self._response, None
        if response is not None and not response.done():
            response.set_exception(error)
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def _set_timer(self) -> None:
        """Compute the time at which the exchange fails, and start the timer if none is early enough.

        A timer that fires too early is started again, so that most arriving bytes need no new timer.
        """
        seconds = self._limits.write if self._unwritten else self._limits.read
        due = float("inf") if seconds is None else self._loop.time() + seconds
        if self._limits.deadline is not None:
            due = min(due, self._limits.deadline)
        self._due = due
        if self._timer is not None and self._timer.when() > due:
            self._timer.cancel()
            self._timer = None
        self._start_timer()

    def _start_timer(self) -> None:
        if self._timer is None and self._due < float("inf"):
            self._timer = self._loop.call_at(self._due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._response is None:
            return
        now = self._loop.time()
        if self._unwritten and self._transport is not None:
            unwritten = self._transport.get_write_buffer_size()
            if unwritten < self._unwritten:
                # A part of the request was written since the timer was started, so the write timeout begins
                # again.
                self._unwritten = unwritten
                self._set_timer()
        if self._due > now:
            self._start_timer()
        elif self._unwritten:
            self._fail(httpx.WriteTimeout("the server did not accept the request in time"))
        else:
            self._fail(httpx.ReadTimeout("no whole response arrived in time"))
