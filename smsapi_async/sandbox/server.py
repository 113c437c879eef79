"""Serves the sandbox over a socket, in a separate thread. The caller may use asyncio or trio."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from os import PathLike
from typing import Any
from weakref import WeakSet

import anyio
import uvicorn
from anyio import to_thread
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from smsapi_async.sandbox.asgi import is_gateway_path
from smsapi_async.sandbox.contexts import either_context
from smsapi_async.sandbox.faults.plan import FaultPlan
from smsapi_async.sandbox.faults.proxy import FaultProxy
from smsapi_async.sandbox.gate import Signal
from smsapi_async.sandbox.gateway import Sandbox
from smsapi_async.sandbox.listening import url_host
from smsapi_async.sandbox.web.access import WebAccess
from smsapi_async.sandbox.web.mount import web_application

# The seconds after which the server closes an idle connection.
_KEEP_ALIVE_SECONDS = 120
# The seconds in which the streams of events and the waiting requests of the control API may end.
_LAST_ANSWERS_SECONDS = 0.4
# The sandboxes that a server of this process serves.
_SERVED: WeakSet[Sandbox] = WeakSet()
_SERVED_LOCK = threading.Lock()


@either_context
async def run_sandbox(
    sandbox: Sandbox | None = None,
    port: int = 0,
    host: str = "127.0.0.1",
    *,
    faults: FaultPlan | str | PathLike[str] | None = None,
    faults_port: int | None = None,
    web: bool = True,
    allow_hosts: Iterable[str] = (),
    **sandbox_arguments: Any,  # noqa: ANN401 - `Sandbox` declares the types
) -> AsyncIterator[Sandbox]:
    """Serve a sandbox over a socket until the end of the block, in a `with` or an `async with` statement.

    The sandbox is ready when the block begins. At the end of the block the server stops within a second. A
    response of the gateway that is held or delayed at the end of the block is never written: the server
    aborts its connection. The streams of events end, and a request that waits for a message gets the HTTP
    status 503.

    With ``faults_port``, the sandbox has two lines to the same gateway. ``base_url``, on ``port``, is the
    good line. ``Sandbox.faults_url``, on ``faults_port``, is the faulty line: a fault proxy with the plan
    ``faults``. Without a plan, all requests pass until a test sets ``Sandbox.proxy.plan``.
    ``Sandbox.proxy.history`` lists the faults.

    With ``faults`` and without ``faults_port``, the faulty line has a free port, and ``base_url`` is the URL
    of the faulty line, too, so that a client gets the faults without further settings. The server of the
    sandbox still listens on ``host`` and ``port``.

    With ``web``, the server also serves the page of the sandbox, at ``Sandbox.page_url``, and the control API
    below `/api/v1`. Their requests do not count as arrivals.

    Args:
        sandbox: the sandbox to serve. Only one server at a time may serve a sandbox. If `sandbox` is None, a
            new sandbox is created from `sandbox_arguments`.
        port: the port to listen on; 0 means a free port.
        host: the network address to listen on. With "0.0.0.0" or "::", the server listens on all network
            interfaces, and the URLs of the sandbox have the loopback address.
        faults: the fault plan, or the path of a `.json` or `.toml` file with a fault plan; None means no
            faults.
        faults_port: the port of the faulty line; 0 means a free port. None means no faulty line, or, with
            `faults`, a free port that `base_url` has, too.
        web: whether the page and the control API are served. They are off, too, if `host` is no loopback
            address and `allow_hosts` is empty.
        allow_hosts: the host names, besides those of this computer, in the URLs of the page.
        sandbox_arguments: the arguments of `Sandbox` for a new sandbox.

    Yields:
        The sandbox.

    Raises:
        FaultsPortError: if the faulty line cannot listen on `faults_port`. It is an `OSError`.
        OSError: if the server cannot listen on the port, or if the file of the fault plan cannot be read.
        FaultPlanError: if the file does not contain a valid fault plan.
        RuntimeError: if another server serves the same sandbox.
        TypeError: if the call has a sandbox and also arguments of `Sandbox`.
        ValueError: if one of `allow_hosts` is no host name.
    """
    plan = await to_thread.run_sync(FaultPlan.load, faults) if isinstance(faults, str | PathLike) else faults
    if sandbox is None:
        sandbox = Sandbox(**sandbox_arguments)
    elif sandbox_arguments:
        raise TypeError("pass either sandbox or the arguments of Sandbox, not both")
    access = WebAccess.to(host, allow_hosts) if web else None
    with _only_server(sandbox):
        async with _served(sandbox, host, port, plan, faults_port=faults_port, access=access):
            yield sandbox


@contextmanager
def _only_server(sandbox: Sandbox) -> Iterator[None]:
    with _SERVED_LOCK:
        if sandbox in _SERVED:
            raise RuntimeError(
                f"a server at {sandbox.base_url} serves this sandbox already; use this server, or pass a new "
                "Sandbox"
            )
        _SERVED.add(sandbox)
    try:
        yield
    finally:
        with _SERVED_LOCK:
            _SERVED.discard(sandbox)


@asynccontextmanager
async def _served(
    sandbox: Sandbox,
    host: str,
    port: int,
    plan: FaultPlan | None,
    *,
    faults_port: int | None,
    access: WebAccess | None,
) -> AsyncIterator[None]:
    listener = _listen(host, port)
    bound = listener.getsockname()[1]
    has_proxy = plan is not None or faults_port is not None
    has_page = access is not None
    proxy = (
        _fault_proxy(sandbox, plan, listener, host, faults_port or 0, has_page=has_page)
        if has_proxy
        else None
    )
    server = _Server(sandbox, listener)
    thread = threading.Thread(target=server.run_here, name="smsapi-sandbox", daemon=True)
    in_process_url, shown = sandbox.base_url, url_host(host, listener)
    if access is not None:
        sandbox.web, sandbox.page_url = web_application(sandbox, access), access.page_url(host, bound)
    thread.start()
    try:
        await server.ready.wait()
        sandbox.base_url = f"http://{shown}:{bound}/rest"
        if proxy is not None:
            await to_thread.run_sync(proxy.start)
            sandbox.proxy = proxy
            if faults_port is None:
                sandbox.base_url = proxy.base_url
        yield
    finally:
        sandbox.proxy = sandbox.page_url = None
        # Wait for the threads of the server and of the proxy even if the caller is cancelled, because the
        # ports are not free before the end of the threads.
        try:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(_end, proxy, server, thread, limiter=anyio.CapacityLimiter(1))
        finally:
            sandbox.base_url, sandbox.web = in_process_url, None
            # A `Signal` cannot be reset, so the next server of the same sandbox needs a new signal.
            sandbox.ending = Signal()
            sandbox.feed.reopen()


class FaultsPortError(OSError):
    """The faulty line of a sandbox cannot listen on its port."""


def _fault_proxy(
    sandbox: Sandbox,
    plan: FaultPlan | None,
    listener: socket.socket,
    host: str,
    port: int,
    *,
    has_page: bool,
) -> FaultProxy:
    bound = listener.getsockname()[1]
    try:
        upstream = url_host(host, listener).strip("[]")
        proxy = FaultProxy(upstream, bound, plan, host=host, port=port, keep=sandbox.keep)
    except OSError as error:
        listener.close()
        raise FaultsPortError(error.errno, error.strerror) from None
    if has_page:
        # A browser that opens the faulty line would use up the plan.
        proxy.limit_to(is_gateway_path)
    proxy.on_request(sandbox.clock.request_opened)
    proxy.on_change(lambda: sandbox.feed.append("faults"))
    return proxy


def _end(proxy: FaultProxy | None, server: "_Server", thread: threading.Thread) -> None:
    try:
        # The proxy ends first. Otherwise it would answer its clients that the server has gone.
        if proxy is not None:
            proxy.close()
    finally:
        server.stop()
        thread.join()


def _listen(host: str, port: int) -> socket.socket:
    # asyncio switches Nagle's algorithm off only if the protocol of the socket is IPPROTO_TCP. With Nagle's
    # algorithm a response would take 40 ms.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, proto=socket.IPPROTO_TCP)
    try:
        # With SO_REUSEADDR, a server can listen on a port even if connections of an earlier server on the
        # same port are in the state TIME_WAIT.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


_NO_HTTP_ERROR = b'{"error":"this is not valid HTTP; percent-encode all characters of the URL except ASCII"}'
_NO_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_NO_HTTP_ERROR), _NO_HTTP_ERROR)
)


class _Protocol(H11Protocol):
    """An HTTP protocol without an access log, because a request line may contain the password.

    uvicorn writes the access log if the logger `uvicorn.access` or the root logger has a handler.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.access_log = False

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the base class passes the text
        """Refuse a request that is not valid HTTP, in JSON. The base class would write plain text."""
        cycle = getattr(self, "cycle", None)
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(_NO_HTTP)
        self.transport.close()


class _Server(uvicorn.Server):
    """A uvicorn server that stops at once and does not wait for its clients.

    The base class `uvicorn.Server` checks only every 0.1 seconds whether it must stop. Before
    `uvicorn.Server` stops, it pauses for 0.1 seconds and waits until the clients have closed their
    connections.

    Args:
        sandbox: the sandbox to serve.
        listener: the socket on which the server listens.
    """

    def __init__(self, sandbox: Sandbox, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                sandbox.app,
                loop="asyncio",
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                server_header=False,
                # The ASGI application writes the date, on the clock of the sandbox.
                date_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            )
        )
        self.ready = Signal()
        self._sandbox = sandbox
        self._listener = listener
        self._stopped = Signal()

    def run_here(self) -> None:
        """Serve in the calling thread until another thread calls `stop`."""
        try:
            asyncio.run(self.serve(sockets=[self._listener]))
        finally:
            # Set `ready` even if the server could not start, because `run_sandbox` waits for `ready`.
            self.ready.set()

    def stop(self) -> None:
        """Stop the server. Any thread may call this method."""
        self._stopped.set()

    async def main_loop(self) -> None:
        # The base class calls `on_tick` here, which only updates a `Date` header field of its own and checks
        # limits that this server does not set.
        async with self._sandbox.pushes.running():
            self.ready.set()
            await self._stopped.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Stop accepting connections before the server is closed: CPython 3.11 leaks a connection that the
        # server accepted just before `close`. On Windows, the default event loop of asyncio does not support
        # `remove_reader`.
        with suppress(NotImplementedError):
            asyncio.get_running_loop().remove_reader(self._listener)
        # Abort the connections of the gateway before the signal `ending` is set, because the signal releases
        # the held and delayed responses, which must not be written.
        self._abort(self._gateway_connections())
        for connection in self._connections():
            if not connection.transport.is_closing():
                # Close the connection, or close it after its response.
                connection.shutdown()
        self._sandbox.ending.set()
        self._sandbox.feed.end()
        await self._last_answers()
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        self._abort(self._connections())
        # Wait for one iteration of the event loop, because the aborted transports close their sockets in the
        # next iteration.
        await asyncio.sleep(0)

    async def _last_answers(self) -> None:
        """Wait for the responses of the page and the control API. Abort those that take too long."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + _LAST_ANSWERS_SECONDS
        # Wait for all other tasks, which process requests or set up connections that `server_state` does not
        # contain yet.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            left = ends_at - loop.time()
            if left <= 0:
                self._abort(self._connections())
            await asyncio.wait(others, timeout=left if left > 0 else None)
            self._abort(self._gateway_connections())
        # The transports write the rest of the responses.
        while self._connections() and loop.time() < ends_at:  # noqa: ASYNC110 - no event tells of the end
            await asyncio.sleep(0.001)

    def _connections(self) -> list[_Protocol]:
        return [each for each in self.server_state.connections if isinstance(each, _Protocol)]

    def _gateway_connections(self) -> list[_Protocol]:
        """Return the connections whose request to the gateway has no response yet."""
        return [
            each
            for each in self._connections()
            if (cycle := getattr(each, "cycle", None)) is not None
            and not cycle.response_complete
            and (self._sandbox.web is None or is_gateway_path(cycle.scope["path"]))
        ]

    @staticmethod
    def _abort(connections: Iterable[_Protocol]) -> None:
        for connection in connections:
            connection.transport.abort()
