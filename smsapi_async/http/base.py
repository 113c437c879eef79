"""What this package's own transports have in common, and the client that stands on one of them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import httpx

Trace = Callable[[str, Mapping[str, Any]], Awaitable[None]]
Fields = Sequence[tuple[bytes, bytes]]

KEEPALIVE_SECONDS = 20.0
WITHDRAWN = "send_request_headers.withdrawn"
"""The one trace event that is not httpcore's: nothing was written of the request that had begun."""


class BundledTransport(httpx.AsyncBaseTransport):
    """Gives whole responses, reports httpcore's trace events, and sends the ``target`` extension.

    The trace is told of a request before its first byte is written.
    The target takes the place of the URL's path and query, so that no text of the URL holds a secret.
    The connections are not bounded here: the client's limiter stands in front of them.
    """

    name: str


class DirectClient(httpx.AsyncClient):
    """An `httpx.AsyncClient` whose `send` does nothing but hand the request to its own transport.

    No request of this package follows a redirect, keeps a cookie, has credentials of httpx's kind or
    calls a hook, and each response comes whole; looking for all that costs more than an exchange does.
    """

    def __init__(self, transport: BundledTransport) -> None:
        super().__init__(transport=transport, trust_env=False)
        self._own = transport

    async def send(self, request: httpx.Request, **_: Any) -> httpx.Response:  # noqa: ANN401 - nothing is left to choose
        """The response, whole; also a redirect is one."""
        return await self._own.handle_async_request(request)


def target_of(request: httpx.Request) -> bytes:
    """What stands in the first line between the method and the version."""
    target: bytes = request.extensions.get("target") or request.url.raw_path
    return target


def trace_of(request: httpx.Request) -> Trace:
    """Whoever wants to know of the steps."""
    trace: Trace = request.extensions.get("trace", _unheard)
    return trace


async def _unheard(event: str, info: Mapping[str, Any]) -> None:
    """Nobody listens."""
