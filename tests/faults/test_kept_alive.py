"""Tests of faults that affect a connection after a complete and correct response."""

import httpx
import pytest

from smsapi_async.sandbox.faults import Fault, FaultPlan, run_fault_proxy
from tests.faults.support import IDS, RawClient, answer, request, run_upstream

pytestmark = pytest.mark.anyio

STALE = b'["STALE-1"]'


async def test_stale_connection_is_closed_under_the_next_request() -> None:
    """With `STALE_KEEP_ALIVE`, the proxy closes the connection when the second request arrives.

    With `STALE_KEEP_ALIVE`, the second request does not reach the gateway.
    """
    async with run_upstream() as upstream:
        plan = FaultPlan.script([Fault.STALE_KEEP_ALIVE])
        async with run_fault_proxy("127.0.0.1", upstream.port, plan) as proxy:
            async with await RawClient.connect(proxy) as client:
                await client.send(request())
                assert await client.receive_until(IDS) == answer()
                await client.send(request())
                assert await client.ending() == (b"", "closed")
            assert len(upstream.requests) == len(proxy.history) == 1


async def test_httpx_meets_the_stale_connection() -> None:
    """If an HTTP client sends a second request on a stale connection, the client raises an error."""
    async with run_upstream() as upstream:
        plan = FaultPlan.script([Fault.STALE_KEEP_ALIVE])
        async with (
            run_fault_proxy("127.0.0.1", upstream.port, plan) as proxy,
            httpx.AsyncClient(base_url=proxy.base_url, timeout=60) as client,
        ):
            assert (await client.post("Sms/Send")).status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post("Sms/Send")
            assert (await client.post("Sms/Send")).status_code == 200


async def test_second_answer_is_taken_for_the_next_requests() -> None:
    """A client that reuses the connection reads a surplus response as the response to the next request."""
    async with run_upstream() as upstream:
        plan = FaultPlan.script([Fault.TWO_ANSWERS, Fault.PASS])
        async with (
            run_fault_proxy("127.0.0.1", upstream.port, plan) as proxy,
            httpx.AsyncClient(base_url=proxy.base_url, timeout=60) as client,
        ):
            first, second = await client.post("Sms/Send"), await client.post("Sms/Send")
            assert (first.content, second.content) == (IDS, STALE)


async def test_second_answer_comes_in_the_same_write() -> None:
    """The proxy sends the correct response and the surplus response in one write."""
    plan = FaultPlan.script([Fault.TWO_ANSWERS])
    async with (
        run_upstream() as upstream,
        run_fault_proxy("127.0.0.1", upstream.port, plan) as proxy,
        await RawClient.connect(proxy) as client,
    ):
        await client.send(request())
        received = await client.stream.receive()
        assert received.startswith(answer())
        assert received.endswith(STALE)


async def test_late_answer_comes_on_the_idle_connection() -> None:
    """With `LATE_ANSWER`, the proxy sends a surplus response on the idle connection.

    After the surplus response, the connection stays usable.
    """
    async with run_upstream() as upstream:
        plan = FaultPlan.script([Fault.LATE_ANSWER])
        async with (
            run_fault_proxy("127.0.0.1", upstream.port, plan) as proxy,
            await RawClient.connect(proxy) as client,
        ):
            await client.send(request())
            assert await client.receive_until(IDS) == answer()
            assert (await client.receive_until(STALE)).startswith(b"HTTP/1.1 200 OK\r\n")
            await client.send(request())
            assert await client.receive_until(IDS) == answer()
            assert upstream.requests == [request()] * 2


async def test_late_answer_never_cuts_into_a_request() -> None:
    """If the client sends the next request before `idle_delay` ends, the proxy sends no late response."""
    plan = FaultPlan.script([Fault.LATE_ANSWER])
    async with (
        run_upstream() as upstream,
        run_fault_proxy("127.0.0.1", upstream.port, plan, idle_delay=60) as proxy,
        await RawClient.connect(proxy) as client,
    ):
        await client.send(request() * 2)
        assert await client.receive_until(answer() * 2) == answer() * 2
        await client.stream.send_eof()
        assert await client.ending() == (b"", "closed")


async def test_unsolicited_408_on_the_idle_connection() -> None:
    """With `UNSOLICITED_408`, the proxy sends a 408 response on the idle connection.

    After the 408 response, the proxy closes the connection.
    """
    plan = FaultPlan.script([Fault.UNSOLICITED_408])
    async with (
        run_upstream() as upstream,
        run_fault_proxy("127.0.0.1", upstream.port, plan) as proxy,
        await RawClient.connect(proxy) as client,
    ):
        await client.send(request())
        assert await client.receive_until(IDS) == answer()
        received, ending = await client.ending()
        assert received.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert ending == "closed"


async def test_unsolicited_408_meets_the_next_request() -> None:
    """The client reads the unsolicited 408 response as the response to the next request.

    The request that gets the 408 response does not reach the gateway.
    """
    async with run_upstream() as upstream:
        plan = FaultPlan.script([Fault.UNSOLICITED_408])
        async with (
            run_fault_proxy("127.0.0.1", upstream.port, plan, idle_delay=60) as proxy,
            httpx.AsyncClient(base_url=proxy.base_url, timeout=60) as client,
        ):
            assert (await client.post("Sms/Send")).status_code == 200
            assert (await client.post("Sms/Send")).status_code == 408
            assert (await client.post("Sms/Send")).status_code == 200
            assert len(upstream.requests) == len(proxy.history) == 2


@pytest.mark.parametrize("fault", [Fault.STALE_KEEP_ALIVE, Fault.LATE_ANSWER, Fault.UNSOLICITED_408])
async def test_client_that_leaves_after_its_answer_is_let_go(fault: Fault) -> None:
    """If the client closes the connection after the response, the proxy sends no more bytes."""
    plan = FaultPlan.script([fault])
    async with (
        run_upstream() as upstream,
        run_fault_proxy("127.0.0.1", upstream.port, plan, idle_delay=60) as proxy,
        await RawClient.connect(proxy) as client,
    ):
        await client.send(request())
        await client.receive_until(IDS)
        await client.stream.send_eof()
        assert await client.ending() == (b"", "closed")


@pytest.mark.parametrize(
    "fault", [Fault.STALE_KEEP_ALIVE, Fault.LATE_ANSWER, Fault.UNSOLICITED_408, Fault.PASS, Fault.SLOW_BYTES]
)
async def test_connection_asked_to_close_is_closed(fault: Fault) -> None:
    """After the response to a request with `Connection: close`, the proxy closes the connection.

    With each of the tested faults, the client receives exactly the complete response before the close.
    """
    plan = FaultPlan.script([fault])
    async with (
        run_upstream() as upstream,
        run_fault_proxy("127.0.0.1", upstream.port, plan, byte_interval=0.0001) as proxy,
        await RawClient.connect(proxy) as client,
    ):
        await client.send(request(fields="Connection: close\r\n"))
        assert await client.ending() == (answer(), "closed")
