"""The responses of the sandbox, and the responses that a test prepares."""

from collections.abc import Mapping

import attrs

from smsapi_async.sandbox.steady import steady_repr
from smsapi_async.sandbox.tables import DESCRIPTIONS, HTTP_STATUS
from smsapi_async.sandbox.wire import HTML_HEADERS, SUCCESS_HEADERS, Value, encode, encode_error

_HTML = (
    "<!DOCTYPE html>\r\n<html>\r\n    <head>\r\n        <title>{title}</title>\r\n    </head>\r\n"
    "    <body bgcolor=\"white\">\r\n        <h1>Server Error in '/rest' Application.</h1>\r\n"
    "        <h2><i>{title}</i></h2>\r\n    </body>\r\n</html>\r\n"
)


class Refusal(Exception):
    """The sandbox refuses a request with an error code (contract, "Codes").

    Args:
        code: the error code of the refusal.
        description: the value of `Desc` in the error body; None means the usual description of the code.
        status: the HTTP status of the response; None means the usual status of the code.
    """

    def __init__(self, code: int, description: str | None = None, status: int | None = None) -> None:
        self.code = code
        self.status = HTTP_STATUS[code] if status is None else status
        self.description = DESCRIPTIONS[code] if description is None else description
        super().__init__(code, self.description)


@steady_repr
@attrs.frozen
class Answer:
    """One HTTP response.

    Attributes:
        status: the HTTP status of the response.
        body: the body of the response.
        headers: the header fields of the response.
        code: the error code in the body (contract, "Codes"); None if the body has no error code.
    """

    status: int
    body: bytes = attrs.field(repr=False)
    headers: Mapping[str, str]
    code: int | None = None


@attrs.define
class Script:
    """A response that a test prepared for the next requests.

    Attributes:
        resource: the canonical name of the resource to which the prepared response applies; None means any
            resource.
        answer: the response that the test prepared.
        times: the number of requests that still get the prepared response.
        accept: whether the sandbox also processes the requests that get the prepared response.
    """

    resource: str | None
    answer: Answer
    times: int
    accept: bool


def success(value: Value) -> Answer:
    """Return a response with HTTP status 200 and `value` as JSON."""
    return Answer(200, encode(value).encode(), SUCCESS_HEADERS)


def refusal(error: Refusal, *, unquoted: bool) -> Answer:
    """Return the response with the error body of a refusal (contract, "Codes")."""
    body = encode_error(error.code, error.description, unquoted=unquoted)
    return Answer(error.status, body.encode(), SUCCESS_HEADERS, error.code)


def not_found() -> Answer:
    """Return ASP.NET's HTML page for an unknown path, with HTTP status 404."""
    return Answer(404, _HTML.format(title="The resource cannot be found.").encode(), HTML_HEADERS)


def method_not_allowed(allowed: str) -> Answer:
    """Return ASP.NET's HTML page for a wrong HTTP method, with HTTP status 405."""
    title = "The HTTP verb used to access this page is not allowed."
    return Answer(405, _HTML.format(title=title).encode(), {**HTML_HEADERS, "Allow": allowed})
