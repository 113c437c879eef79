"""The bytes the proxy says in the gateway's name."""

from http import HTTPStatus

from smsapi_async.sandbox.faults.messages import RawRequest, RawResponse

#: No HTTP, and no TLS record either: its first byte is no content type.
GARBAGE = b"\xff\x00 no protocol at all \xfe\r\n\r\n"

_HTML = "text/html; charset=utf-8"
_JSON = "application/json; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"


def answer(status: int, content_type: str, body: str, *fields: str, keep_alive: bool = True) -> RawResponse:
    """An answer with a body; `fields` are further header lines."""
    content = body.encode()
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(content)}",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
        *fields,
    ]
    return RawResponse("".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1"), content, keep_alive)


def html_error(status: int) -> RawResponse:
    """The error page of a web server that knows nothing of the gateway's error bodies."""
    title = f"{status} {HTTPStatus(status).phrase}"
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\r\n"
    return answer(status, _HTML, page)


def stale_ids() -> RawResponse:
    """A well-formed answer to a send that nobody asked for."""
    return answer(200, _JSON, '["STALE-1"]')


def expired_session() -> RawResponse:
    """Code 4 whose description names the session, as the gateway says it."""
    return answer(401, _JSON, '{"Code":4,"Desc":"SessionID expired"}')


def too_many_requests(retry_after: float) -> RawResponse:
    """429; `Retry-After` in seconds, with a fraction if it has one."""
    return answer(429, _TEXT, "Too many requests", f"Retry-After: {retry_after:g}")


def request_timeout() -> RawResponse:
    """408 as a server says it on an idle connection it is about to close."""
    return answer(408, _TEXT, "Request timeout", keep_alive=False)


def redirect(request: RawRequest, origin: str) -> RawResponse:
    """307 back to `origin` (scheme and authority) with the request's own target."""
    return answer(307, _TEXT, "", f"Location: {origin}{request.line.path_and_query}")


def bad_request() -> RawResponse:
    """What a client gets whose request cannot be told from the next one."""
    return answer(400, _TEXT, "The fault proxy could not read the request", keep_alive=False)


def no_upstream() -> RawResponse:
    """502 of the proxy's own: the server behind it did not answer."""
    return answer(502, _TEXT, "The server behind the fault proxy did not answer")
