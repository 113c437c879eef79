"""Where an answer ends, in the bytes that a connection brought. No library is needed for it."""

import re

# Retained only to find where an answer ends; a longer chunked answer costs its connection.
RETAINED = 64 * 1024
_BODILESS = re.compile(rb"http/1\.[0-9] (204|304)[^0-9]?")


def answer_length(received: bytes) -> int | None:
    """How many of the received bytes are the (one) answer; None where that cannot be told."""
    start = 0
    while True:
        end = received.find(b"\r\n\r\n", start)
        if end < 0:
            return None
        head = received[start:end].lower()
        if head.count(b"\n") != head.count(b"\r\n"):
            # Parsers take a bare line feed for the end of a line, and so may end the head before.
            return None
        if not head.startswith((b"http/1.1 1", b"http/1.0 1")):
            break
        start = end + 4  # an interim answer, such as 100 Continue, precedes the real one
    body = end + 4
    if _BODILESS.match(head):
        return body
    if b"\r\ntransfer-encoding:" in head:
        return _end_of_chunks(received, body)
    _, found, rest = head.partition(b"\r\ncontent-length:")
    if found:
        digits = rest.split(b"\r\n", 1)[0].strip()
        return body + int(digits) if digits.isdigit() else None
    return None  # it goes on to the end of the connection


def _end_of_chunks(received: bytes, position: int) -> int | None:
    while True:
        line_end = received.find(b"\r\n", position)
        if line_end < 0:
            return None
        try:
            size = int(received[position:line_end].split(b";", 1)[0], 16)
        except ValueError:
            return None
        if size == 0:
            trailer_end = received.find(b"\r\n\r\n", line_end)
            return trailer_end + 4 if trailer_end >= 0 else None
        position = line_end + 2 + size + 2
