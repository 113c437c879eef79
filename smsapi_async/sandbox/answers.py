"""Answers of the gateway, and those scripted by a test."""

from collections.abc import Mapping

import attrs

from smsapi_async.sandbox.tables import DESCRIPTIONS, HTTP_STATUS
from smsapi_async.sandbox.wire import HTML_HEADERS, SUCCESS_HEADERS, Value, encode, encode_error

_HTML = (
    "<!DOCTYPE html>\r\n<html>\r\n    <head>\r\n        <title>{title}</title>\r\n    </head>\r\n"
    "    <body bgcolor=\"white\">\r\n        <h1>Server Error in '/rest' Application.</h1>\r\n"
    "        <h2><i>{title}</i></h2>\r\n    </body>\r\n</html>\r\n"
)


class Refusal(Exception):
    """The gateway refuses a request with a code of its table."""

    def __init__(self, code: int, description: str | None = None) -> None:
        self.code = code
        self.description = DESCRIPTIONS[code] if description is None else description
        super().__init__(code, self.description)


@attrs.frozen
class Answer:
    """One HTTP answer; `code` is the REST error code it carries, if any."""

    status: int
    body: bytes = attrs.field(repr=False)
    headers: Mapping[str, str]
    code: int | None = None


@attrs.define
class Script:
    """An answer prepared by a test for the next requests of a resource, or of any."""

    resource: str | None
    answer: Answer
    times: int
    accept: bool


def success(value: Value) -> Answer:
    """200 with a JSON value."""
    return Answer(200, encode(value).encode(), SUCCESS_HEADERS)


def refusal(code: int, description: str, *, unquoted: bool) -> Answer:
    """An error body with the HTTP status of its code."""
    body = encode_error(code, description, unquoted=unquoted)
    return Answer(HTTP_STATUS[code], body.encode(), SUCCESS_HEADERS, code)


def not_found() -> Answer:
    """ASP.NET's page for a path that leads nowhere."""
    return Answer(404, _HTML.format(title="The resource cannot be found.").encode(), HTML_HEADERS)


def method_not_allowed(allowed: str) -> Answer:
    """ASP.NET's page for a method that the resource does not take."""
    title = "The HTTP verb used to access this page is not allowed."
    return Answer(405, _HTML.format(title=title).encode(), {**HTML_HEADERS, "Allow": allowed})
