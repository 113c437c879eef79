"""Helper functions for the tests of transports. The tests use a transport without an `AsyncSmsClient`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from smsapi_async.http.asyncio_transport import AsyncioTransport
from smsapi_async.http.base import BundledTransport, Trace
from smsapi_async.http.exchange import Evidence

# The default timeouts in seconds are long. A test that waits for the end of a timeout passes a shorter
# timeout to `ask`.
TIMEOUT = {"connect": 15.0, "read": 15.0, "write": 15.0, "pool": None, "total": 60.0}
BODY_LIMIT = 16 * 1024 * 1024


@asynccontextmanager
async def asyncio_transport() -> AsyncIterator[AsyncioTransport]:
    """Yield an `AsyncioTransport`, and close the transport at the end of the block."""
    async with AsyncioTransport(None) as running:
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
        through: the transport that sends the request.
        url: the URL of the request.
        content: the request body. A request with a body uses POST, and a request without a body uses GET.
        evidence: the object that records the trace events of the request. None means a new `Evidence`.
        trace: a trace function that replaces the trace function of the evidence.
        timeouts: timeouts in seconds that replace the timeouts in `TIMEOUT`.
    """
    request = httpx.Request(
        "POST" if content else "GET",
        url,
        content=content or None,
        extensions={
            "timeout": {**TIMEOUT, **timeouts},
            "trace": trace or (evidence or Evidence()).trace,
            "body_limit": BODY_LIMIT,
        },
    )
    response = await through.handle_async_request(request)
    await response.aread()
    return response


def answer(body: bytes, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """Return the bytes of a whole HTTP response with a ``Content-Length`` header.

    Args:
        body: the response body.
        fields: more header lines of the response.
        status: the status code and the reason phrase of the response.
    """
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields, b"", body]
    return b"\r\n".join(lines)
