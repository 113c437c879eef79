"""A network that fails between a machine and the database, in a network namespace of its own."""

import ctypes
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
import pytest

from smsapi_async import LedgerError
from smsapi_async.postgres import Shared, connection_threads, shared_pace
from tests.killable import Connection, Killable
from tests.ledger.tools import keyed
from tests.postgres.server import Server

pytestmark = pytest.mark.anyio
_NAMESPACE_OF_NETWORK = 0x40000000
# The settings are shorter than the defaults, so that the test is short. Another test checks the defaults.
_SHORT = "tcp_user_timeout=1500&keepalives_idle=1&keepalives_interval=1&keepalives_count=2&connect_timeout=2"


class Network:
    """A network between this namespace and a new namespace.

    Attributes:
        host: the address of this end.
        path: the file of the new namespace.
    """

    def __init__(self) -> None:
        self._name = f"sms{secrets.token_hex(4)}"
        net = f"10.{200 + secrets.randbelow(50)}.{secrets.randbelow(256)}"
        self.host, self._guest = f"{net}.1", f"{net}.2"
        self.path = Path("/run/netns", self._name)

    def _inside(self, command: str) -> None:
        _ip(f"-n {self._name} {command}")

    @contextmanager
    def made(self) -> Iterator[None]:
        """Make the network, and remove it at the end of the block."""
        _ip(f"netns add {self._name}")
        try:
            _ip(f"link add {self._name}h type veth peer name {self._name}g netns {self._name}")
            _ip(f"addr add {self.host}/30 dev {self._name}h")
            _ip(f"link set {self._name}h up")
            self._inside(f"addr add {self._guest}/30 dev {self._name}g")
            self._inside(f"link set {self._name}g up")
            yield
        finally:
            # This also removes the two links.
            _ip(f"netns del {self._name}")

    def cut(self) -> None:
        """Let the network lose all packets from now on."""
        _ip(f"link set {self._name}h down")


def _ip(command: str) -> None:
    subprocess.run(["/usr/sbin/ip", *command.split()], check=True, capture_output=True)


@pytest.fixture
def network() -> Iterator[Network]:
    """Return a new network; skip the test if this process may not make one."""
    network = Network()
    with ExitStack() as made:
        try:
            made.enter_context(network.made())
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("only root can make a network namespace, with the program ip")
        yield network


@contextmanager
def _relay(host: str, server: Server) -> Iterator[int]:
    """Pass connections to a port on to the socket of the server."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                backend = socket.socket(socket.AF_UNIX)
                backend.connect(str(server.socket_path))
                opened.extend((client, backend))
                for pair in ((client, backend), (backend, client)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    opened: list[socket.socket] = []
    with socket.create_server((host, 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for each in opened:
                each.close()


def run_process(report: Connection, backend: str, namespace: str, dsn: str, account: str) -> None:
    """Run a process in the network namespace, which reports how long each call takes after the cut."""
    with open(namespace) as file:
        assert ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _NAMESPACE_OF_NETWORK) == 0
    for module in (connection_threads, shared_pace):
        vars(module)["PATIENCE"] = 2.0
    anyio.run(partial(_call, report, dsn, account), backend=backend)


async def _call(report: Connection, dsn: str, account: str) -> None:
    async with Shared.postgres(dsn, account) as shared:
        pace = shared.pace(50)
        await pace.wait()
        report.send("open")
        report.recv()
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: shared.ledger.claim("a", keyed(shared.ledger, 1)),
            pace.wait,
            lambda: shared.sessions.login_lock().__aenter__(),
        ]
        for call in calls:
            started = time.monotonic()
            try:
                await call()
            except LedgerError as error:
                report.send((type(error).__name__, error.reason, time.monotonic() - started))
            else:
                report.send("no error")


@pytest.mark.timeout(90)
async def test_a_partition(network: Network, server: Server, account: str, anyio_backend_name: str) -> None:
    """If the network to the database fails, each call ends with an error after a bounded time."""
    with _relay(network.host, server) as port:
        dsn = f"postgresql://postgres@{network.host}:{port}/postgres?{_SHORT}"
        with Killable(run_process, anyio_backend_name, str(network.path), dsn, account) as process:
            assert await process.received() == "open"
            network.cut()
            process.connection.send("go")
            for _ in range(3):
                name, reason, seconds = await process.received()
                assert name == "LedgerUnwritable"
                assert "cannot be used" in reason
                assert seconds < 15
