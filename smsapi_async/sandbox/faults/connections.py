"""The fault proxy in its event loop: accepts connections, chooses faults and passes requests on."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import attrs

from smsapi_async.sandbox.faults import canned
from smsapi_async.sandbox.faults.behaviours import Exchange, FaultDelays, misbehave, misbehave_unread
from smsapi_async.sandbox.faults.client_connection import LINGER_SECONDS, ClientConnection, reset_on_close
from smsapi_async.sandbox.faults.decisions import Decider, Decision
from smsapi_async.sandbox.faults.kinds import Fault
from smsapi_async.sandbox.faults.messages import (
    MalformedMessageError,
    RawRequest,
    RawResponse,
    RequestLine,
    read_answer,
    read_request_line,
    read_request_rest,
)
from smsapi_async.sandbox.remote_requests import check_remote

# The greatest length of a request line, status line or header line, in bytes.
_LINE_LIMIT = 1 << 20


class HistoryEntry(NamedTuple):
    """One decision of the fault proxy.

    Attributes:
        number: the index of the decision in the history of the proxy, from 0.
        resource: the path below `/rest` or `/rest/v2`, for example `Sms/Send`; empty if the proxy chose the
            fault for a new connection, before the client sent a request.
        fault: the kind of fault that the proxy chose.
        passed_on: whether the proxy sent the whole request to the server behind the proxy.
    """

    number: int
    resource: str
    fault: Fault
    passed_on: bool


class FaultHistory:
    """The decisions of one fault proxy. Any thread may call any method.

    Args:
        keep: the number of decisions that the history stores; None means no limit.
    """

    def __init__(self, keep: int | None) -> None:
        self._lock = threading.Lock()
        self._entries: deque[HistoryEntry] = deque(maxlen=keep)
        self._count = 0

    def __iter__(self) -> Iterator[HistoryEntry]:
        with self._lock:
            return iter(list(self._entries))

    def add(self, resource: str, fault: Fault) -> int:
        """Record a decision, and return the number of the decision."""
        with self._lock:
            number, self._count = self._count, self._count + 1
            self._entries.append(HistoryEntry(number, resource, fault, passed_on=False))
            return number

    def passed_on(self, number: int) -> None:
        """Record that the request was passed on, if the history still contains the decision."""
        with self._lock:
            position = number - (self._count - len(self._entries))
            if position >= 0:
                self._entries[position] = self._entries[position]._replace(passed_on=True)

    def clear(self) -> None:
        """Remove all decisions. The numbers of later decisions continue."""
        with self._lock:
            self._entries.clear()


@attrs.define(eq=False)
class Connections:
    """All connections of one fault proxy. All methods run in the thread of the proxy.

    Attributes:
        upstream: the host and the port of the server behind the proxy.
        origin: the scheme and the authority of the proxy's URL.
        pace: the delays for slow and unsolicited responses.
        tls: the TLS context for the connections of clients; None means plain TCP.
        decider: the object that chooses the fault of each request.
        history: the decisions about faults so far, in their order.
        on_change: a function that the proxy calls after each change of `history`.
        on_request: a function that the proxy calls when a client begins to wait for a response. The proxy
            calls the result when the client has got the response or has disconnected.
        has_faults: a function that returns whether requests to a path get faults. The proxy passes all other
            requests on, and neither the plan nor `history` counts them.
    """

    upstream: tuple[str, int]
    origin: str
    pace: FaultDelays
    tls: ssl.SSLContext | None
    decider: Decider
    history: FaultHistory = attrs.field(factory=lambda: FaultHistory(None))
    on_change: Callable[[], object] = lambda: None
    on_request: Callable[[], Callable[[], object]] = lambda: lambda: None
    has_faults: Callable[[str], bool] = lambda _: True
    _passing: dict[tuple[str, int], Fault] = attrs.field(factory=dict, init=False)
    _sockets: dict[asyncio.Task[None], socket.socket] = attrs.field(factory=dict, init=False)
    _listener: socket.socket | None = attrs.field(default=None, init=False)
    _group: asyncio.TaskGroup = attrs.field(factory=asyncio.TaskGroup, init=False)

    async def serve(self, listener: socket.socket, stopping: asyncio.Event, started: threading.Event) -> None:
        """Set `started`, serve until `stopping` is set, and then close every connection at once."""
        try:
            async with self._group:
                self.listen(listener)
                started.set()
                await stopping.wait()
                self.stop_listening()
                for task in self._sockets:
                    task.cancel()
        finally:
            self.stop_listening()

    @property
    def is_listening(self) -> bool:
        """Whether the proxy accepts new connections."""
        return self._listener is not None

    def listen(self, listener: socket.socket) -> None:
        """Start accepting connections from `listener`."""
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def stop_listening(self) -> None:
        """Close the listening socket. The operating system then refuses new connections."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:  # the client has already disconnected
            return
        sock.setblocking(False)
        fault = self.decider.peek_connection()
        if fault is Fault.REFUSE:
            self._decide(None)
            reset_on_close(sock)
            sock.close()
            return
        is_silent = fault is Fault.ACCEPT_THEN_SILENCE
        if is_silent:
            self._decide(None)
        task = self._group.create_task(self._swallow(sock) if is_silent else self._serve_socket(sock))
        self._sockets[task] = sock
        task.add_done_callback(self._forget)

    # Close the socket in a callback of the task, because a task that is cancelled before its first step never
    # runs and cannot close its socket.
    def _forget(self, task: asyncio.Task[None]) -> None:
        self._sockets.pop(task).close()

    async def _serve_socket(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(_LINE_LIMIT)
        protocol = asyncio.StreamReaderProtocol(reader)
        is_tls = self.tls is not None
        # A client may disconnect at any time, which is not an error of the proxy.
        with contextlib.suppress(OSError, EOFError):
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, sock, ssl=self.tls, ssl_shutdown_timeout=LINGER_SECONDS if is_tls else None
            )
            client = ClientConnection(reader, asyncio.StreamWriter(transport, protocol, reader, loop))
            try:
                await self._serve_client(client)
            finally:
                transport.abort()

    async def _serve_client(self, client: ClientConnection) -> None:
        try:
            while client.is_open:
                line = await read_request_line(client.reader, client.ahead)
                client.ahead = b""
                with contextlib.ExitStack() as client_waits:
                    client_waits.callback(self.on_request())
                    client.on_answered = client_waits.close
                    await self._serve_request(client, line)
        except MalformedMessageError:
            await client.send(canned.bad_request().raw)
            await client.close()

    async def _serve_request(self, client: ClientConnection, line: RequestLine) -> None:
        # `peek` does not count the request, because the client may still disconnect before the end of the
        # request. The proxy does not count an incomplete request.
        is_counted = self.has_faults(line.path)
        if is_counted and self.decider.peek(line.resource).precedes_reading:
            decision, _ = self._decide(line.resource)
            await misbehave_unread(client, decision.fault)
            return
        request = await read_request_rest(client.reader, client.writer, line)
        decision, index = self._decide(line.resource) if is_counted else (Decision(Fault.PASS), None)
        # While the proxy was reading the current request, another request may have used the fault that `peek`
        # returned. The current request then gets the next fault of the plan, which may also be a kind that
        # acts before the proxy reads the rest of a request.
        if decision.fault.precedes_reading:
            await misbehave_unread(client, decision.fault)
            return
        # If the fault does not pass the request on, `misbehave` ignores `answer`.
        answer = (
            await self._pass_on(request, index, decision.fault)
            if decision.fault.reaches_gateway
            else canned.no_upstream()
        )
        exchange = Exchange(request, answer, decision.retry_after, self.origin, self.pace)
        await misbehave(client, decision.fault, exchange)

    def _decide(self, resource: str | None) -> tuple[Decision, int]:
        decision = self.decider.take(resource)
        index = self.history.add(resource or "", decision.fault)
        self.on_change()
        return decision, index

    def fault_of(self, client: tuple[str, int]) -> Fault | None:
        """Return the fault of the request that the proxy passes on from this host and port, or None."""
        return self._passing.get(client)

    async def _pass_on(self, request: RawRequest, index: int | None, fault: Fault) -> RawResponse:
        try:
            check_remote(self.upstream[0], request.line.resource or "")
            reader, writer = await asyncio.open_connection(*self.upstream, limit=_LINE_LIMIT)
        except OSError:
            return canned.no_upstream()
        source = tuple(writer.get_extra_info("sockname")[:2])
        self._passing[source] = fault
        try:
            writer.write(request.raw)
            await writer.drain()
            if index is not None:
                self.history.passed_on(index)
                self.on_change()
            return await read_answer(reader, method=request.line.method)
        except (OSError, EOFError, MalformedMessageError):
            return canned.no_upstream()
        finally:
            del self._passing[source]
            # Each request is passed on over a new connection, because the server may have closed an old
            # connection. The proxy ends the connection to the server with an RST, because after a FIN the
            # ports of thousands of connections would stay in the state TIME_WAIT.
            with contextlib.suppress(OSError):
                reset_on_close(writer.get_extra_info("socket"))
            writer.transport.abort()

    async def _swallow(self, sock: socket.socket) -> None:
        """Discard all received bytes, without a TLS handshake."""
        with contextlib.ExitStack() as client_waits, contextlib.suppress(OSError):
            client_waits.callback(self.on_request())
            while await asyncio.get_running_loop().sock_recv(sock, 1 << 16):
                pass
