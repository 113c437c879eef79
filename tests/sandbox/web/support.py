"""An HTTP client for the control API and the gateway of a served sandbox."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import attrs
import httpx

from smsapi_async.sandbox import Sandbox, run_sandbox


@attrs.define
class WebCaller:
    """Sends requests to one served sandbox.

    Attributes:
        client: the HTTP client.
        base_url: the base URL of the gateway.
        page_url: the URL of the page.
        session: the session id; empty before the first `send`.
    """

    client: httpx.AsyncClient
    base_url: str
    page_url: str
    session: str = ""

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request to a path below `/api/v1/`."""
        return await self.client.request(method, f"{self.page_url}api/v1/{path}", **options)

    async def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a successful GET request to the control API."""
        answer = await self.call("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def order(self, method: str, path: str, body: object = None) -> Any:
        """Return the JSON of a successful request that changes the sandbox."""
        options = {} if body is None else {"json": body}
        answer = await self.call(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json()

    async def send(
        self, number: str = "79031234567", text: str = "Hello", source: str = "ACME"
    ) -> httpx.Response:
        """Send a message through the gateway and return the response."""
        if not self.session:
            fields = {"Login": "sandbox", "Password": "sandbox-password"}
            answer = await self.client.get(f"{self.base_url}/User/SessionId", params=fields)
            self.session = answer.json()
        form = {
            "SessionID": self.session,
            "DestinationAddress": number,
            "SourceAddress": source,
            "Data": text,
        }
        return await self.client.post(f"{self.base_url}/Sms/Send", data=form)


def web_client() -> httpx.AsyncClient:
    """Return an HTTP client. It loads no certificates, which takes longer than most of these tests."""
    return httpx.AsyncClient(timeout=30, verify=False)  # noqa: S501 - no test uses TLS


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true, at most 10 seconds."""
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - the condition changes in another thread
            await anyio.sleep(0.01)


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[tuple[Sandbox, WebCaller]]:
    """Serve a sandbox with its page, and yield the sandbox and a client."""
    async with run_sandbox(**options) as sandbox, web_client() as client:
        assert sandbox.page_url is not None
        yield sandbox, WebCaller(client, sandbox.base_url, sandbox.page_url)
