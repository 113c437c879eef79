"""Connects the page and the control API to the server of a sandbox, without importing them yet."""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from smsapi_async.sandbox.web.access import WebAccess

if TYPE_CHECKING:
    from smsapi_async.sandbox.gateway import Sandbox


def web_application(sandbox: "Sandbox", access: WebAccess) -> ASGIApp:
    """Return the ASGI application for all paths outside `/rest`.

    Args:
        sandbox: the sandbox that the page shows.
        access: the host names under which a browser may reach the page. If the access is off, each request
            gets HTTP status 404.
    """
    loaded: list[ASGIApp] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not loaded:
            # The import takes longer than the start of a sandbox.
            from smsapi_async.sandbox.web.page_server import page_server  # noqa: PLC0415

            loaded.append(page_server(sandbox, access))
        await loaded[0](scope, receive, send)

    return app
