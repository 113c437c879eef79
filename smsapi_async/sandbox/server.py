"""The sandbox on a real socket, for callers of any event loop."""

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

_KEEP_ALIVE_SECONDS = 120


@asynccontextmanager
async def run_sandbox(
    sandbox: Sandbox | None = None,
    port: int = 0,
    host: str = "127.0.0.1",
    *,
    faults: FaultPlan | str | PathLike[str] | None = None,
    **sandbox_arguments: Any,  # noqa: ANN401 - the arguments of Sandbox
) -> AsyncIterator[Sandbox]:
    """Serve a sandbox on a socket; it is ready when this yields, and gone at the end of the block.

    At the end every connection is cut, so a held or delayed answer is never written.

    With ``faults`` a proxy that misbehaves stands in front, on a free port of 127.0.0.1: ``base_url`` is
    the proxy's, and ``Sandbox.proxy`` is the proxy, whose ``history`` tells what went wrong. The port and
    host given are then those of the gateway behind it.

    Args:
        sandbox: the sandbox to serve, by one server at a time; made from `sandbox_arguments` if None.
        port: 0 takes a free one.
        host: the address to listen on.
        faults: what goes wrong, and when: a plan, or the `.json` or `.toml` file of one.
        sandbox_arguments: the arguments of `Sandbox`.

    Raises:
        OSError: the port cannot be listened on, or the plan's file not be read.
        FaultPlanError: the file holds no plan.
    """
    plan = await to_thread.run_sync(FaultPlan.load, faults) if isinstance(faults, str | PathLike) else faults
    if sandbox is None:
        sandbox = Sandbox(**sandbox_arguments)
    elif sandbox_arguments:
        raise TypeError("pass a sandbox or the arguments of one, not both")
    listener = _listen(host, port)
    server = _Server(sandbox, listener)
    thread = threading.Thread(target=server.run_here, name="smsapi-sandbox", daemon=True)
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
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(thread.join)
        sandbox.base_url, sandbox.proxy = in_process_url, None
        sandbox.ending = Signal()


def _listen(host: str, port: int) -> socket.socket:
    # asyncio turns Nagle's algorithm off only where the protocol is given; with it an answer takes 40 ms.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, proto=socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


class _Protocol(H11Protocol):
    """Writes no access log, whatever handlers the process has: request lines hold the password."""

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
    """uvicorn without its pauses of a tenth of a second at both ends, and without waiting for clients."""

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
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            )
        )
        self.ready = Signal()
        self._sandbox = sandbox
        self._listener = listener
        self._stopped = Signal()

    def run_here(self) -> None:
        """Serve in the calling thread until stopped."""
        try:
            asyncio.run(self.serve(sockets=[self._listener]))
        finally:
            self.ready.set()

    def stop(self) -> None:
        """End serving; callable from any thread."""
        self._stopped.set()

    async def main_loop(self) -> None:
        self.ready.set()
        while not self._stopped.is_set:
            await self.on_tick(0)  # renews the Date header
            with anyio.move_on_after(1):
                await self._stopped.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Before its close: a server that is closed leaks what it accepted a moment ago (CPython 3.11).
        with suppress(NotImplementedError):  # asyncio's loop on Windows
            asyncio.get_running_loop().remove_reader(self._listener)
        self._abort_connections()
        self._sandbox.ending.set()
        # Requests under way, and connections that nobody knows of yet.
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        self._abort_connections()
        # A turn of the loop, in which the aborted transports close.
        await asyncio.sleep(0)

    def _abort_connections(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
