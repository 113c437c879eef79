"""What several tests of the client need."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import anyio.lowlevel

from smsapi_async import AsyncSmsClient, RetryPolicy
from smsapi_async.sandbox import Sandbox

NUMBER = "79031234567"
TEXT = "A text that nobody else may read"


class ManualClock:
    """Time that moves only when told to, or when somebody waits for it."""

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
    """A client of the sandbox that does not wait between its attempts."""
    options.setdefault("base_url", sandbox.base_url)
    options.setdefault("source_address", "ACME")
    options.setdefault("retry", RetryPolicy(initial=0.001, maximum=0.001))
    options.setdefault("login", sandbox.login)
    options.setdefault("password", sandbox.password)
    return AsyncSmsClient(**options)


class RawServer:
    """A listening socket whose every connection is given to a function, in a thread of its own."""

    def __init__(self, serve: Any) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # shutdown() wakes a thread that is blocked in accept() or recv(); close() alone does not.
        for opened in (self._listener, *self._connections):
            with suppress_os_error():
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()
        for thread in self._threads:
            thread.join(timeout=5)

    def refuse(self) -> None:
        """Take no further connection; those that are there stay."""
        with suppress_os_error():
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress_os_error():
            while True:
                connection, _ = self._listener.accept()
                # Nagle would hold a second answer back until the client writes again.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections.append(connection)
                self._start(self._handle, connection)

    def _handle(self, connection: socket.socket) -> None:
        with suppress_os_error(), connection:
            self._serve(connection)

    def _start(self, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()


@contextmanager
def suppress_os_error() -> Iterator[None]:
    """Sockets that the other side, or the end of the test, has closed."""
    try:
        yield
    except OSError:
        return


def read_request(connection: socket.socket) -> bytes:
    """One whole request, its body by Content-Length."""
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
    """A whole HTTP answer."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
