"""Where an answer ends, in the bytes that a connection brought. No library is needed for it."""

import re

# Retained only to find where an answer ends; a longer chunked answer costs its connection.
RETAINED = 64 * 1024
_STATUS = re.compile(rb"http/1\.[01] ([0-9]{3})\b")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(;|\Z)")


class AnswerEnd:
    """Finds the end of the (one) answer; asked again once more has come, it goes on where it stopped."""

    def __init__(self) -> None:
        self._position = 0
        self._in_chunks = False
        self._is_settled = False
        self._length: int | None = None

    def find(self, received: bytes | bytearray) -> int | None:
        """How many of the bytes received so far are the answer; None where that cannot be told (yet)."""
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
            # An interim answer, such as 100 Continue, precedes the real one.
            if not status[1].startswith(b"1"):
                self._read_framing(head, status[1])
                return

    def _read_framing(self, head: bytes, status: bytes) -> None:
        if status in {b"204", b"304"}:
            self._settle(self._position)
        elif b"\r\ntransfer-encoding:" in head:
            self._in_chunks = True
        else:
            digits = head.partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0].strip()
            # Without a length it goes on to the end of the connection.
            self._settle(self._position + int(digits) if _LENGTH.fullmatch(digits) else None)

    def _read_chunks(self, received: bytes | bytearray) -> None:
        while (line_end := received.find(b"\r\n", self._position)) >= 0:
            size_line = _CHUNK_SIZE.match(bytes(received[self._position : line_end]))
            if size_line is None:
                self._settle(None)
                return
            size = int(size_line[1], 16)
            if size == 0:
                trailer_end = received.find(b"\r\n\r\n", line_end)
                if trailer_end >= 0:
                    trailer = bytes(received[line_end : trailer_end + 4])
                    self._settle(None if _has_bare_line_feed(trailer) else trailer_end + 4)
                return
            self._position = line_end + 2 + size + 2


def _has_bare_line_feed(lines: bytes) -> bool:
    """Parsers take one for the end of a line, and so may end a head or a trailer before."""
    return lines.count(b"\n") != lines.count(b"\r\n")
