"""The base class of this package's transports, and functions for requests and responses."""

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from typing import Any

import httpx

from smsapi_async.settings import RESPONSE_LIMIT

Trace = Callable[[str, Mapping[str, Any]], Awaitable[None]]
Fields = Sequence[tuple[bytes, bytes]]

KEEPALIVE_SECONDS = 20.0
"""The number of seconds after which an idle connection is not used again."""


class BundledTransport(httpx.AsyncBaseTransport):
    """The base class of the transports in this package.

    A transport returns whole responses and reports httpcore's trace events. The trace event for a write
    comes before the first byte of the request is written.

    The ``target`` extension of a request replaces the path and the query of the URL, so that the text of a
    URL never contains a secret.

    A transport does not limit the number of connections, because the client's `Limiter` limits the
    requests in flight.

    Attributes:
        name: the name of the transport, ``asyncio`` or ``httpcore``; the `repr` of the client shows the name.
        ends_exchanges: whether `aclose` ends each exchange that is in progress at once.
    """

    name: str
    ends_exchanges: bool = False


class ResponseTooLarge(httpx.RemoteProtocolError):
    """The response of the gateway is larger than the client accepts."""


def timeouts_of(request: httpx.Request) -> Mapping[str, float | None]:
    """Return a request's ``timeout`` extension: the seconds for each step, and ``total`` for all steps."""
    timeouts: Mapping[str, float | None] = request.extensions["timeout"]
    return timeouts


def body_limit_of(request: httpx.Request) -> int:
    """Return the ``body_limit`` extension of a request: the largest allowed body of the response in bytes."""
    limit: int = request.extensions.get("body_limit", RESPONSE_LIMIT)
    return limit


async def read_body(pieces: AsyncIterable[bytes], limit: int) -> bytes:
    """Read the body of a response.

    Raises:
        ResponseTooLarge: if the body has more bytes than the limit.
    """
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > limit:
            raise ResponseTooLarge("the body of the response is too large")
    return bytes(body)


def whole_response(status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> httpx.Response:
    """Return a response whose ``body`` extension is the body as it arrived.

    This package reads the body from the extension and not from the stream. If httpx read the stream, httpx
    would decode compressed content, and the result may be a thousand times larger than the body.
    """
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body), extensions={"body": body})


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
