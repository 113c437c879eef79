"""Tests of the choice between the transports aiohttp and httpcore."""

import asyncio
import importlib.metadata
import importlib.util
import subprocess
import sys
from types import ModuleType
from typing import Any

import anyio
import httpx
import pytest

from smsapi_async import AsyncSmsClient, ValidationError
from smsapi_async.http.choice import AutomaticTransport
from tests.client.tools import RawServer, read_request
from tests.transports.tools import answer, ask


def _serve(connection: Any) -> None:
    while read_request(connection):
        connection.sendall(answer(b"1"))


def _runs(kind: Any, backend: str, proxy: str | None = None) -> tuple[str, str]:
    """Return the name of a transport before and after the first request over the transport.

    Args:
        kind: the transport that the caller requires, or None.
        backend: the backend of AnyIO.
        proxy: the URL of a proxy, or None.
    """
    transport = AutomaticTransport(kind, None, None if proxy is None else httpx.Proxy(proxy))
    before = transport.name

    async def main() -> None:
        async with transport:
            await ask(transport, f"http://127.0.0.1:{server.port}/")

    with RawServer(_serve) as server:
        anyio.run(main, backend=backend)
    return before, transport.name


def test_asyncio_gets_aiohttp_and_trio_gets_httpcore() -> None:
    """By default, a client uses aiohttp on asyncio and httpcore on trio."""
    assert _runs(None, "asyncio") == ("auto", "aiohttp")
    assert _runs(None, "trio") == ("auto", "httpcore")


def test_a_setting_forces_either() -> None:
    """If the caller names a transport, the client uses this transport."""
    assert _runs("aiohttp", "asyncio") == ("aiohttp", "aiohttp")
    assert _runs("httpcore", "asyncio") == ("httpcore", "httpcore")


def test_two_first_requests_at_once_share_one_transport() -> None:
    """If several first requests start at the same time, they share one transport."""
    transport = AutomaticTransport(None, None, None)
    bodies = []

    async def main() -> None:
        async def one() -> None:
            bodies.append((await ask(transport, f"http://127.0.0.1:{server.port}/")).content)

        async with transport, anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one)

    with RawServer(_serve) as server:
        anyio.run(main)
    assert bodies == [b"1"] * 5


# The second and third task start to choose a transport while the first task is still importing aiohttp.
HALF_IMPORTED = """
import sys
import anyio
from smsapi_async.http.choice import AutomaticTransport

async def choose(begin):
    while begin not in sys.modules:
        await anyio.sleep(0)
    async with AutomaticTransport(None, None, None) as transport:
        print((await transport.choose()).name)

async def main():
    async with anyio.create_task_group() as group:
        for begin in ("sys", "aiohttp", "smsapi_async.http.aiohttp_transport"):
            group.start_soon(choose, begin)

anyio.run(main)
"""


def test_clients_that_begin_while_another_imports_aiohttp() -> None:
    """If several clients start during the import of aiohttp, each client waits for the end of the import."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HALF_IMPORTED], check=False, capture_output=True, text=True
    )
    assert (done.stderr, done.stdout.split()) == ("", ["aiohttp"] * 3)


def test_closed_while_it_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a client is closed while it imports aiohttp, the client opens no connection."""
    transport = AutomaticTransport("aiohttp", None, None)
    heard: list[bytes] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def closing(name: str) -> ModuleType:
            asyncio.run_coroutine_threadsafe(transport.aclose(), loop).result(5)
            return import_module(name)

        import_module = importlib.import_module
        monkeypatch.setattr(importlib, "import_module", closing)
        await ask(transport, f"http://127.0.0.1:{server.port}/")

    server = RawServer(lambda connection: heard.append(connection.recv(1)))
    with server, pytest.raises(anyio.ClosedResourceError):
        asyncio.run(main())
    assert heard == []


def test_aiohttp_cannot_be_forced_on_trio() -> None:
    """On trio, `transport="aiohttp"` raises a `ValidationError` that contains the words "asyncio only"."""
    with pytest.raises(ValidationError, match="asyncio only"):
        _runs("aiohttp", "trio")


@pytest.mark.parametrize("proxy", ["https://127.0.0.1:1", "https://user:secret@127.0.0.1:1"])
def test_a_proxy_that_only_httpcore_can_use(proxy: str) -> None:
    """With an https:// proxy, the client uses httpcore.

    If the caller requires aiohttp, the client raises a `ValidationError` that does not show the proxy
    password.
    """
    assert AutomaticTransport(None, None, httpx.Proxy(proxy)).name == "httpcore"
    with pytest.raises(ValidationError, match="http:// proxies only") as caught:
        AutomaticTransport("aiohttp", None, httpx.Proxy(proxy))
    assert "secret" not in str(caught.value)


def test_an_http_proxy_is_for_aiohttp() -> None:
    """With an http:// proxy, the client can still use aiohttp."""
    assert AutomaticTransport(None, None, httpx.Proxy("http://127.0.0.1:1")).name == "auto"


@pytest.mark.parametrize("version", [None, "3.13.2", "3.15.0", "4.0.0"])
def test_without_the_right_aiohttp(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    """If aiohttp is missing or has an untested version, the client uses httpcore.

    If the caller requires aiohttp in this case, the client raises a `ValidationError`.
    """
    if version is None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    else:
        monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    assert AutomaticTransport(None, None, None).name == "httpcore"
    with pytest.raises(ValidationError, match=r"install smsapi-async\[speed\]"):
        AutomaticTransport("aiohttp", None, None)


def test_another_kind_is_refused() -> None:
    """If `transport` is an unknown name, the client raises a `ValidationError` with the possible values."""
    with pytest.raises(ValidationError, match="pass 'aiohttp', 'httpcore' or an httpx"):
        AsyncSmsClient("login", "password", transport="requests")  # type: ignore[arg-type]


def test_importing_the_package_imports_no_aiohttp() -> None:
    """The import of the package and the creation of a client do not import aiohttp."""
    code = "import sys, smsapi_async as s; s.AsyncSmsClient('a', 'b'); assert 'aiohttp' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


@pytest.mark.parametrize(("kind", "backend"), [(None, "asyncio"), (None, "trio"), ("httpcore", "asyncio")])
def test_a_client_says_what_runs(kind: Any, backend: str) -> None:
    """Inside the ``async with`` block, the repr of a client contains the name of the transport."""

    async def main() -> None:
        async with AsyncSmsClient("login", "password", transport=kind) as sms:
            name = "aiohttp" if kind is None and backend == "asyncio" else "httpcore"
            assert f"transport={name}" in repr(sms)

    anyio.run(main, backend=backend)


def test_a_client_says_whose_transport_it_has() -> None:
    """If a transport or an httpx client belongs to the caller, the repr of the `AsyncSmsClient` says so."""
    sms = AsyncSmsClient("login", "password", transport=httpx.AsyncHTTPTransport())
    assert "transport=the caller's" in repr(sms)
    sms = AsyncSmsClient("login", "password", client=httpx.AsyncClient())
    assert "client=the caller's" in repr(sms)


def test_a_named_transport_keeps_the_other_settings() -> None:
    """If the caller names a transport, the parameter `proxy` still has an effect."""
    sms = AsyncSmsClient("login", "password", transport="aiohttp", proxy="http://127.0.0.1:1")
    assert "transport=aiohttp" in repr(sms)
    with pytest.raises(ValidationError, match="http:// proxies only"):
        AsyncSmsClient("login", "password", transport="aiohttp", proxy="socks5://127.0.0.1:1")
