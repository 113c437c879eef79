"""HTTP/1.1 messages as bytes: where one ends (RFC 9112, section 6), and no more than that."""

import asyncio

import attrs

_ROOT = "/rest/"
_MAX_HEADER_LINES = 256


class MalformedMessageError(Exception):
    """The bytes are not an HTTP/1.1 message whose end can be told."""


@attrs.frozen
class Headers:
    """Header fields by name in lower case; repeated ones joined by commas."""

    fields: dict[str, str] = attrs.field(repr=False)

    def tokens(self, name: str) -> list[str]:
        """The comma-separated values of a field, in lower case."""
        return [token.strip().lower() for token in self.fields.get(name, "").split(",") if token.strip()]

    def keeps_alive(self, version: str) -> bool:
        """Whether the connection stays open after this message (RFC 9112, section 9.3)."""
        options = self.tokens("connection")
        return "close" not in options and (version != "HTTP/1.0" or "keep-alive" in options)


@attrs.frozen
class RequestLine:
    """The first line of a request."""

    raw: bytes = attrs.field(repr=False)
    method: str
    target: str = attrs.field(repr=False)
    version: str

    @property
    def path_and_query(self) -> str:
        """The target without scheme and authority, which a proxy's may have (RFC 9112, section 3.2)."""
        if self.target.startswith("/"):
            return self.target
        return "/" + self.target.partition("://")[2].partition("/")[2]

    @property
    def resource(self) -> str:
        """The path below `/rest` without the query, such as `Sms/Send`."""
        path = self.path_and_query.partition("?")[0]
        return (path[len(_ROOT) :] if path.lower().startswith(_ROOT) else path).strip("/")


@attrs.frozen
class RawRequest:
    """A whole request, as it came."""

    line: RequestLine
    headers: Headers
    raw: bytes = attrs.field(repr=False)

    @property
    def keep_alive(self) -> bool:
        """Whether the client will use the connection again."""
        return self.headers.keeps_alive(self.line.version)


@attrs.frozen
class RawResponse:
    """A whole answer; `is_delimited` is false if only the end of the connection ends its body."""

    head: bytes = attrs.field(repr=False)
    body: bytes = attrs.field(default=b"", repr=False)
    keep_alive: bool = True
    is_delimited: bool = True

    @property
    def raw(self) -> bytes:
        """The answer as it came."""
        return self.head + self.body

    @property
    def truncated(self) -> bytes:
        """The answer cut within its body, or within its head if a cut body would look whole."""
        if self.body and self.is_delimited:
            return self.head + self.body[: len(self.body) // 2]
        return self.head[: len(self.head) // 2]


async def read_request_line(reader: asyncio.StreamReader, ahead: bytes = b"") -> RequestLine:
    """Read a request line, of which `ahead` was read before; `EOFError` if the client is gone."""
    raw = b""
    while not raw:
        raw = (ahead + await _read_line(reader)).lstrip(b"\r\n")
        ahead = b""
    method, _, rest = raw.decode("latin-1").rstrip("\r\n").partition(" ")
    target, _, version = rest.rpartition(" ")
    if not (method and target and version.startswith("HTTP/1.")):
        raise MalformedMessageError("no HTTP/1 request line")
    return RequestLine(raw, method, target, version)


async def read_request_rest(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: RequestLine
) -> RawRequest:
    """Read the header fields and the body that follow `line`."""
    raw, headers = await _read_header_fields(reader)
    if "100-continue" in headers.tokens("expect"):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body, _ = await _read_body(reader, headers, to_eof=False)
    return RawRequest(line, headers, line.raw + raw + body)


async def read_answer(reader: asyncio.StreamReader, *, method: str) -> RawResponse:
    """Read the final answer to a request of `method`, interim ones skipped."""
    status = 100
    while 100 <= status < 200:
        line = await _read_line(reader)
        version, _, rest = line.decode("latin-1").partition(" ")
        if not (version.startswith("HTTP/1.") and rest[:3].isdecimal()):
            raise MalformedMessageError("no HTTP/1 status line")
        status = int(rest[:3])
        raw, headers = await _read_header_fields(reader)
    keep_alive = headers.keeps_alive(version)
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
    raise MalformedMessageError("too many header fields")


async def _read_body(reader: asyncio.StreamReader, headers: Headers, *, to_eof: bool) -> tuple[bytes, bool]:
    if headers.tokens("transfer-encoding")[-1:] == ["chunked"]:
        return await _read_chunks(reader), True
    lengths = set(headers.tokens("content-length"))
    if lengths:
        length = lengths.pop()
        if lengths or not (length.isascii() and length.isdecimal()):
            raise MalformedMessageError("no single Content-Length")
        return await reader.readexactly(int(length)), True
    return (await reader.read(), False) if to_eof else (b"", True)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    while True:
        parts.append(await _read_line(reader))
        try:
            size = int(parts[-1].partition(b";")[0], 16)
        except ValueError as error:
            raise MalformedMessageError("no chunk size") from error
        if not size:
            trailer, _ = await _read_header_fields(reader)
            return b"".join((*parts, trailer))
        parts.append(await reader.readexactly(size + 2))
