"""Starts the web backends of tests/examples/web as processes, with a sandbox and a database of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smsapi_async.postgres.schema import create_tables
from smsapi_async.sandbox import Sandbox
from tests.postgres.server import Server

ROOT = Path(__file__).parents[1]
PATIENCE = 45.0

# A WSGI server with threads, which imports the application and then forks its workers, as gunicorn does with
# the option `--preload`.
WSGI_SERVER = """
import os, socket, socketserver, sys
from importlib import import_module
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

class Handler(WSGIRequestHandler):
    def log_message(self, *arguments): ...

class ThreadServer(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

server = ThreadServer(("127.0.0.1", int(sys.argv[2])), Handler)
server.set_app(import_module(sys.argv[1]).application)
children = [os.fork() for _ in range(int(sys.argv[3]))]
server.serve_forever() if 0 in children else os.waitpid(children[0], 0)
"""


def free_port() -> int:
    """Return a port on which no program listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def new_database(server: Server, name: str) -> Iterator[str]:
    """Create a database with the tables, and yield its URL."""
    server.rows(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    server.rows(f"CREATE DATABASE {name}")
    dsn = server.dsn(database=name)
    create_tables(dsn)
    yield dsn
    server.rows(f"DROP DATABASE {name} WITH (FORCE)")


def environment_of(sandbox: Sandbox, **further: str) -> dict[str, str]:
    """Return the environment variables of a program that sends to a sandbox."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SMSAPI_LOGIN": sandbox.login,
        "SMSAPI_PASSWORD": sandbox.password,
        "SMSAPI_BASE_URL": sandbox.base_url,
        "SMSAPI_SOURCE_ADDRESS": "ACME",
        "CODE_SECRET": "a random text",
        **further,
    }


@contextmanager
def running(command: list[str], port: int, environment: dict[str, str]) -> Iterator[str]:
    """Run a web server until the end of the block, which kills all its processes. Yield its URL."""
    process = subprocess.Popen([sys.executable, *command], env=environment, cwd=ROOT, start_new_session=True)
    try:
        _wait_until_it_listens(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        # The process began a session, and its workers are in the process group of the session.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, "the web server has ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the web server does not listen")


def uvicorn(application: str, port: int, workers: int = 1) -> list[str]:
    """Return the arguments of Python that run an ASGI application of tests/examples/web."""
    options = ["--port", str(port), "--log-level", "warning", "--workers", str(workers)]
    return ["-m", "uvicorn", f"tests.examples.web.{application}", *options]
