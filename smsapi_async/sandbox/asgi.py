"""The ASGI side: reads a request, hands it to the sandbox, writes the answer when it may go."""

from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from smsapi_async.sandbox.account import Arrival
from smsapi_async.sandbox.answers import Answer
from smsapi_async.sandbox.gate import Gate, Signal


class Gateway(Protocol):
    """What the application needs of a sandbox."""

    latency: float
    ending: Signal

    def admit(
        self, method: str, target: str, headers: tuple[tuple[bytes, bytes], ...], body: bytes
    ) -> tuple[Arrival, Answer, Gate | None]:
        """Enter a request into the account and process it."""
        ...


def application(gateway: Gateway) -> ASGIApp:
    """The gateway as an ASGI application: one handler for every path."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"the gateway answers HTTP only, not {scope['type']}")
        try:
            body = await Request(scope, receive).body()
        except ClientDisconnect:
            return
        arrival, answer, gate = gateway.admit(scope["method"], _target(scope), tuple(scope["headers"]), body)
        if gate is not None:
            gate.catch()
        if gateway.latency > 0:
            await _first_of(gateway.ending.wait, lambda: anyio.sleep(gateway.latency))
        if gate is not None:
            await _first_of(gateway.ending.wait, gate.passed)
        arrival.status, arrival.code = answer.status, answer.code
        await Response(answer.body, answer.status, answer.headers)(scope, receive, send)

    return app


def _target(scope: Scope) -> str:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return (path + b"?" + query if query else path).decode("latin-1")


async def _first_of(*waits: Callable[[], Awaitable[None]]) -> None:
    async def race(wait: Callable[[], Awaitable[None]]) -> None:
        await wait()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for wait in waits:
            tasks.start_soon(race, wait)
