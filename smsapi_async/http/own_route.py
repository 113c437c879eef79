"""Requests through the transports of this package."""

from collections.abc import Coroutine
from typing import Any

import attrs
import httpx

from smsapi_async import guard
from smsapi_async.http.choice import AutomaticTransport
from smsapi_async.http.exchange import Evidence
from smsapi_async.http.gateway_address import GatewayAddress
from smsapi_async.privacy import HiddenBytes

# The largest number of header sets that are stored for a resource. Each length of the body has its own set.
_LENGTHS_REMEMBERED = 256


@attrs.frozen
class _RequestParts:
    """The URL, the path and the headers that all requests for one resource share."""

    url: httpx.URL
    path: bytes
    headers: httpx.Headers
    _sized: dict[int, httpx.Headers] = attrs.field(factory=dict, repr=False)

    def headers_for(self, length: int) -> httpx.Headers:
        """Return the headers of a request with a body of the given length.

        The headers are stored for each length of the body, because a new `httpx.Headers` takes much more time
        than a copy.
        """
        headers = self._sized.get(length)
        if headers is None:
            if len(self._sized) >= _LENGTHS_REMEMBERED:
                self._sized.clear()
            headers = self._sized[length] = self.headers.copy()
            headers["Content-Length"] = str(length)
        return headers


class OwnRoute:
    """Sends requests through the transports of this package.

    A client of httpx is not used, because its work for redirects, cookies, credentials and event hooks takes
    more time than the exchange.

    Args:
        address: the gateway, and the settings of all requests.
        transport: sends the requests and returns the whole responses.
    """

    def __init__(self, address: GatewayAddress, transport: AutomaticTransport) -> None:
        self._address = address
        self._transport = transport
        self._resources: dict[tuple[str, str], _RequestParts] = {}
        self.is_closed = False

    @property
    def name(self) -> str:
        """The transport, for the `repr` of the client."""
        return f"transport={self._transport.name}"

    @property
    def ends_exchanges(self) -> bool:
        """Whether `aclose` ends each exchange that is in progress at once."""
        return self._transport.ends_exchanges

    def choose(self) -> None:
        """Choose the transport for the running event loop.

        Raises:
            ValidationError: if the caller requires a transport that cannot run on this event loop.
        """
        self._transport.choose()

    def request(
        self, method: str, resource: str, parameters: bytes, evidence: Evidence, body_limit: int
    ) -> httpx.Request:
        """Return a request; see `Route`.

        Raises:
            RealSendBlocked: if the guard is on, and the gateway or the proxy is beyond loopback.
        """
        guard.check(self._address.host, self._transport.proxy_host, resource=resource)
        # This package's transports report every write. Therefore a request without trace events was not
        # written, for example because the request failed before the pool assigned a connection.
        evidence.reported = evidence.trusted = True
        same = self._resources.get((method, resource)) or self._parts(method, resource)
        target, content, headers = same.path, parameters, same.headers
        if method == "POST":
            headers = same.headers_for(len(content))
        else:
            target, content = HiddenBytes(b"%s?%s" % (target, parameters)), b""
        return httpx.Request(
            method,
            same.url,
            headers=headers,
            # We pass `stream` because, with `content`, httpx would compute the Content-Length header again.
            stream=httpx.ByteStream(content),
            extensions={
                "timeout": self._address.timeout,
                "trace": evidence.trace,
                "target": target,
                "content": content,
                "body_limit": body_limit,
            },
        )

    def send(self, request: httpx.Request) -> Coroutine[Any, Any, httpx.Response]:
        """Return the whole response."""
        # This method and `AutomaticTransport.handle_async_request` return the coroutine of the transport,
        # because each further coroutine would cost time in every send. A redirect is not followed.
        return self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close every connection."""
        self.is_closed = True
        await self._transport.aclose()

    def _parts(self, method: str, resource: str) -> _RequestParts:
        url = httpx.URL(self._address.url(resource))
        headers = {"Host": url.netloc.decode("ascii"), **self._address.headers_for(method)}
        parts = _RequestParts(url, url.raw_path, httpx.Headers(headers))
        return self._resources.setdefault((method, resource), parts)
