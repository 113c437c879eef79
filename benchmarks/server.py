"""A server that replaces the gateway in the benchmarks, in a separate process on a separate core.

The server does as little work as possible, so that the benchmarks measure the contenders and not the server.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from typing import cast

SESSION_ID = "Z5CYSZEKDL1DPICU37WENQVOYKP0T1GSLHX1"
SEGMENT_ID = "579700854169272358"
_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)
# The highest number of bytes of an incomplete request. To limit its memory use, the server closes the
# connection if a client sends more bytes. A request with 500 recipients is much shorter.
_LARGEST = 4 * 1024 * 1024
_SECONDS_TO_STOP = 5


@lru_cache(maxsize=64)
def _response(body: str) -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\nCache-Control: private\r\nConnection: Keep-Alive\r\n"
        f"Content-Type: application/json; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return f"{head}{body}".encode("ascii")


@lru_cache(maxsize=64)
def _sent_to(count: int) -> bytes:
    return _response("[" + ",".join([f'"{SEGMENT_ID}"'] * count) + "]")


_LOGIN, _SENT = _response(f'"{SESSION_ID}"'), _sent_to(1)


class _Gateway(asyncio.Protocol):
    """Writes the response to each request as soon as the request is complete, or after a delay.

    Args:
        delay: the seconds between a request and its response.
    """

    def __init__(self, delay: float = 0.0) -> None:
        self._delay = delay
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport, so that `data_received` can write responses to the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Collect the received bytes, and write the response to each complete request."""
        received = self._received + data if self._received else data
        while (end := received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(received, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(received) < whole:
                break
            self._respond(_response_to(received, whole))
            received = received[whole:]
        self._received = received
        if len(received) > _LARGEST:
            self._transport.abort()

    def _respond(self, response: bytes) -> None:
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._transport.write, response)
        else:
            self._transport.write(response)


def _response_to(received: bytes, end: int) -> bytes:
    line = received[:80].lower()
    if b"sms/sendbulk" in line:
        return _sent_to(received.count(b"DestinationAddresses=", 0, end))
    return _LOGIN if b"user/sessionid" in line else _SENT


async def _serve(delay: float) -> None:
    """Print the port of the server, and serve until standard input is closed.

    The operating system closes standard input of the server when the parent process ends or is killed.
    """
    server = await asyncio.get_running_loop().create_server(
        partial(_Gateway, delay), "127.0.0.1", 0, backlog=2048
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)
    server.close()


def main() -> None:
    """Run the server, and use uvloop if it is installed.

    The command-line arguments are the delay in seconds, and the core on which the server runs.
    """
    delay = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    if len(sys.argv) > 2:
        os.sched_setaffinity(0, {int(sys.argv[2])})
    try:
        # With uvloop, the server needs less time for each request than with the asyncio event loop, so that
        # the server slows the contenders down less.
        import uvloop  # noqa: PLC0415
    except ImportError:
        asyncio.run(_serve(delay))
    else:
        uvloop.run(_serve(delay))


@contextmanager
def running(delay: float = 0.0) -> Iterator[str]:
    """Run a server while the block runs, and yield its base URL.

    On a machine with two or more cores, the server runs on one core and the block on another core. The
    figures do not depend on the number of cores, because the server and the block do not compete for a core.

    Args:
        delay: the seconds between a request and its response.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    apart = len(cores) > 1
    command = [sys.executable, "-m", "benchmarks.server", str(delay), *([str(cores[-1])] if apart else [])]
    # Start the server in its own operating-system session, so that Ctrl-C does not reach the server. The end
    # of this process ends the server, because the operating system closes the standard input of the server.
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port:
                raise RuntimeError("the server of the benchmarks did not start")
            if apart:
                os.sched_setaffinity(0, {cores[0]})
            yield f"http://127.0.0.1:{int(port)}/rest"
        finally:
            if apart:
                os.sched_setaffinity(0, set(cores))
            _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_SECONDS_TO_STOP)
    process.kill()


if __name__ == "__main__":
    main()
