"""A bare HTTP caller for the gateway in process: nothing between a test and the wire but httpx."""

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
    """Calls a sandbox in process; `session` is added to what is sent through `get` and `post`."""

    sandbox: Sandbox
    session: str = ""

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request as it is given, below the base URL."""
        transport = httpx.ASGITransport(self.sandbox.app)
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.request(method, f"{self.sandbox.base_url}/{path}", **options)

    async def log_in(self) -> str:
        """Log in and keep the session."""
        fields = {"Login": self.sandbox.login, "Password": self.sandbox.password}
        self.session = json.loads((await self.request("GET", "user/sessionid", params=fields)).text)
        return self.session

    async def get(self, path: str, **fields: str | int) -> httpx.Response:
        """A GET with the session."""
        return await self.request("GET", path, params={"SessionID": self.session, **fields})

    async def post(self, path: str, fields: Fields) -> httpx.Response:
        """A POST of a form with the session."""
        return await self.request("POST", path, data={"SessionID": self.session, **fields})

    async def send(self, number: str = "79031234567", text: str = "Hello", **more: str | int) -> list[str]:
        """Send one message; the segment ids."""
        answer = await self.post("Sms/Send", message(number, text, **more))
        assert answer.status_code == 200, answer.text
        segment_ids: list[str] = answer.json()
        return segment_ids

    async def state(self, segment_id: str) -> dict[str, Any]:
        """The state object of a segment."""
        answer = await self.get("Sms/State", messageId=segment_id)
        assert answer.status_code == 200, answer.text
        state: dict[str, Any] = answer.json()
        return state


def message(number: str = "79031234567", text: str = "Hello", **more: str | int) -> dict[str, str | int]:
    """The form fields of a good message."""
    return {"DestinationAddress": number, "Data": text, "SourceAddress": "ACME", **more}


def refused(answer: httpx.Response) -> tuple[int, int, str]:
    """The HTTP status, the code and the description of a refusal."""
    error = answer.json()
    return answer.status_code, error["Code"], error["Desc"]


async def logged_in(sandbox: Sandbox | None = None) -> Caller:
    """A caller with a session, by default at a sandbox whose clock stands at START."""
    caller = Caller(sandbox or Sandbox(start=START))
    await caller.log_in()
    return caller
