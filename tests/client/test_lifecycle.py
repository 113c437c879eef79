"""Tests of the creation and the close of a client."""

from typing import Any

import anyio
import httpx
import pytest

from smsapi_async import ClientClosed, WrongEventLoop
from smsapi_async.sandbox import Sandbox
from tests.client.tools import NUMBER, TEXT, client_for


def test_constructed_before_any_loop_and_used_in_one(anyio_backend: str) -> None:
    """A client that was created before an event loop started can be used in this event loop."""
    sandbox = Sandbox()
    sms = client_for(sandbox, transport=httpx.ASGITransport(sandbox.app))

    async def main() -> None:
        async with sms:
            await sms.send(NUMBER, TEXT)

    anyio.run(main, backend=anyio_backend)
    assert len(sandbox.account.messages) == 1


def test_a_second_loop_is_told_so(anyio_backend: str) -> None:
    """If a client is used in a second event loop, the call raises `WrongEventLoop` and makes no request."""
    sandbox = Sandbox()
    sms = client_for(sandbox, transport=httpx.ASGITransport(sandbox.app))

    async def ask() -> None:
        await sms.balance()

    anyio.run(ask, backend=anyio_backend)
    with pytest.raises(WrongEventLoop, match="one client for each event loop"):
        anyio.run(ask, backend=anyio_backend)
    assert sandbox.account.count("User/Balance") == 1


@pytest.mark.anyio
async def test_a_closed_client_says_so(sandbox: Sandbox) -> None:
    """After `aclose`, every call of the client raises `ClientClosed`.

    After the first call of `aclose`, a second call does nothing.
    """
    sms = client_for(sandbox)
    await sms.balance()
    await sms.aclose()
    await sms.aclose()
    with pytest.raises(ClientClosed):
        await sms.send(NUMBER, TEXT)
    with pytest.raises(ClientClosed):
        async with sms:
            pass
    assert "closed" in repr(sms)
    assert sandbox.account.messages == []


@pytest.mark.anyio
@pytest.mark.parametrize("library", ["httpx", "httpx2"], indirect=True)
async def test_a_callers_client_that_was_closed_is_named(sandbox: Sandbox, library: Any) -> None:
    """If the caller's own HTTP client is closed, a call raises `ClientClosed` and not an error of httpx."""
    client = library.AsyncClient()
    sms = client_for(sandbox, client=client)
    await client.aclose()
    with pytest.raises(ClientClosed):
        await sms.balance()


@pytest.mark.anyio
@pytest.mark.usefixtures("leaves_no_socket")
async def test_leaving_the_block_leaves_no_connection_open(sandbox: Sandbox) -> None:
    """At the end of the ``async with`` block, every socket of the client is closed."""
    async with client_for(sandbox) as sms:
        await sms.balance()


@pytest.mark.anyio
@pytest.mark.parametrize("library", ["httpx", "httpx2"], indirect=True)
async def test_a_callers_headers_and_hooks_are_used(sandbox: Sandbox, library: Any) -> None:
    """The client uses the headers and the event hooks of the caller's HTTP client.

    The event hooks of the caller receive URLs without the query.
    """
    seen: list[str] = []

    async def hook(request: Any) -> None:
        seen.append(str(request.url))

    client = library.AsyncClient(headers={"X-Team": "billing"}, event_hooks={"request": [hook]})
    async with client, client_for(sandbox, client=client) as sms:
        await sms.balance()
    assert seen == [f"{sandbox.base_url}/user/sessionid", f"{sandbox.base_url}/User/Balance"]
    headers = {name.lower(): value for name, value in dict(sandbox.account.arrivals[-1].headers).items()}
    assert headers["x-team"] == "billing"


@pytest.mark.anyio
async def test_the_gateways_cookies_are_not_sent_back(sandbox: Sandbox) -> None:
    """The client does not send cookies of the gateway back in later requests."""
    sandbox.answer_next("User/Balance", body=b"1", headers={"Set-Cookie": "ASP.NET_SessionId=abc; path=/"})
    async with client_for(sandbox) as sms:
        await sms.balance()
        await sms.balance()
    assert not any("cookie" in map(str.lower, dict(arrival.headers)) for arrival in sandbox.account.arrivals)


@pytest.mark.anyio
async def test_only_as_many_requests_in_flight_as_allowed(sandbox: Sandbox) -> None:
    """With ``concurrency=3``, at most three requests are in flight at the same time."""
    async with client_for(sandbox, concurrency=3) as sms:
        await sms.balance()
        with sandbox.hold("Sms/State") as gate:
            async with anyio.create_task_group() as group:
                for index in range(10):
                    group.start_soon(sms.state, str(index))
                await gate.arrived(3)
                assert sandbox.account.count("Sms/State") == 3
                gate.release()
    assert sandbox.account.count("Sms/State") == 10
