"""Refuses the requests that a page of another site could make through a browser, and sets header fields.

The page takes orders without a login. So a request must name this computer or an allowed host in the header
field `Host` (against DNS rebinding), must come from the page itself or from no page at all, and may have a
body only in JSON, which a form of another site cannot send.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from smsapi_async.sandbox.web.access import WebAccess

_BODIES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_ADVICE = "Make the request outside a browser, for example in the code of the test."


def protected(app: ASGIApp, access: WebAccess) -> ASGIApp:
    """Return an ASGI application that passes only harmless requests on to `app`.

    Args:
        app: the ASGI application of the page and the control API.
        access: the host names that the header field `Host` may contain.
    """

    async def protecting(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        problem = _problem(scope, access)
        if problem is None:
            await app(scope, receive, send_protected)
        else:
            status, text = problem
            await JSONResponse({"error": text}, status)(scope, receive, send_protected)

    return protecting


def _problem(scope: Scope, access: WebAccess) -> tuple[int, str] | None:
    if not access.is_on:
        return 404, (
            "The page and the control API are off, because the sandbox listens beyond this computer. "
            "Pass --allow-host with the name in the URL."
        )
    headers = Headers(scope=scope)
    hosts, origins = headers.getlist("host"), headers.getlist("origin")
    if len(hosts) != 1 or not access.allows(hosts[0]):
        return 403, "The host name in the URL is not allowed. Use localhost, or pass --allow-host."
    host = hosts[0].lower()
    # A proxy in front of the sandbox may speak TLS.
    if any(origin.lower() not in {f"http://{host}", f"https://{host}"} for origin in origins):
        return 403, f"A page of another origin made this request. {_ADVICE}"
    sites = set(headers.getlist("sec-fetch-site"))
    if not sites <= {"none", "same-origin"} and not _is_link(scope, headers):
        return 403, f"A page of another site made this request. {_ADVICE}"
    return _body_problem(scope, headers)


def _is_link(scope: Scope, headers: Headers) -> bool:
    """Whether the user followed a link of another site. The other site cannot read what the link opens."""
    return (
        scope["method"] == "GET"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest", "document") == "document"
    )


def _body_problem(scope: Scope, headers: Headers) -> tuple[int, str] | None:
    if scope["method"] not in _BODIES:
        return None
    given = headers.getlist("content-type")
    has_body = "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""
    media_types = {each.partition(";")[0].strip().lower() for each in given}
    if media_types != {"application/json"} if has_body else not media_types <= {"application/json"}:
        return 415, "A body must have the content type application/json."
    return None
