"""Finds the end of an HTTP/1.1 response in the bytes that a connection received.

Parsers disagree on the end of a response if the response names its length in two ways. After a wrong end,
the remaining bytes could be read as the response to another request. Therefore this module refuses each
response with an ambiguous end. Both transports use this module, so both refuse the same responses.
"""

import re

HEAD_LIMIT = 64 * 1024
"""The largest head (status line and header fields) of a response in bytes, including interim responses."""

# The pattern matches the head of a response in lower case: a status line and field lines (RFC 9112, 4 and 5).
# The pattern does not match some responses on whose end parsers disagree: another version than HTTP/1.0 or
# HTTP/1.1, a space before a colon (RFC 9112, 5.1), a field of several lines (5.2), or a line that ends with
# CR or LF alone (2.2).
_HEAD = re.compile(rb"http/1\.[01] ([0-9]{3})(?: [^\r\n]*)?((?:\r\n[!#$%&'*+.^_`|~0-9a-z-]+:[^\r\n]*)*)")
_LENGTH_FIELD, _CODING_FIELD = b"\r\ncontent-length:", b"\r\ntransfer-encoding:"
# The pattern for a Content-Length limits the number of digits, because `int` raises ValueError for more than
# 4300 digits.
_LENGTH = re.compile(rb"[0-9]{1,18}")
# In a chunked body, an extension may follow the size of a chunk (RFC 9112, 7.1.1).
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(;|\Z)")
_LONGEST_CHUNK_LINE = 1024


class AnswerEnd:
    """Finds the end of one HTTP response in the received bytes.

    Call `find` again when more bytes have arrived. Each search continues where the last search stopped.

    Attributes:
        begin: the index of the first byte of the final response; interim responses precede it.
        body_start: the index of the first byte of the body; 0 before the head has arrived.
        is_until_eof: whether the body of the response ends when the server closes the connection.
        length: the length of the response in bytes; None if the end of the response has not arrived or is
            not known.
        flaw: the reason why the response is refused; None if the response is not refused.
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
        """Return the length of the response in bytes; None if the length is not known.

        The length is not known if the end of the response has not arrived, if the response ends with the
        connection, or if the response has a `flaw`. With a ``Content-Length`` header the length is known
        before the whole response has arrived.

        Args:
            received: all bytes that the connection has received since the request was sent.
        """
        if not self._is_settled and not self._in_chunks:
            self._read_head(received)
        if not self._is_settled and self._in_chunks:
            self._read_chunks(received)
        return self.length

    def oversize(self, count: int, body_limit: int) -> str | None:
        """Return an error text if the response is too large, else None.

        If ``Content-Length`` is too large, the response is refused before its body arrives.

        Args:
            count: the number of bytes of the response that have arrived.
            body_limit: the largest allowed body of the response in bytes.
        """
        if not self.body_start:
            return "the head of the response is too large" if count > HEAD_LIMIT else None
        # A chunked response may need as many bytes for the sizes of its chunks as for the body itself. The
        # caller of `oversize` later checks the size of the decoded body alone.
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
            # RFC 9112, 6.3, allows a client to read some responses with an ambiguous length. We refuse all of
            # these responses, because two readers may disagree on their end (RFC 9112, 11.1).
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
            # In a chunk, a CRLF follows the size, and another CRLF follows the data.
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
        # The search for CRLF CRLF includes the CRLF of the last size line, because without trailer fields
        # only one more CRLF follows.
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

    Parsers that accept a lone LF as the end of a line (RFC 9112, 2.2) may find the end of the header or the
    trailer earlier than this module.
    """
    pairs = lines.count(b"\r\n")
    return lines.count(b"\n") != pairs or lines.count(b"\r") != pairs
