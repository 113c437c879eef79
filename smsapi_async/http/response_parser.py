"""Parses one whole HTTP/1.1 response: with httptools if httptools is installed, else with h11.

Before a response is parsed, `AnswerEnd` has found its end; `AnswerEnd` refuses responses with an ambiguous
end. If the parser does not find exactly one response in the same bytes, the parser raises an error.
"""

from collections.abc import Callable

import attrs
import h11
import httpx

try:
    import httptools
except ModuleNotFoundError:
    _HAS_HTTPTOOLS = False
else:
    _HAS_HTTPTOOLS = True


@attrs.frozen
class ParsedResponse:
    """One parsed HTTP response.

    Attributes:
        status: the HTTP status code of the response.
        headers: the names and values of the headers, in the order of the response.
        body: the body of the response without the sizes of its chunks; content codings are not decoded.
        keeps_alive: whether the server accepts another request on the connection.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    keeps_alive: bool


class _Collector:
    """Collects the parts of a response from the callbacks of httptools."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.messages = 0
        self.ended = 0
        self.keeps_alive = False
        self.parser = httptools.HttpResponseParser(self)

    def on_message_begin(self) -> None:
        self.messages += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        # The parser's result for `should_keep_alive` is right in this callback only.
        self.keeps_alive = self.parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def on_message_complete(self) -> None:
        self.ended += 1


def _parsed_by_httptools(raw: bytes, *, until_eof: bool) -> ParsedResponse:
    collector = _Collector()
    try:
        collector.parser.feed_data(raw)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        # Only the name of the error is shown, because the text of the error may quote the response.
        raise httpx.RemoteProtocolError(type(error).__name__) from None
    status = collector.parser.get_status_code()
    # An interim response (a status below 200) is not a whole response.
    if collector.messages != 1 or (collector.ended != 1 and not until_eof) or status < 200:
        raise httpx.RemoteProtocolError("the bytes are not exactly one response")
    body = collector.pieces[0] if len(collector.pieces) == 1 else b"".join(collector.pieces)
    return ParsedResponse(status, collector.headers, body, collector.keeps_alive and not until_eof)


_REQUEST = h11.Request(method="POST", target="/", headers=[("Host", "gateway"), ("Content-Length", "0")])
_END = h11.EndOfMessage()


def parsed_by_h11(raw: bytes, *, until_eof: bool) -> ParsedResponse:
    """Parse one whole response with h11. Parameters and errors are the same as for `parse_response`."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=len(raw) + 1)
    connection.send(_REQUEST)
    connection.send(_END)
    connection.receive_data(raw)
    if until_eof:
        connection.receive_data(b"")
    response: h11.Response | None = None
    pieces: list[bytes] = []
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
            else:
                raise httpx.RemoteProtocolError("the bytes are not exactly one response")
    except h11.RemoteProtocolError as error:
        raise httpx.RemoteProtocolError(type(error).__name__) from None
    if response is None or connection.trailing_data[0]:
        raise httpx.RemoteProtocolError("the bytes are not exactly one response")
    keeps_alive = connection.their_state is h11.DONE and not until_eof
    return ParsedResponse(response.status_code, response.headers.raw_items(), b"".join(pieces), keeps_alive)


parse_response: Callable[..., ParsedResponse] = _parsed_by_httptools if _HAS_HTTPTOOLS else parsed_by_h11
"""Parse one whole HTTP response.

Args:
    raw: the bytes of the final response, without interim responses.
    until_eof: whether the body ended when the server closed the connection.

Raises:
    httpx.RemoteProtocolError: if the bytes are not exactly one response.
"""
