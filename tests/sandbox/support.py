"""An HTTP client for a sandbox in this process. It uses no code of `AsyncSmsClient`."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs
import httpx

from smsapi_async.sandbox import Sandbox

START = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)

Fields = Mapping[str, str | int | Sequence[str]]


@attrs.define
class Caller:
    """Sends requests to a sandbox in this process; `get` and `post` add the session id."""

    sandbox: Sandbox
    session: str = ""

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request and return the response.

        `path` is relative to the base URL, and `options` are those of `httpx.AsyncClient.request`.
        """
        transport = httpx.ASGITransport(self.sandbox.app)
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.request(method, f"{self.sandbox.base_url}/{path}", **options)

    async def log_in(self) -> str:
        """Log in, store the session id in `session` and return the session id."""
        fields = {"Login": self.sandbox.login, "Password": self.sandbox.password}
        self.session = json.loads((await self.request("GET", "user/sessionid", params=fields)).text)
        return self.session

    async def get(self, path: str, **fields: str | int) -> httpx.Response:
        """Send a GET request; the query contains the session id and `fields`."""
        return await self.request("GET", path, params={"SessionID": self.session, **fields})

    async def post(self, path: str, fields: Fields) -> httpx.Response:
        """Send a POST request; the form contains the session id and `fields`."""
        return await self.request("POST", path, data={"SessionID": self.session, **fields})

    async def send(self, number: str = "79031234567", text: str = "Hello", **more: str | int) -> list[str]:
        """Send one message and return its segment ids; `more` are further form fields."""
        answer = await self.post("Sms/Send", message(number, text, **more))
        assert answer.status_code == 200, answer.text
        segment_ids: list[str] = answer.json()
        return segment_ids

    async def state(self, segment_id: str) -> dict[str, Any]:
        """Return the state object of a segment."""
        answer = await self.get("Sms/State", messageId=segment_id)
        assert answer.status_code == 200, answer.text
        state: dict[str, Any] = answer.json()
        return state


def message(number: str = "79031234567", text: str = "Hello", **more: str | int) -> dict[str, str | int]:
    """Return the form fields of a valid message; `more` are further form fields."""
    return {"DestinationAddress": number, "Data": text, "SourceAddress": "ACME", **more}


def refused(answer: httpx.Response) -> tuple[int, int, str]:
    """Return the HTTP status, the error code and the description of a refusal."""
    error = answer.json()
    return answer.status_code, error["Code"], error["Desc"]


async def logged_in(sandbox: Sandbox | None = None) -> Caller:
    """Return a caller that has logged in.

    By default, the sandbox is new, and its clock is frozen at `START`.
    """
    caller = Caller(sandbox or Sandbox(start=START))
    await caller.log_in()
    return caller
