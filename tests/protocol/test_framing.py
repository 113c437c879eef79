"""Where an answer ends: told alike however its bytes are split, and of any bytes at all."""

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
    end, length = AnswerEnd(), None
    for stop in [*sorted(min(piece, len(received)) for piece in pieces), len(received)]:
        length = end.find(received[:stop])
    return length


@pytest.mark.parametrize("received", ANSWERS)
@pytest.mark.parametrize("surplus", [b"", b"\r\n", ANSWERS[0]])
def test_the_end_is_found(received: bytes, surplus: bytes) -> None:
    """What follows an answer is not counted as a part of it."""
    assert AnswerEnd().find(received + surplus) == len(received)


@pytest.mark.parametrize("received", ENDLESS)
def test_an_end_that_cannot_be_told(received: bytes) -> None:
    """Where an answer does not say clearly how long it is, nobody guesses, and nobody hangs."""
    assert AnswerEnd().find(received) is None


@given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 100)))
def test_pieces_make_no_difference(received: bytes, pieces: list[int]) -> None:
    """An answer that comes in pieces ends where it ends when it comes at once."""
    assert _length(received, pieces) == len(received)
    for stop in range(len(received)):
        assert AnswerEnd().find(received[:stop]) in {None, len(received)}


@given(st.binary(), st.lists(st.integers(0, 100)))
@example(b"-6\r\n", [])
def test_any_bytes(body: bytes, pieces: list[int]) -> None:
    """Of any chunked bytes the end is found, or it is said that it cannot be; never beyond what has come."""
    received = CHUNKED + body
    found = _length(received, pieces)
    assert found == AnswerEnd().find(received)
    assert found is None or len(CHUNKED) < found <= len(received)
