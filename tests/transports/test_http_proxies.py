"""Tests of the transport httpcore with HTTP proxies, on asyncio and on trio."""

import socket
import ssl
from base64 import b64encode

import httpx
import pytest
import trustme

from smsapi_async import AsyncSmsClient, RetryPolicy
from smsapi_async.http.httpcore_transport import HttpcoreTransport
from tests.client.tools import RawServer, read_request, tls_pair
from tests.transports.tools import answer, ask

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("anyio_backend")]


async def test_a_proxy_gets_its_login_and_the_whole_address() -> None:
    """Through an http:// proxy, a request to an http:// gateway contains the full URL of the gateway.

    The request also contains the login for the proxy.
    """
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        while request := read_request(connection):
            heard.append(request)
            connection.sendall(answer(b"1"))

    with RawServer(serve) as server:
        proxy = httpx.Proxy(f"http://user:p%40ss@127.0.0.1:{server.port}")
        async with HttpcoreTransport(None, proxy) as transport:
            for _ in range(2):
                assert (await ask(transport, "http://gateway.invalid/rest?a=b", b"body")).content == b"1"
    assert len(heard) == 2
    for request in heard:
        assert request.startswith(b"POST http://gateway.invalid/rest?a=b HTTP/1.1\r\n")
        assert b"Proxy-Authorization: Basic " + b64encode(b"user:p@ss") in request


async def test_a_tunnel_carries_nothing_but_its_login() -> None:
    """For an https:// gateway, an http:// proxy receives a CONNECT request and then only TLS data.

    The CONNECT request contains the login for the proxy, but no part of the request to the gateway.
    """
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("gateway.invalid").configure_cert(context)
    connects: list[bytes] = []
    requests: list[bytes] = []

    def serve(raw: socket.socket) -> None:
        connects.append(read_request(raw))
        raw.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with context.wrap_socket(raw, server_side=True) as connection:
            while request := read_request(connection):
                requests.append(request)
                connection.sendall(answer(b"1"))

    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with RawServer(serve) as server:
        proxy = httpx.Proxy(f"http://user:pass@127.0.0.1:{server.port}")
        async with HttpcoreTransport(trusting, proxy) as transport:
            for _ in range(3):
                response = await ask(transport, "https://gateway.invalid/rest?secret", b"secret")
                assert response.content == b"1"
    assert len(connects) == 1
    assert connects[0].startswith(b"CONNECT gateway.invalid:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic " + b64encode(b"user:pass") in connects[0]
    assert b"secret" not in connects[0]
    assert all(request.startswith(b"POST /rest?secret HTTP/1.1\r\n") for request in requests)
    assert not any(b"Proxy-" in request for request in requests)


@pytest.mark.sms_real
async def test_a_proxy_with_tls_uses_the_tls_context() -> None:
    """For the certificate of an https:// proxy, the client uses the TLS context that the caller passed."""
    serving, trusting = tls_pair()
    heard: list[bytes] = []

    def serve(raw: socket.socket) -> None:
        with serving.wrap_socket(raw, server_side=True) as connection:
            heard.append(read_request(connection))
            connection.sendall(answer(b"", status=b"407 Proxy Authentication Required"))

    with RawServer(serve) as server:
        sms = AsyncSmsClient(
            "login",
            "password",
            proxy=f"https://127.0.0.1:{server.port}",
            ssl_context=trusting,
            base_url="https://gateway.invalid/rest",
            retry=RetryPolicy(attempts=1),
        )
        async with sms:
            with pytest.raises(Exception, match="the proxy answered with HTTP 407"):
                await sms.balance()
    assert heard[0].startswith(b"CONNECT gateway.invalid:443")
