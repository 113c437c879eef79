"""Finds the end of an HTTP/1.1 message in a stream of bytes (RFC 9112, section 6)."""

import asyncio

import attrs

# The base paths of version 2 and of version 1 of the interface.
_ROOTS = ("/rest/v2/", "/rest/")
_MAX_HEADER_LINES = 256


class MalformedMessageError(Exception):
    """The bytes are not an HTTP/1.1 message, or the end of the message cannot be determined."""


@attrs.frozen
class Headers:
    """The header fields of a message.

    Attributes:
        fields: the values by lower-case name. The values of a repeated field are joined by commas (RFC 9110,
            section 5.3).
    """

    fields: dict[str, str] = attrs.field(repr=False)

    def tokens(self, name: str) -> list[str]:
        """Return the comma-separated values of a field, in lower case."""
        return [token.strip().lower() for token in self.fields.get(name, "").split(",") if token.strip()]

    def keeps_alive(self, version: str) -> bool:
        """Whether the connection stays open after this message (RFC 9112, section 9.3)."""
        options = self.tokens("connection")
        return "close" not in options and (version != "HTTP/1.0" or "keep-alive" in options)


@attrs.frozen
class RequestLine:
    """The first line of a request.

    Attributes:
        raw: the bytes of the request line, with the line end.
        method: the HTTP method of the request.
        target: the request target, percent-encoded.
        version: the HTTP version of the request, for example `HTTP/1.1`.
    """

    raw: bytes = attrs.field(repr=False)
    method: str
    target: str = attrs.field(repr=False)
    version: str

    @property
    def path_and_query(self) -> str:
        """The request target without scheme and authority.

        The target of a request to a proxy has a scheme and an authority (RFC 9112, section 3.2.2).
        """
        if self.target.startswith("/"):
            return self.target
        return "/" + self.target.partition("://")[2].partition("/")[2]

    @property
    def path(self) -> str:
        """The path of the request target, percent-encoded, without the query."""
        return self.path_and_query.partition("?")[0]

    @property
    def resource(self) -> str:
        """The path below `/rest` or `/rest/v2` without the query, for example `Sms/Send`.

        If the path is not below `/rest`, the value is the whole path.
        """
        path = self.path
        root = next((root for root in _ROOTS if path.lower().startswith(root)), "")
        return path[len(root) :].strip("/")


@attrs.frozen
class RawRequest:
    """A whole request.

    Attributes:
        line: the request line, which is the first line of the request.
        headers: the header fields of the request.
        raw: all bytes of the request, unchanged.
    """

    line: RequestLine
    headers: Headers
    raw: bytes = attrs.field(repr=False)

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open after this request."""
        return self.headers.keeps_alive(self.line.version)


@attrs.frozen
class RawResponse:
    """A whole response.

    Attributes:
        head: the bytes of the status line and of the header fields, with the empty line.
        body: the bytes of the body of the response.
        keep_alive: whether the connection stays open after this response.
        is_delimited: whether the head determines the end of the body. If `is_delimited` is false, the end of
            the connection is the end of the body.
    """

    head: bytes = attrs.field(repr=False)
    body: bytes = attrs.field(default=b"", repr=False)
    keep_alive: bool = True
    is_delimited: bool = True

    @property
    def raw(self) -> bytes:
        """All bytes of the response, unchanged."""
        return self.head + self.body

    @property
    def truncated(self) -> bytes:
        """The first part of the response: the head and the first half of the body.

        If the response has no body, or if the end of the connection is the end of the body, the value is the
        first half of the head. A client could not detect that such a body is incomplete.
        """
        if self.body and self.is_delimited:
            return self.head + self.body[: len(self.body) // 2]
        return self.head[: len(self.head) // 2]


async def read_request_line(reader: asyncio.StreamReader, ahead: bytes = b"") -> RequestLine:
    """Read a request line.

    Args:
        reader: the stream from which the proxy reads the bytes of the client.
        ahead: the bytes of the request line that were already read.

    Raises:
        EOFError: if the client closed the connection.
        MalformedMessageError: if the line is not an HTTP/1 request line.
    """
    # A client may send empty lines before a request line (RFC 9112, section 2.2).
    raw = b""
    while not raw:
        raw = (ahead + await _read_line(reader)).lstrip(b"\r\n")
        ahead = b""
    method, _, rest = raw.decode("latin-1").rstrip("\r\n").partition(" ")
    target, _, version = rest.rpartition(" ")
    if not (method and target and version.startswith("HTTP/1.")):
        raise MalformedMessageError("the first line is not an HTTP/1 request line")
    return RequestLine(raw, method, target, version)


async def read_request_rest(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: RequestLine
) -> RawRequest:
    """Read the header fields and the body that follow `line`.

    Raises:
        EOFError: if the client closed the connection before the end of the request.
        MalformedMessageError: if the end of the request cannot be determined.
    """
    raw, headers = await _read_header_fields(reader)
    if "100-continue" in headers.tokens("expect"):
        # The client waits for an interim response with status 100 before it sends the body (RFC 9110, section
        # 10.1.1).
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body, _ = await _read_body(reader, headers, to_eof=False)
    return RawRequest(line, headers, line.raw + raw + body)


async def read_answer(reader: asyncio.StreamReader, *, method: str) -> RawResponse:
    """Read the final response to a request and skip interim responses.

    Args:
        reader: the stream from which the proxy reads the bytes of the server.
        method: the HTTP method of the request. The response to HEAD has no body.

    Raises:
        EOFError: if the server closed the connection before the end of the response.
        MalformedMessageError: if the end of the response cannot be determined.
    """
    status = 100
    while 100 <= status < 200:
        line = await _read_line(reader)
        version, _, rest = line.decode("latin-1").partition(" ")
        if not (version.startswith("HTTP/1.") and rest[:3].isascii() and rest[:3].isdecimal()):
            raise MalformedMessageError("the first line is not an HTTP/1 status line")
        status = int(rest[:3])
        raw, headers = await _read_header_fields(reader)
    keep_alive = headers.keeps_alive(version)
    # A response to HEAD and a response with HTTP status 204 or 304 have no body, even with a Content-Length
    # (RFC 9112, section 6.3).
    if method == "HEAD" or status in {204, 304}:
        return RawResponse(line + raw, keep_alive=keep_alive)
    body, is_delimited = await _read_body(reader, headers, to_eof=True)
    return RawResponse(line + raw, body, keep_alive and is_delimited, is_delimited)


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError as error:
        raise MalformedMessageError("a line is too long") from error


async def _read_header_fields(reader: asyncio.StreamReader) -> tuple[bytes, Headers]:
    lines: list[bytes] = []
    fields: dict[str, str] = {}
    while len(lines) < _MAX_HEADER_LINES:
        lines.append(await _read_line(reader))
        text = lines[-1].decode("latin-1").strip()
        if not text:
            return b"".join(lines), Headers(fields)
        name, _, value = text.partition(":")
        known = fields.get(name.lower())
        fields[name.lower()] = value.strip() if known is None else f"{known},{value.strip()}"
    raise MalformedMessageError("the message has too many header fields")


async def _read_body(reader: asyncio.StreamReader, headers: Headers, *, to_eof: bool) -> tuple[bytes, bool]:
    # Transfer-Encoding overrides Content-Length (RFC 9112, section 6.3).
    if headers.tokens("transfer-encoding")[-1:] == ["chunked"]:
        return await _read_chunks(reader), True
    lengths = set(headers.tokens("content-length"))
    if lengths:
        length = lengths.pop()
        if lengths or not (length.isascii() and length.isdecimal()):
            raise MalformedMessageError("Content-Length is not a single number")
        return await reader.readexactly(int(length)), True
    # Without Content-Length and without chunks, a request has no body, and the body of a response ends at the
    # end of the connection (RFC 9112, section 6.3).
    return (await reader.read(), False) if to_eof else (b"", True)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    while True:
        parts.append(await _read_line(reader))
        try:
            size = int(parts[-1].partition(b";")[0], 16)
        except ValueError as error:
            raise MalformedMessageError("the chunk size is not a hexadecimal number") from error
        if size < 0:
            raise MalformedMessageError("the chunk size is negative")
        if not size:
            trailer, _ = await _read_header_fields(reader)
            return b"".join((*parts, trailer))
        # A line end of 2 bytes follows the data of each chunk.
        parts.append(await reader.readexactly(size + 2))
