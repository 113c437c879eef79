"""Tests of the asyncio transport with servers that misbehave.

The tests use the transport without an `AsyncSmsClient`. Each test runs with uvloop and without uvloop.
"""

import asyncio
import gzip
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from smsapi_async.http import asyncio_transport as module
from smsapi_async.http import happy_eyeballs
from smsapi_async.http.asyncio_connection import AsyncioConnection
from smsapi_async.http.asyncio_transport import AsyncioTransport
from smsapi_async.http.exchange import Evidence
from tests.client.tools import RawServer, read_request, until
from tests.transports.tools import answer, ask, asyncio_transport

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(params=[False, True], ids=["asyncio", "asyncio-uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Return the backend of AnyIO: asyncio without uvloop, or asyncio with uvloop."""
    return "asyncio", {"use_uvloop": request.param}


async def test_nothing_arrives_before_the_trace_is_told() -> None:
    """If the trace function raises an exception before the write, no byte of the request is written."""
    heard: list[bytes] = []
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        heard.append(connection.recv(65536))
        ended.set()

    async def objecting(event: str, _: Mapping[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            raise OSError("no")

    with RawServer(serve) as server:
        async with asyncio_transport() as fast:
            with pytest.raises(OSError, match="no"):
                await ask(fast, f"http://127.0.0.1:{server.port}/", b"x" * 1000, trace=objecting)
            assert await anyio.to_thread.run_sync(ended.wait, 10)
    assert heard == [b""]


@pytest.mark.parametrize("steps", range(40))
async def test_a_send_cancelled_without_evidence_has_not_arrived(steps: int) -> None:
    """If the evidence proves that a cancelled request was not sent, no byte has arrived at the server."""
    arrived: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        arrived.append(connection.recv(65536))
        connection.sendall(answer(b"[]"))

    evidence = Evidence(begun=True, reported=True, trusted=True)
    with RawServer(serve) as server:
        async with asyncio_transport() as fast, anyio.create_task_group() as group:

            async def call() -> None:
                await ask(fast, f"http://127.0.0.1:{server.port}/", b"x", evidence=evidence)

            group.start_soon(call)
            for _ in range(steps):
                await asyncio.sleep(0)
            group.cancel_scope.cancel()
    if evidence.proves_not_sent():
        assert not any(arrived)


async def test_a_cancelled_task_writes_nothing_more() -> None:
    """A request in a cancelled scope is not written, even if a connection is already open."""
    requests = []

    def serve(connection: socket.socket) -> None:
        while request := read_request(connection):
            requests.append(request)
            connection.sendall(answer(b"1"))

    evidence = Evidence(begun=True, reported=True, trusted=True)
    with RawServer(serve) as server:
        url = f"http://127.0.0.1:{server.port}/"
        async with asyncio_transport() as fast:
            await ask(fast, url)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await ask(fast, url, evidence=evidence)
            await ask(fast, url, b"the end")
    assert scope.cancelled_caught
    assert evidence.proves_not_sent()
    assert [request.split(b" ")[0] for request in requests] == [b"GET", b"POST"]


async def _nothing() -> None:
    """Do nothing. `_bodies` awaits this function after each request if the test passes no other function."""


async def _bodies(
    serve: Any, count: int = 2, between: Callable[[], Awaitable[object]] = _nothing
) -> list[bytes]:
    """Make several requests, and return the bodies of the responses. The body of a failed request is empty.

    Args:
        serve: the function that the server calls for each connection.
        count: the number of requests.
        between: an async function that runs after each request.
    """
    bodies = []
    with RawServer(serve) as server:
        async with asyncio_transport() as fast:
            for _ in range(count):
                try:
                    bodies.append((await ask(fast, f"http://127.0.0.1:{server.port}/")).content)
                except httpx.TransportError:
                    bodies.append(b"")
                await between()
    return bodies


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
    """If surplus bytes follow a response, the response is still valid.

    The connection is not used for the next request, whether the surplus bytes arrive at once or later.
    """
    served = []
    idle, sent = threading.Semaphore(0), threading.Semaphore(0)

    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            served.append(connection)
            connection.sendall(answer(b"1") + at_once)
            idle.acquire()
            connection.sendall(later)
            sent.release()

    async def until_sent() -> None:
        idle.release()
        await anyio.to_thread.run_sync(sent.acquire)

    assert await _bodies(serve, 3, until_sent) == [b"1", b"1", b"1"]
    assert len(set(served)) == 3


async def test_an_orderly_connection_is_used_again() -> None:
    """If no surplus bytes follow the responses, all requests use the same connection."""
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
    """If a server sends bytes before the first request, the transport does not write the request."""
    heard: list[bytes] = []
    evidence = Evidence(begun=True, reported=True, trusted=True)
    monkeypatch.setattr(AsyncioConnection, "is_clean", lambda _: False)
    with RawServer(lambda connection: heard.append(connection.recv(1))) as server:
        async with asyncio_transport() as fast:
            with pytest.raises(httpx.ConnectError):
                await ask(fast, f"http://127.0.0.1:{server.port}/", b"body", evidence=evidence)
    assert evidence.proves_not_sent()
    assert not any(heard)


async def test_nothing_is_resent() -> None:
    """If the server closes the connection during a request, the request fails and is not repeated."""
    requests = []

    def serve(connection: socket.socket) -> None:
        requests.append(read_request(connection))
        connection.sendall(answer(b"1"))
        requests.append(read_request(connection))

    assert await _bodies(serve) == [b"1", b""]
    assert len(requests) == 2


async def test_redirects_and_cookies_are_only_answers() -> None:
    """The transport does not follow redirects and does not send cookies back to the server."""
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
    """A broken response raises an exception of httpx. The exception does not contain the received text."""
    release = threading.Event()
    # Only a request to a silent server (`reply` is None) lasts until the read timeout, so only the timeout of
    # such a request is short.
    seconds = 0.05 if reply is None else 15

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        if reply is None:
            release.wait(10)
        else:
            connection.sendall(reply)

    evidence = Evidence(begun=True, reported=True, trusted=True)
    with RawServer(serve) as server:
        async with asyncio_transport() as fast:
            with pytest.raises(kind) as caught:
                url = f"http://127.0.0.1:{server.port}/"
                await ask(fast, url, b"body", evidence=evidence, read=seconds)
        release.set()
    assert "garbage" not in repr(caught.value)
    assert not evidence.proves_not_sent()


async def test_a_request_that_nobody_takes_ends_in_time() -> None:
    """If the server reads nothing, a long request ends with the write timeout.

    After a write timeout, the request may have been sent.
    """
    release = threading.Event()
    evidence = Evidence(begun=True, reported=True, trusted=True)
    with RawServer(lambda _: release.wait(10)) as server:
        async with asyncio_transport() as fast:
            with pytest.raises(httpx.WriteTimeout):
                await ask(
                    fast, f"http://127.0.0.1:{server.port}/", b"x" * 50_000_000, evidence=evidence, write=0.2
                )
        release.set()
    assert not evidence.proves_not_sent()


async def test_an_answer_before_the_end_of_the_request_is_taken() -> None:
    """If a response arrives before a long request is completely written, the response is valid."""

    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(answer(b"no", b"Connection: close", status=b"413 Content Too Large"))
        while connection.recv(1_000_000):
            pass

    with RawServer(serve) as server:
        async with asyncio_transport() as fast:
            got = await ask(fast, f"http://127.0.0.1:{server.port}/", b"x" * 5_000_000)
    assert (got.status_code, got.content) == (413, b"no")


async def test_a_long_request_arrives_whole() -> None:
    """A request body of several megabytes arrives completely, and the transport causes no warning."""
    body = bytes(range(256)) * 20_000

    def serve(connection: socket.socket) -> None:
        received = read_request(connection).partition(b"\r\n\r\n")[2]
        connection.sendall(answer(b"%d" % (received == body)))

    with RawServer(serve) as server:
        async with asyncio_transport() as fast:
            assert (await ask(fast, f"http://127.0.0.1:{server.port}/", body)).content == b"1"


async def test_httpx_may_use_it_and_undoes_an_encoding() -> None:
    """An httpx client can use the transport. The httpx client decodes a compressed response."""

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer(gzip.compress(b'["1"]'), b"Content-Encoding: gzip"))

    with RawServer(serve) as server:
        async with httpx.AsyncClient(transport=AsyncioTransport(None), trust_env=False) as client:
            response = await client.post(f"http://127.0.0.1:{server.port}/", content=b"a=b")
    assert response.json() == ["1"]


async def test_a_line_break_cannot_be_smuggled_in() -> None:
    """If a request target or a header contains a line break, the request fails and is not written."""
    heard: list[bytes] = []
    with RawServer(lambda connection: heard.append(connection.recv(1))) as server:
        async with asyncio_transport() as fast, httpx.AsyncClient(transport=fast) as client:
            url = f"http://127.0.0.1:{server.port}/"
            for broken in (
                {"headers": {"A": "b\r\nC: d"}},
                {"extensions": {"target": b"/ HTTP/1.1\r\nA: b"}},
            ):
                with pytest.raises(httpx.LocalProtocolError):
                    await client.get(url, **broken)
    assert not any(heard)


async def test_an_answer_with_which_a_server_leaves_is_taken() -> None:
    """If the server responds to a long request and then reads nothing more, the response is valid."""
    release = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(answer(b"no", b"Connection: close", status=b"413 Content Too Large"))
        connection.shutdown(socket.SHUT_WR)
        release.wait(10)

    with RawServer(serve) as server:
        async with asyncio_transport() as fast:
            url = f"http://127.0.0.1:{server.port}/"
            got = await ask(fast, url, b"x" * 50_000_000)
        release.set()
    assert (got.status_code, got.content) == (413, b"no")


async def test_an_idle_connection_is_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that was idle for longer than `KEEPALIVE_SECONDS` is closed and not used again.

    The connection is closed even if no other request follows.
    """
    monkeypatch.setattr(module, "KEEPALIVE_SECONDS", 0.05)
    ended = threading.Semaphore(0)

    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(answer(b"1"))
        ended.release()

    with RawServer(serve) as server:
        async with asyncio_transport() as fast:
            for _ in range(2):
                await ask(fast, f"http://127.0.0.1:{server.port}/")
                assert await anyio.to_thread.run_sync(lambda: ended.acquire(timeout=10))
            assert not fast._connections


_FORKED = """
import asyncio, os, socket, threading
from smsapi_async.http.choice import AutomaticTransport
from tests.client.tools import RawServer, read_request, tls_pair
from tests.transports.tools import answer, ask

serving, trusting = tls_pair()
connections = []

def serve(raw):
    with serving.wrap_socket(raw, server_side=True) as connection:
        connections.append(connection)
        while read_request(connection):
            connection.sendall(answer(b"1"))

async def main(kind):
    async with AutomaticTransport(kind, trusting, None) as transport:
        url = f"https://127.0.0.1:{server.port}/"
        await ask(transport, url)
        child = os.fork()
        if child == 0:
            try:
                await transport.aclose()
            finally:
                os._exit(0)
        await asyncio.to_thread(os.waitpid, child, 0)
        await ask(transport, url)

with RawServer(serve) as server:
    for kind in ("asyncio", "httpcore"):
        asyncio.run(main(kind))
print(len(connections))
"""


def test_a_forked_child_leaves_the_connections_of_its_parent() -> None:
    """If a forked child process closes the client, the parent process can still use its open connection.

    With each transport, the parent process needs only one connection.
    """
    done = subprocess.run(
        [sys.executable, "-c", _FORKED], check=False, capture_output=True, text=True, cwd=ROOT, timeout=50
    )
    assert (done.stdout.strip(), done.returncode) == ("2", 0), done.stderr


async def test_the_next_address_is_tried_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the first address of a host does not respond, the transport tries the second address.

    The transport does not wait for the connect timeout of the first address.
    """

    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(answer(b"1"))

    # A listening socket with a full backlog ignores new connections, like a host that drops all packets.
    with RawServer(serve) as server, socket.create_server(("127.0.0.2", server.port), backlog=0) as silent:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        kind, protocol = socket.SOCK_STREAM, socket.IPPROTO_TCP
        addresses = [
            (socket.AF_INET, kind, protocol, "", (host, server.port)) for host in ("127.0.0.2", "127.0.0.1")
        ]

        async def look_up(*_: object, **__: object) -> Any:
            return addresses

        async with asyncio_transport() as fast:
            monkeypatch.setattr(happy_eyeballs, "look_up", look_up)
            assert (await ask(fast, f"http://gateway.invalid:{server.port}/", connect=10)).content == b"1"
        for filler in fillers:
            filler.close()


async def test_a_close_while_a_connection_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A close at the moment at which the time to connect has passed also closes the other connections."""
    looking_up, release = anyio.Event(), anyio.Event()

    async def look_up(*_: object, **__: object) -> Any:
        looking_up.set()
        try:
            await anyio.sleep_forever()
        finally:
            await release.wait()

    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(answer(b"1"))

    async def time_out() -> None:
        with pytest.raises(httpx.ConnectError, match="the client was closed"):
            await ask(fast, "http://gateway.invalid/", connect=0.001)

    with RawServer(serve) as server:
        fast = AsyncioTransport(None)
        await ask(fast, f"http://127.0.0.1:{server.port}/")
        monkeypatch.setattr(happy_eyeballs, "look_up", look_up)
        async with anyio.create_task_group() as group:
            group.start_soon(time_out)
            await looking_up.wait()
            await until(lambda: all(attempt.expired() for attempt in fast._attempts))
            try:
                await fast.aclose()
            finally:
                release.set()
        assert not any(connection.is_clean() for connection in fast._connections)


@pytest.mark.parametrize("has_ipv4", [True, False])
async def test_an_address_family_that_the_system_refuses(
    monkeypatch: pytest.MonkeyPatch, has_ipv4: bool
) -> None:
    """If the system refuses a socket for the first address, the transport tries the next address.

    Without a next address, the error is `httpx.ConnectError`, and it is proved that nothing was sent.
    """

    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(answer(b"1"))

    # Operating systems refuse a socket with this address family, as they refuse IPv6 that is turned off.
    unknown = (255, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("::1", 80, 0, 0))
    with RawServer(serve) as server:
        known = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", server.port))

        async def look_up(*_: object, **__: object) -> Any:
            return [unknown, known] if has_ipv4 else [unknown]

        async with asyncio_transport() as fast:
            monkeypatch.setattr(happy_eyeballs, "look_up", look_up)
            evidence, url = Evidence(begun=True, trusted=True, reported=True), "http://gateway.invalid/"
            if has_ipv4:
                assert (await ask(fast, url, evidence=evidence)).content == b"1"
                return
            with pytest.raises(httpx.ConnectError) as caught:
                await ask(fast, url, evidence=evidence)
            assert evidence.proves_not_sent(caught.value)
