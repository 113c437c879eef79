"""A test server behind the fault proxy, and a test client that shows each byte and the connection end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

import anyio
import attrs
from anyio.abc import ByteStream, SocketAttribute, SocketStream

from smsapi_async.sandbox.faults import FaultProxy

IDS = b'["579700854169272358","GW0261BA732A"]'
BODY = b"SessionID=0123456789&Data=%D0%9F%D1%80%D0%B8%D0%B2%D0%B5%D1%82"


def request(target: str = "/rest/Sms/Send", *, body: bytes = BODY, fields: str = "") -> bytes:
    """Return the bytes of a POST request; `fields` contains further header lines."""
    head = f"POST {target} HTTP/1.1\r\nHost: gateway\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
    return head.encode() + body


def answer(body: bytes = IDS, *, fields: str = "") -> bytes:
    """Return the bytes of a response with HTTP status 200; `fields` contains further header lines."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
    return head.encode() + body


@attrs.define
class Upstream:
    """A server behind the fault proxy that records each request, sends `answer` and closes the connection."""

    port: int
    answer: bytes = attrs.field(factory=answer)
    requests: list[bytes] = attrs.field(factory=list)

    async def serve(self, stream: SocketStream) -> None:
        """Read one complete request, record the request and send the response."""
        raw = b""
        # Ignore a closed connection, because with some faults the proxy closes the connection at any time.
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            async with stream:
                while not _is_whole(raw):
                    raw += await stream.receive()
                self.requests.append(raw)
                if self.answer:
                    await stream.send(self.answer)


def _is_whole(raw: bytes) -> bool:
    """Return True if the bytes contain a complete HTTP request, otherwise False."""
    head, _, body = raw.partition(b"\r\n\r\n")
    if b"chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    length = head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
    return b"\r\n\r\n" in raw and len(body) >= int(length or b"0")


@asynccontextmanager
async def run_upstream() -> AsyncIterator[Upstream]:
    """Run an `Upstream` server on a free local port, and stop the server at the end of the `with` block."""
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        upstream = Upstream(listener.extra(SocketAttribute.local_port))  # noqa: S610 - not Django's `extra`
        group.start_soon(listener.serve, upstream.serve)
        yield upstream
        group.cancel_scope.cancel()


@attrs.define
class RawClient:
    """A client with one connection to the fault proxy that does not interpret the received bytes."""

    stream: ByteStream
    _unread: bytes = b""

    @classmethod
    async def connect(cls, proxy: FaultProxy) -> Self:
        """Return a client with a new connection to the fault proxy."""
        return cls(await anyio.connect_tcp("127.0.0.1", proxy.port))

    @classmethod
    async def ending_of_new(cls, proxy: FaultProxy) -> tuple[bytes, str]:
        """Open a connection to the fault proxy, send nothing, and return the result of `ending`."""
        try:
            client = await cls.connect(proxy)
        except OSError:
            # Treat a failed connect as a reset, because the proxy may reset the connection before the client
            # has finished connecting.
            return b"", "reset"
        async with client:
            return await client.ending()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        await anyio.aclose_forcefully(self.stream)

    async def send(self, data: bytes) -> None:
        """Write `data` to the connection."""
        await self.stream.send(data)

    async def receive_until(self, end: bytes) -> bytes:
        """Return the received bytes up to and including the next `end`.

        A later call of `receive_until` returns the bytes that follow `end`.
        """
        received, self._unread = self._unread, b""
        while end not in received:
            received += await self.stream.receive()
        head, end, self._unread = received.partition(end)
        return head + end

    async def ending(self) -> tuple[bytes, str]:
        """Return the remaining bytes, and how the connection has ended: "closed" or "reset"."""
        received, self._unread = self._unread, b""
        while True:
            try:
                received += await self.stream.receive()
            except anyio.EndOfStream:
                return received, "closed"
            except anyio.BrokenResourceError:
                return received, "reset"
