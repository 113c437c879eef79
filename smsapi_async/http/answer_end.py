"""Finds the end of an HTTP/1.1 response in the bytes that a connection received.

Both transports use this module, so this module imports neither aiohttp nor httpcore.
"""

import re

# A connection keeps this number of bytes to find the end of a response. The end of a longer chunked
# response is not found, and the connection is not used again.
RETAINED = 64 * 1024
# Only HTTP/1.0 and HTTP/1.1: parsers disagree on the end of a response with another version.
_STATUS = re.compile(rb"http/1\.[01] ([0-9]{3})\b")
# The number of digits is limited because `int` raises ValueError for more than 4300 digits.
_LENGTH = re.compile(rb"[0-9]{1,18}")
# A chunk extension may follow the size (RFC 9112, 7.1.1).
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(;|\Z)")


class AnswerEnd:
    """Finds the end of one response.

    Call `find` again when more bytes have arrived. The search continues where the last search stopped.
    """

    def __init__(self) -> None:
        self._position = 0
        self._in_chunks = False
        self._is_settled = False
        self._length: int | None = None

    def find(self, received: bytes | bytearray) -> int | None:
        """Return the length of the response in bytes, or None.

        None means that the end of the response has not arrived, or that the end cannot be determined.
        With a ``Content-Length`` header the length is known before the whole response has arrived.

        Args:
            received: all bytes since the request, from the first byte of the response.
        """
        if not self._is_settled and not self._in_chunks:
            self._read_head(received)
        if not self._is_settled and self._in_chunks:
            self._read_chunks(received)
        return self._length

    def _settle(self, length: int | None) -> None:
        self._is_settled, self._length = True, length

    def _read_head(self, received: bytes | bytearray) -> None:
        while (end := received.find(b"\r\n\r\n", self._position)) >= 0:
            head = bytes(received[self._position : end]).lower()
            self._position = end + 4
            status = _STATUS.match(head)
            if status is None or _has_bare_line_feed(head):
                self._settle(None)
                return
            # An interim response, for example 100 Continue, precedes the final response.
            if not status[1].startswith(b"1"):
                self._read_framing(head, status[1])
                return

    def _read_framing(self, head: bytes, status: bytes) -> None:
        # The order of these checks is the order in RFC 9112, 6.3. The responses 204 and 304 have no
        # body, and Transfer-Encoding overrides Content-Length.
        if status in {b"204", b"304"}:
            self._settle(self._position)
        elif b"\r\ntransfer-encoding:" in head:
            self._in_chunks = True
        else:
            digits = head.partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0].strip()
            # Without a length the response ends when the server closes the connection.
            self._settle(self._position + int(digits) if _LENGTH.fullmatch(digits) else None)

    def _read_chunks(self, received: bytes | bytearray) -> None:
        while (line_end := received.find(b"\r\n", self._position)) >= 0:
            size_line = _CHUNK_SIZE.match(bytes(received[self._position : line_end]))
            if size_line is None:
                self._settle(None)
                return
            size = int(size_line[1], 16)
            if size == 0:
                # The search includes the CRLF of the size line: without trailer fields this CRLF is the
                # first half of CRLF CRLF.
                trailer_end = received.find(b"\r\n\r\n", line_end)
                if trailer_end >= 0:
                    trailer = bytes(received[line_end : trailer_end + 4])
                    self._settle(None if _has_bare_line_feed(trailer) else trailer_end + 4)
                return
            # A CRLF follows the size, and another CRLF follows the data.
            self._position = line_end + 2 + size + 2


def _has_bare_line_feed(lines: bytes) -> bool:
    """Return whether a line ends with LF alone.

    Some parsers accept LF as the end of a line (RFC 9112, 2.2). These parsers may find the end of the
    header or the trailer earlier than this module.
    """
    return lines.count(b"\n") != lines.count(b"\r\n")
