"""httptools and h11 read the same responses in the same way, so the extra ``speed`` changes no result."""

from collections.abc import Callable

import httpx
import pytest

from smsapi_async.http import response_parser
from smsapi_async.http.response_parser import ParsedResponse

Parse = Callable[..., ParsedResponse]
HEAD = b"HTTP/1.1 200 OK\r\n"
WHOLE = HEAD + b"Content-Length: 2\r\nX-A: 1\r\n\r\n12"
VALID = {
    "length": (WHOLE, False, 200, b"12", True),
    "chunks": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n1\r\n2\r\n0\r\n\r\n",
        False,
        200,
        b"12",
        True,
    ),
    "until-eof": (HEAD + b"\r\n12", True, 200, b"12", False),
    "close": (HEAD + b"Connection: close\r\nContent-Length: 1\r\n\r\n1", False, 200, b"1", False),
    "no-content": (b"HTTP/1.1 204 No Content\r\n\r\n", False, 204, b"", True),
    "old": (b"HTTP/1.0 500 Error\r\nContent-Length: 1\r\n\r\n1", False, 500, b"1", False),
}
INVALID = {
    "two-responses": WHOLE + WHOLE,
    "cut-off": WHOLE[:-1],
    "no-head": b"12\r\n\r\n",
    "an-interim-response": b"HTTP/1.1 100 Continue\r\n\r\n",
    "a-malformed-chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "nothing": b"",
}


@pytest.fixture(params=["h11", "httptools"])
def parse(request: pytest.FixtureRequest) -> Parse:
    """Return the function that parses with h11 or with httptools."""
    if request.param == "h11":
        return response_parser.parsed_by_h11
    pytest.importorskip("httptools")
    return response_parser.parse_response


@pytest.mark.parametrize("case", VALID)
def test_a_whole_response(parse: Parse, case: str) -> None:
    """Both parsers return the same status, the same body and the same decision about the connection."""
    raw, until_eof, status, body, keeps_alive = VALID[case]
    parsed = parse(raw, until_eof=until_eof)
    assert (parsed.status, parsed.body, parsed.keeps_alive) == (status, body, keeps_alive)
    if case == "length":
        assert parsed.headers == [(b"Content-Length", b"2"), (b"X-A", b"1")]


@pytest.mark.parametrize("case", INVALID)
def test_bytes_that_are_not_exactly_one_response(parse: Parse, case: str) -> None:
    """Both parsers refuse bytes that are not exactly one whole response."""
    with pytest.raises(httpx.RemoteProtocolError):
        parse(INVALID[case], until_eof=False)
