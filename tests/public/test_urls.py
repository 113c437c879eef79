"""The URLs of the gateway and of a proxy: wrong URLs are refused, and equal URLs have one form."""

import socket
import ssl
import traceback
from typing import Any

import httpx
import pytest
import trustme

from smsapi_async import AsyncSmsClient, ValidationError
from smsapi_async.http.choice import Kind
from smsapi_async.settings import checked_proxy
from tests.client.tools import RawServer, json_answer, read_request

PASSWORD = "correct-horse-battery"
NO_BASE_URLS = [
    "https://h\\rest",
    "https:\\\\h\\rest",
    "https://h/re\\st",
    "https://пример.рф/rest",
    "https://h/п",
    "https://h。example/",
    "https://h:８０/",
    "https://xn--a/rest",
    "https://h../rest",
    "https://.h/rest",
    "https://a..b/rest",
    "https://./rest",
    "https://" + "a" * 64 + ".example",
    "https://" + "a." * 127 + "example",
    "https://-h/rest",
    "https://h;x/rest",
    "https://h%2Ex/rest",
    "https://1.2.3.999/rest",
    "https://h:0/rest",
    "https://h:65536/rest",
    "https://h:-1/rest",
    "https://h:+80/rest",
    "https://::1/rest",
    "https://[]/rest",
    "https://[::1]x/rest",
    "https://[1.2.3.4]/rest",
    "https://[fe80::1%25eth0]/rest",
    "https:h/rest",
    "https:/h/rest",
    "//h/rest",
    "https://h\t/rest",
    "https://h /rest",
    "https://h/re st",
    "https://h/rest\r\n",
    "https://h/\x7f",
]
# `PW` stands for the password of the proxy.
NO_PROXIES = [
    "http://PW#ss@127.0.0.1:3128",
    "http://u:PW#ss@127.0.0.1:3128",
    "http://u:PW?ss@127.0.0.1:3128",
    "http://u:PW/ss@127.0.0.1:3128",
    "http://u/PW@127.0.0.1:3128",
    "http://u:PW\\ss@127.0.0.1:3128",
    "http://u:PW ss@127.0.0.1:3128",
    "http://u:PW\n@127.0.0.1:3128",
    "http://u:PWп@127.0.0.1:3128",
    "http://u:PW%zz@127.0.0.1:3128",
    "http://u:PW%@127.0.0.1:3128",
    "http://u:PW@",
    "http://u:PW@:3128",
    "http://u:PW@[::1",
    "http://u:PW@h:0",
    "http://u:PW@h:65536",
    "http://u:PW@пример.рф",
    "http://u:PW@xn--a",
    "http://u:PW@1.2.3.999",
    "http://u:PW@a..b",
    "http://u:PW@h/path",
    "http://u:PW@h?query",
    "socks4://u:PW@h",
    "u:PW@h:3128",
    "h:3128",
    " http://h:3128",
]


def _client(**options: Any) -> AsyncSmsClient:
    return AsyncSmsClient("login", "password", **options)


@pytest.mark.parametrize("url", NO_BASE_URLS)
@pytest.mark.parametrize("is_own", [True, False])
def test_a_wrong_base_url(url: str, is_own: bool) -> None:
    """A base URL that only some programs read as a URL is refused, also with the caller's transport."""
    transport = None if is_own else httpx.MockTransport(lambda _: httpx.Response(200))
    with pytest.raises(ValidationError) as caught:
        _client(base_url=url, transport=transport)
    assert caught.value.parameter == "base_url"


@pytest.mark.parametrize("url", NO_PROXIES)
def test_a_wrong_proxy(url: str) -> None:
    """A URL that would dial another host than the proxy is refused, and no error shows its password."""
    with pytest.raises(ValidationError) as caught:
        _client(proxy=url.replace("PW", PASSWORD))
    assert caught.value.parameter == "proxy"
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in f"{caught.value!r} {vars(caught.value)}"


@pytest.mark.parametrize(
    ("base_url", "normal"),
    [
        ("HTTPS://Gateway.Example/Rest//", "https://gateway.example/Rest"),
        ("https://gateway.example.:8443/rest", "https://gateway.example:8443/rest"),
        ("https://[0:0:0:0:0:0:0:1]:8443", "https://[::1]:8443"),
    ],
)
def test_the_normal_form_of_an_address(base_url: str, normal: str) -> None:
    """Equal addresses have one form: the scheme and the host in lower case, without a dot at the end."""
    assert f" {normal} " in repr(_client(base_url=base_url))


@pytest.mark.parametrize("option", ["base_url", "proxy"])
def test_an_international_name_has_a_hint(option: str) -> None:
    """The error for a host with letters that are not ASCII names the form to pass instead."""
    with pytest.raises(ValidationError, match="xn--"):
        _client(**{option: "https://пример.рф"})


@pytest.mark.parametrize(
    ("password", "encoded"),
    [("a#b", "a%23b"), ("a/b?c", "a%2Fb%3Fc"), ("100%", "100%25"), ("п", "%D0%BF"), ("a@b:c", "a%40b%3Ac")],
)
def test_an_encoded_password_of_a_proxy(password: str, encoded: str) -> None:
    """A percent-encoded password reaches the proxy decoded, and the proxy stays the host of the URL."""
    proxy = httpx.Proxy(checked_proxy(f"HTTP://user:{encoded}@127.0.0.1.:3128/"))
    assert (proxy.url.host, proxy.url.port, proxy.raw_auth) == (
        "127.0.0.1",
        3128,
        (b"user", password.encode()),
    )


@pytest.mark.anyio
async def test_a_host_with_a_dot_at_the_end(transport: Kind) -> None:
    """A base URL with a dot after the host works over TLS.

    The server gets the name without the dot, and its certificate is valid for the name without the dot.
    """
    authority = trustme.CA()
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(serving)
    authority.configure_trust(trusting)
    names: list[str | None] = []
    hosts: list[bytes] = []
    serving.sni_callback = lambda _, name, __: names.append(name)

    def serve(raw: socket.socket) -> None:
        with serving.wrap_socket(raw, server_side=True) as connection:
            while request := read_request(connection):
                hosts.append(request.split(b"Host: ")[1].split(b"\r\n")[0])
                is_login = b"sessionid" in request
                connection.sendall(json_answer(b'"SESSION"' if is_login else b"47.30"))

    with RawServer(serve) as server:
        base_url = f"HTTPS://LocalHost.:{server.port}/rest"
        async with _client(base_url=base_url, ssl_context=trusting) as sms:
            assert str(await sms.balance()) == "47.30"
    assert set(names) == {"localhost"}
    assert set(hosts) == {b"localhost:%d" % server.port}
