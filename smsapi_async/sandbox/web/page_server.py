"""The ASGI application of the page and the control API."""

import re
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from smsapi_async.sandbox.gateway import Sandbox
from smsapi_async.sandbox.web.access import WebAccess
from smsapi_async.sandbox.web.api_call import ApiCall, JsonAnswer
from smsapi_async.sandbox.web.api_fields import ApiProblem, read_body, read_query
from smsapi_async.sandbox.web.api_routes import API_ROUTES, ApiRoute
from smsapi_async.sandbox.web.api_schemas import check_json
from smsapi_async.sandbox.web.browser_checks import protected
from smsapi_async.sandbox.web.event_stream import EventStreams
from smsapi_async.sandbox.web.openapi_document import openapi_document
from smsapi_async.sandbox.web.shapes import Shapes

API_PATH = "/api/v1"
"""The path of the control API."""

_STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_LARGEST_BODY = 1_000_000


def page_server(sandbox: Sandbox, access: WebAccess) -> ASGIApp:
    """Return the ASGI application of the page and the control API.

    Args:
        sandbox: the sandbox that the page shows.
        access: the host names under which a browser may reach the page.
    """
    api = ControlApi(sandbox)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        proxy, client = sandbox.proxy, scope.get("client")
        if proxy is not None and client and proxy.fault_of(tuple(client)) is not None:
            # Faults would make the page useless, and its requests would use up the fault plan.
            error = {"error": "the page and the control API are on the other port, on the good line"}
            await JsonAnswer(error, 421)(scope, receive, send)
            return
        try:
            response = await _respond(request, api)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    return protected(app, access)


class ControlApi:
    """The control API of one sandbox.

    Args:
        sandbox: the sandbox.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._streams = EventStreams(sandbox)
        self._routes = [(_pattern(route.path), route) for route in API_ROUTES]

    async def respond(self, request: Request) -> Response:
        """Return the response to a request below `API_PATH`."""
        path = request.scope["path"].removeprefix(API_PATH).strip("/")
        try:
            return await self._answer(request, path)
        except ApiProblem as problem:
            return JsonAnswer(problem.document, problem.status)

    async def _answer(self, request: Request, path: str) -> Response:
        found = [(match, route) for pattern, route in self._routes if (match := pattern.fullmatch(path))]
        if not found:
            raise ApiProblem(404, f"the control API has no such path; see {API_PATH}/openapi.json")
        # `messages/latest` precedes `messages/{id}`, so only the routes with the first path count.
        routes = [(match, route) for match, route in found if route.path == found[0][1].path]
        # A stream of events has no end, so a HEAD request to the stream is refused.
        is_head = request.method == "HEAD" and routes[0][1].answer != "Events"
        method = "GET" if is_head else request.method
        chosen = next(((match, route) for match, route in routes if route.method == method), None)
        if chosen is None:
            allowed = ", ".join(route.method for _, route in routes)
            return JsonAnswer({"error": f"this path accepts only {allowed}"}, 405, {"Allow": allowed})
        match, route = chosen
        request.scope["path_params"] = match.groupdict()
        query = read_query(route.query, request.scope["query_string"])
        body = {} if route.method == "GET" else _checked(route, await _whole_body(request))
        call = ApiCall(self._sandbox, Shapes(self._sandbox, request.headers["host"]), request, query, body)
        return await self._handle(route, call)

    async def _handle(self, route: ApiRoute, call: ApiCall) -> Response:
        if route.handler is not None:
            return JsonAnswer(await route.handler(call), route.status)
        if route.answer == "Events":
            return self._streams.open(call)
        info = call.shapes.info()
        return JsonAnswer(openapi_document(info["api"], info["version"]))


async def _respond(request: Request, api: ControlApi) -> Response:
    path: str = request.scope["path"]
    if path == API_PATH or path.startswith(f"{API_PATH}/"):
        return await api.respond(request)
    file = (
        "index.html" if path == "/" else path.removeprefix("/static/") if path.startswith("/static/") else ""
    )
    response = _static_file(file)
    if response is None:
        places = "the page is at /, the gateway is below /rest, the control API is below /api/v1"
        return JsonAnswer({"error": f"not found; {places}"}, 404)
    if request.method not in {"GET", "HEAD"}:
        return JsonAnswer({"error": "this path accepts only GET"}, 405, {"Allow": "GET, HEAD"})
    return response


def _static_file(name: str) -> Response | None:
    """Return a file of the page, or None if the page has no file with this name."""
    file = next((each for each in _STATIC.glob("*") if each.name == name), None)
    media_type = None if file is None else _TYPES.get(file.suffix)
    if file is None or media_type is None:
        return None
    return Response(file.read_bytes(), media_type=media_type)


def _pattern(path: str) -> re.Pattern[str]:
    # A segment id may contain a plus sign, but no slash.
    return re.compile(
        re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", re.escape(path).replace(r"\{", "{").replace(r"\}", "}"))
    )


async def _whole_body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > _LARGEST_BODY:
            raise ApiProblem(413, f"the body must have at most {_LARGEST_BODY} bytes")
        parts.append(part)
    return b"".join(parts)


def _checked(route: ApiRoute, body: bytes) -> dict[str, object]:
    values = read_body(route.body, body)
    for field in route.body:
        if field.kind == "any" and field.schema.get("type") and values[field.name] is not None:
            check_json(values[field.name], field.schema, field.name)
    return values
