"""Helper functions for the tests of transports. The tests use a transport without an `AsyncSmsClient`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from smsapi_async.http.aiohttp_transport import AiohttpTransport
from smsapi_async.http.base import BundledTransport, Trace
from smsapi_async.http.exchange import Evidence

# These default timeouts are long. A test that waits for the end of a timeout passes a shorter timeout to
# `ask`.
TIMEOUT = {"connect": 15.0, "read": 15.0, "write": 15.0, "pool": None}


@asynccontextmanager
async def aiohttp_transport(**settings: Any) -> AsyncIterator[AiohttpTransport]:
    """Yield an `AiohttpTransport`, and close the transport at the end of the block.

    Args:
        settings: parameters of `AiohttpTransport`.
    """
    options: dict[str, Any] = {"ssl_context": None, "proxy": None, **settings}
    async with AiohttpTransport(**options) as running:
        yield running


async def ask(
    through: BundledTransport,
    url: str,
    content: bytes = b"",
    *,
    evidence: Evidence | None = None,
    trace: Trace | None = None,
    **timeouts: float,
) -> httpx.Response:
    """Send a request through a transport, and return the response.

    Args:
        through: the transport.
        url: the URL.
        content: the body. With a body, the request is a POST request, otherwise a GET request.
        evidence: the evidence that records the progress of the request. None means a new `Evidence`.
        trace: a trace function that replaces the trace function of the evidence.
        timeouts: timeouts in seconds that replace the timeouts in `TIMEOUT`.
    """
    request = httpx.Request(
        "POST" if content else "GET",
        url,
        content=content or None,
        extensions={"timeout": {**TIMEOUT, **timeouts}, "trace": trace or (evidence or Evidence()).trace},
    )
    return await through.handle_async_request(request)


def answer(body: bytes, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """Return the bytes of a whole HTTP response with a ``Content-Length`` header.

    Args:
        body: the body.
        fields: more header lines.
        status: the status code and the reason phrase.
    """
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields, b"", body]
    return b"\r\n".join(lines)
