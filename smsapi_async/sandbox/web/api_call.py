"""One request to the control API, as the handlers get the request."""

import json
from typing import Any

import attrs
from starlette.requests import Request
from starlette.responses import Response

from smsapi_async.sandbox.gateway import Sandbox
from smsapi_async.sandbox.web.shapes import Shapes


@attrs.frozen
class ApiCall:
    """One request to the control API, with checked values.

    Attributes:
        sandbox: the sandbox.
        shapes: the JSON objects of the sandbox for this client.
        request: the HTTP request.
        query: the parameters of the query by name, with their defaults.
        body: the fields of the JSON body by name, with their defaults.
    """

    sandbox: Sandbox
    shapes: Shapes
    request: Request
    query: dict[str, Any]
    body: dict[str, Any]

    @property
    def path(self) -> dict[str, str]:
        """The variable parts of the path by name."""
        return self.request.path_params


class JsonAnswer(Response):
    """A response with JSON. One half of a surrogate pair in a text becomes a question mark."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:  # noqa: ANN401 - any JSON value
        """Return the bytes of the body."""
        return encode_json(content)


def encode_json(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return a value as JSON in UTF-8, in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
