"""Tests that each fault has the documented effect on the client and the gateway, over real sockets."""

import httpx
import pytest

from smsapi_async.sandbox.faults import Fault, FaultPlan, Rule, run_fault_proxy
from tests.client.tools import until
from tests.faults.support import IDS, RawClient, answer, request, run_upstream

pytestmark = pytest.mark.anyio

ENDINGS = {
    Fault.REFUSE: "reset",
    Fault.CLOSE_BEFORE_READ: "closed",
    Fault.RESET_BEFORE_READ: "reset",
    Fault.CLOSE_AFTER_READ: "closed",
    Fault.RESET_AFTER_READ: "reset",
    Fault.CLOSE_AFTER_PASS: "closed",
    Fault.RESET_AFTER_PASS: "reset",
}
ANSWERED = {
    Fault.PASS: (200, IDS.decode()),
    Fault.SLOW_BYTES: (200, IDS.decode()),
    Fault.STALE_KEEP_ALIVE: (200, IDS.decode()),
    Fault.TWO_ANSWERS: (200, IDS.decode()),
    Fault.LATE_ANSWER: (200, IDS.decode()),
    Fault.UNSOLICITED_408: (200, IDS.decode()),
    Fault.ERROR_500: (500, "<html>"),
    Fault.ERROR_502: (502, "<html>"),
    Fault.ERROR_500_AFTER_PASS: (500, "<html>"),
    Fault.ERROR_502_AFTER_PASS: (502, "<html>"),
    Fault.REDIRECT_307: (307, ""),
    Fault.TOO_MANY_REQUESTS_429: (429, ""),
    Fault.EXPIRED_SESSION: (401, '{"Code":4,"Desc":"SessionID expired"}'),
}
SILENT = [Fault.ACCEPT_THEN_SILENCE, Fault.HANG_AFTER_READ, Fault.HANG_AFTER_PASS]
MANGLED = [
    Fault.TRUNCATE_AFTER_PASS,
    Fault.GARBAGE,
    Fault.GARBAGE_AFTER_PASS,
    Fault.TLS_GARBAGE_AFTER_PASS,
]


def test_every_kind_is_shown_here() -> None:
    """Every member of `Fault` is in one of the four collections above, so that a test checks its effect."""
    assert {*ENDINGS, *ANSWERED, *SILENT, *MANGLED} == set(Fault)


@pytest.mark.parametrize("fault", ENDINGS)
async def test_connection_ends_without_an_answer(fault: Fault) -> None:
    """The client receives no byte, and the connection is closed or reset as documented."""
    async with run_upstream() as upstream:
        plan = FaultPlan(rules=(Rule(resource="Sms/Send", fault=fault),))
        async with run_fault_proxy("127.0.0.1", upstream.port, plan) as proxy:
            async with await RawClient.connect(proxy) as client:
                await client.send(request())
                assert await client.ending() == (b"", ENDINGS[fault])
            assert upstream.requests == [request()] * fault.reaches_gateway
            assert proxy.history == [(0, "Sms/Send", fault, fault.reaches_gateway)]


@pytest.mark.parametrize("fault", ANSWERED)
async def test_client_is_answered(fault: Fault) -> None:
    """The client receives a well-formed response of the gateway or of the proxy."""
    status, text = ANSWERED[fault]
    async with run_upstream() as upstream:
        plan = FaultPlan.script([fault])
        async with (
            run_fault_proxy("127.0.0.1", upstream.port, plan, byte_interval=0.0001) as proxy,
            httpx.AsyncClient(base_url=proxy.base_url, timeout=60) as client,
        ):
            response = await client.post("Sms/Send", content=b"Data=x")
            assert (response.status_code, text in response.text) == (status, True)
            assert len(upstream.requests) == fault.reaches_gateway
            assert proxy.history == [(0, "Sms/Send", fault, fault.reaches_gateway)]


@pytest.mark.parametrize("fault", SILENT)
async def test_client_waits_in_vain_and_is_let_go(fault: Fault) -> None:
    """The client gets no response before its timeout.

    If the client closes the connection, the proxy also closes the connection.
    """
    async with run_upstream() as upstream:
        plan = FaultPlan(rules=(Rule(resource="Sms/Send", fault=fault),))
        async with run_fault_proxy("127.0.0.1", upstream.port, plan) as proxy:
            timeout = httpx.Timeout(60, read=0.05)
            async with httpx.AsyncClient(base_url=proxy.base_url, timeout=timeout) as client:
                with pytest.raises(httpx.ReadTimeout):
                    await client.post("Sms/Send", content=b"Data=x")
            async with await RawClient.connect(proxy) as raw:
                await raw.send(request())
                await raw.stream.send_eof()
                assert await raw.ending() == (b"", "closed")
            # Wait for the requests: the timeout of the first client may end before the proxy has passed its
            # request to the gateway.
            await until(lambda: len(upstream.requests) >= 2 * fault.reaches_gateway)
            assert len(upstream.requests) == 2 * fault.reaches_gateway
            assert [entry.passed_on for entry in proxy.history] == [fault.reaches_gateway] * 2


async def test_truncated_answer_breaks_off_in_its_body() -> None:
    """If a response has a Content-Length, the proxy truncates the response in the middle of its body."""
    async with run_upstream() as upstream:
        plan = FaultPlan.script([Fault.TRUNCATE_AFTER_PASS])
        async with run_fault_proxy("127.0.0.1", upstream.port, plan) as proxy:
            async with await RawClient.connect(proxy) as client:
                await client.send(request())
                received, ending = await client.ending()
            assert ending == "closed"
            assert received == answer()[: -len(IDS)] + IDS[: len(IDS) // 2]
            assert upstream.requests == [request()]


async def test_truncated_answer_without_a_length_breaks_off_in_its_head() -> None:
    """If a response has no Content-Length, the proxy truncates the response inside its header.

    The proxy does so because a client cannot detect a truncated body if there is no Content-Length.
    """
    async with run_upstream() as upstream:
        upstream.answer = b"HTTP/1.1 200 OK\r\n\r\n100.5"
        plan = FaultPlan.script([Fault.TRUNCATE_AFTER_PASS])
        async with (
            run_fault_proxy("127.0.0.1", upstream.port, plan) as proxy,
            await RawClient.connect(proxy) as client,
        ):
            await client.send(request())
            assert await client.ending() == (b"HTTP/1.1 ", "closed")


@pytest.mark.parametrize("fault", [Fault.GARBAGE, Fault.GARBAGE_AFTER_PASS, Fault.TLS_GARBAGE_AFTER_PASS])
async def test_garbage_is_no_http(fault: Fault) -> None:
    """The client receives bytes that are not HTTP, and httpx raises `RemoteProtocolError`."""
    async with (
        run_upstream() as upstream,
        run_fault_proxy("127.0.0.1", upstream.port, FaultPlan.script([fault])) as proxy,
        httpx.AsyncClient(base_url=proxy.base_url, timeout=60) as client,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("Sms/Send", content=b"Data=x")
        assert len(upstream.requests) == fault.reaches_gateway
        assert proxy.history == [(0, "Sms/Send", fault, fault.reaches_gateway)]


async def test_redirect_points_back_at_the_proxy() -> None:
    """The header `Location` of a redirect contains the URL of the request at the proxy.

    A client that follows the redirect therefore sends the request a second time.
    """
    async with (
        run_upstream() as upstream,
        run_fault_proxy("127.0.0.1", upstream.port, FaultPlan.script([Fault.REDIRECT_307])) as proxy,
    ):
        async with httpx.AsyncClient(base_url=proxy.base_url, timeout=60, follow_redirects=True) as client:
            response = await client.post("Sms/Send?a=b", content=b"Data=x")
        assert response.history[0].headers["Location"] == f"{proxy.base_url}/Sms/Send?a=b"
        assert response.json() == ["579700854169272358", "GW0261BA732A"]
        assert [entry.passed_on for entry in proxy.history] == [False, True]


async def test_redirect_of_an_absolute_target_points_at_its_path() -> None:
    """For a request with an absolute URL, the redirect keeps the path and the query of the URL.

    The redirect replaces the host in the absolute URL with the proxy.
    """
    async with run_upstream() as upstream:
        plan = FaultPlan.script([Fault.REDIRECT_307])
        async with (
            run_fault_proxy("127.0.0.1", upstream.port, plan) as proxy,
            await RawClient.connect(proxy) as client,
        ):
            await client.send(request("http://gateway/rest/Sms/Send?a=b"))
            head = await client.receive_until(b"\r\n\r\n")
            assert f"Location: {proxy.base_url}/Sms/Send?a=b\r\n".encode() in head
            assert proxy.history == [(0, "Sms/Send", Fault.REDIRECT_307, False)]


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "0"), (30, "30"), (0.05, "0.05")])
async def test_retry_after_is_the_plans(seconds: float, header: str) -> None:
    """The header `Retry-After` of a 429 response has the value `retry_after` of the fault plan."""
    plan = FaultPlan.script([Fault.TOO_MANY_REQUESTS_429], retry_after=seconds)
    async with (
        run_upstream() as upstream,
        run_fault_proxy("127.0.0.1", upstream.port, plan) as proxy,
        httpx.AsyncClient(base_url=proxy.base_url, timeout=60) as client,
    ):
        assert (await client.post("Sms/Send")).headers["Retry-After"] == header


async def test_scripted_refusal_strikes_before_a_byte_is_sent() -> None:
    """If the next fault of a script is `REFUSE`, the proxy resets a new connection at once.

    The proxy resets a connection with the fault `REFUSE` even if the client has sent no byte.
    """
    async with run_upstream() as upstream:
        plan = FaultPlan.script([Fault.REFUSE, Fault.ACCEPT_THEN_SILENCE, Fault.PASS, Fault.REFUSE])
        async with run_fault_proxy("127.0.0.1", upstream.port, plan) as proxy:
            assert await RawClient.ending_of_new(proxy) == (b"", "reset")
            async with await RawClient.connect(proxy) as client:
                await client.send(request())
                await client.stream.send_eof()
                assert await client.ending() == (b"", "closed")
            async with await RawClient.connect(proxy) as client:
                await client.send(request())
                await client.receive_until(IDS)
                await client.send(request())
                assert await client.ending() == (b"", "reset")
            assert proxy.history == [
                (0, "", Fault.REFUSE, False),
                (1, "", Fault.ACCEPT_THEN_SILENCE, False),
                (2, "Sms/Send", Fault.PASS, True),
                (3, "Sms/Send", Fault.REFUSE, False),
            ]


async def test_decision_taken_by_another_request_still_passes_nothing_on() -> None:
    """The proxy chooses the fault of a slow request again when the request is complete.

    If a second request has used the first fault of the script, the slow request gets the second fault.
    """
    plan = FaultPlan.script([Fault.ERROR_500, Fault.RESET_BEFORE_READ])
    async with run_upstream() as upstream, run_fault_proxy("127.0.0.1", upstream.port, plan) as proxy:
        async with await RawClient.connect(proxy) as slow, await RawClient.connect(proxy) as quick:
            raw = request("/rest/User/Balance", fields="Expect: 100-continue\r\n")
            await slow.send(raw[:-1])
            assert b"100 Continue" in await slow.receive_until(b"\r\n\r\n")
            await quick.send(request())
            await quick.receive_until(b"</html>\r\n")
            await slow.send(raw[-1:])
            assert await slow.ending() == (b"", "reset")
        assert [(entry.resource, entry.passed_on) for entry in proxy.history] == [
            ("Sms/Send", False),
            ("User/Balance", False),
        ]
        assert upstream.requests == []


async def test_request_given_up_halfway_is_not_counted() -> None:
    """If the client closes the connection before its request is complete, the script stays unchanged.

    The request after an incomplete request gets the first fault of the script.
    """
    async with run_upstream() as upstream:
        plan = FaultPlan.script([Fault.ERROR_500])
        async with run_fault_proxy("127.0.0.1", upstream.port, plan) as proxy:
            async with await RawClient.connect(proxy) as client:
                await client.send(request()[:-1])
                await client.stream.send_eof()
                assert await client.ending() == (b"", "closed")
            assert (proxy.history, upstream.requests) == ([], [])
            async with httpx.AsyncClient(base_url=proxy.base_url, timeout=60) as good:
                assert (await good.post("Sms/Send")).status_code == 500
