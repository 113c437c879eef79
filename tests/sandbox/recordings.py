"""Recorded requests of published clients: reads the recordings and sends them over a socket.

A recording is a file `published_clients/<client>/<operation>.http`, which contains the bytes of one request.
The recordings have placeholders only for the values that differ in each run. `README.md` in the folder lists
the placeholders and the clients.
"""

import json
import re
import socket
from collections.abc import Mapping
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import attrs
import httpx

from smsapi_async.sandbox import Sandbox

FOLDER = Path(__file__).parent / "published_clients"
OPERATIONS = {(path.parent.name, path.stem): path for path in sorted(FOLDER.glob("*/*.http"))}

_SEGMENT = re.compile(rb"\{segment(?::(%2[Bb]))?\}")
_END_OF_HEAD = b"\r\n\r\n"


@attrs.frozen
class Reply:
    """The response to a recorded request: the HTTP status, the content type and the text of the body."""

    status: int
    content_type: str
    text: str

    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.text)


def recorded(client: str, operation: str, values: Mapping[str, str]) -> bytes:
    """Return the bytes of a recorded request with the values of its placeholders.

    Args:
        client: the name of the client.
        operation: the name of the operation.
        values: the values of the placeholders `host`, `login`, `password`, `session` and `segment`.
    """
    head, end, body = OPERATIONS[client, operation].read_bytes().partition(_END_OF_HEAD)
    head, body = _filled(head, values), _filled(body, values)
    return head.replace(b"{length}", str(len(body)).encode()) + end + body


def values_for(sandbox: Sandbox, session: str = "", segment: str = "") -> dict[str, str]:
    """Return the values of the placeholders for a request to a sandbox that is served over a socket."""
    host = httpx.URL(sandbox.base_url).netloc.decode()
    return {
        "host": host,
        "login": sandbox.login,
        "password": sandbox.password,
        "session": session,
        "segment": segment,
    }


def exchange(request: bytes, host: str) -> Reply:
    """Send the bytes of a request over a new connection and return the response."""
    address, _, port = host.rpartition(":")
    with socket.create_connection((address, int(port)), timeout=10) as connection:
        head, end, body = request.partition(_END_OF_HEAD)
        connection.sendall(head + end)
        if b"expect: 100-continue" in head.lower():
            # .NET sends the body when the server has answered the head with an interim response.
            assert _interim(connection).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        response = HTTPResponse(connection, method=request.split(b" ", 1)[0].decode())
        response.begin()
        return Reply(response.status, response.getheader("Content-Type", ""), response.read().decode())


def _filled(part: bytes, values: Mapping[str, str]) -> bytes:
    for name in ("host", "login", "password", "session"):
        part = part.replace(b"{%s}" % name.encode(), values[name].encode())
    return _SEGMENT.sub(lambda found: values["segment"].encode().replace(b"+", found[1] or b"+"), part)


def _interim(connection: socket.socket) -> bytes:
    received = b""
    while _END_OF_HEAD not in received:
        part = connection.recv(1)
        assert part, "the server closed the connection before the interim response"
        received += part
    return received
