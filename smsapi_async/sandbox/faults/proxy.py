"""The class `FaultProxy`: a fault proxy in a separate thread with its own event loop."""

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

from smsapi_async.sandbox.faults.behaviours import FaultDelays
from smsapi_async.sandbox.faults.connections import Connections, FaultHistory, HistoryEntry
from smsapi_async.sandbox.faults.decisions import Decider
from smsapi_async.sandbox.faults.kinds import Fault
from smsapi_async.sandbox.faults.plan import FaultPlan
from smsapi_async.sandbox.listening import url_host

_HOST = "127.0.0.1"
_BACKLOG = 1024
# The longest time, in seconds, for which `refuse_connections` waits for the event loop of the proxy.
_HANDOVER_SECONDS = 10.0


class FaultProxy:
    """A fault proxy, by default on a free port of 127.0.0.1, in front of an HTTP/1.1 server.

    The constructor binds the port, so `base_url` is available before the proxy runs. The proxy runs from
    `start` to `close`, or inside a `with` statement. In asynchronous code, use `run_fault_proxy`.

    Args:
        upstream_host: the host of the server behind the proxy.
        upstream_port: the port of the server behind the proxy. The proxy connects without TLS.
        plan: the fault plan; None means that all requests pass.
        tls: the TLS context for the connections of clients; None means plain HTTP.
        byte_interval: the seconds between two bytes of a response with `Fault.SLOW_BYTES`.
        idle_delay: the seconds for which a connection is idle before the proxy sends an unsolicited response.
        host: the network address to listen on.
        port: the port to listen on; 0 means a free port.
        keep: the number of decisions in `history`; the oldest ones are removed first. None means no limit.

    Attributes:
        port: the port on which the proxy listens.

    Raises:
        OSError: if the proxy cannot listen on the port.
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
        host: str = _HOST,
        port: int = 0,
        keep: int | None = None,
    ) -> None:
        self._plan_at_start = self._plan = FaultPlan() if plan is None else plan
        self._host = host
        self._listener = _bind(host, port)
        self._listener.listen(_BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        shown = url_host(host, self._listener)
        self._origin = f"{'http' if tls is None else 'https'}://{shown}:{self.port}"
        self._connections = Connections(
            upstream=(upstream_host, upstream_port),
            origin=self._origin,
            pace=FaultDelays(byte_interval, idle_delay),
            tls=tls,
            decider=Decider(self._plan),
            history=FaultHistory(keep),
        )
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._is_ready = threading.Event()
        self._error: BaseException | None = None

    @property
    def base_url(self) -> str:
        """The base URL for a client: `http://HOST:PORT/rest`, or with `https` if the proxy uses TLS."""
        return f"{self._origin}/rest"

    @property
    def history(self) -> list[HistoryEntry]:
        """The decisions so far, in their order, as tuples `(number, resource, fault, passed_on)`."""
        return list(self._connections.history)

    @property
    def plan(self) -> FaultPlan:
        """The current fault plan. A test may set a new plan at any time.

        The proxy starts at the beginning of the new plan. `history` still contains the earlier decisions.
        """
        return self._plan

    @plan.setter
    def plan(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._connections.decider = Decider(plan)
        self._connections.on_change()

    def restart_plan(self) -> None:
        """Begin again with the plan of the constructor."""
        self.plan = self._plan_at_start

    def clear_history(self) -> None:
        """Remove all decisions from `history`."""
        self._connections.history.clear()
        self._connections.on_change()

    def on_change(self, function: Callable[[], object]) -> None:
        """Call a function, in any thread, after each change of the plan or of the history."""
        self._connections.on_change = function

    def on_request(self, function: Callable[[], Callable[[], object]]) -> None:
        """Call a function, in the thread of the proxy, when a client begins to wait for a response.

        Args:
            function: the function. It returns another function, which the proxy calls when the client has got
                the response or has disconnected.
        """
        self._connections.on_request = function

    def limit_to(self, has_faults: Callable[[str], bool]) -> None:
        """Let requests to other paths pass, without counting them in the plan or in `history`.

        A fault of a whole connection, before the proxy reads a request, is still independent of the path.

        Args:
            has_faults: a function that returns whether requests to a path get faults.
        """
        self._connections.has_faults = has_faults

    def fault_of(self, client: tuple[str, int]) -> Fault | None:
        """Return the fault of the request that the proxy passes on from this host and port, or None."""
        return self._connections.fault_of(client)

    def refuse_connections(self, refuse: bool) -> None:
        """Refuse new connections, or accept new connections again.

        To refuse connections, the proxy closes its listening socket. The operating system then refuses new
        connections, so a client cannot send anything over a new connection. Connections that are already open
        stay open. The proxy still reserves its port. When `refuse_connections` returns, the change is
        complete.

        Args:
            refuse: True refuses new connections, False accepts new connections.

        Raises:
            OSError: if another process bound the port during the change.
            RuntimeError: if the proxy is not running.
        """
        if not self._thread.is_alive():
            raise RuntimeError("the fault proxy is not running")
        done = asyncio.run_coroutine_threadsafe(self._set_refusing(refuse), self._loop)
        done.result(_HANDOVER_SECONDS)

    async def _set_refusing(self, refuse: bool) -> None:
        if refuse and self._connections.is_listening:
            self._connections.stop_listening()
            # Bind the port again at once, so that no other process can bind the port.
            self._listener = _bind(self._host, self.port)
        elif not (refuse or self._connections.is_listening):
            self._listener.listen(_BACKLOG)
            self._connections.listen(self._listener)

    def start(self) -> None:
        """Start the proxy. A proxy can be started only once."""
        self._thread.start()
        self._is_ready.wait()

    def close(self) -> None:
        """Close every connection and end the thread of the proxy at once; a second call has no effect.

        Raises:
            BaseException: if the thread of the proxy failed; the exception is the error of the thread.
        """
        if self._thread.is_alive():
            with suppress(RuntimeError):  # an error may have closed the event loop a moment ago
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
        except BaseException as error:  # noqa: BLE001 - `close` raises the error
            self._error = error
        finally:
            # Set the event `_is_ready` even if the proxy could not start, because `start` waits for the
            # event.
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
    """Run a `FaultProxy` until the end of the block, in asyncio or trio code.

    At the end of the block the proxy closes every connection at once.

    Args:
        upstream_host: the host of the server behind the proxy.
        upstream_port: the port of the server behind the proxy. The proxy connects without TLS.
        plan: the fault plan; None means that all requests pass.
        tls: the TLS context for the connections of clients; None means plain HTTP.
        byte_interval: the seconds between two bytes of a response with `Fault.SLOW_BYTES`.
        idle_delay: the seconds for which a connection is idle before the proxy sends an unsolicited response.

    Yields:
        The running proxy.
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


# A separate limiter avoids a deadlock: all threads of the default limiter may be busy with work that waits
# for this proxy.
async def _in_thread(function: Callable[[], None]) -> None:
    await anyio.to_thread.run_sync(function, limiter=anyio.CapacityLimiter(1))


# A socket that is bound and does not listen reserves its port, and the operating system refuses connections
# to the port.
def _bind(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":  # on Windows, with this option, another process could bind the same port
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
