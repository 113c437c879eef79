"""Tests of clients that use a SOCKS5 proxy.

The proxy works correctly, refuses a connection, closes a connection, or sends no reply.
"""

import select
import socket
import threading
from collections.abc import AsyncIterator

import pytest

from smsapi_async import NotSent, RetryPolicy, Timeouts, TransportFailed
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.client.tools import NUMBER, TEXT, RawServer, client_for

pytest.importorskip("socksio")
pytestmark = pytest.mark.anyio
ONCE = RetryPolicy(attempts=1)
GRANTED = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38"


@pytest.fixture
async def sandbox(anyio_backend: str) -> AsyncIterator[Sandbox]:
    """Serve a sandbox on a socket during the test, and yield the sandbox."""
    async with run_sandbox() as running:
        yield running


def _exactly(connection: socket.socket, count: int) -> bytes:
    return connection.recv(count, socket.MSG_WAITALL)


def _trickle(connection: socket.socket, reply: bytes) -> None:
    for byte in reply:
        connection.sendall(bytes([byte]))
        threading.Event().wait(0.002)


def _asked_for(connection: socket.socket) -> tuple[str, int]:
    """Read a CONNECT request for an IPv4 address, and return the address and the port."""
    assert _exactly(connection, 4) == b"\x05\x01\x00\x01"
    return socket.inet_ntoa(_exactly(connection, 4)), int.from_bytes(_exactly(connection, 2), "big")


def _pass_on(near: socket.socket, address: tuple[str, int]) -> None:
    with socket.create_connection(address) as far:
        while True:
            for ready in select.select([near, far], [], [])[0]:
                data = ready.recv(65536)
                if not data:
                    return
                (far if ready is near else near).sendall(data)


@pytest.mark.parametrize("name", [b"", b"a-name-of-the-proxy's"])
async def test_a_login_and_replies_in_single_bytes(sandbox: Sandbox, name: bytes) -> None:
    """If the proxy requires a login and sends its replies byte by byte, each message still arrives once."""

    def serve(connection: socket.socket) -> None:
        assert _exactly(connection, 3) == b"\x05\x01\x02"
        _trickle(connection, b"\x05\x02")
        assert _exactly(connection, 13) == b"\x01\x04user\x06secret"
        _trickle(connection, b"\x01\x00")
        address = _asked_for(connection)
        bound = b"\x03%c%s" % (len(name), name) if name else b"\x04" + bytes(16)
        _trickle(connection, b"\x05\x00\x00" + bound + b"\x04\x38")
        _pass_on(connection, address)

    with RawServer(serve) as server:
        proxy = f"socks5://user:secret@127.0.0.1:{server.port}"
        async with client_for(sandbox, proxy=proxy) as sms:
            for _ in range(3):
                await sms.send(NUMBER, TEXT)
            assert "transport=httpcore" in repr(sms)
    assert len(sandbox.account.messages) == 3


# `REPLIES` maps the name of a test case to the replies of the proxy and to a pattern for the text of the
# exception.
REPLIES: dict[str, tuple[list[bytes], str]] = {
    "leaves": ([b""], "no valid SOCKS5 reply"),
    "another protocol": ([b"HTTP/1.0 400 Bad Request\r\n\r\n"], "another login method|no valid SOCKS5 reply"),
    "half a word": ([b"\x05"], "no valid SOCKS5 reply"),
    "no method": ([b"\x05\xff"], "another login method"),
    "a login": ([b"\x05\x02"], "another login method"),
    "a method of its own": ([b"\x05\x77"], "no valid SOCKS5 reply"),
    "leaves later": ([b"\x05\x00", b""], "no valid SOCKS5 reply"),
    "garbage later": ([b"\x05\x00", b"z" * 300], "no valid SOCKS5 reply"),
    "half an address": ([b"\x05\x00", GRANTED[:7]], "no valid SOCKS5 reply"),
    "an unknown code": ([b"\x05\x00", b"\x05\x63" + GRANTED[2:]], "no valid SOCKS5 reply"),
    "a name that is none": ([b"\x05\x00", b"\x05\x00\x00\x03\x01\xff\x00\x00"], "no valid SOCKS5 reply"),
    "unreachable": ([b"\x05\x00", b"\x05\x04" + GRANTED[2:]], "made no connection: host unreachable"),
}


def _replying(replies: list[bytes]) -> RawServer:
    def serve(connection: socket.socket) -> None:
        for reply in replies:
            connection.recv(64)
            connection.sendall(reply)

    return RawServer(serve)


@pytest.mark.usefixtures("leaves_no_socket")
@pytest.mark.parametrize("name", REPLIES)
async def test_a_proxy_that_makes_no_connection(sandbox: Sandbox, name: str) -> None:
    """If the proxy does not connect to the gateway, a read raises `TransportFailed` with the reason.

    A send through a proxy that does not connect raises `NotSent`.
    """
    replies, words = REPLIES[name]
    with _replying(replies) as server:
        proxy = f"socks5://127.0.0.1:{server.port}"
        async with client_for(sandbox, proxy=proxy, retry=ONCE) as sms:
            with pytest.raises(TransportFailed, match=words):
                await sms.balance()
            with pytest.raises(NotSent):
                await sms.send(NUMBER, TEXT)
    assert sandbox.account.arrivals == []


@pytest.mark.usefixtures("leaves_no_socket")
@pytest.mark.parametrize("replies", [[], [b"\x05\x00"]])
async def test_a_proxy_that_says_nothing(sandbox: Sandbox, replies: list[bytes]) -> None:
    """The connect timeout also limits the time of the handshake with the proxy."""
    release = threading.Event()

    def serve(connection: socket.socket) -> None:
        for reply in replies:
            connection.recv(64)
            connection.sendall(reply)
        release.wait(10)

    with RawServer(serve) as server:
        proxy, timeouts = f"socks5://127.0.0.1:{server.port}", Timeouts(connect=0.1)
        async with client_for(sandbox, proxy=proxy, timeouts=timeouts, retry=ONCE) as sms:
            with pytest.raises(TransportFailed, match="ConnectTimeout: the SOCKS proxy"):
                await sms.balance()
        release.set()


async def test_a_login_too_long_for_the_protocol(sandbox: Sandbox) -> None:
    """If the proxy password is too long for SOCKS5, a read raises `TransportFailed`."""
    with _replying([b"\x05\x02"]) as server:
        proxy = f"socks5://user:{'x' * 256}@127.0.0.1:{server.port}"
        async with client_for(sandbox, proxy=proxy, retry=ONCE) as sms:
            with pytest.raises(TransportFailed, match="too long for a SOCKS proxy"):
                await sms.balance()
