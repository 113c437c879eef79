"""The ASGI application: reads a request, lets the sandbox process the request, and writes the response."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from email.utils import format_datetime
from typing import Protocol

import anyio
import attrs
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from smsapi_async.sandbox.account import Arrival
from smsapi_async.sandbox.answers import Answer
from smsapi_async.sandbox.gate import Gate, Signal
from smsapi_async.sandbox.tables import BASE_PATH


class Gateway(Protocol):
    """The part of a sandbox that the ASGI application uses.

    Attributes:
        ending: a signal that is set when the server stops.
        web: the ASGI application that gets the HTTP requests to paths outside `/rest`; None means that the
            gateway gets these requests, too.
    """

    ending: Signal
    web: ASGIApp | None

    @property
    def latency(self) -> float:
        """The delay of each response, in seconds of real time."""
        ...

    def request_opened(self) -> Callable[[], object]:
        """Record that a client waits for a response. Return a function that records the end of its wait."""
        ...

    def answered(self, arrival: Arrival, answer: Answer) -> None:
        """Record the response to a request."""
        ...

    def admit(
        self,
        method: str,
        target: str,
        headers: tuple[tuple[bytes, bytes], ...],
        body: bytes,
        client: tuple[str, int] | None,
    ) -> tuple[Arrival, Answer, Gate | None]:
        """Record a request in the account and process the request.

        Returns:
            The recorded request, the response, and the gate that holds the response (None if no gate holds
            it).
        """
        ...


def application(gateway: Gateway) -> ASGIApp:
    """Return the ASGI application of a sandbox.

    One handler serves all paths of the gateway, because the sandbox itself responds to an unknown path. The
    requests to `Gateway.web` do not count as arrivals.

    Args:
        gateway: the sandbox that processes the requests.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"the sandbox serves only HTTP, not {scope['type']}")
        if gateway.web is not None and not is_gateway_path(scope["path"]):
            await gateway.web(scope, receive, send)
            return
        try:
            body = await Request(scope, receive).body()
        except ClientDisconnect:
            # The client disconnected before the end of the request, so the sandbox neither records nor
            # processes the request.
            return
        client = scope.get("client")
        arrival, answer, gate = gateway.admit(
            scope["method"], _target(scope), tuple(scope["headers"]), body, tuple(client) if client else None
        )
        if gate is not None or gateway.latency > 0:
            await _delay(gateway, gate, receive)
        response = Response(answer.body, answer.status, answer.headers)
        # The date is the time at which the sandbox processed the request, on its own clock, also if the
        # response is delayed or held. A response that a test prepared may contain another date.
        response.headers.setdefault("date", format_datetime(arrival.at, usegmt=True))
        # Set `Arrival.status` just before the response is written. While the response is delayed or held,
        # `Arrival.status` is None.
        gateway.answered(arrival, attrs.evolve(answer, headers=dict(response.headers)))
        await response(scope, receive, send)

    return app


def is_gateway_path(path: str) -> bool:
    """Whether a path belongs to the gateway: `/rest` and all paths below, in upper or lower case."""
    first = path.strip("/").partition("/")[0]
    return first.lower() == BASE_PATH.strip("/")


def _target(scope: Scope) -> str:
    # `raw_path` is optional in the ASGI specification. `path` is always present, but percent-decoded.
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return (path + b"?" + query if query else path).decode("latin-1")


async def _delay(gateway: Gateway, gate: Gate | None, receive: Receive) -> None:
    """Wait for the latency (the delay of the response), and until the gate is released."""
    with ExitStack() as client_waits:
        client_waits.callback(gateway.request_opened())
        if gate is not None:
            # Count the request before the latency, so that `Gate.arrived` is not delayed.
            gate.catch()
            client_waits.callback(gate.let_go)

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            client_waits.close()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            # The signal `ending` interrupts both waits, so that a delayed or held response does not delay the
            # stop of the server.
            if gateway.latency > 0:
                await _first_of(gateway.ending.wait, lambda: anyio.sleep(gateway.latency))
            if gate is not None:
                await _first_of(gateway.ending.wait, gate.passed)
            tasks.cancel_scope.cancel()


# Run all functions in `waits` at the same time. When the first function returns, cancel the others and
# return.
async def _first_of(*waits: Callable[[], Awaitable[None]]) -> None:
    async def race(wait: Callable[[], Awaitable[None]]) -> None:
        await wait()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for wait in waits:
            tasks.start_soon(race, wait)
