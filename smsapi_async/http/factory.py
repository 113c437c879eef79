"""Builds the `Exchanger` from the settings of the client. This module imports no HTTP library."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import attrs

from smsapi_async.deferred import Deferred
from smsapi_async.errors import ValidationError
from smsapi_async.http.exchange import Exchanger, Route
from smsapi_async.http.gateway_address import GatewayAddress
from smsapi_async.http.libraries import (
    Http,
    Kind,
    SuppliedClient,
    SuppliedTransport,
    check_installed,
    core_of,
    is_installed,
    library_of,
)
from smsapi_async.http.redaction import quieten
from smsapi_async.privacy import Secret, mask_word, sealed, type_name
from smsapi_async.settings import Timeouts, checked_proxy, host_of, tls_context
from smsapi_async.version import __version__

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from smsapi_async.http import tls
else:
    tls = Deferred("smsapi_async.http.tls")

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
    client: SuppliedClient | None,
    transport: SuppliedTransport | Kind | None,
    body_limit: int,
    http: Http | None = None,
) -> Exchanger:
    """Return an exchanger over the caller's HTTP client or transport, or over this package's transport.

    The parameters have the same meaning as the parameters of `AsyncSmsClient`. `body_limit` is the
    parameter `response_limit` of the client.

    Raises:
        ValidationError: if a setting is wrong, or two settings contradict each other.
    """
    quieten()
    library = _library(client, transport)
    check_installed(http)
    _check_exclusive(client, transport, library, http, proxy=proxy, ca_file=ca_file, ssl_context=ssl_context)
    if ca_file is not None or proxy is not None:
        tls.check_key_log()
    context = tls_context(ssl_context, ca_file)
    address = GatewayAddress(base_url, _checked_host(base_url), _HEADERS, attrs.asdict(timeouts))
    build: partial[Route]
    if library is not None:
        name = "client=the caller's" if client is not None else "transport=the caller's"
        build = partial(_callers_route, address, library, client, transport, name)
    else:
        kind = _kind(transport, http, proxy)
        if context is None and base_url.startswith("https:"):
            context = tls.environment_tls_context()
        name = f"transport={_shown(kind, http)}"
        checked = None if proxy is None else Secret(_checked_proxy(proxy))
        build = partial(_own_route, address, kind, checked, context, http)
    core = core_of(http) if library is None else None
    return Exchanger(build=build, name=name, body_limit=body_limit, core=core)


@sealed
def _own_route(
    address: GatewayAddress,
    kind: Kind | None,
    proxy: Secret | None,
    context: ssl.SSLContext | None,
    http: Http | None,
) -> Route:
    # The imports are inside the function, because the import of httpx takes long.
    import httpx  # noqa: PLC0415

    from smsapi_async.http.choice import AutomaticTransport  # noqa: PLC0415
    from smsapi_async.http.own_route import OwnRoute  # noqa: PLC0415

    if context is None and address.base_url.startswith("https:"):
        context = tls.public_tls_context()
    if context is not None:
        tls.report_cut_offs(context)
    given = None
    if proxy is not None:
        url = httpx.URL(proxy.reveal())
        # A connection to an https:// proxy uses the TLS context of the client.
        given = httpx.Proxy(url, ssl_context=context if url.scheme == "https" else None)
    return OwnRoute(address, AutomaticTransport(kind, context, given, core_of(http)))


def _callers_route(
    address: GatewayAddress,
    library: Any,  # noqa: ANN401 - a module
    client: SuppliedClient | None,
    transport: object,
    name: str,
) -> Route:
    # The import is inside the function, because the import of httpx takes long.
    from smsapi_async.http.callers_route import CallersRoute, client_over  # noqa: PLC0415

    is_owned = client is None
    used = client_over(transport, library) if client is None else client
    return CallersRoute(address, used, library, name=name, is_owned=is_owned)


def _checked_host(base_url: str) -> str:
    """Return the host of the base URL.

    Raises:
        ValidationError: if the host has the prefix ``xn--``, but is no internationalized name.
    """
    host = host_of(base_url)
    if "xn--" in host:
        # httpx decodes such a host at each access.
        import httpx  # noqa: PLC0415

        try:
            return httpx.URL(base_url).host
        except (httpx.InvalidURL, UnicodeError) as error:
            hint = f"pass a valid address ({error})"
            raise ValidationError("base_url", ascii(base_url[:80]), hint) from None
    return host


@sealed
def _checked_proxy(proxy: str) -> str:
    """Return the URL of the proxy.

    Raises:
        ValidationError: if the URL is wrong, or a package that the proxy needs is not installed.
    """
    checked = checked_proxy(proxy)
    if "xn--" in checked:
        import httpx  # noqa: PLC0415 - httpx decodes such a host at each access

        try:
            _ = httpx.Proxy(checked).url.host
        except (ValueError, httpx.InvalidURL):
            # The error does not show the address of the proxy, because the address may contain a password.
            raise ValidationError("proxy", "<str>", "pass the name or the IP address of a proxy") from None
    if checked.startswith("socks5") and not is_installed("socksio"):
        raise ValidationError("proxy", "a SOCKS address", "run `pip install socksio`")
    return checked


def _kind(transport: object, http: Http | None, proxy: str | None) -> Kind | None:
    kind: Any = transport
    if kind is not None and http == "httpx2":
        raise ValidationError(
            "transport", repr(kind), "omit this parameter: http='httpx2' selects a transport"
        )
    if kind == "asyncio" and proxy is not None:
        raise ValidationError("transport", repr(kind), "omit this parameter: proxies need httpcore")
    chosen: Kind | None = "httpcore" if http == "httpx2" or proxy is not None else kind
    return chosen


def _shown(kind: Kind | None, http: Http | None) -> str:
    return core_of(http) if kind == "httpcore" else kind or "auto"


def _library(client: object, transport: object) -> Any:  # noqa: ANN401 - a module
    """Return the library of the caller's client or transport; None if the caller supplies neither."""
    of_client = library_of(client, "AsyncClient")
    if client is not None and of_client is None:
        raise ValidationError("client", type_name(client), "pass an httpx.AsyncClient or httpx2.AsyncClient")
    is_kind = transport is None or (isinstance(transport, str) and transport in get_args(Kind))
    of_transport = None if is_kind else library_of(transport, "AsyncBaseTransport")
    if not is_kind and of_transport is None:
        hint = "pass 'asyncio', 'httpcore' or an httpx.AsyncBaseTransport or httpx2.AsyncBaseTransport"
        raise ValidationError("transport", mask_word(transport), hint)
    return of_client or of_transport


def _check_exclusive(
    client: object,
    transport: object,
    library: Any,  # noqa: ANN401 - a module
    http: Http | None,
    **settings: object,
) -> None:
    """Refuse connection settings, such as a proxy, if the caller supplies the HTTP client or the transport.

    Connection settings have no effect on an HTTP client or a transport that the caller supplies.

    Raises:
        ValidationError: if a setting would have no effect.
    """
    if library is None:
        return
    given = "client" if client is not None else "transport"
    if client is not None:
        settings = {"transport": transport, **settings}
    for name, value in settings.items():
        if value is not None:
            raise ValidationError(name, type_name(value), f"set it on the {given} that you pass")
    if http is not None and http != library.__name__:
        hint = f"omit this parameter: the {given} that you pass belongs to {library.__name__}"
        raise ValidationError("http", repr(http), hint)
