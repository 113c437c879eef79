"""Serves the sandbox over a socket, in a separate thread. The caller may use asyncio or trio."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from os import PathLike
from typing import Any

import anyio
import uvicorn
from anyio import to_thread
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from smsapi_async.sandbox.faults.plan import FaultPlan
from smsapi_async.sandbox.faults.proxy import run_fault_proxy
from smsapi_async.sandbox.gate import Signal
from smsapi_async.sandbox.gateway import Sandbox

# The seconds after which the server closes an idle connection.
_KEEP_ALIVE_SECONDS = 120


@asynccontextmanager
async def run_sandbox(
    sandbox: Sandbox | None = None,
    port: int = 0,
    host: str = "127.0.0.1",
    *,
    faults: FaultPlan | str | PathLike[str] | None = None,
    **sandbox_arguments: Any,  # noqa: ANN401 - `Sandbox` declares the types
) -> AsyncIterator[Sandbox]:
    """Serve a sandbox over a socket until the end of the block.

    The sandbox is ready when the block begins. At the end of the block the server aborts every connection. A
    response that is held or delayed at the end of the block is never written.

    With ``faults``, a fault proxy runs in front of the sandbox, on a free port of 127.0.0.1, and ``base_url``
    is the URL of the fault proxy. ``Sandbox.proxy`` is the fault proxy, and ``Sandbox.proxy.history`` lists
    the faults. The server of the sandbox still listens on ``host`` and ``port``.

    Args:
        sandbox: the sandbox to serve. Only one server at a time may serve a sandbox. If `sandbox` is None, a
            new sandbox is created from `sandbox_arguments`.
        port: the port to listen on; 0 means a free port.
        host: the network address to listen on.
        faults: the fault plan, or the path of a `.json` or `.toml` file with a fault plan; None means no
            fault proxy.
        sandbox_arguments: the arguments of `Sandbox` for a new sandbox.

    Yields:
        The sandbox.

    Raises:
        OSError: if the server cannot listen on the port, or if the file of the fault plan cannot be read.
        FaultPlanError: if the file does not contain a valid fault plan.
        TypeError: if the call has a sandbox and also arguments of `Sandbox`.
    """
    plan = await to_thread.run_sync(FaultPlan.load, faults) if isinstance(faults, str | PathLike) else faults
    if sandbox is None:
        sandbox = Sandbox(**sandbox_arguments)
    elif sandbox_arguments:
        raise TypeError("pass either sandbox or the arguments of Sandbox, not both")
    listener = _listen(host, port)
    server = _Server(sandbox, listener)
    thread = threading.Thread(target=server.run_here, name="smsapi-sandbox", daemon=True)
    # A URL contains an IPv6 address in brackets (RFC 3986, section 3.2.2).
    in_process_url, shown = sandbox.base_url, f"[{host}]" if ":" in host else host
    thread.start()
    try:
        await server.ready.wait()
        bound = listener.getsockname()[1]
        sandbox.base_url = f"http://{shown}:{bound}/rest"
        if plan is None:
            yield sandbox
        else:
            async with run_fault_proxy(host, bound, plan) as proxy:
                sandbox.base_url, sandbox.proxy = proxy.base_url, proxy
                yield sandbox
    finally:
        server.stop()
        # Wait for the thread of the server even if the caller is cancelled, because the port is not free
        # before the end of the thread.
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(thread.join)
        sandbox.base_url, sandbox.proxy = in_process_url, None
        # A `Signal` cannot be reset, so the next server of the same sandbox needs a new signal.
        sandbox.ending = Signal()


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
        # Abort the connections before the signal `ending` is set, because the signal releases the held and
        # delayed responses, which must not be written.
        self._abort_connections()
        self._sandbox.ending.set()
        # Wait for all other tasks, which process requests or set up connections that `server_state` does not
        # contain yet.
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        self._abort_connections()
        # Wait for one iteration of the event loop, because the aborted transports close their sockets in the
        # next iteration.
        await asyncio.sleep(0)

    def _abort_connections(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
