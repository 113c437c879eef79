"""The health check of a worker: an HTTP server, or a file that is written again and again."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Final

import anyio
from anyio.abc import SocketStream

from smsapi_async.errors import ValidationError

ALIVE_SECONDS: Final = 30.0
"""A worker that has not looked at its queue for this time is not alive.

A look counts even if the server is away: a restart of the worker would lose the answers that it holds.
"""

_WRITE_EVERY = 1.0
_READ_SECONDS = 5.0
_LONGEST_REQUEST = 8192


class Heartbeat:
    """When a worker has last looked at its queue.

    Args:
        path: the file whose time of change is the time of the last look, or None.
    """

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path)
        self._at = monotonic()
        self._written_at = 0.0

    @property
    def is_alive(self) -> bool:
        """Whether the last look was a short time ago."""
        return monotonic() - self._at < ALIVE_SECONDS

    def check(self) -> None:
        """Write the file for the first time.

        Raises:
            ValidationError: if the file cannot be written.
        """
        try:
            self._write()
        except OSError as error:
            hint = f"pass a file that can be written ({error.strerror})"
            raise ValidationError("--livez-file", repr(str(self._path)), hint) from None

    def beat(self) -> None:
        """Note that the worker looks at its queue now."""
        self._at = monotonic()
        if self._at - self._written_at >= _WRITE_EVERY:
            # A full disk must not stop the worker. The old time of the file then says that it is not alive.
            try:
                self._write()
            except OSError:
                self._written_at = self._at

    def _write(self) -> None:
        if self._path is not None:
            # The process number is of use for the person who reads the file.
            self._path.write_text(f"{os.getpid()}\n", encoding="ascii")
            self._written_at = self._at


@asynccontextmanager
async def livez_server(
    port: int | None, heartbeat: Heartbeat, state: Callable[[], str]
) -> AsyncIterator[None]:
    """Answer HTTP requests on all network interfaces: 200 if the worker is alive, and otherwise 503.

    Args:
        port: the port to listen on; None means no server.
        heartbeat: the heartbeat of the worker.
        state: a function that returns the state of the worker in one word.

    Raises:
        ValidationError: if the server cannot listen on the port.
    """
    if port is None:
        yield
        return
    try:
        listener = await anyio.create_tcp_listener(local_port=port)
    except (OSError, OverflowError) as error:
        hint = f"pass another port ({getattr(error, 'strerror', None) or type(error).__name__})"
        raise ValidationError("--livez-port", str(port), hint) from None

    async def answer(stream: SocketStream) -> None:
        async with stream:
            with anyio.move_on_after(_READ_SECONDS):
                try:
                    await _read_request(stream)
                    await stream.send(_response(heartbeat.is_alive, state()))
                except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
                    pass

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, answer)
        try:
            yield
        finally:
            group.cancel_scope.cancel()


async def _read_request(stream: SocketStream) -> None:
    received = b""
    while b"\r\n\r\n" not in received and len(received) < _LONGEST_REQUEST:
        received += await stream.receive()


def _response(is_alive: bool, state: str) -> bytes:
    body = json.dumps({"alive": is_alive, "state": state}).encode("ascii")
    status = "200 OK" if is_alive else "503 Service Unavailable"
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode("ascii") + body
