"""The base class of this package's transports, and the `httpx.AsyncClient` that uses a transport."""

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from typing import Any

import httpx

from smsapi_async.settings import RESPONSE_LIMIT

Trace = Callable[[str, Mapping[str, Any]], Awaitable[None]]
Fields = Sequence[tuple[bytes, bytes]]

KEEPALIVE_SECONDS = 20.0
"""A connection that is idle for this number of seconds is not used again."""
WITHDRAWN = "send_request_headers.withdrawn"
"""A trace event of this package: no byte of the request was written, although the write was reported.

httpcore defines all other trace events.
"""


class BundledTransport(httpx.AsyncBaseTransport):
    """The base class of the transports in this package.

    A transport returns whole responses and reports httpcore's trace events. The trace event for a write
    comes before the first byte of the request is written.

    The ``target`` extension of a request replaces the path and the query of the URL. So the text of a
    URL never contains a secret.

    A transport does not limit the number of connections, because the client's `Limiter` limits the
    requests in flight.

    Attributes:
        name: ``asyncio`` or ``httpcore``; the `repr` of the client shows the name.
    """

    name: str


class DirectClient(httpx.AsyncClient):
    """An `httpx.AsyncClient` that passes each request directly to the transport.

    httpx's own `send` also handles redirects, cookies, credentials and event hooks. This package uses
    none of these features, and each response arrives whole. The skipped work of httpx's `send` takes more
    time than the exchange.

    Args:
        transport: makes the exchanges.
    """

    def __init__(self, transport: BundledTransport) -> None:
        super().__init__(transport=transport, trust_env=False)
        self._own = transport

    async def send(self, request: httpx.Request, **_: Any) -> httpx.Response:  # noqa: ANN401 - httpx's options are ignored
        """Return the whole response. A redirect is not followed."""
        return await self._own.handle_async_request(request)


class ResponseTooLarge(httpx.RemoteProtocolError):
    """The response is larger than the client accepts."""


def timeouts_of(request: httpx.Request) -> Mapping[str, float | None]:
    """Return the ``timeout`` extension: the seconds for each step, and ``total`` for the whole exchange."""
    timeouts: Mapping[str, float | None] = request.extensions["timeout"]
    return timeouts


def body_limit_of(request: httpx.Request) -> int:
    """Return the ``body_limit`` extension: the largest body of the response in bytes."""
    limit: int = request.extensions.get("body_limit", RESPONSE_LIMIT)
    return limit


async def read_body(pieces: AsyncIterable[bytes], limit: int) -> bytes:
    """Read the body of a response.

    Raises:
        ResponseTooLarge: the body has more bytes than the limit.
    """
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > limit:
            raise ResponseTooLarge("the body of the response is too large")
    return bytes(body)


def whole_response(status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> httpx.Response:
    """Return a response whose ``body`` extension is the body as it arrived.

    httpx decodes a content coding when it reads the stream of a response, and the result may be a thousand
    times larger than the body. So this package reads the extension, and not the stream.
    """
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body), extensions={"body": body})


def coding_of(response: httpx.Response) -> str | None:
    """Return the content coding of the body, for example ``gzip``; None if the body is not encoded."""
    if "content-encoding" not in response.headers:
        return None
    codings = [value for name, value in response.headers.raw if name.lower() == b"content-encoding"]
    coding = b", ".join(codings).decode("ascii", "replace").strip()
    return None if coding.lower() in {"", "identity"} else coding


def target_of(request: httpx.Request) -> bytes:
    """Return the request target: the text between the method and the HTTP version (RFC 9112, 3.2)."""
    target: bytes = request.extensions.get("target") or request.url.raw_path
    return target


def trace_of(request: httpx.Request) -> Trace:
    """Return the ``trace`` extension of the request, or a function that ignores all events."""
    trace: Trace = request.extensions.get("trace", _unheard)
    return trace


async def _unheard(event: str, info: Mapping[str, Any]) -> None:
    """Ignore a trace event."""
