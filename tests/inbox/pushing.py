"""Helper functions that push messages to a receiver."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx

from smsapi_async import IncomingReceiver, PushedMessage
from smsapi_async.inbox import Position
from tests.inbox.tools import START

NUMBER = "79031234567"
TEXT = "Код 4711, никому"
TOKEN = "a-secret-token"
PUSH = {"sourcePhone": NUMBER, "number": "4443", "prefix": "ok", "text": TEXT, "messageId": "539187174"}
MESSAGE = PushedMessage("539187174", TEXT, NUMBER, "4443", None, "ok")


def push_of(message_id: int | str, text: str = TEXT) -> dict[str, str]:
    """Return the parameters of a push."""
    return {**PUSH, "messageId": str(message_id), "text": text}


def client_of(app: Any) -> httpx.AsyncClient:
    """Return an HTTP client that calls an ASGI application without a socket."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


async def push(receiver: IncomingReceiver, form: Mapping[str, str] = PUSH) -> tuple[int, str]:
    """Push a message as the gateway does, and return the status and the body of the response."""
    async with client_of(receiver) as client:
        response = await client.post(f"/sms?token={TOKEN}", data=dict(form))
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    return response.status_code, response.text


class Handler:
    """A handler that records the messages.

    Args:
        reply: the result of the handler.

    Attributes:
        messages: the messages that the handler got.
        error: the exception that the handler raises, or None.
    """

    def __init__(self, reply: object = None) -> None:
        self.reply: Any = reply
        self.messages: list[PushedMessage] = []
        self.error: Exception | None = None

    async def __call__(self, message: PushedMessage) -> str | None:
        self.messages.append(message)
        if self.error is not None:
            raise self.error
        reply: str | None = self.reply
        return reply

    @property
    def ids(self) -> list[str]:
        """The ids of the messages that the handler got."""
        return [message.id for message in self.messages]


class Store:
    """A checkpoint that stores the position as JSON text, as a file does.

    Attributes:
        text: the stored position.
        error: the exception that `load` and `save` raise, or None.
    """

    def __init__(self) -> None:
        self.text: str | None = None
        self.error: Exception | None = None

    async def load(self) -> Position | None:
        if self.error is not None:
            raise self.error
        return None if self.text is None else Position.from_json(self.text)

    async def save(self, position: Position) -> None:
        if self.error is not None:
            raise self.error
        self.text = position.to_json()


class Ticking:
    """A clock that a test moves.

    Attributes:
        time: the current time.
    """

    def __init__(self, time: datetime = START) -> None:
        self.time = time

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    async def sleep(self, _: float) -> None:
        raise NotImplementedError
