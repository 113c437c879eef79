"""Builds the `Exchanger` from the settings of the client."""

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import get_args

import attrs
import httpx

from smsapi_async.errors import ValidationError
from smsapi_async.http.base import DirectClient
from smsapi_async.http.choice import AutomaticTransport, Kind
from smsapi_async.http.exchange import Exchanger
from smsapi_async.http.redaction import quieten
from smsapi_async.privacy import sealed
from smsapi_async.settings import Timeouts, tls_context
from smsapi_async.version import __version__

_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": f"smsapi-async/{__version__}",
}


@sealed
def build_exchanger(
    base_url: str,
    timeouts: Timeouts,
    *,
    proxy: str | None,
    ca_file: str | Path | None,
    ssl_context: ssl.SSLContext | None,
    client: httpx.AsyncClient | None,
    transport: httpx.AsyncBaseTransport | Kind | None,
    body_limit: int,
) -> Exchanger:
    """Return an exchanger over the caller's HTTP client or transport, or over this package's transport.

    The parameters have the same meaning as the parameters of `AsyncSmsClient`. `body_limit` is the
    parameter `response_limit` of the client.

    Raises:
        ValidationError: if a setting is wrong, or two settings contradict each other.
    """
    quieten()
    _check_kinds(client, transport)
    _check_exclusive(client, transport, proxy=proxy, ca_file=ca_file, ssl_context=ssl_context)
    ssl_context = tls_context(ssl_context, ca_file)
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValidationError("base_url", ascii(base_url[:80]), f"pass a valid address ({error})") from None
    owned, own = client is None, None
    if isinstance(transport, httpx.AsyncBaseTransport):
        # The HTTP client accepts no cookies, because a cookie would connect requests of different sessions.
        # The contract with the gateway defines no cookies.
        cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        client = httpx.AsyncClient(transport=transport, cookies=cookies, trust_env=False)
    elif client is None:
        own = _own_transport(transport, url, proxy, ssl_context)
        client = DirectClient(own)
    return Exchanger(
        client=client,
        base_url=url,
        headers=_HEADERS,
        timeout=attrs.asdict(timeouts),
        body_limit=body_limit,
        owned=owned,
        own=own,
    )


def _own_transport(
    kind: Kind | None, url: httpx.URL, proxy: str | None, ssl_context: ssl.SSLContext | None
) -> AutomaticTransport:
    if ssl_context is None and url.scheme == "https":
        ssl_context = httpx.create_ssl_context()
    if ssl_context is not None:
        # We clear `OP_IGNORE_UNEXPECTED_EOF`: with this option, OpenSSL reports a cut-off connection as an
        # orderly end (RFC 8446, 6.1), and a cut-off response without a length looks complete.
        ssl_context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    try:
        address = None if proxy is None else _proxy(proxy, ssl_context)
    except (ValueError, TypeError, httpx.InvalidURL):
        address = None
    if proxy is not None and (address is None or not address.url.host):
        # The error does not show the address of the proxy, because the address may contain a password.
        hint = "pass an address such as 'http://127.0.0.1:3128' or 'socks5://127.0.0.1:1080'"
        raise ValidationError("proxy", f"<{type(proxy).__name__}>", hint)
    try:
        return AutomaticTransport(kind, ssl_context, address)
    except RuntimeError as error:
        # A SOCKS proxy needs the package `socksio`, which is not installed.
        raise ValidationError("proxy", "a SOCKS address", str(error)) from None


def _proxy(proxy: str, ssl_context: ssl.SSLContext | None) -> httpx.Proxy:
    """Return the proxy. A connection to an ``https://`` proxy uses the TLS context of the client."""
    is_tls = httpx.URL(proxy).scheme == "https"
    return httpx.Proxy(proxy, ssl_context=ssl_context if is_tls else None)


def _check_kinds(client: object, transport: object) -> None:
    if client is not None and not isinstance(client, httpx.AsyncClient):
        raise ValidationError("client", f"<{type(client).__name__}>", "pass an httpx.AsyncClient")
    if transport not in (None, *get_args(Kind)) and not isinstance(transport, httpx.AsyncBaseTransport):
        shown = repr(transport[:20]) if isinstance(transport, str) else f"<{type(transport).__name__}>"
        raise ValidationError("transport", shown, "pass 'asyncio', 'httpcore' or an httpx.AsyncBaseTransport")


def _check_exclusive(
    client: httpx.AsyncClient | None, transport: httpx.AsyncBaseTransport | Kind | None, **settings: object
) -> None:
    """Refuse connection settings, such as a proxy, if the caller supplies the HTTP client or the transport.

    Connection settings have no effect on an HTTP client or a transport that the caller supplies.

    Raises:
        ValidationError: if a setting would have no effect.
    """
    brought = isinstance(transport, httpx.AsyncBaseTransport)
    given = "client" if client is not None else "transport" if brought else None
    if client is not None:
        settings = {"transport": transport, **settings}
    for name, value in settings.items():
        if given is not None and value is not None:
            raise ValidationError(name, f"<{type(value).__name__}>", f"set it on the {given} that you pass")
