"""The ways to send a message: this package, what users would write by hand, and the limit."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import httpx

from benchmarks.server import SESSION_ID
from smsapi_async import AsyncSmsClient
from smsapi_async.http.aiohttp_transport import AiohttpTransport
from smsapi_async.http.choice import Kind

# To a number, a text; gives the segment ids that came back.
Send = Callable[[str, str], Awaitable[Sequence[str]]]
# Made for a base URL and for so many tasks that send at once.
Way = Callable[[str, int], AbstractAsyncContextManager[Send]]

CONTENT_TYPE = "application/x-www-form-urlencoded; charset=utf-8"

# httpx's defaults, and time enough for a task to wait for its turn in the pool.
HTTPX_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)
TIMEOUT = 120.0


def form(to: str, text: str) -> bytes:
    """The parameters of a message, as everybody has to encode them."""
    fields = {"SessionID": SESSION_ID, "SourceAddress": "ACME", "Data": text, "DestinationAddress": to}
    return urlencode(fields).encode("ascii")


def _ids(answer: Any) -> list[str]:  # noqa: ANN401 - JSON is anything
    """What a careful user checks before he believes that the message was sent."""
    if not isinstance(answer, list):
        raise TypeError("no list of ids")
    return answer


def client(url: str, http: Kind) -> AsyncSmsClient:
    """The package over the named transport."""
    return AsyncSmsClient("login", "password", source_address="ACME", base_url=url, transport=http)


def _ours(http: Kind) -> Way:
    @asynccontextmanager
    async def way(url: str, concurrency: int) -> AsyncIterator[Send]:  # noqa: ARG001 - its limiter is its own
        async with client(url, http) as sms:

            async def send(to: str, text: str) -> Sequence[str]:
                return (await sms.send(to, text)).segment_ids

            yield send

    return way


def _httpx(limits: Callable[[int], httpx.Limits] | None = None) -> Way:
    @asynccontextmanager
    async def way(url: str, concurrency: int) -> AsyncIterator[Send]:
        bounds = HTTPX_LIMITS if limits is None else limits(concurrency)
        async with httpx.AsyncClient(limits=bounds, timeout=TIMEOUT, trust_env=False) as session:

            async def send(to: str, text: str) -> Sequence[str]:
                answer = await session.post(
                    f"{url}/Sms/Send", content=form(to, text), headers={"Content-Type": CONTENT_TYPE}
                )
                answer.raise_for_status()
                return _ids(answer.json())

            yield send

    return way


@asynccontextmanager
async def _aiohttp(url: str, concurrency: int) -> AsyncIterator[Send]:
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector, headers={"Content-Type": CONTENT_TYPE}) as session:

        async def send(to: str, text: str) -> Sequence[str]:
            async with session.post(f"{url}/Sms/Send", data=form(to, text), raise_for_status=True) as answer:
                return _ids(await answer.json())

        yield send


@asynccontextmanager
async def _transport_alone(url: str, concurrency: int) -> AsyncIterator[Send]:  # noqa: ARG001
    """The fast transport without the client above it: what is left is the client's own share."""
    address = httpx.URL(f"{url}/Sms/Send")
    fields = {"Host": address.netloc.decode(), "Accept": "application/json", "Content-Type": CONTENT_TYPE}
    seconds = {"connect": 10.0, "read": 60.0, "write": 30.0, "pool": 30.0}
    async with AiohttpTransport(None, None) as transport:

        async def send(to: str, text: str) -> Sequence[str]:
            content = form(to, text)
            request = httpx.Request(
                "POST",
                address,
                headers={**fields, "Content-Length": str(len(content))},
                stream=httpx.ByteStream(content),
                extensions={"timeout": seconds},
            )
            return _ids(json.loads((await transport.handle_async_request(request)).content))

        yield send


class _Line(asyncio.Protocol):
    """A connection with one question on it."""

    def __init__(self) -> None:
        self.transport: Any = None
        self._received = b""
        self._answer: asyncio.Future[bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """The lean server's answers come in one piece or are waited for by their last byte."""
        self._received += data
        if self._received.endswith(b"]"):
            received, self._received = self._received, b""
            self._answer.set_result(received)

    async def ask(self, question: bytes) -> bytes:
        """The answer to a question."""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(question)
        return await self._answer


@asynccontextmanager
async def _sockets(url: str, concurrency: int) -> AsyncIterator[Send]:
    """No HTTP library at all."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    loop = asyncio.get_running_loop()
    lines = [(await loop.create_connection(_Line, parts.hostname, parts.port))[1] for _ in range(concurrency)]
    head = (
        f"POST {parts.path}/Sms/Send HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {CONTENT_TYPE}\r\n"
    ).encode()

    async def send(to: str, text: str) -> Sequence[str]:
        content = form(to, text)
        line = lines.pop()
        answer = await line.ask(head + b"Content-Length: %d\r\n\r\n" % len(content) + content)
        lines.append(line)
        return _ids(json.loads(answer.partition(b"\r\n\r\n")[2]))

    yield send
    for line in lines:
        line.transport.close()


HTTPX, HTTPX_DEFAULT = "httpx by hand, limit = tasks", "httpx by hand, its own limits"
AIOHTTP = "aiohttp by hand"
FAST, SLOW = "smsapi-async, aiohttp", "smsapi-async, httpcore"
ALONE, LIMIT = "its transport alone", "bare sockets (limit)"
PEER = "sw-python-sms-devino, threads"

WAYS: dict[str, Way] = {
    FAST: _ours("aiohttp"),
    SLOW: _ours("httpcore"),
    HTTPX: _httpx(lambda concurrency: httpx.Limits(max_connections=concurrency)),
    HTTPX_DEFAULT: _httpx(),
    AIOHTTP: _aiohttp,
    ALONE: _transport_alone,
    LIMIT: _sockets,
}
