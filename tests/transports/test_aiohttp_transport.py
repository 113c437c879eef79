"""The transport over aiohttp by itself, against servers that misbehave on purpose."""

import asyncio
import gzip
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import anyio
import httpx
import pytest
import trustme

from smsapi_async.http.aiohttp_protocol import Protocol
from smsapi_async.http.aiohttp_transport import AiohttpTransport
from smsapi_async.http.exchange import Evidence
from tests.client.tools import RawServer, read_request
from tests.transports.tools import answer, ask, transport

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["aiohttp", "aiohttp-uvloop"])
def run(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Only aiohttp is looked at here, on both loops."""
    return "aiohttp", {"use_uvloop": request.param == "aiohttp-uvloop"}


async def test_nothing_arrives_before_the_trace_is_told() -> None:
    """A trace that objects to the write keeps every byte of the request back."""
    heard: list[bytes] = []
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        heard.append(connection.recv(65536))
        ended.set()

    async def objecting(event: str, _: Mapping[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            raise OSError("no")

    with RawServer(serve) as server:
        async with transport() as fast:
            with pytest.raises(httpx.ReadError):
                await ask(fast, f"http://127.0.0.1:{server.port}/", b"x" * 1000, trace=objecting)
            assert await anyio.to_thread.run_sync(ended.wait, 5)
    assert heard == [b""]


@pytest.mark.parametrize("steps", range(40))
async def test_a_send_cancelled_without_evidence_has_not_arrived(steps: int) -> None:
    """Cancelled after any number of turns of the loop, a request without evidence never arrived."""
    arrived: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        arrived.append(connection.recv(65536))
        connection.sendall(answer(b"[]"))

    evidence = Evidence(begun=True, reported=True, trusted=True)
    with RawServer(serve) as server:
        async with transport() as fast, anyio.create_task_group() as group:

            async def call() -> None:
                await ask(fast, f"http://127.0.0.1:{server.port}/", b"x", evidence=evidence)

            group.start_soon(call)
            for _ in range(steps):
                await asyncio.sleep(0)
            group.cancel_scope.cancel()
    if evidence.proves_not_sent():
        assert not any(arrived)


async def test_a_cancelled_task_writes_nothing_more() -> None:
    """A request made in a scope that is cancelled already stays unwritten, also with a connection at hand."""
    requests = []

    def serve(connection: socket.socket) -> None:
        while request := read_request(connection):
            requests.append(request)
            connection.sendall(answer(b"1"))

    evidence = Evidence(begun=True, reported=True, trusted=True)
    with RawServer(serve) as server:
        url = f"http://127.0.0.1:{server.port}/"
        async with transport() as fast:
            await ask(fast, url)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await ask(fast, url, evidence=evidence)
            await ask(fast, url, b"the end")
    assert scope.cancelled_caught
    assert evidence.proves_not_sent()
    assert [request.split(b" ")[0] for request in requests] == [b"GET", b"POST"]


async def _bodies(serve: Any, count: int = 2, **settings: Any) -> list[bytes]:
    """What the answers to some requests hold; a broken exchange counts as an empty one."""
    bodies = []
    with RawServer(serve) as server:
        async with transport(**settings) as fast:
            for _ in range(count):
                try:
                    bodies.append((await ask(fast, f"http://127.0.0.1:{server.port}/")).content)
                except httpx.TransportError:
                    bodies.append(b"")
                # A turn of the loop and the thread: what was sent late has come.
                await anyio.to_thread.run_sync(_settle)
    return bodies


def _settle() -> None:
    threading.Event().wait(0.02)


@pytest.mark.parametrize(
    ("at_once", "later"),
    [
        (b"", answer(b"666")),
        (answer(b"666"), b""),
        (b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 3\r\n\r\n666"),
        (b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"),
        (b"", b"\r\n"),
    ],
)
async def test_surplus_on_an_idle_connection_is_never_an_answer(at_once: bytes, later: bytes) -> None:
    """Whatever comes beyond an answer, with it or long after it, costs the connection and nothing else."""
    served = []

    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            served.append(connection)
            connection.sendall(answer(b"1") + at_once)
            if later:
                threading.Event().wait(0.005)
                connection.sendall(later)

    assert await _bodies(serve, 3) == [b"1", b"1", b"1"]
    assert len(set(served)) == 3


async def test_an_orderly_connection_is_used_again() -> None:
    """With answers of every framing and nothing beyond them, one connection serves all requests."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n"
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    served = []

    def serve(connection: socket.socket) -> None:
        for body in (chunked, interim + answer(b"[]"), answer(b"[]"), chunked):
            served.append(connection)
            read_request(connection)
            connection.sendall(body)

    assert await _bodies(serve, 4) == [b"[]"] * 4
    assert len(set(served)) == 1


async def test_a_new_connection_that_is_not_clean_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a server speaks before it was asked, nothing is written, and another attempt may be made."""
    heard: list[bytes] = []
    evidence = Evidence(begun=True, reported=True, trusted=True)
    monkeypatch.setattr(Protocol, "is_clean", lambda _: False)
    with RawServer(lambda connection: heard.append(connection.recv(1))) as server:
        async with transport() as fast:
            with pytest.raises(httpx.ConnectError):
                await ask(fast, f"http://127.0.0.1:{server.port}/", b"body", evidence=evidence)
    assert evidence.proves_not_sent()
    assert not any(heard)


async def test_nothing_is_resent() -> None:
    """A GET on a connection that the server closes under it is made once, and its failure is told."""
    requests = []

    def serve(connection: socket.socket) -> None:
        requests.append(read_request(connection))
        connection.sendall(answer(b"1"))
        requests.append(read_request(connection))

    assert await _bodies(serve) == [b"1", b""]
    assert len(requests) == 2


async def test_redirects_and_cookies_are_only_answers() -> None:
    """A redirect is not followed, and a cookie is not sent back."""
    requests = []

    def serve(connection: socket.socket) -> None:
        while request := read_request(connection):
            requests.append(request)
            fields = b"Location: /elsewhere\r\nSet-Cookie: a=b; Path=/"
            connection.sendall(answer(b"", fields, status=b"307 Temporary Redirect"))

    assert await _bodies(serve) == [b"", b""]
    assert [request.split(b"\r\n")[0] for request in requests] == [b"GET / HTTP/1.1"] * 2
    assert not any(b"cookie" in request.lower() for request in requests)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"", httpx.RemoteProtocolError),
        (b"garbage\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1", httpx.RemoteProtocolError),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            httpx.TransportError,
        ),
        (None, httpx.ReadTimeout),
    ],
)
async def test_a_broken_answer_is_told_without_its_words(
    reply: bytes | None, kind: type[httpx.TransportError]
) -> None:
    """Each way an answer breaks is one of httpx's exceptions, whose text holds nothing that was received."""
    release = threading.Event()

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        if reply is None:
            release.wait(5)
        else:
            connection.sendall(reply)

    evidence = Evidence(begun=True, reported=True, trusted=True)
    with RawServer(serve) as server:
        async with transport() as fast:
            with pytest.raises(kind) as caught:
                await ask(fast, f"http://127.0.0.1:{server.port}/", b"body", evidence=evidence)
        release.set()
    assert "garbage" not in repr(caught.value)
    assert not evidence.proves_not_sent()


async def test_a_request_that_nobody_takes_ends_in_time() -> None:
    """A server that stops reading ends a long request after the time to write, and it counts as written."""
    release = threading.Event()
    evidence = Evidence(begun=True, reported=True, trusted=True)
    with RawServer(lambda _: release.wait(10)) as server:
        async with transport() as fast:
            with pytest.raises(httpx.WriteTimeout):
                await ask(
                    fast, f"http://127.0.0.1:{server.port}/", b"x" * 50_000_000, evidence=evidence, write=0.2
                )
        release.set()
    assert not evidence.proves_not_sent()


async def test_an_answer_before_the_end_of_the_request_is_taken() -> None:
    """A refusal that comes while a long request is still being written is the answer to it."""

    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(answer(b"no", b"Connection: close", status=b"413 Content Too Large"))
        while connection.recv(1_000_000):
            pass

    with RawServer(serve) as server:
        async with transport() as fast:
            got = await ask(fast, f"http://127.0.0.1:{server.port}/", b"x" * 5_000_000, write=2, read=2)
    assert (got.status_code, got.content) == (413, b"no")


async def test_a_long_request_arrives_whole() -> None:
    """A body of several megabytes goes out without a warning and without a loss."""
    body = bytes(range(256)) * 20_000

    def serve(connection: socket.socket) -> None:
        received = read_request(connection).partition(b"\r\n\r\n")[2]
        connection.sendall(answer(b"%d" % (received == body)))

    with RawServer(serve) as server:
        async with transport() as fast:
            assert (await ask(fast, f"http://127.0.0.1:{server.port}/", body, read=5)).content == b"1"


async def test_httpx_may_use_it_and_undoes_an_encoding() -> None:
    """It is a transport of httpx's kind, and an answer that is compressed unasked is still read."""

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer(gzip.compress(b'["1"]'), b"Content-Encoding: gzip"))

    with RawServer(serve) as server:
        async with httpx.AsyncClient(transport=AiohttpTransport(None, None), trust_env=False) as client:
            response = await client.post(f"http://127.0.0.1:{server.port}/", content=b"a=b")
    assert response.json() == ["1"]


async def test_a_line_break_cannot_be_smuggled_in() -> None:
    """A target or a field with a control character is refused before anything is written."""
    heard: list[bytes] = []
    with RawServer(lambda connection: heard.append(connection.recv(1))) as server:
        async with transport() as fast, httpx.AsyncClient(transport=fast) as client:
            url = f"http://127.0.0.1:{server.port}/"
            for broken in (
                {"headers": {"A": "b\r\nC: d"}},
                {"extensions": {"target": b"/ HTTP/1.1\r\nA: b"}},
            ):
                with pytest.raises(httpx.LocalProtocolError):
                    await client.get(url, **broken)
    assert not any(heard)


async def test_a_proxy_gets_its_login_and_the_whole_address() -> None:
    """Over an http:// proxy a plain request names the gateway and carries the proxy's own credentials."""
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        while request := read_request(connection):
            heard.append(request)
            connection.sendall(answer(b"1"))

    with RawServer(serve) as server:
        proxy = httpx.Proxy(f"http://user:p%40ss@127.0.0.1:{server.port}")
        async with transport(proxy=proxy) as fast:
            for _ in range(2):
                assert (await ask(fast, "http://gateway.invalid/rest?a=b", b"body")).content == b"1"
    assert len(heard) == 2
    for request in heard:
        assert request.startswith(b"POST http://gateway.invalid/rest?a=b HTTP/1.1\r\n")
        assert b"Proxy-Authorization: Basic " + b64encode(b"user:p@ss") in request


async def test_a_tunnel_carries_nothing_but_its_login() -> None:
    """Through an http:// proxy to an https:// gateway, the proxy sees a CONNECT and then only TLS."""
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
        async with transport(proxy=proxy, ssl_context=trusting) as fast:
            for _ in range(3):
                assert (await ask(fast, "https://gateway.invalid/rest?secret", b"secret")).content == b"1"
    assert len(connects) == 1
    assert connects[0].startswith(b"CONNECT gateway.invalid:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic " + b64encode(b"user:pass") in connects[0]
    assert b"secret" not in connects[0]
    assert all(request.startswith(b"POST /rest?secret HTTP/1.1\r\n") for request in requests)
    assert not any(b"Proxy-" in request for request in requests)


async def test_a_proxy_that_refuses_is_named_by_its_status() -> None:
    """A refused tunnel proves that nothing was sent, and the proxy's own words are not repeated."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 407 " + read_request(connection).split(b"\r\n")[1] + b"\r\n\r\n")

    evidence = Evidence(begun=True, reported=True, trusted=True)
    with RawServer(serve) as server:
        proxy = httpx.Proxy(f"http://user:pass@127.0.0.1:{server.port}")
        async with transport(proxy=proxy, ssl_context=ssl.create_default_context()) as fast:
            with pytest.raises(httpx.ProxyError, match=r"^the proxy answered with HTTP 407$"):
                await ask(fast, "https://gateway.invalid/rest", b"body", evidence=evidence)
    assert evidence.proves_not_sent()


async def test_an_answer_with_which_a_server_leaves_is_taken() -> None:
    """A refusal of a long request, after which the server neither reads nor writes, is the answer to it."""
    release = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(answer(b"no", b"Connection: close", status=b"413 Content Too Large"))
        connection.shutdown(socket.SHUT_WR)
        release.wait(10)

    with RawServer(serve) as server:
        async with transport() as fast:
            url = f"http://127.0.0.1:{server.port}/"
            got = await ask(fast, url, b"x" * 50_000_000, write=1, read=1)
        release.set()
    assert (got.status_code, got.content) == (413, b"no")
