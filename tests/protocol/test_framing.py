"""`AnswerEnd` finds the end of a response, no matter how the network splits the response into pieces."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smsapi_async.http.answer_end import AnswerEnd

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
ANSWERS = [
    HEAD + b"Content-Length: 3\r\n\r\n[1]",
    HEAD + b"content-length:3\r\nX: 1\r\n\r\n[1]",
    b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 3\r\n\r\n[1]",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n",
    b"HTTP/1.1 304\r\n\r\n",
    CHUNKED + b"1\r\n[\r\n2;a=b\r\n1]\r\n0\r\n\r\n",
    CHUNKED + b"A\r\n0123456789\r\n00\r\nX: 1\r\n\r\n",
]
# Each response in `ENDLESS` has an invalid status line, or a length that is missing, invalid or ambiguous. A
# bare line feed makes the length ambiguous, because some parsers accept a bare line feed as the end of a
# line.
ENDLESS = [
    HEAD + b"\r\n[1]",
    HEAD + b"Content-Length: -1\r\n\r\n",
    HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    b"HTTP/1.1 2045 Odd\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 3\r\n\r\n[1]",
    b"HTTP/1.2 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 3\r\n\r\n[1]",
    b"HTTP/2.0 204 No Content\r\n\r\n",
    CHUNKED + b"0\r\n\nHTTP/1.1 200 OK\r\n\r\n",
    CHUNKED + b"0\r\nX: 1\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    *(CHUNKED + size + b"\r\n[1]\r\n0\r\n\r\n" for size in (b"-6", b"+3", b"0x3", b"1_0", b"", b"three")),
]


def _length(received: bytes, pieces: list[int]) -> int | None:
    """Return the length that `AnswerEnd` finds if the response arrives in several parts.

    Args:
        received: the bytes of the response.
        pieces: the positions in `received` at which a part ends.
    """
    end, length = AnswerEnd(), None
    for stop in [*sorted(min(piece, len(received)) for piece in pieces), len(received)]:
        length = end.find(received[:stop])
    return length


@pytest.mark.parametrize("received", ANSWERS)
@pytest.mark.parametrize("surplus", [b"", b"\r\n", ANSWERS[0]])
def test_the_end_is_found(received: bytes, surplus: bytes) -> None:
    """Bytes that follow a response do not count as a part of the response."""
    assert AnswerEnd().find(received + surplus) == len(received)


@pytest.mark.parametrize("received", ENDLESS)
def test_an_end_that_cannot_be_told(received: bytes) -> None:
    """If the length of a response is missing, invalid or ambiguous, `find` returns None."""
    assert AnswerEnd().find(received) is None


@given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 100)))
def test_pieces_make_no_difference(received: bytes, pieces: list[int]) -> None:
    """A response that arrives in pieces ends at the same byte as a response that arrives at once."""
    assert _length(received, pieces) == len(received)
    for stop in range(len(received)):
        assert AnswerEnd().find(received[:stop]) in {None, len(received)}


@given(st.binary(), st.lists(st.integers(0, 100)))
@example(b"-6\r\n", [])
def test_any_bytes(body: bytes, pieces: list[int]) -> None:
    """For any chunked response, `find` returns None or a length that does not exceed the received bytes."""
    received = CHUNKED + body
    found = _length(received, pieces)
    assert found == AnswerEnd().find(received)
    assert found is None or len(CHUNKED) < found <= len(received)
