"""Tests of responses that never end. Over each transport, every call must end within its limits.

The limits are the time of the call and the size of the response.
"""

import gzip
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

import anyio
import pytest

from smsapi_async import AsyncSmsClient, InvalidAnswer, OutcomeUnknown, RetryPolicy, Timeouts, TransportFailed
from smsapi_async.http.choice import Kind
from tests.client.tools import NUMBER, TEXT, RawServer, read_request, tls_pair

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
SESSION = b'"' + b"S" * 36 + b'"'
LOGIN = HEAD + b"Content-Length: %d\r\n\r\n" % len(SESSION) + SESSION
LIMIT = 64 * 1024
SHORT = Timeouts(total=0.5)


def _drip(response: bytes) -> Callable[[socket.socket], None]:
    """Return a function that writes `response` byte by byte, and then writes single bytes without end."""

    def respond(connection: socket.socket) -> None:
        for byte in response:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)
        while True:
            connection.sendall(b"1")
            time.sleep(0.05)

    return respond


def _repeat(first: bytes, forever: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    """Return a function that writes `first`, and then writes `forever` again and again.

    Args:
        first: the bytes to write first.
        forever: the bytes to repeat.
        pause: the seconds between two repetitions.
    """

    def respond(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(forever)
            time.sleep(pause)

    return respond


def _once(response: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(response)


# In each case of `SLOW`, the next bytes always arrive before the read timeout, so that only the total timeout
# can end the exchange.
SLOW: dict[str, Callable[[socket.socket], None]] = {
    "head": _drip(HEAD),
    "body": _drip(HEAD + b"Content-Length: 1000000\r\n\r\n"),
    "interim responses": _repeat(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05),
    "chunks": _repeat(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n1\r\n", 0.05),
    "trailers": _repeat(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n", 0.05),
}
LARGE: dict[str, Callable[[socket.socket], None]] = {
    "head": _repeat(HEAD, b"X: " + b"y" * 1000 + b"\r\n"),
    "line": _repeat(HEAD + b"X: ", b"y" * 1000),
    "interim responses": _repeat(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "length": _once(HEAD + b"Content-Length: 99999999999\r\n\r\n1"),
    "until the end": _repeat(HEAD + b"\r\n", b"1" * 65536),
    "chunks": _repeat(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"1" * 4096 + b"\r\n"),
    "small chunks": _repeat(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n1\r\n" * 1000),
    "extensions": _repeat(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;x=", b"y" * 1000),
    "trailers": _repeat(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n" * 1000),
}
AMBIGUOUS = {
    "two lengths": b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n12",
    "two different lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n123",
    "a list of lengths": b"Content-Length: 2, 2\r\n\r\n12",
    "chunks with a length": b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n12\r\n0\r\n\r\n",
    "two codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n12\r\n0\r\n\r\n",
    "a space before the colon": b"Content-Length : 2\r\n\r\n12",
    "a folded field": b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n12",
    "a bare line feed": b"X: a\nContent-Length: 2\r\n\r\n12",
    "a bare carriage return": b"X: a\rb\r\nContent-Length: 2\r\n\r\n12",
}


@contextmanager
def server(respond: Callable[[socket.socket], None], *, tls: bool = False) -> Iterator[dict[str, Any]]:
    """Run a server that accepts a login and then calls `respond` for each other request.

    Args:
        respond: the function that writes a response. The argument is the socket of the connection.
        tls: whether the server uses TLS.

    Yields:
        The parameters of an `AsyncSmsClient` for this server.
    """
    serving, trusting = tls_pair() if tls else (None, None)

    def serve(connection: socket.socket) -> None:
        wrapped = connection if serving is None else serving.wrap_socket(connection, server_side=True)
        with wrapped, suppress(OSError):
            while request := read_request(wrapped):
                if b"/user/sessionid" in request:
                    wrapped.sendall(LOGIN)
                else:
                    respond(wrapped)

    with RawServer(serve) as running:
        url = f"http{'s' if tls else ''}://127.0.0.1:{running.port}/rest"
        yield {
            "base_url": url,
            "ssl_context": trusting,
            "retry": RetryPolicy(attempts=1),
            "source_address": "ACME",
        }


def client(options: dict[str, Any], **more: Any) -> AsyncSmsClient:
    """Return a client of the server.

    Args:
        options: the parameters from `server`.
        more: more parameters of `AsyncSmsClient`.
    """
    return AsyncSmsClient("login", "password", **options, **more)


@pytest.mark.parametrize("slow", SLOW)
async def test_a_slow_response_ends_in_time(slow: str, transport: Kind) -> None:
    """If a server sends a response slowly and without end, the send ends after `Timeouts.total`."""
    with server(SLOW[slow]) as options:
        async with client(options, timeouts=SHORT) as sms:
            with anyio.fail_after(20), pytest.raises(OutcomeUnknown, match="Timeout"):
                await sms.send(NUMBER, TEXT)


async def test_a_slow_login_ends_in_time(transport: Kind) -> None:
    """If the response to a login never ends, a call that waits for the login fails after `Timeouts.total`."""
    with RawServer(lambda connection: read_request(connection) and _drip(HEAD)(connection)) as running:
        url = f"http://127.0.0.1:{running.port}/rest"
        options = {"base_url": url, "retry": RetryPolicy(attempts=1)}
        async with client(options, timeouts=SHORT) as sms:
            with anyio.fail_after(20), pytest.raises(TransportFailed, match="Timeout"):
                await sms.balance()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("large", LARGE)
async def test_a_large_response_is_refused(large: str, tls: bool, transport: Kind) -> None:
    """If a response is larger than the limit, the client stops reading the response.

    The outcome of a send with such a response is unknown.
    """
    with server(LARGE[large], tls=tls) as options:
        async with client(options, response_limit=LIMIT) as sms:
            with (
                anyio.fail_after(20),
                pytest.raises(OutcomeUnknown, match=r"ResponseTooLarge|RemoteProtocolError"),
            ):
                await sms.send(NUMBER, TEXT)


async def test_incoming_messages_may_take_more(transport: Kind) -> None:
    """The size limit for responses to `incoming` is four times the limit for responses to other calls."""
    body = b"[" + b" " * (2 * LIMIT) + b"]"
    with server(_once(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)) as options:
        async with client(options, response_limit=LIMIT) as sms:
            assert await sms.incoming() == []
            with pytest.raises(TransportFailed, match="ResponseTooLarge"):
                await sms.balance()


async def test_a_content_coding_is_not_decoded(transport: Kind) -> None:
    """The client does not ask for compressed responses, and does not decode a compressed response.

    A small compressed response could expand to a very large text and fill the memory.
    """
    bomb = gzip.compress(b"1" * 10_000_000)
    encoded = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb
    with server(_once(encoded)) as options:
        async with client(options, response_limit=LIMIT) as sms:
            with pytest.raises(InvalidAnswer, match="content coding"):
                await sms.balance()
            with pytest.raises(OutcomeUnknown, match="content coding"):
                await sms.send(NUMBER, TEXT)


@pytest.mark.parametrize("ambiguous", AMBIGUOUS)
async def test_an_ambiguous_length_is_refused(ambiguous: str, transport: Kind) -> None:
    """If two parsers may read different lengths of a response, a call raises an error, on both transports."""
    with server(_once(HEAD + AMBIGUOUS[ambiguous])) as options:
        async with client(options, timeouts=Timeouts(total=5.0)) as sms:
            with pytest.raises(TransportFailed, match="RemoteProtocolError"):
                await sms.balance()


def _then(pieces: list[bytes]) -> Callable[[socket.socket], None]:
    def respond(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.05)

    return respond


async def test_chunks_that_break_in_a_later_packet_end_the_call(transport: Kind) -> None:
    """If a response has an invalid chunk after its head, the call fails at once.

    After each of ten such failures, the client can make another request.
    """
    with server(_then([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\n"])) as options:
        async with client(options) as sms:
            for _ in range(10):
                with anyio.fail_after(20), pytest.raises(TransportFailed, match="RemoteProtocolError"):
                    await sms.balance()


def _end(*, is_orderly: bool) -> Callable[[socket.socket], None]:
    def respond(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"\r\n12")
        if isinstance(connection, ssl.SSLSocket) and is_orderly:
            connection.unwrap()
        # With `detach`, the test closes the socket without sending the `close_notify` of TLS.
        socket.socket(fileno=connection.detach()).close()

    return respond


@pytest.mark.parametrize("tls", [False, True])
async def test_a_response_without_a_length_ends_with_the_connection(tls: bool, transport: Kind) -> None:
    """If a response has no length, the orderly end of the connection is the end of the response."""
    with server(_end(is_orderly=True), tls=tls) as options:
        async with client(options) as sms:
            assert await sms.balance() == Decimal(12)


async def test_a_tls_connection_that_is_cut_off_completes_nothing(transport: Kind) -> None:
    """If a TLS connection ends without `close_notify`, a response without a length may be incomplete.

    The call fails, because the received text `12` may be only the first part of `1234567`.
    """
    with server(_end(is_orderly=False), tls=True) as options:
        async with client(options) as sms:
            with pytest.raises(TransportFailed):
                await sms.balance()


@pytest.mark.sms_real
async def test_a_slow_lookup_ends_in_time(transport: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connect timeout also limits the time of the lookup of the host name."""
    look_up = socket.getaddrinfo

    def slow(host: Any, port: Any, family: int = 0, kind: int = 0, protocol: int = 0, flags: int = 0) -> Any:
        # The test does not delay the first lookup of trio, because this lookup runs in the event loop,
        # accepts only numeric addresses and never waits.
        if "slow.invalid" in str(host) and not flags & socket.AI_NUMERICHOST:
            time.sleep(1.0)
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return look_up(host, port, family, kind, protocol, flags)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    options = {"base_url": "https://slow.invalid/rest", "retry": RetryPolicy(attempts=1)}
    async with client(options, timeouts=Timeouts(connect=0.1)) as sms:
        started = time.monotonic()
        with pytest.raises(TransportFailed):
            await sms.balance()
        assert time.monotonic() - started < 0.9
