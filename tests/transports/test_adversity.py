"""Tests of servers and proxies that misbehave.

Over each transport, every call must end, and must have the correct result.
"""

import asyncio
import socket
import ssl
import struct
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import httpcore
import httpx
import pytest

from smsapi_async import AsyncSmsClient, RetryPolicy, SmsApiError
from smsapi_async.http import happy_eyeballs
from smsapi_async.http.asyncio_connection import AsyncioConnection
from smsapi_async.http.asyncio_transport import AsyncioTransport
from smsapi_async.http.choice import AutomaticTransport, Kind
from smsapi_async.http.exchange import Evidence
from smsapi_async.http.httpcore_streams import HttpcoreStream
from smsapi_async.http.libraries import transport_errors
from tests.client.tools import RawServer, read_request, tls_pair
from tests.transports.tools import answer, ask

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture
def through(transport: Kind) -> AutomaticTransport:
    """Return the transport that the test uses."""
    return AutomaticTransport(transport, None, None)


async def failure_of(call: Callable[[], Any]) -> Exception:
    """Return the exception that a call raises. The exception must be one of `transport_errors`."""
    try:
        await call()
    except transport_errors() as error:
        return error
    raise AssertionError("the call raised no exception")


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing"])
async def test_silence_behind_an_interim_answer_ends_in_time(
    through: AutomaticTransport, interim: bytes
) -> None:
    """If only an interim response arrives (RFC 9110, 15.2), the read timeout ends the request."""
    release = threading.Event()

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 " + interim + b"\r\n\r\n")
        release.wait(10)

    with RawServer(serve) as server:
        async with through:
            error = await failure_of(lambda: ask(through, f"http://127.0.0.1:{server.port}/", read=0.05))
        release.set()
    assert "ReadTimeout" in type(error).__name__


@pytest.mark.parametrize(
    "begun",
    [b"", HEAD, HEAD + b"Content-Length: 9\r\n\r\n[1", HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\n[1"],
)
async def test_closing_ends_a_call_that_waits_for_the_rest(through: AutomaticTransport, begun: bytes) -> None:
    """If the client is closed before the response is complete, the call fails."""
    release = threading.Event()
    answered = threading.Event()

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(begun)
        answered.set()
        release.wait(10)

    failures: list[Exception] = []

    async def call() -> None:
        url = f"http://127.0.0.1:{server.port}/"
        failures.append(await failure_of(lambda: ask(through, url)))

    with RawServer(serve) as server:
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            assert await anyio.to_thread.run_sync(answered.wait, 10)
            await through.aclose()
        release.set()
    assert len(failures) == 1


async def test_an_answer_that_a_reset_cuts_off_is_not_whole(through: AutomaticTransport) -> None:
    """If a reset ends a response without a length, the call fails.

    The received text `12` may be only the first part of `1250.00`.
    """

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD + b"\r\n12")
        threading.Event().wait(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with RawServer(serve) as server:
        async with through:
            await failure_of(lambda: ask(through, f"http://127.0.0.1:{server.port}/"))


async def test_what_follows_an_answer_does_not_spoil_it(through: AutomaticTransport) -> None:
    """If garbage follows a response in the same TCP segment, the response is still valid."""

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer(b'["1"]') + b"\x00garbage\r\n\r\n")
        read_request(connection)

    with RawServer(serve) as server:
        async with through:
            for _ in range(2):
                got = await ask(through, f"http://127.0.0.1:{server.port}/")
                assert got.content == b'["1"]'


async def test_an_answer_in_very_many_chunks_is_read_at_once(through: AutomaticTransport) -> None:
    """A response in 20,000 chunks is read completely within the timeout of the test.

    The test fails if the time for one chunk grows with the number of chunks.
    """
    chunks = b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n7\r\n" * 20_000 + b"0\r\n\r\n"

    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(HEAD + chunks)

    with RawServer(serve) as server:
        async with through:
            got = await ask(through, f"http://127.0.0.1:{server.port}/")
    assert got.content == b"7" * 20_000


@pytest.mark.parametrize("size", [b"-6", b"+1", b"x"])
async def test_a_chunk_of_no_size_ends_the_call(through: AutomaticTransport, size: bytes) -> None:
    """If a chunk has an invalid size, the call fails, and the event loop continues to run."""
    release = threading.Event()

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\n")
        release.wait(10)

    with RawServer(serve) as server:
        async with through:
            await failure_of(lambda: ask(through, f"http://127.0.0.1:{server.port}/"))
        release.set()


@pytest.mark.parametrize(
    "first",
    [
        b'HTTP/1.1 200 OK\nContent-Length: 5\n\n["1"]',
        b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\n["1"]',
        b"HTTP/1.1 204 No Content\r\nContent-Length: %d\r\n\r\n" % len(answer(b'["666"]')),
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: %d\r\n\r\n" % len(answer(b'["666"]')),
        b"HTTP/2.0 204 No Content\r\nContent-Length: %d\r\n\r\n" % len(answer(b'["666"]')),
        b"HTTP/9.9 304 Not Modified\r\nContent-Length: %d\r\n\r\n" % len(answer(b'["666"]')),
        b"HTTP/1.2 100 Continue\r\n\r\n" + answer(b'["1"]'),
        *(
            HEAD + b'Transfer-Encoding: chunked\r\n\r\n5\r\n["1"]\r\n0\r\n' + trailer
            for trailer in (b"\n", b"X: y\n\n", b"X: y\n\r\n")
        ),
    ],
)
async def test_a_second_answer_is_never_hidden(through: AutomaticTransport, first: bytes) -> None:
    """If a response has an unusual end, surplus bytes after this end never become the next response."""

    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(first + answer(b'["666"]'))

    with RawServer(serve) as server:
        async with through:
            for _ in range(3):
                with suppress(*transport_errors()):
                    # The read timeout is short, because some parsers wait for more bytes, which never arrive.
                    got = await ask(through, f"http://127.0.0.1:{server.port}/", read=0.1)
                    assert got.content in {b'["1"]', b""}


async def test_a_server_that_stops_listening_and_speaking_ends_a_long_request(
    through: AutomaticTransport,
) -> None:
    """If the server stops sending and reading while a long request is being written, the call fails."""
    release = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(1)
        connection.shutdown(socket.SHUT_WR)
        release.wait(10)

    with RawServer(serve) as server:
        async with through:
            url = f"http://127.0.0.1:{server.port}/"
            await failure_of(lambda: ask(through, url, b"x" * 50_000_000, read=0.2, write=0.2))
        release.set()


@pytest.mark.parametrize("length", [65_000, 70_000, 200_000, 5_000_000])
async def test_a_long_request_under_tls_arrives_whole(transport: Kind, length: int) -> None:
    """A long request over TLS arrives completely."""
    serving, trusting = tls_pair()

    def serve(raw: socket.socket) -> None:
        with suppress(ssl.SSLError), serving.wrap_socket(raw, server_side=True) as connection:
            while received := read_request(connection):
                connection.sendall(answer(b"%d" % len(received.partition(b"\r\n\r\n")[2])))

    with RawServer(serve) as server:
        async with AutomaticTransport(transport, trusting, None) as through:
            for _ in range(2):
                got = await ask(through, f"https://127.0.0.1:{server.port}/", b"x" * length)
                assert got.content == b"%d" % length


def look_after(event: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Delay the last check that a transport makes before a write, until `event` is set."""

    def after_it(method: Any) -> Any:
        def look(self: Any) -> Any:
            event.wait(10)
            return method(self)

        return look

    monkeypatch.setattr(AsyncioConnection, "is_clean", after_it(AsyncioConnection.is_clean))
    monkeypatch.setattr(HttpcoreStream, "_refusal", after_it(HttpcoreStream._refusal))


async def test_a_connection_gone_bad_and_no_other_to_be_had(
    through: AutomaticTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the idle connection has surplus bytes and a new connection is refused, the request is not written.

    The evidence (the recorded trace events) proves that the request was not sent.
    """
    used, spoiled = threading.Event(), threading.Event()
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer(b'["1"]'))
        used.wait(10)
        connection.sendall(answer(b'["666"]'))
        spoiled.set()
        heard.append(connection.recv(1))

    evidence = Evidence(begun=True, reported=True, trusted=True)
    with RawServer(serve) as server:
        async with through:
            url = f"http://127.0.0.1:{server.port}/"
            await ask(through, url, b"one")
            server.refuse()
            look_after(spoiled, monkeypatch)
            used.set()
            await failure_of(lambda: ask(through, url, b"two", evidence=evidence))
    assert not any(heard)
    assert evidence.proves_not_sent()


async def test_a_server_that_speaks_first_is_not_answered(
    through: AutomaticTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a server sends bytes before the first request, these bytes never become a response.

    The client does not write the request on a connection with such early bytes.
    """
    spoken = threading.Event()
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        connection.sendall(answer(b'["666"]'))
        spoken.set()
        heard.append(connection.recv(1))

    look_after(spoken, monkeypatch)
    evidence = Evidence(begun=True, reported=True, trusted=True)
    with RawServer(serve) as server:
        async with through:
            await failure_of(lambda: ask(through, f"http://127.0.0.1:{server.port}/", evidence=evidence))
    assert not any(heard)
    assert evidence.proves_not_sent()


async def test_a_name_that_is_none_is_a_failure_to_connect(through: AutomaticTransport) -> None:
    """If the host name cannot be resolved, the evidence proves that the request was not sent."""
    evidence = Evidence(begun=True, reported=True, trusted=True)
    async with through:
        await failure_of(lambda: ask(through, f"http://{'a' * 64}.invalid/", b"body", evidence=evidence))
    assert evidence.proves_not_sent()


@pytest.mark.sms_real
async def test_closing_during_a_lookup_cancels_nobody(
    through: AutomaticTransport, anyio_backend: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the client is closed during the lookup of the host name, the call fails and no task is cancelled."""
    asked, release = threading.Event(), threading.Event()
    look_up = socket.getaddrinfo

    def slow(host: Any, *rest: Any, **options: Any) -> Any:
        # The test does not delay the first lookup of trio, because this lookup accepts only numeric addresses
        # and never waits.
        is_numeric = rest[4:] and rest[4] & socket.AI_NUMERICHOST
        if "slow.invalid" not in str(host) or is_numeric:
            return look_up(host, *rest, **options)
        asked.set()
        release.wait(10)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    async def resolve(loop: asyncio.AbstractEventLoop, host: str, port: int) -> Any:
        return await loop.run_in_executor(None, slow, host, port)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    if anyio_backend[1].get("use_uvloop"):
        # The test replaces the lookup function `look_up`, because uvloop does not use `socket.getaddrinfo`.
        monkeypatch.setattr(happy_eyeballs, "look_up", resolve)
    failures: list[Exception] = []

    async def call() -> None:
        failures.append(await failure_of(lambda: ask(through, "http://slow.invalid/", b"body")))

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        assert await anyio.to_thread.run_sync(asked.wait, 10)
        await through.aclose()
        release.set()
    assert len(failures) == 1
    assert not group.cancel_scope.cancel_called


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 407 %s\r\n\r\n",
        b"HTTP/1.1 2x0 %s\r\n\r\n",
        b"%s\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA b%s: c\r\n\r\n",
    ],
)
@pytest.mark.sms_real
async def test_a_proxy_that_repeats_its_password_is_not_repeated(anyio_backend: str, reply: bytes) -> None:
    """If a proxy repeats the proxy password in its response, the error does not show the password."""

    def serve(connection: socket.socket) -> None:
        request = read_request(connection)
        login = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"proxy-auth"))
        connection.sendall(reply % login)

    with RawServer(serve) as server:
        sms = AsyncSmsClient(
            "login",
            "password",
            base_url="https://gateway.invalid/rest",
            proxy=f"http://user:hunter2@127.0.0.1:{server.port}",
            retry=RetryPolicy(attempts=1),
        )
        async with sms:
            with pytest.raises(SmsApiError) as caught:
                await sms.balance()
    shown = f"{caught.value!r} {caught.value}"
    assert b64encode(b"user:hunter2").decode()[:12] not in shown
    assert "hunter2" not in shown


async def test_nothing_is_written_after_the_end(transport: Kind) -> None:
    """If the client is closed during the TLS handshake, no request is written."""
    serving, trusting = tls_pair()
    connected, release = threading.Event(), threading.Event()
    heard: list[bytes] = []

    def serve(raw: socket.socket) -> None:
        connected.set()
        release.wait(10)
        with suppress(ssl.SSLError), serving.wrap_socket(raw, server_side=True) as connection:
            heard.append(connection.recv(1))

    through = AutomaticTransport(transport, trusting, None)
    with RawServer(serve) as server:
        async with anyio.create_task_group() as group:
            url = f"https://127.0.0.1:{server.port}/"
            group.start_soon(failure_of, lambda: ask(through, url, b"body"))
            assert await anyio.to_thread.run_sync(connected.wait, 10)
            await through.aclose()
            release.set()
    assert not any(heard)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_that_gets_lost_on_the_way_is_found_again(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If asyncio loses a cancellation while it connects, the transport still cancels the request."""
    heard: list[bytes] = []
    with RawServer(lambda connection: heard.append(connection.recv(1))) as server:
        async with AsyncioTransport(None) as fast:
            real = fast._open

            async def swallowing(*given: Any) -> Any:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(10)
                return await real(*given)

            monkeypatch.setattr(fast, "_open", swallowing)
            task = asyncio.ensure_future(ask(fast, f"http://127.0.0.1:{server.port}/", b"body"))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
    assert not any(heard)


_STOPPED = """
import asyncio, sys
from smsapi_async import AsyncSmsClient

async def main():
    async with AsyncSmsClient("login", "password", base_url="http://127.0.0.1:9/rest", transport=sys.argv[1]):
        loop.call_soon(loop.stop)
        await asyncio.sleep(60)

loop = asyncio.new_event_loop()
task = loop.create_task(main())
loop.run_forever()
print("stopped")
"""


@pytest.mark.parametrize("kind", ["asyncio", "httpcore"])
def test_a_process_whose_loop_was_stopped_ends(kind: Kind) -> None:
    """If a program stops its event loop, the process can end.

    No thread of the client keeps the process alive.
    """
    command = [sys.executable, "-W", "ignore", "-c", _STOPPED, kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "stopped\n"


def test_the_names_of_failures_are_known() -> None:
    """`transport_errors` contains the exceptions of both transports."""
    known = transport_errors()
    assert issubclass(httpx.ConnectError, known)
    assert issubclass(httpcore.ConnectError, known)
