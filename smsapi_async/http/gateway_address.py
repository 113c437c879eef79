"""The address of the gateway, and the settings that all requests share."""

import attrs

_HEADERS_OF_POSTS = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


@attrs.frozen
class GatewayAddress:
    """The gateway, and the settings of all requests to the gateway.

    Attributes:
        base_url: the base URL of the gateway.
        host: the host in `base_url`.
        headers: the HTTP headers that every request contains.
        timeout: httpx's ``timeout`` extension: the seconds for each step, and ``total`` for an exchange.
    """

    base_url: str
    host: str
    headers: dict[str, str]
    timeout: dict[str, float | None]

    def url(self, resource: str) -> str:
        """Return the URL of a resource, without a query."""
        return f"{self.base_url.rstrip('/')}/{resource}"

    def headers_for(self, method: str) -> dict[str, str]:
        """Return the headers of each request with a method."""
        return {**self.headers, **(_HEADERS_OF_POSTS if method == "POST" else {})}
