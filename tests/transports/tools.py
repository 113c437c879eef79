"""Servers that say just what a test wants, and a bare transport."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from smsapi_async.http.aiohttp_transport import AiohttpTransport
from smsapi_async.http.base import BundledTransport, Trace
from smsapi_async.http.exchange import Evidence

TIMEOUT = {"connect": 2.0, "read": 0.3, "write": 0.3, "pool": None}


@asynccontextmanager
async def transport(**settings: Any) -> AsyncIterator[AiohttpTransport]:
    """A transport that is closed at the end."""
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
    """A POST with a content, a GET without one."""
    request = httpx.Request(
        "POST" if content else "GET",
        url,
        content=content or None,
        extensions={"timeout": {**TIMEOUT, **timeouts}, "trace": trace or (evidence or Evidence()).trace},
    )
    return await through.handle_async_request(request)


def answer(body: bytes, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """A whole answer with its length."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields, b"", body]
    return b"\r\n".join(lines)
