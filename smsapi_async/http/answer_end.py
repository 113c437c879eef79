"""Finds the end of an HTTP/1.1 response in the bytes that a connection received.

Parsers disagree on the end of a response if the response names its length in two ways. Whatever follows
such an end could become the response to another request. So this module refuses each response with an
ambiguous end, and both transports use this module: the stricter reading holds on both.
"""

import re

HEAD_LIMIT = 64 * 1024
"""The largest head of a response in bytes, interim responses included."""

# A status line and field lines, in lower case (RFC 9112, 4 and 5). Parsers disagree on the end of a response
# with another version than HTTP/1.0 and HTTP/1.1, with a space before a colon (5.1), with a field of several
# lines (5.2), or with a line that ends with CR or LF alone (2.2). The pattern does not match these responses.
_HEAD = re.compile(rb"http/1\.[01] ([0-9]{3})(?: [^\r\n]*)?((?:\r\n[!#$%&'*+.^_`|~0-9a-z-]+:[^\r\n]*)*)")
_LENGTH_FIELD, _CODING_FIELD = b"\r\ncontent-length:", b"\r\ntransfer-encoding:"
# The number of digits is limited because `int` raises ValueError for more than 4300 digits.
_LENGTH = re.compile(rb"[0-9]{1,18}")
# A chunk extension may follow the size (RFC 9112, 7.1.1).
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(;|\Z)")
_LONGEST_CHUNK_LINE = 1024


class AnswerEnd:
    """Finds the end of one response.

    Call `find` again when more bytes have arrived. The search continues where the last search stopped.

    Attributes:
        begin: the index of the first byte of the final response; interim responses precede it.
        body_start: the index of the first byte of the body; 0 before the head has arrived.
        is_until_eof: whether the end of the connection ends the body.
        length: the length of the response in bytes; None if the end has not arrived or is not known.
        flaw: why the response is refused, or None.
    """

    def __init__(self) -> None:
        self.begin = 0
        self.body_start = 0
        self.is_until_eof = False
        self.flaw: str | None = None
        self._position = 0
        self._in_chunks = False
        self._is_settled = False
        self.length: int | None = None

    def find(self, received: bytes | bytearray) -> int | None:
        """Return the length of the response in bytes, or None.

        None means that the end of the response has not arrived, that the end of the connection ends the
        response, or that the response has a `flaw`. With a ``Content-Length`` header the length is known
        before the whole response has arrived.

        Args:
            received: all bytes since the request, from the first byte of the response.
        """
        if not self._is_settled and not self._in_chunks:
            self._read_head(received)
        if not self._is_settled and self._in_chunks:
            self._read_chunks(received)
        return self.length

    def oversize(self, count: int, body_limit: int) -> str | None:
        """Return why the response is too large, or None.

        A large ``Content-Length`` is refused before the body arrives.

        Args:
            count: the number of bytes that have arrived.
            body_limit: the largest body in bytes.
        """
        if not self.body_start:
            return "the head of the response is too large" if count > HEAD_LIMIT else None
        # The framing of chunks may need as many bytes as the body. The caller of this method checks the body
        # without its framing.
        allowed = self.body_start + (2 * body_limit + HEAD_LIMIT if self._in_chunks else body_limit)
        is_large = count > allowed or (self.length is not None and self.length > allowed)
        return "the body of the response is too large" if is_large else None

    def _settle(self, length: int | None) -> None:
        self._is_settled, self.length = True, length

    def _refuse(self, flaw: str) -> None:
        self.flaw = flaw
        self._settle(None)

    def _read_head(self, received: bytes | bytearray) -> None:
        while (end := received.find(b"\r\n\r\n", self._position)) >= 0:
            self.begin = self._position
            self._position = end + 4
            if self._position > HEAD_LIMIT:
                self._refuse("the head of the response is too large")
                return
            head = _HEAD.fullmatch(bytes(received[self.begin : end]).lower())
            if head is None:
                self._refuse("the head of the response is malformed")
                return
            if head[1] == b"101":
                self._refuse("the server upgraded the connection")
                return
            # An interim response, for example 100 Continue, precedes the final response.
            if not head[1].startswith(b"1"):
                self.body_start = self._position
                self._read_framing(head[1], head[2], is_old=head[0].startswith(b"http/1.0"))
                return

    def _read_framing(self, status: bytes, fields: bytes, *, is_old: bool) -> None:
        length, coding = _value_of(fields, _LENGTH_FIELD), _value_of(fields, _CODING_FIELD)
        if (
            fields.count(_LENGTH_FIELD) + fields.count(_CODING_FIELD) > 1
            or (length is not None and not _LENGTH.fullmatch(length))
            or (coding is not None and (coding != b"chunked" or is_old))
        ):
            # RFC 9112, 6.3, lets a client read some of these responses. But two readers may disagree on the
            # end of such a response (RFC 9112, 11.1).
            self._refuse("the length of the response is ambiguous")
        elif status in {b"204", b"304"}:
            self._settle(self._position)
        elif coding is not None:
            self._in_chunks = True
        elif length is not None:
            self._settle(self._position + int(length))
        else:
            self.is_until_eof = True
            self._settle(None)

    def _read_chunks(self, received: bytes | bytearray) -> None:
        while (line_end := received.find(b"\r\n", self._position)) >= 0:
            size_line = _CHUNK_SIZE.match(bytes(received[self._position : line_end]))
            if size_line is None or line_end - self._position > _LONGEST_CHUNK_LINE:
                self._refuse("the chunks of the response are malformed")
                return
            size = int(size_line[1], 16)
            if size == 0:
                self._read_trailer(received, line_end)
                return
            # A CRLF follows the size, and another CRLF follows the data.
            end = line_end + 2 + size
            if len(received) < end + 2:
                return
            if received[end : end + 2] != b"\r\n":
                self._refuse("the chunks of the response are malformed")
                return
            self._position = end + 2
        if len(received) - self._position > _LONGEST_CHUNK_LINE:
            self._refuse("the chunks of the response are malformed")

    def _read_trailer(self, received: bytes | bytearray, line_end: int) -> None:
        # The search includes the CRLF of the size line: without trailer fields this CRLF is the first half of
        # CRLF CRLF.
        trailer_end = received.find(b"\r\n\r\n", line_end)
        if trailer_end >= 0:
            trailer = bytes(received[line_end : trailer_end + 4])
            if _has_bare_line_end(trailer):
                self._refuse("the trailer of the response is malformed")
            else:
                self._settle(trailer_end + 4)


def _value_of(fields: bytes, name: bytes) -> bytes | None:
    start = fields.find(name)
    if start < 0:
        return None
    start += len(name)
    end = fields.find(b"\r\n", start)
    return fields[start : end if end >= 0 else len(fields)].strip(b" \t")


def _has_bare_line_end(lines: bytes) -> bool:
    """Return whether a line ends with CR or LF alone.

    Some parsers accept LF as the end of a line (RFC 9112, 2.2). These parsers may find the end of the
    header or the trailer earlier than this module.
    """
    pairs = lines.count(b"\r\n")
    return lines.count(b"\n") != pairs or lines.count(b"\r") != pairs
