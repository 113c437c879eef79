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
from smsapi_async.http.tls import check_key_log, default_tls_context
from smsapi_async.privacy import mask_word, sealed, type_name
from smsapi_async.settings import Timeouts, checked_proxy, tls_context
from smsapi_async.version import __version__

_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": f"smsapi-async/{__version__}",
}

# The libraries whose transports for httpx use the network, but report no trace events.
_NETWORK_LIBRARIES = {"aiohttp", "curl_cffi", "httpx_aiohttp", "httpx_curl_cffi", "niquests", "pyreqwest"}


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
    if ca_file is not None or proxy is not None:
        check_key_log()
    ssl_context = tls_context(ssl_context, ca_file)
    try:
        url = httpx.URL(base_url)
        # httpx decodes a host with the prefix `xn--` at each access.
        _ = url.host
    except (httpx.InvalidURL, UnicodeError) as error:
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
        is_network=own is None and _is_network(client),
    )


def _own_transport(
    kind: Kind | None, url: httpx.URL, proxy: str | None, ssl_context: ssl.SSLContext | None
) -> AutomaticTransport:
    if ssl_context is None and url.scheme == "https":
        ssl_context = default_tls_context()
    if ssl_context is not None:
        # We clear `OP_IGNORE_UNEXPECTED_EOF`: with this option, OpenSSL reports a cut-off connection as an
        # orderly end (RFC 8446, 6.1), and a cut-off response without a length looks complete.
        ssl_context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    address = None if proxy is None else _proxy(checked_proxy(proxy), ssl_context)
    try:
        return AutomaticTransport(kind, ssl_context, address)
    except RuntimeError as error:
        # A SOCKS proxy needs the package `socksio`, which is not installed.
        raise ValidationError("proxy", "a SOCKS address", str(error)) from None


def _proxy(proxy: str, ssl_context: ssl.SSLContext | None) -> httpx.Proxy:
    """Return the proxy. A connection to an ``https://`` proxy uses the TLS context of the client."""
    try:
        url = httpx.URL(proxy)
        # httpx decodes a host with the prefix `xn--` at each access.
        _ = url.host
        return httpx.Proxy(url, ssl_context=ssl_context if url.scheme == "https" else None)
    except (ValueError, httpx.InvalidURL):
        # The error does not show the address of the proxy, because the address may contain a password.
        raise ValidationError("proxy", "<str>", "pass the name or the IP address of a proxy") from None


def _is_network(client: httpx.AsyncClient) -> bool:
    # httpx has no public attribute for the transports of a client.
    transports = [getattr(client, "_transport", None), *getattr(client, "_mounts", {}).values()]
    classes = {each for used in (client, *transports) for each in type(used).__mro__}
    return any(each.__module__.partition(".")[0] in _NETWORK_LIBRARIES for each in classes)


def _check_kinds(client: object, transport: object) -> None:
    if client is not None and not isinstance(client, httpx.AsyncClient):
        raise ValidationError("client", type_name(client), "pass an httpx.AsyncClient")
    if transport not in (None, *get_args(Kind)) and not isinstance(transport, httpx.AsyncBaseTransport):
        hint = "pass 'asyncio', 'httpcore' or an httpx.AsyncBaseTransport"
        raise ValidationError("transport", mask_word(transport), hint)


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
            raise ValidationError(name, type_name(value), f"set it on the {given} that you pass")
