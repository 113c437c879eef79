"""Tests that the fault proxy finds the end of each request and of each response, on real sockets."""

import pytest

from smsapi_async.sandbox.faults import Fault, FaultPlan, run_fault_proxy
from tests.faults.support import IDS, RawClient, answer, request, run_upstream

pytestmark = pytest.mark.anyio

CHUNKED = (
    b"POST /rest/Sms/Send HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nData\r\n2;x=y\r\n=x\r\n0\r\n\r\n"
)


@pytest.mark.parametrize(
    ("raw", "resource"),
    [
        (request("/rest/Sms/SendBulk"), "Sms/SendBulk"),
        (request("/REST/sms/send/?SessionID=1"), "sms/send"),
        (request("/elsewhere"), "elsewhere"),
        (request(body=b""), "Sms/Send"),
        (request(fields="X-Twice: 1\r\nX-Twice: 2\r\n"), "Sms/Send"),
        (b"GET /rest/User/Balance HTTP/1.1\r\n\r\n", "User/Balance"),
        (b"GET /rest/User/Balance HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "User/Balance"),
        (CHUNKED, "Sms/Send"),
    ],
)
async def test_request_is_passed_on_as_it_came(raw: bytes, resource: str) -> None:
    """The proxy passes a request to the gateway byte for byte, and records the resource of the request."""
    async with (
        run_upstream() as upstream,
        run_fault_proxy("127.0.0.1", upstream.port) as proxy,
        await RawClient.connect(proxy) as client,
    ):
        await client.send(raw)
        assert await client.receive_until(IDS) == answer()
        assert upstream.requests == [raw]
        assert proxy.history == [(0, resource, Fault.PASS, True)]


@pytest.mark.parametrize(
    "answered",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n1.5\r\n0\r\nX-Trailer: 1\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
    ],
)
async def test_answer_is_passed_back_as_it_came(answered: bytes) -> None:
    """The proxy passes a response to the client byte for byte, and keeps the connection open."""
    async with run_upstream() as upstream:
        upstream.answer = answered
        async with (
            run_fault_proxy("127.0.0.1", upstream.port) as proxy,
            await RawClient.connect(proxy) as client,
        ):
            for _ in range(2):
                await client.send(request())
                assert await client.receive_until(answered) == answered


@pytest.mark.parametrize(
    "answered",
    [b"HTTP/1.1 200 OK\r\n\r\n100.5", answer(fields="Connection: close\r\n"), b"HTTP/1.0 200 OK\r\n\r\n1"],
)
async def test_answer_that_ends_the_connection_ends_it_here_too(answered: bytes) -> None:
    """If a response ends the connection to the gateway, the proxy closes the connection to the client."""
    async with run_upstream() as upstream:
        upstream.answer = answered
        async with (
            run_fault_proxy("127.0.0.1", upstream.port) as proxy,
            await RawClient.connect(proxy) as client,
        ):
            await client.send(request())
            assert await client.ending() == (answered, "closed")


async def test_interim_answers_are_skipped() -> None:
    """The proxy skips an interim response of the gateway, for example HTTP status 103."""
    async with run_upstream() as upstream:
        upstream.answer = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer()
        async with (
            run_fault_proxy("127.0.0.1", upstream.port) as proxy,
            await RawClient.connect(proxy) as client,
        ):
            await client.send(request())
            assert await client.receive_until(IDS) == answer()


async def test_answer_to_head_has_no_body() -> None:
    """The proxy does not wait for a body in the response to a HEAD request."""
    async with run_upstream() as upstream:
        upstream.answer = answer()[: -len(IDS)]
        async with (
            run_fault_proxy("127.0.0.1", upstream.port) as proxy,
            await RawClient.connect(proxy) as client,
        ):
            await client.send(b"HEAD /rest/User/Balance HTTP/1.1\r\n\r\n")
            assert await client.receive_until(b"\r\n\r\n") == upstream.answer


async def test_requests_sent_ahead_are_answered_in_order() -> None:
    """Two requests in one write get two responses in order, even with an empty line between the requests."""
    async with run_upstream() as upstream:
        plan = FaultPlan.script([Fault.PASS, Fault.EXPIRED_SESSION])
        async with (
            run_fault_proxy("127.0.0.1", upstream.port, plan) as proxy,
            await RawClient.connect(proxy) as client,
        ):
            # Send an empty line between the requests: a server should ignore it (RFC 9112, 2.2).
            await client.send(request("/rest/Sms/Send") + b"\r\n" + request("/rest/Sms/SendBulk"))
            received = await client.receive_until(b'expired"}')
            assert received.startswith(answer())
            assert [entry.resource for entry in proxy.history] == ["Sms/Send", "Sms/SendBulk"]


@pytest.mark.parametrize(
    "raw",
    [
        b"SMPP bind_transmitter\r\n\r\n",
        b"GET /rest/User/Balance HTTP/2.0\r\n\r\n",
        b"GET /" + b"x" * (3 << 20),
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfour\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 300,
    ],
)
async def test_request_without_an_end_is_refused(raw: bytes) -> None:
    """If the client sends no valid HTTP/1.1 request, the proxy responds with HTTP status 400.

    The proxy neither records an invalid request nor passes it to the gateway.
    """
    async with (
        run_upstream() as upstream,
        run_fault_proxy("127.0.0.1", upstream.port) as proxy,
        await RawClient.connect(proxy) as client,
    ):
        await client.send(raw)
        received, ending = await client.ending()
        assert (received[:12], ending) == (b"HTTP/1.1 400", "closed")
        assert (proxy.history, upstream.requests) == ([], [])


@pytest.mark.parametrize("answered", [b"", b"no HTTP\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1"])
async def test_gateway_that_fails_by_itself_gives_502(answered: bytes) -> None:
    """If the response of the gateway is broken, the client gets HTTP status 502.

    The history of the proxy records that the request was passed on to the gateway.
    """
    async with run_upstream() as upstream:
        upstream.answer = answered
        async with (
            run_fault_proxy("127.0.0.1", upstream.port) as proxy,
            await RawClient.connect(proxy) as client,
        ):
            await client.send(request())
            assert (await client.receive_until(b"did not answer"))[:12] == b"HTTP/1.1 502"
            assert proxy.history == [(0, "Sms/Send", Fault.PASS, True)]


async def test_gateway_that_is_not_there_gives_502() -> None:
    """If the gateway is not reachable, the client gets HTTP status 502.

    The history of the proxy records that the request was not passed on to the gateway.
    """
    async with run_upstream() as upstream:
        port = upstream.port
    async with run_fault_proxy("127.0.0.1", port) as proxy, await RawClient.connect(proxy) as client:
        await client.send(request())
        assert (await client.receive_until(b"did not answer"))[:12] == b"HTTP/1.1 502"
        assert proxy.history == [(0, "Sms/Send", Fault.PASS, False)]
