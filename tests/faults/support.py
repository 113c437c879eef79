"""A server to stand behind the proxy and a client that sees every byte and how a connection ends."""

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
    """A POST as a client writes it."""
    head = f"POST {target} HTTP/1.1\r\nHost: gateway\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
    return head.encode() + body


def answer(body: bytes = IDS, *, fields: str = "") -> bytes:
    """An answer as the gateway writes it."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
    return head.encode() + body


@attrs.define
class Upstream:
    """What the server behind the proxy got, and what it answers before it closes the connection."""

    port: int
    answer: bytes = attrs.field(factory=answer)
    requests: list[bytes] = attrs.field(factory=list)

    async def serve(self, stream: SocketStream) -> None:
        """Read one request to its end, keep it, answer it; the proxy may leave at any moment."""
        raw = b""
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            async with stream:
                while not _is_whole(raw):
                    raw += await stream.receive()
                self.requests.append(raw)
                if self.answer:
                    await stream.send(self.answer)


def _is_whole(raw: bytes) -> bool:
    head, _, body = raw.partition(b"\r\n\r\n")
    if b"chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    length = head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
    return b"\r\n\r\n" in raw and len(body) >= int(length or b"0")


@asynccontextmanager
async def run_upstream() -> AsyncIterator[Upstream]:
    """A server on a free port of the loopback."""
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        upstream = Upstream(listener.extra(SocketAttribute.local_port))  # noqa: S610 - no Django here
        group.start_soon(listener.serve, upstream.serve)
        yield upstream
        group.cancel_scope.cancel()


@attrs.define
class RawClient:
    """One connection; nothing is interpreted."""

    stream: ByteStream

    @classmethod
    async def connect(cls, proxy: FaultProxy) -> Self:
        """Connect to the proxy."""
        return cls(await anyio.connect_tcp("127.0.0.1", proxy.port))

    @classmethod
    async def ending_of_new(cls, proxy: FaultProxy) -> tuple[bytes, str]:
        """`ending` of a connection on which nothing is sent; a reset may be as quick as the connecting."""
        try:
            client = await cls.connect(proxy)
        except OSError:
            return b"", "reset"
        async with client:
            return await client.ending()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        await anyio.aclose_forcefully(self.stream)

    async def send(self, data: bytes) -> None:
        """Write `data`."""
        await self.stream.send(data)

    async def receive_until(self, end: bytes) -> bytes:
        """Everything up to the first bytes that end with `end`."""
        received = b""
        with anyio.fail_after(5):
            while not received.endswith(end):
                received += await self.stream.receive()
        return received

    async def ending(self) -> tuple[bytes, str]:
        """Everything that still comes, and how the connection ends: "closed" or "reset"."""
        received = b""
        with anyio.fail_after(5):
            while True:
                try:
                    received += await self.stream.receive()
                except anyio.EndOfStream:
                    return received, "closed"
                except anyio.BrokenResourceError:
                    return received, "reset"
