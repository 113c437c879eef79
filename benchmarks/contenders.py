"""The programs to compare (contenders): this package and other code send one message in one request."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from unittest import mock
from urllib.parse import urlencode, urlsplit

import aiohttp
import httpx
import httpx2
from pyreqwest.client import ClientBuilder

from benchmarks.server import SESSION_ID
from smsapi_async import AsyncSmsClient
from smsapi_async.http import response_parser
from smsapi_async.http.asyncio_transport import AsyncioTransport
from smsapi_async.http.choice import Kind

# The type of a function that sends a text to a phone number. The arguments are the phone number and the text;
# the function returns the segment ids in the response.
Send = Callable[[str, str], Awaitable[Sequence[str]]]
# The type of a function that prepares a contender and yields its function `Send`. The arguments are the base
# URL of the server and the number of tasks that send at the same time.
Contender = Callable[[str, int], AbstractAsyncContextManager[Send]]

CONTENT_TYPE = "application/x-www-form-urlencoded; charset=utf-8"

# httpx 0.28 uses these limits for its connections by default.
HTTPX_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)
# The timeout of httpx in seconds. The default of httpx, 5 seconds, is too short: with 500 tasks, a task may
# wait longer than 5 seconds for a free connection.
TIMEOUT = 120.0


def form(to: str, text: str) -> bytes:
    """Return the form-encoded body of a request that sends one message."""
    fields = {"SessionID": SESSION_ID, "SourceAddress": "ACME", "Data": text, "DestinationAddress": to}
    return urlencode(fields).encode("ascii")


def _ids(payload: Any) -> list[str]:  # noqa: ANN401 - JSON may contain any type
    """Check that the decoded response is a list of segment ids, as a careful user would; return the list."""
    if not isinstance(payload, list):
        raise TypeError("the response is not a list of segment ids")
    return payload


def client(url: str, http: Kind) -> AsyncSmsClient:
    """Return a client of this package with the transport `http`."""
    return AsyncSmsClient("login", "password", source_address="ACME", base_url=url, transport=http)


def _ours(http: Kind) -> Contender:
    @asynccontextmanager
    async def contender(url: str, concurrency: int) -> AsyncIterator[Send]:  # noqa: ARG001 - uses its default
        async with client(url, http) as sms:

            async def send(to: str, text: str) -> Sequence[str]:
                return (await sms.send(to, text)).segment_ids

            yield send

    return contender


@asynccontextmanager
async def _over_h11(url: str, concurrency: int) -> AsyncIterator[Send]:
    """Use the slower response parser that this package uses if the extra ``speed`` is not installed."""
    with mock.patch("smsapi_async.http.asyncio_connection.parse_response", response_parser.parsed_by_h11):
        async with _ours("asyncio")(url, concurrency) as send:
            yield send


def _httpx(limits: Callable[[int], httpx.Limits] | None = None) -> Contender:
    @asynccontextmanager
    async def contender(url: str, concurrency: int) -> AsyncIterator[Send]:
        bounds = HTTPX_LIMITS if limits is None else limits(concurrency)
        async with httpx.AsyncClient(limits=bounds, timeout=TIMEOUT, trust_env=False) as session:

            async def send(to: str, text: str) -> Sequence[str]:
                response = await session.post(
                    f"{url}/Sms/Send", content=form(to, text), headers={"Content-Type": CONTENT_TYPE}
                )
                response.raise_for_status()
                return _ids(response.json())

            yield send

    return contender


@asynccontextmanager
async def _aiohttp(url: str, concurrency: int) -> AsyncIterator[Send]:
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector, headers={"Content-Type": CONTENT_TYPE}) as session:

        async def send(to: str, text: str) -> Sequence[str]:
            async with session.post(
                f"{url}/Sms/Send", data=form(to, text), raise_for_status=True
            ) as response:
                return _ids(await response.json())

        yield send


@asynccontextmanager
async def _httpx2(url: str, concurrency: int) -> AsyncIterator[Send]:
    limits = httpx2.Limits(max_connections=concurrency)
    async with httpx2.AsyncClient(limits=limits, timeout=TIMEOUT, trust_env=False) as session:

        async def send(to: str, text: str) -> Sequence[str]:
            response = await session.post(
                f"{url}/Sms/Send", content=form(to, text), headers={"Content-Type": CONTENT_TYPE}
            )
            response.raise_for_status()
            return _ids(response.json())

        yield send


@asynccontextmanager
async def _pyreqwest(url: str, concurrency: int) -> AsyncIterator[Send]:
    builder = ClientBuilder().max_connections(concurrency).error_for_status(True).http1_only().no_proxy()
    async with builder.default_headers({"Content-Type": CONTENT_TYPE}).build() as session:

        async def send(to: str, text: str) -> Sequence[str]:
            response = await session.post(f"{url}/Sms/Send").body_bytes(form(to, text)).build().send()
            return _ids(await response.json())

        yield send


@asynccontextmanager
async def _transport_alone(url: str, concurrency: int) -> AsyncIterator[Send]:  # noqa: ARG001
    """Send over the asyncio transport of this package, without the client.

    The CPU time of a run with the client, minus the CPU time of a run with the transport alone, is the CPU
    time that the client itself needs.
    """
    address = httpx.URL(f"{url}/Sms/Send")
    fields = {"Host": address.netloc.decode(), "Accept": "application/json", "Content-Type": CONTENT_TYPE}
    seconds = {"connect": 10.0, "read": 60.0, "write": 30.0, "pool": 30.0, "total": 120.0}
    async with AsyncioTransport(None) as transport:

        async def send(to: str, text: str) -> Sequence[str]:
            content = form(to, text)
            request = httpx.Request(
                "POST",
                address,
                headers={**fields, "Content-Length": str(len(content))},
                stream=httpx.ByteStream(content),
                extensions={"timeout": seconds, "content": content},
            )
            response = await transport.handle_async_request(request)
            return _ids(json.loads(response.extensions["body"]))

        yield send


class _Connection(asyncio.Protocol):
    """A connection that sends one request, waits for its response, and then sends the next request."""

    def __init__(self) -> None:
        self.transport: Any = None
        self._received = b""
        self._response: asyncio.Future[bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport, so that `exchange` can write requests to the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect the bytes of the response, and pass the complete response to `exchange`.

        No HTTP parser is needed, because each response of the benchmark server to a send ends with the
        character ``]``.
        """
        self._received += data
        if self._received.endswith(b"]"):
            received, self._received = self._received, b""
            self._response.set_result(received)

    async def exchange(self, request: bytes) -> bytes:
        """Write a request to the connection, and return the bytes of the response."""
        self._response = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._response


@asynccontextmanager
async def _sockets(url: str, concurrency: int) -> AsyncIterator[Send]:
    """Send over plain sockets without an HTTP library, because no HTTP client can be much faster."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(_Connection, parts.hostname, parts.port))[1] for _ in range(concurrency)
    ]
    head = (
        f"POST {parts.path}/Sms/Send HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {CONTENT_TYPE}\r\n"
    ).encode()

    async def send(to: str, text: str) -> Sequence[str]:
        content = form(to, text)
        connection = connections.pop()
        response = await connection.exchange(head + b"Content-Length: %d\r\n\r\n" % len(content) + content)
        connections.append(connection)
        return _ids(json.loads(response.partition(b"\r\n\r\n")[2]))

    yield send
    for connection in connections:
        connection.transport.close()


HTTPX, HTTPX_DEFAULT = "httpx by hand, limit = tasks", "httpx by hand, default limits"
AIOHTTP, HTTPX2, PYREQWEST = "aiohttp by hand", "httpx2 by hand, limit = tasks", "pyreqwest by hand"
AIOHTTP_UVLOOP = "aiohttp by hand, uvloop"
FAST, SLOW = "smsapi-async", "smsapi-async, httpcore"
FAST_UVLOOP, H11 = "smsapi-async, uvloop", "smsapi-async, h11"
ALONE, LIMIT = "asyncio transport alone", "bare sockets (upper bound)"
PEER = "sw-python-sms-devino, threads"

CONTENDERS: dict[str, Contender] = {
    FAST: _ours("asyncio"),
    FAST_UVLOOP: _ours("asyncio"),
    H11: _over_h11,
    SLOW: _ours("httpcore"),
    HTTPX: _httpx(lambda concurrency: httpx.Limits(max_connections=concurrency)),
    HTTPX_DEFAULT: _httpx(),
    AIOHTTP: _aiohttp,
    AIOHTTP_UVLOOP: _aiohttp,
    HTTPX2: _httpx2,
    PYREQWEST: _pyreqwest,
    ALONE: _transport_alone,
    LIMIT: _sockets,
}
# The names of the contenders that run on uvloop. All other contenders run on the default asyncio event loop.
ON_UVLOOP = {FAST_UVLOOP, AIOHTTP_UVLOOP}
