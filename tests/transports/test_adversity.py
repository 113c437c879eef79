"""Servers and proxies at their worst, over each transport: every call ends, and with the truth."""

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
import trustme

from smsapi_async import AsyncSmsClient, RetryPolicy, SmsApiError
from smsapi_async.http.aiohttp_protocol import Protocol
from smsapi_async.http.aiohttp_transport import AiohttpTransport
from smsapi_async.http.choice import AutomaticTransport
from smsapi_async.http.exchange import Evidence, transport_errors
from smsapi_async.http.httpcore_streams import HttpcoreStream
from tests.client.tools import RawServer, read_request
from tests.transports.tools import answer, ask

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(20)]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture
def through(run: tuple[str, Any]) -> AutomaticTransport:
    """The transport that this run is about."""
    return AutomaticTransport(run[0], None, None)  # type: ignore[arg-type]


async def failure_of(call: Callable[[], Any]) -> Exception:
    """What a call raises, which must be a failure that the client knows."""
    try:
        await call()
    except transport_errors() as error:
        return error
    raise AssertionError("no failure")


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing"])
async def test_silence_behind_an_interim_answer_ends_in_time(
    through: AutomaticTransport, interim: bytes
) -> None:
    """The time to read is counted on when only an interim answer has come."""
    release = threading.Event()

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 " + interim + b"\r\n\r\n")
        release.wait(10)

    with RawServer(serve) as server:
        async with through:
            error = await failure_of(lambda: ask(through, f"http://127.0.0.1:{server.port}/", read=0.2))
        release.set()
    assert "ReadTimeout" in type(error).__name__


@pytest.mark.parametrize(
    "begun",
    [b"", HEAD, HEAD + b"Content-Length: 9\r\n\r\n[1", HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\n[1"],
)
async def test_closing_ends_a_call_that_waits_for_the_rest(through: AutomaticTransport, begun: bytes) -> None:
    """However much of an answer has come, its call fails when the client is closed."""
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
        failures.append(await failure_of(lambda: ask(through, url, read=15)))

    with RawServer(serve) as server:
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            assert await anyio.to_thread.run_sync(answered.wait, 5)
            await through.aclose()
        release.set()
    assert len(failures) == 1


async def test_an_answer_that_a_reset_cuts_off_is_not_whole(through: AutomaticTransport) -> None:
    """An answer without a length that ends with a reset is a failure: `12` of `1250.00` is no balance."""

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD + b"\r\n12")
        threading.Event().wait(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with RawServer(serve) as server:
        async with through:
            await failure_of(lambda: ask(through, f"http://127.0.0.1:{server.port}/", read=5))


async def test_what_follows_an_answer_does_not_spoil_it(through: AutomaticTransport) -> None:
    """Garbage in the very segment of an answer costs the connection, not the answer."""

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
    """The work grows with the answer, not with its square: 20,000 chunks are no reason to give up."""
    chunks = b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n7\r\n" * 20_000 + b"0\r\n\r\n"

    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(HEAD + chunks)

    with RawServer(serve) as server:
        async with through:
            got = await ask(through, f"http://127.0.0.1:{server.port}/", read=5)
    assert got.content == b"7" * 20_000


@pytest.mark.parametrize("size", [b"-6", b"+1", b"x"])
async def test_a_chunk_of_no_size_ends_the_call(through: AutomaticTransport, size: bytes) -> None:
    """A chunk whose size is none is a broken answer; the event loop goes on."""
    release = threading.Event()

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\n")
        release.wait(10)

    with RawServer(serve) as server:
        async with through:
            await failure_of(lambda: ask(through, f"http://127.0.0.1:{server.port}/", read=5))
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
    """However oddly an answer says where it ends, what follows it is not the answer to the next request."""

    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(first + answer(b'["666"]'))

    with RawServer(serve) as server:
        async with through:
            for _ in range(3):
                with suppress(*transport_errors()):
                    got = await ask(through, f"http://127.0.0.1:{server.port}/")
                    assert got.content in {b'["1"]', b""}


async def test_a_server_that_stops_listening_and_speaking_ends_a_long_request(
    through: AutomaticTransport,
) -> None:
    """A request that is half written when the server ends its side comes to an end, too."""
    release = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(1)
        connection.shutdown(socket.SHUT_WR)
        release.wait(10)

    with RawServer(serve) as server:
        async with through:
            url = f"http://127.0.0.1:{server.port}/"
            await failure_of(lambda: ask(through, url, b"x" * 50_000_000, read=1, write=1))
        release.set()


@pytest.mark.parametrize("length", [65_000, 70_000, 200_000, 5_000_000])
async def test_a_long_request_under_tls_arrives_whole(run: tuple[str, Any], length: int) -> None:
    """However long a bulk is, it goes out to the end, and its answer comes in."""
    authority, serving = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    def serve(raw: socket.socket) -> None:
        with suppress(ssl.SSLError), serving.wrap_socket(raw, server_side=True) as connection:
            while received := read_request(connection):
                connection.sendall(answer(b"%d" % len(received.partition(b"\r\n\r\n")[2])))

    transport = AutomaticTransport(run[0], trusting, None)  # type: ignore[arg-type]
    with RawServer(serve) as server:
        async with transport:
            for _ in range(2):
                url = f"https://127.0.0.1:{server.port}/"
                got = await ask(transport, url, b"x" * length, connect=10, read=10, write=10)
                assert got.content == b"%d" % length


def look_after(event: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the last look before a write taken only once something has happened."""

    def after_it(method: Any) -> Any:
        def look(self: Any) -> Any:
            event.wait(5)
            return method(self)

        return look

    monkeypatch.setattr(Protocol, "is_clean", after_it(Protocol.is_clean))
    monkeypatch.setattr(HttpcoreStream, "_refusal", after_it(HttpcoreStream._refusal))


async def test_a_connection_gone_bad_and_no_other_to_be_had(
    through: AutomaticTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an idle connection was not given, and no new one could be, is proved not sent."""
    used, spoiled = threading.Event(), threading.Event()
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer(b'["1"]'))
        used.wait(5)
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
    """What waits on a new connection before anything was asked is never taken for the answer."""
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
    """A host that no resolver takes proves that nothing was sent."""
    evidence = Evidence(begun=True, reported=True, trusted=True)
    async with through:
        await failure_of(lambda: ask(through, f"http://{'a' * 64}.invalid/", b"body", evidence=evidence))
    assert evidence.proves_not_sent()


async def test_closing_during_a_lookup_cancels_nobody(
    through: AutomaticTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that waits for a name when the client is closed fails; its task group goes on."""
    asked, release = threading.Event(), threading.Event()
    look_up = socket.getaddrinfo

    def slow(host: Any, *rest: Any, **options: Any) -> Any:
        if "slow.invalid" not in str(host):
            return look_up(host, *rest, **options)
        asked.set()
        release.wait(10)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    failures: list[Exception] = []

    async def call() -> None:
        failures.append(await failure_of(lambda: ask(through, "http://slow.invalid/", b"body")))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await anyio.to_thread.run_sync(asked.wait, 5)
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
async def test_a_proxy_that_repeats_its_password_is_not_repeated(run: tuple[str, Any], reply: bytes) -> None:
    """No text of a failure holds what a proxy quoted of its own credentials."""

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
            transport=run[0],  # type: ignore[arg-type]
            retry=RetryPolicy(attempts=1),
        )
        async with sms:
            with pytest.raises(SmsApiError) as caught:
                await sms.balance()
    shown = f"{caught.value!r} {caught.value}"
    assert b64encode(b"user:hunter2").decode()[:12] not in shown
    assert "hunter2" not in shown


async def test_nothing_is_written_after_the_end(run: tuple[str, Any]) -> None:
    """A connection that is still being made when the client is closed carries no request any more."""
    authority = trustme.CA()
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(served)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    connected, release = threading.Event(), threading.Event()
    heard: list[bytes] = []

    def serve(raw: socket.socket) -> None:
        connected.set()
        release.wait(5)
        with suppress(ssl.SSLError), served.wrap_socket(raw, server_side=True) as connection:
            heard.append(connection.recv(1))

    through = AutomaticTransport(run[0], trusting, None)  # type: ignore[arg-type]
    with RawServer(serve) as server:
        async with anyio.create_task_group() as group:
            url = f"https://127.0.0.1:{server.port}/"
            group.start_soon(failure_of, lambda: ask(through, url, b"body"))
            await anyio.to_thread.run_sync(connected.wait, 5)
            await through.aclose()
            release.set()
    assert not any(heard)


@pytest.mark.parametrize("run", [("aiohttp", {"use_uvloop": False})])
async def test_a_cancellation_that_gets_lost_on_the_way_is_found_again(
    run: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where connecting swallows `Task.cancel`, the request is not made all the same."""
    heard: list[bytes] = []
    with RawServer(lambda connection: heard.append(connection.recv(1))) as server:
        async with AiohttpTransport(None, None) as fast:
            real = fast._connector.connect

            async def swallowing(*given: Any) -> Any:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(10)
                return await real(*given)

            monkeypatch.setattr(fast._connector, "connect", swallowing)
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


@pytest.mark.parametrize("run", [("aiohttp", {}), ("httpcore", {})])
def test_a_process_whose_loop_was_stopped_ends(run: tuple[str, Any]) -> None:
    """A service that stops its loop and returns is not kept alive by a thread of the client's."""
    command = [sys.executable, "-W", "ignore", "-c", _STOPPED, run[0]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)
    assert done.stdout == "stopped\n"


def test_the_names_of_failures_are_known() -> None:
    """What either transport raises is among what the client takes for a failure of the transport."""
    known = transport_errors()
    assert issubclass(httpx.ConnectError, known)
    assert issubclass(httpcore.ConnectError, known)
