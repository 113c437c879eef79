"""The responses that the fault proxy creates itself, in place of a response of the gateway."""

from http import HTTPStatus

from smsapi_async.sandbox.faults.messages import RawRequest, RawResponse

#: Bytes that are neither HTTP nor a TLS record: the first byte is no content type of TLS (RFC 8446, 5.1).
GARBAGE = b"\xff\x00 no protocol at all \xfe\r\n\r\n"

_HTML = "text/html; charset=utf-8"
_JSON = "application/json; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"


def answer(status: int, content_type: str, body: str, *fields: str, keep_alive: bool = True) -> RawResponse:
    """Return a response with a body.

    Args:
        status: the HTTP status of the response.
        content_type: the value of the `Content-Type` header field.
        body: the body of the response, which is encoded as UTF-8.
        fields: further header fields, for example `Retry-After: 1`.
        keep_alive: whether the connection stays open after the response.
    """
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
    """Return an HTML error page. The page is not an error body of the gateway (contract, "Error body")."""
    title = f"{status} {HTTPStatus(status).phrase}"
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\r\n"
    return answer(status, _HTML, page)


def stale_ids() -> RawResponse:
    """Return a response that is valid for a send request, although the response belongs to no request."""
    return answer(200, _JSON, '["STALE-1"]')


def expired_session() -> RawResponse:
    """Return the response for an expired session: code 4 with `SessionID` in `Desc` (contract, "Session")."""
    return answer(401, _JSON, '{"Code":4,"Desc":"SessionID expired"}')


def too_many_requests(retry_after: float) -> RawResponse:
    """Return a response with HTTP status 429.

    Args:
        retry_after: the seconds in the `Retry-After` header field, with or without a fraction.
    """
    return answer(429, _TEXT, "Too many requests", f"Retry-After: {retry_after:g}")


def request_timeout() -> RawResponse:
    """Return a response with HTTP status 408, as servers send it before they close an idle connection."""
    return answer(408, _TEXT, "Request timeout", keep_alive=False)


def redirect(request: RawRequest, origin: str) -> RawResponse:
    """Return a response with HTTP status 307: a redirect to the target of `request` at another origin.

    Args:
        request: the request of the client that the response redirects.
        origin: the scheme and the authority of the URL to which the response redirects.
    """
    return answer(307, _TEXT, "", f"Location: {origin}{request.line.path_and_query}")


def bad_request() -> RawResponse:
    """Return the response with HTTP status 400 to a request with an end that cannot be determined."""
    return answer(400, _TEXT, "The fault proxy could not read the request", keep_alive=False)


def no_upstream() -> RawResponse:
    """Return the response with HTTP status 502 for a server that sends no valid response to the proxy."""
    return answer(502, _TEXT, "The server behind the fault proxy did not answer")
