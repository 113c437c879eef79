"""The base class of this package's transports, and the `httpx.AsyncClient` that uses a transport."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import httpx

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
        name: ``aiohttp`` or ``httpcore``; the `repr` of the client shows the name.
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
