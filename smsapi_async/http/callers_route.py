"""Requests through an HTTP client or a transport that the caller supplies, of httpx or of httpx2."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast

import anyio

from smsapi_async import guard
from smsapi_async.http.base import body_limit_of, read_body, whole_response
from smsapi_async.http.exchange import Evidence
from smsapi_async.http.gateway_address import GatewayAddress
from smsapi_async.http.libraries import SuppliedClient, private_url

# The libraries whose transports for httpx use the network, but report no trace events.
_NETWORK_LIBRARIES = {"aiohttp", "curl_cffi", "httpx_aiohttp", "httpx_curl_cffi", "niquests", "pyreqwest"}


class CallersRoute:
    """Sends requests through an HTTP client.

    Args:
        address: the gateway, and the settings of all requests.
        client: the HTTP client.
        library: the library of the client: httpx or httpx2.
        name: the name of the route, for the `repr` of the client.
        is_owned: whether this package made the HTTP client, and `aclose` therefore closes the HTTP client.
    """

    ends_exchanges = False

    def __init__(
        self,
        address: GatewayAddress,
        client: SuppliedClient,
        library: Any,  # noqa: ANN401 - a module
        *,
        name: str,
        is_owned: bool,
    ) -> None:
        self._address = address
        self._client = client
        self._library = library
        self.name = name
        self._is_owned = is_owned
        # The guard must check each request before the transport gets it.
        self._is_network = _is_network(client)

    @property
    def is_closed(self) -> bool:
        """Whether the HTTP client was closed."""
        return self._client.is_closed

    def choose(self) -> None:
        """Do nothing: the caller has chosen the transport."""

    def request(
        self, method: str, resource: str, parameters: bytes, evidence: Evidence, body_limit: int
    ) -> Any:  # noqa: ANN401 - a request of httpx or httpx2
        """Return a request; see `Route`.

        Raises:
            RealSendBlocked: if the guard is on, the gateway is beyond loopback, and the transport uses the
                network without trace events.
        """
        if self._is_network:
            guard.check(self._address.host, resource=resource)
        evidence.host, evidence.resource = self._address.host, resource
        build: Any = self._client.build_request
        request = build(
            method,
            self._address.url(resource),
            headers=self._address.headers_for(method),
            content=parameters if method == "POST" else None,
            extensions={
                "timeout": self._address.timeout,
                "trace": evidence.trace,
                "body_limit": body_limit,
            },
        )
        # The library logs the URL of each request. The URL hides the query, which contains the session id.
        query = {} if method == "POST" else {"query": parameters}
        request.url = private_url(self._library)(request.url.copy_with(**query))
        return request

    async def send(self, request: Any) -> Any:  # noqa: ANN401
        """Send a request, and return the whole response.

        Raises:
            Exception: an exception of the library, for example its ``ReadTimeout`` after the total time.
        """
        with anyio.move_on_after(self._address.timeout["total"]):
            # A redirect must not be followed: a 307 or 308 would repeat the send.
            response = await self._client.send(request, follow_redirects=False, stream=True)
            try:
                # If the response is closed, a hook of the caller or the transport has already read the body.
                if response.is_closed:
                    body = response.content
                else:
                    raw = cast("AsyncGenerator[bytes, None]", response.aiter_raw())
                    async with aclosing(raw) as pieces:
                        body = await read_body(pieces, body_limit_of(request))
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
            return whole_response(response.status_code, response.headers.raw, body)
        raise self._library.ReadTimeout("the exchange took too long")

    async def aclose(self) -> None:
        """Close the HTTP client, unless the caller supplied the HTTP client."""
        if self._is_owned:
            await self._client.aclose()


def client_over(transport: object, library: Any) -> SuppliedClient:  # noqa: ANN401
    """Return an HTTP client over a transport of the caller.

    The HTTP client accepts no cookies, because a cookie would connect requests of different sessions. The
    contract with the gateway defines no cookies.
    """
    cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    client: SuppliedClient = library.AsyncClient(transport=transport, cookies=cookies, trust_env=False)
    return client


def _is_network(client: SuppliedClient) -> bool:
    # httpx has no public attribute for the transports of a client.
    transports = [getattr(client, "_transport", None), *getattr(client, "_mounts", {}).values()]
    classes = {each for used in (client, *transports) for each in type(used).__mro__}
    return any(each.__module__.partition(".")[0] in _NETWORK_LIBRARIES for each in classes)
