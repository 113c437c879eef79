"""The client's connection, with good and bad ways to use and to end it."""

import asyncio
import contextlib
import os
import socket
import struct

import attrs

#: How long a client may take to read the last bytes and close its side.
LINGER_SECONDS = 5.0
_RESET_ON_CLOSE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


def reset_on_close(sock: socket.socket) -> None:
    """Make the end of the connection an RST instead of a FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


@attrs.define(eq=False)
class ClientConnection:
    """A connection from a client; `ahead` is what was read of the next request."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    is_open: bool = True
    ahead: bytes = b""

    async def send(self, data: bytes) -> None:
        """Write `data`, in one segment if it fits."""
        self.writer.write(data)
        await self.writer.drain()

    async def dribble(self, data: bytes, interval: float) -> None:
        """Write `data` a byte at a time, `interval` seconds apart."""
        for position in range(len(data)):
            await self.send(data[position : position + 1])
            await asyncio.sleep(interval)

    async def until_gone(self) -> None:
        """Throw away what comes until the client closes its side."""
        self.is_open = False
        while await self.reader.read(1 << 16):
            pass

    async def next_bytes(self, seconds: float | None = None) -> bool:
        """Whether the next request begins within `seconds`; `EOFError` if the client closes instead."""
        try:
            async with asyncio.timeout(seconds):
                self.ahead = await self.reader.readexactly(1)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """End the connection with a FIN, under TLS after a `close_notify`."""
        self.is_open = False
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(contextlib.suppress(TimeoutError))
            await stack.enter_async_context(asyncio.timeout(LINGER_SECONDS))
            if self.writer.can_write_eof():
                # Closing with unread bytes would send an RST, so they are read until the client is gone.
                self.writer.write_eof()
                await self.until_gone()
            else:
                self.writer.close()
                await self.writer.wait_closed()

    def reset(self) -> None:
        """End the connection with an RST."""
        self.is_open = False
        reset_on_close(self.writer.get_extra_info("socket"))
        self.writer.transport.abort()

    async def corrupt(self, data: bytes) -> None:
        """Write `data` beneath TLS, if there is any, and end the connection with a FIN."""
        with self.writer.get_extra_info("socket").dup() as raw:
            raw.send(data)
            raw.shutdown(socket.SHUT_WR)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await self.until_gone()
