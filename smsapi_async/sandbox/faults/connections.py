"""The proxy inside its event loop: accepts, decides, passes on and records."""

import asyncio
import contextlib
import socket
import ssl
import threading
from typing import NamedTuple

import attrs

from smsapi_async.sandbox.faults import canned
from smsapi_async.sandbox.faults.behaviours import Exchange, Pace, misbehave, misbehave_unread
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

_LINE_LIMIT = 1 << 20


class HistoryEntry(NamedTuple):
    """One decision; `resource` is empty for a connection that was refused before it asked for anything."""

    number: int
    resource: str
    fault: Fault
    passed_on: bool


@attrs.define(eq=False)
class Connections:
    """All connections of one proxy; everything here runs in the proxy's own thread."""

    upstream: tuple[str, int]
    origin: str
    pace: Pace
    tls: ssl.SSLContext | None
    decider: Decider
    history: list[HistoryEntry] = attrs.field(factory=list)
    _sockets: dict[asyncio.Task[None], socket.socket] = attrs.field(factory=dict, init=False)
    _listener: socket.socket | None = attrs.field(default=None, init=False)
    _group: asyncio.TaskGroup = attrs.field(factory=asyncio.TaskGroup, init=False)

    async def serve(self, listener: socket.socket, stopping: asyncio.Event, started: threading.Event) -> None:
        """Serve until `stopping`, then drop every connection at once."""
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
        """Whether new connections are accepted."""
        return self._listener is not None

    def listen(self, listener: socket.socket) -> None:
        """Accept connections from `listener` from now on."""
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def stop_listening(self) -> None:
        """Close the listening socket; new connections are refused by the operating system."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:  # the client has gone again
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
        task = self._group.create_task(_swallow(sock) if is_silent else self._serve_socket(sock))
        self._sockets[task] = sock
        task.add_done_callback(self._forget)

    # A task that is cancelled before its first step never gets to close its socket itself.
    def _forget(self, task: asyncio.Task[None]) -> None:
        self._sockets.pop(task).close()

    async def _serve_socket(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(_LINE_LIMIT)
        protocol = asyncio.StreamReaderProtocol(reader)
        is_tls = self.tls is not None
        # Clients go away in the middle of anything; here that is no error.
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
                await self._serve_request(client, line)
        except MalformedMessageError:
            await client.send(canned.bad_request().raw)
            await client.close()

    async def _serve_request(self, client: ClientConnection, line: RequestLine) -> None:
        if self.decider.peek(line.resource).precedes_reading:
            decision, _ = self._decide(line.resource)
            await misbehave_unread(client, decision.fault)
            return
        request = await read_request_rest(client.reader, client.writer, line)
        decision, index = self._decide(line.resource)
        if decision.fault.precedes_reading:  # another request took the decision that was peeked at
            await misbehave_unread(client, decision.fault)
            return
        answer = (
            await self._pass_on(request, index) if decision.fault.reaches_gateway else canned.no_upstream()
        )
        exchange = Exchange(request, answer, decision.retry_after, self.origin, self.pace)
        await misbehave(client, decision.fault, exchange)

    def _decide(self, resource: str | None) -> tuple[Decision, int]:
        decision = self.decider.take(resource)
        index = len(self.history)
        self.history.append(HistoryEntry(index, resource or "", decision.fault, passed_on=False))
        return decision, index

    async def _pass_on(self, request: RawRequest, index: int) -> RawResponse:
        try:
            reader, writer = await asyncio.open_connection(*self.upstream, limit=_LINE_LIMIT)
        except OSError:
            return canned.no_upstream()
        try:
            writer.write(request.raw)
            await writer.drain()
            self.history[index] = self.history[index]._replace(passed_on=True)
            return await read_answer(reader, method=request.line.method)
        except (OSError, EOFError, MalformedMessageError):
            return canned.no_upstream()
        finally:
            # One connection a request, so that none is stale; a FIN would leave thousands of ports waiting.
            with contextlib.suppress(OSError):
                reset_on_close(writer.get_extra_info("socket"))
            writer.transport.abort()


async def _swallow(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while await asyncio.get_running_loop().sock_recv(sock, 1 << 16):
            pass
