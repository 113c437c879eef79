"""Helpers for several tests: a clock, a client for the sandbox, and a server that runs test code."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import ModuleType, TracebackType
from typing import Any, Self

import anyio
import anyio.lowlevel
import pytest
import trustme

from smsapi_async import AsyncSmsClient, MemorySessionStore, RetryPolicy
from smsapi_async.sandbox import Sandbox

NUMBER = "79031234567"
TEXT = "A text that nobody else may read"


class ManualClock:
    """A clock that does not follow real time.

    The method `advance` moves the clock forward. The method `sleep` moves the clock forward by the length of
    the wait and returns at once.

    Attributes:
        moment: the current time of the clock.
        waits: the length in seconds of each wait with `sleep` so far.
    """

    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
        self.waits: list[float] = []

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.advance(seconds=seconds)
        await anyio.lowlevel.checkpoint()

    def advance(self, **duration: float) -> None:
        self.moment += timedelta(**duration)


def client_for(sandbox: Sandbox, **options: Any) -> AsyncSmsClient:
    """Return a client for the sandbox.

    By default, the client waits at most one millisecond between two attempts of a request.

    Args:
        sandbox: the sandbox to which the client sends its requests.
        options: more parameters of `AsyncSmsClient`, which replace the values that this function sets.
    """
    options.setdefault("base_url", sandbox.base_url)
    options.setdefault("source_address", "ACME")
    options.setdefault("retry", RetryPolicy(initial=0.001, maximum=0.001))
    options.setdefault("login", sandbox.login)
    options.setdefault("password", sandbox.password)
    return AsyncSmsClient(**options)


async def logged_in_store(sandbox: Sandbox) -> MemorySessionStore:
    """Return a session store with a valid session, so that a client with this store needs no login."""
    store = MemorySessionStore()
    async with client_for(sandbox, session_store=store) as sms:
        await sms.balance()
    return store


def client_of_version(sandbox: Sandbox, **options: Any) -> AsyncSmsClient:
    """Return a client for the sandbox, of version 2 if the sandbox has version 2.

    Such a client has no session, so the option `session_store` is left out.
    """
    if sandbox.dialect.version_2:
        options |= {"api_version": 2, "session_store": None}
    return client_for(sandbox, **options)


def port_of(sandbox: Sandbox) -> int:
    """Return the port on which the sandbox listens."""
    return int(sandbox.base_url.rsplit(":", 1)[1].split("/")[0])


def tls_pair() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return two TLS contexts, one for a server and one for a client.

    The first TLS context is for a server on 127.0.0.1. The second TLS context is for a client that trusts
    the certificate of the server.
    """
    authority = trustme.CA()
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    authority.configure_trust(trusting)
    return serving, trusting


def recorded_scopes(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> list[anyio.CancelScope]:
    """Return a list of the cancel scopes that a module creates with a function of `anyio`.

    Each cancel scope is added to the list when it is created. To end a timeout at once, a test sets the
    `deadline` of its cancel scope to ``-math.inf``.

    Args:
        monkeypatch: the fixture `monkeypatch` of pytest.
        module: the module whose scopes are recorded. It must create them as an attribute of `anyio`.
    """
    scopes: list[anyio.CancelScope] = []

    class Recording:
        def __getattr__(self, name: str) -> Any:
            if name not in {"CancelScope", "move_on_after"}:
                return getattr(anyio, name)

            def create(*args: Any, **kwargs: Any) -> anyio.CancelScope:
                scopes.append(getattr(anyio, name)(*args, **kwargs))
                return scopes[-1]

            return create

    monkeypatch.setattr(module, "anyio", Recording())
    return scopes


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition` returns a true value, without any limit but the timeout of the test."""
    while not condition():  # noqa: ASYNC110 - another thread makes the condition true
        await anyio.sleep(0.001)


class RawServer:
    """A server on 127.0.0.1 that calls the function `serve` for each connection.

    The function `serve` runs in a separate thread for each connection.

    Args:
        serve: the function to call, with the socket of the connection as its argument.

    Attributes:
        port: the port on which the server listens.
    """

    def __init__(self, serve: Any) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.refuse()
        # Call shutdown(), because close() does not end a call of recv() in another thread. Each thread closes
        # its own socket, because select() raises ValueError if another thread has closed the socket.
        for connection in self._connections:
            with suppress_os_error():
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)

    def refuse(self) -> None:
        """Stop accepting connections. The existing connections stay open."""
        # Call shutdown() to end the call of accept() that runs in the thread of the listening socket.
        with suppress_os_error():
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()

    def _accept(self) -> None:
        with suppress_os_error():
            while True:
                connection, _ = self._listener.accept()
                # Set TCP_NODELAY to turn Nagle's algorithm off, because the algorithm would delay a second
                # response until the client acknowledges the first response.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                thread = threading.Thread(target=self._handle, args=(connection,), daemon=True)
                self._connections.append(connection)
                self._threads.append(thread)
                thread.start()

    def _handle(self, connection: socket.socket) -> None:
        with suppress_os_error(), connection:
            self._serve(connection)


@contextmanager
def suppress_os_error() -> Iterator[None]:
    """Ignore an OSError in the `with` block, because a socket may be closed at any time."""
    try:
        yield
    except OSError:
        return


def read_request(connection: socket.socket) -> bytes:
    """Return the bytes of one request, including the body.

    If the client closes the connection before the end of the header, the result is the bytes so far.
    """
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65536)
        if not part:
            return received
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ),
        0,
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def json_answer(body: bytes) -> bytes:
    """Return the bytes of a whole HTTP response with the status 200 and the JSON body `body`."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
