"""Tests of the choice between the transports of this package."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from smsapi_async import AsyncSmsClient, ValidationError
from smsapi_async.http.choice import AutomaticTransport
from tests.client.tools import RawServer, read_request
from tests.transports.tools import answer, ask

ROOT = Path(__file__).parent.parent.parent


def _serve(connection: Any) -> None:
    while read_request(connection):
        connection.sendall(answer(b"1"))


def _runs(kind: Any, backend: str, proxy: str | None = None) -> tuple[str, str]:
    """Return the name of a transport before and after the first request over the transport.

    Args:
        kind: the transport that the caller requires, or None.
        backend: the AnyIO backend that runs the request, for example ``trio``.
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


def test_asyncio_and_trio_get_their_transports() -> None:
    """By default, a client uses the asyncio transport on asyncio and httpcore on trio."""
    assert _runs(None, "asyncio") == ("auto", "asyncio")
    assert _runs(None, "trio") == ("auto", "httpcore")


def test_a_setting_forces_either() -> None:
    """If the caller names a transport, the client uses this transport."""
    assert _runs("asyncio", "asyncio") == ("asyncio", "asyncio")
    assert _runs("httpcore", "asyncio") == ("httpcore", "httpcore")


def test_two_first_requests_at_once_share_one_transport() -> None:
    """If several first requests start at the same time, the requests share one transport."""
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


def test_a_closed_transport_opens_nothing() -> None:
    """If a client is closed before its first request, the client opens no connection."""
    transport = AutomaticTransport(None, None, None)
    heard: list[bytes] = []

    async def main() -> None:
        await transport.aclose()
        await ask(transport, f"http://127.0.0.1:{server.port}/")

    server = RawServer(lambda connection: heard.append(connection.recv(1)))
    with server, pytest.raises(anyio.ClosedResourceError):
        anyio.run(main)
    assert heard == []


def test_the_asyncio_transport_cannot_run_on_trio() -> None:
    """On trio, `transport="asyncio"` raises a `ValidationError` that contains the words "asyncio only"."""
    with pytest.raises(ValidationError, match="asyncio only"):
        _runs("asyncio", "trio")


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "https://user:secret@127.0.0.1:1"])
def test_a_proxy_needs_httpcore(proxy: str) -> None:
    """With a proxy, the client uses httpcore.

    If the caller requires the asyncio transport, the client raises a `ValidationError` that does not show the
    proxy password.
    """
    assert AutomaticTransport(None, None, httpx.Proxy(proxy)).name == "httpcore"
    with pytest.raises(ValidationError, match="proxies need httpcore") as caught:
        AutomaticTransport("asyncio", None, httpx.Proxy(proxy))
    assert "secret" not in str(caught.value)


_WITHOUT_HTTPTOOLS = """
import sys
sys.modules["httptools"] = None
import anyio
from smsapi_async.http.response_parser import parse_response
from tests.transports.test_choice import _runs
print(parse_response.__name__, *_runs(None, "asyncio"))
"""


def test_without_the_extra() -> None:
    """If httptools is not installed, the client still uses the asyncio transport on asyncio.

    Without httptools, h11 parses the responses.
    """
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_HTTPTOOLS], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert (done.stderr, done.stdout.split()) == ("", ["parsed_by_h11", "auto", "asyncio"])


def test_another_kind_is_refused() -> None:
    """If `transport` is an unknown name, the client raises a `ValidationError` with the possible values."""
    with pytest.raises(ValidationError, match="pass 'asyncio', 'httpcore' or an httpx"):
        AsyncSmsClient("login", "password", transport="requests")  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "backend"), [(None, "asyncio"), (None, "trio"), ("httpcore", "asyncio")])
def test_a_client_says_what_runs(kind: Any, backend: str) -> None:
    """Inside the ``async with`` block, the repr of a client contains the name of the transport."""

    async def main() -> None:
        async with AsyncSmsClient("login", "password", transport=kind) as sms:
            name = "asyncio" if kind is None and backend == "asyncio" else "httpcore"
            assert f"transport={name}" in repr(sms)

    anyio.run(main, backend=backend)


def test_a_client_says_whose_transport_it_has() -> None:
    """If a transport or an httpx client belongs to the caller, the repr of the `AsyncSmsClient` says so."""
    sms = AsyncSmsClient("login", "password", transport=httpx.AsyncHTTPTransport())
    assert "transport=the caller's" in repr(sms)
    sms = AsyncSmsClient("login", "password", client=httpx.AsyncClient())
    assert "client=the caller's" in repr(sms)
