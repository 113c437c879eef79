"""The connection of a client: correct and faulty writes, and the ways to close the connection."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable

import attrs

#: The seconds within which a client must read the last bytes and close the connection.
LINGER_SECONDS = 5.0
# `_RESET_ON_CLOSE` is a `struct linger` that switches SO_LINGER on, with a timeout of 0 seconds. On Windows,
# the fields of `struct linger` have 16 bits.
_RESET_ON_CLOSE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


def reset_on_close(sock: socket.socket) -> None:
    """Let the operating system send an RST instead of a FIN when the socket is closed."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


@attrs.define(eq=False)
class ClientConnection:
    """The connection of one client.

    Attributes:
        reader: the stream from which the proxy reads the bytes of the client.
        writer: the stream to which the proxy writes the bytes for the client.
        is_open: whether the proxy reads another request from this connection.
        ahead: the bytes of the next request that the proxy has already read.
        on_answered: a function that the connection calls before it waits for the next request.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    is_open: bool = True
    ahead: bytes = b""
    on_answered: Callable[[], object] = lambda: None

    async def send(self, data: bytes) -> None:
        """Write `data` with one call, so that short data is sent in one TCP packet."""
        self.writer.write(data)
        await self.writer.drain()

    async def dribble(self, data: bytes, interval: float) -> None:
        """Write `data` byte by byte, with a pause of `interval` seconds after each byte."""
        for position in range(len(data)):
            await self.send(data[position : position + 1])
            await asyncio.sleep(interval)

    async def until_gone(self) -> None:
        """Discard all received bytes until the client closes the connection."""
        self.is_open = False
        while await self.reader.read(1 << 16):
            pass

    async def next_bytes(self, seconds: float | None = None) -> bool:
        """Wait for the first byte of the next request, and store the byte in `ahead`.

        Args:
            seconds: the longest time to wait, in seconds; None means no limit.

        Returns:
            Whether the first byte arrived within `seconds`.

        Raises:
            EOFError: if the client closed the connection.
        """
        self.on_answered()
        try:
            async with asyncio.timeout(seconds):
                self.ahead = await self.reader.readexactly(1)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """End the connection with a FIN. Under TLS, a `close_notify` precedes the FIN."""
        self.is_open = False
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(contextlib.suppress(TimeoutError))
            await stack.enter_async_context(asyncio.timeout(LINGER_SECONDS))
            if self.writer.can_write_eof():
                # The proxy reads all bytes until the client closes the connection, because the operating
                # system sends an RST if a socket is closed before all received bytes are read.
                self.writer.write_eof()
                await self.until_gone()
            else:
                # The proxy closes the TLS connection in both directions, because asyncio cannot send
                # `close_notify` and then continue to read.
                self.writer.close()
                await self.writer.wait_closed()

    def reset(self) -> None:
        """End the connection with an RST."""
        self.is_open = False
        reset_on_close(self.writer.get_extra_info("socket"))
        self.writer.transport.abort()

    async def corrupt(self, data: bytes) -> None:
        """Write `data` to the socket without TLS encryption, and end the connection with a FIN."""
        # A write to a duplicate of the socket bypasses the TLS transport of asyncio.
        with self.writer.get_extra_info("socket").dup() as raw:
            raw.send(data)
            raw.shutdown(socket.SHUT_WR)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await self.until_gone()
