"""The proxy as its user holds it: a thread with an event loop of its own."""

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread

from smsapi_async.sandbox.faults.behaviours import Pace
from smsapi_async.sandbox.faults.connections import Connections, HistoryEntry
from smsapi_async.sandbox.faults.decisions import Decider
from smsapi_async.sandbox.faults.plan import FaultPlan

_HOST = "127.0.0.1"
_BACKLOG = 1024
_HANDOVER_SECONDS = 10.0


class FaultProxy:
    """A proxy on a free loopback port in front of `upstream_host:upstream_port` that follows `plan`.

    `tls` makes the client's side HTTPS; the upstream's side is always plain. `byte_interval` is the pause
    in seconds between the bytes of `Fault.SLOW_BYTES`, `idle_delay` the idleness in seconds before an
    unsolicited answer. The port is bound from construction on, so that `base_url` is known before the proxy
    runs. It runs between `start` and `close`, or as a context manager; `run_fault_proxy` does the same for
    asynchronous code.
    """

    def __init__(
        self,
        upstream_host: str,
        upstream_port: int,
        plan: FaultPlan | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        byte_interval: float = 0.001,
        idle_delay: float = 0.01,
    ) -> None:
        self._plan = FaultPlan() if plan is None else plan
        self._listener = _bind(0)
        self._listener.listen(_BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        self._origin = f"{'http' if tls is None else 'https'}://{_HOST}:{self.port}"
        self._connections = Connections(
            upstream=(upstream_host, upstream_port),
            origin=self._origin,
            pace=Pace(byte_interval, idle_delay),
            tls=tls,
            decider=Decider(self._plan),
        )
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._is_ready = threading.Event()
        self._error: BaseException | None = None

    @property
    def base_url(self) -> str:
        """The gateway's base URL through the proxy: `http://127.0.0.1:PORT/rest`, or `https` with `tls`."""
        return f"{self._origin}/rest"

    @property
    def history(self) -> list[HistoryEntry]:
        """All decisions so far, in order, as `(number, resource, fault, passed_on)`; numbers start at 0."""
        return list(self._connections.history)

    @property
    def plan(self) -> FaultPlan:
        """The plan that is followed; a new one may be set at any time and starts at its beginning."""
        return self._plan

    @plan.setter
    def plan(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._connections.decider = Decider(plan)

    def refuse_connections(self, refuse: bool) -> None:
        """Close the listening socket, or open it again on the same port, and return when that is done.

        While it is closed new connections are refused by the operating system, so that nothing can have been
        sent over them; connections that are open stay as they are. The port stays the proxy's;
        `OSError` if somebody takes it in the instant of the change, `RuntimeError` if it does not run.
        """
        if not self._thread.is_alive():
            raise RuntimeError("the fault proxy is not running")
        done = asyncio.run_coroutine_threadsafe(self._set_refusing(refuse), self._loop)
        done.result(_HANDOVER_SECONDS)

    async def _set_refusing(self, refuse: bool) -> None:
        if refuse and self._connections.is_listening:
            self._connections.stop_listening()
            self._listener = _bind(self.port)
        elif not (refuse or self._connections.is_listening):
            self._listener.listen(_BACKLOG)
            self._connections.listen(self._listener)

    def start(self) -> None:
        """Start serving; a proxy is started once."""
        self._thread.start()
        self._is_ready.wait()

    def close(self) -> None:
        """Drop every connection and end the thread, at once; a second call does nothing."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # the loop may have closed after a defect, just now
                self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        self._listener.close()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that calls `close`
            self._error = error
        finally:
            self._is_ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        await self._connections.serve(self._listener, self._stopping, self._is_ready)


@asynccontextmanager
async def run_fault_proxy(
    upstream_host: str,
    upstream_port: int,
    plan: FaultPlan | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    byte_interval: float = 0.001,
    idle_delay: float = 0.01,
) -> AsyncIterator[FaultProxy]:
    """Run a `FaultProxy` beside the caller's asyncio or trio code; without a `plan` everything passes.

    At the end every connection is dropped at once, the hanging ones too.
    """
    proxy = FaultProxy(
        upstream_host, upstream_port, plan, tls=tls, byte_interval=byte_interval, idle_delay=idle_delay
    )
    try:
        await _in_thread(proxy.start)
        yield proxy
    finally:
        with anyio.CancelScope(shield=True):
            await _in_thread(proxy.close)


# A limiter of its own: the caller's threads may all be busy, waiting for this very proxy.
async def _in_thread(function: Callable[[], None]) -> None:
    await anyio.to_thread.run_sync(function, limiter=anyio.CapacityLimiter(1))


# A socket that is bound but does not listen holds the port while its connections are refused.
def _bind(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":  # elsewhere the option would let others take the port
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    try:
        sock.bind((_HOST, port))
    except OSError:
        sock.close()
        raise
    return sock
