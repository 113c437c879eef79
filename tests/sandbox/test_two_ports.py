"""The good line and the faulty line of a sandbox."""

import socket
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from smsapi_async.sandbox import FaultsPortError, Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan
from tests.sandbox.support import message

pytestmark = pytest.mark.anyio

PLAN = FaultPlan.script([Fault.RESET_AFTER_PASS], resource="User/SessionId")
LOGIN = {"Login": "sandbox", "Password": "sandbox-password"}


def port_of(url: str | None) -> int:
    """Return the port of a URL."""
    return httpx.URL(url or "").port or 0


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def test_the_faulty_line_has_its_own_port(anyio_backend: str) -> None:
    """`base_url` is without faults. Only a request to `faults_url` gets the fault of the plan."""
    async with run_sandbox(faults=PLAN, faults_port=0) as sandbox, httpx.AsyncClient() as client:
        assert port_of(sandbox.base_url) != port_of(sandbox.faults_url)
        assert (await client.get(f"{sandbox.base_url}/User/SessionId", params=LOGIN)).status_code == 200
        with pytest.raises(httpx.TransportError):
            await client.get(f"{sandbox.faults_url}/User/SessionId", params=LOGIN)
        assert (await client.get(f"{sandbox.faults_url}/User/SessionId", params=LOGIN)).status_code == 200
        assert sandbox.proxy is not None
        assert [each.fault for each in sandbox.proxy.history] == [Fault.RESET_AFTER_PASS, Fault.PASS]
        faults = [arrival.fault for arrival in sandbox.account.arrivals]
        assert faults == [None, Fault.RESET_AFTER_PASS, Fault.PASS]
        assert sandbox.proxy._connections._passing == {}
    assert sandbox.faults_url is None


@pytest.mark.parametrize("path", ["/", "/api/v1/livez", "/favicon.ico", "/?x=/rest/User/SessionId"])
async def test_the_page_uses_no_faults(anyio_backend: str, path: str) -> None:
    """A browser that opens the faulty line gets a hint. The next request to the gateway gets the fault."""
    plan = FaultPlan.script([Fault.RESET_BEFORE_READ])
    async with run_sandbox(faults=plan, faults_port=0) as sandbox, httpx.AsyncClient() as client:
        assert sandbox.proxy is not None
        for _ in range(2):
            answer = await client.get(f"http://127.0.0.1:{sandbox.proxy.port}{path}")
            assert (answer.status_code, "other port" in answer.text) == (421, True)
        assert sandbox.proxy.history == []
        with pytest.raises(httpx.TransportError):
            await client.get(f"{sandbox.faults_url}/User/SessionId", params=LOGIN)
        assert [each.number for each in sandbox.proxy.history] == [0]


async def test_the_plan_is_empty_until_it_is_set(anyio_backend: str) -> None:
    """With `faults_port` alone all requests pass, until a test sets a plan."""
    port = free_port()
    async with run_sandbox(faults_port=port) as sandbox, httpx.AsyncClient() as client:
        assert sandbox.faults_url == f"http://127.0.0.1:{port}/rest"
        assert sandbox.proxy is not None
        assert sandbox.proxy.plan == FaultPlan()
        assert (await client.get(f"{sandbox.faults_url}/User/SessionId", params=LOGIN)).status_code == 200
        sandbox.proxy.plan = FaultPlan.script([Fault.TOO_MANY_REQUESTS_429])
        assert (await client.get(f"{sandbox.faults_url}/User/SessionId", params=LOGIN)).status_code == 429
        assert sandbox.account.count() == 1
        assert (await client.get(f"{sandbox.base_url}/User/SessionId", params=LOGIN)).status_code == 200


@pytest.mark.parametrize(("options", "differ"), [({"faults": PLAN}, False), ({"faults_port": 0}, True)])
async def test_base_url(options: dict[str, Any], differ: bool, anyio_backend: str) -> None:
    """With a plan and without a port, clients get the faults at `base_url`; with a port they do not."""
    async with run_sandbox(**options) as sandbox:
        assert (sandbox.base_url != sandbox.faults_url) is differ
    async with run_sandbox() as sandbox:
        assert (sandbox.faults_url, sandbox.proxy) == (None, None)


async def test_a_port_that_is_in_use(anyio_backend: str) -> None:
    """If the port of the faulty line is in use, the sandbox does not start and holds no port."""
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(FaultsPortError):
            async with run_sandbox(port=port, faults_port=taken.getsockname()[1]):
                pytest.fail("the sandbox started")
        sandbox = Sandbox()
        async with run_sandbox(sandbox, port=port):
            assert sandbox.base_url == f"http://127.0.0.1:{port}/rest"


async def test_both_lines_listen_on_the_host(anyio_backend: str) -> None:
    """With an IPv6 host, both lines listen on this host."""
    async with run_sandbox(host="::1", faults_port=0) as sandbox, httpx.AsyncClient() as client:
        for url in (sandbox.base_url, sandbox.faults_url):
            assert httpx.URL(url or "").host == "::1"
            assert (await client.get(f"{url}/User/SessionId", params=LOGIN)).status_code == 200
        assert [arrival.fault for arrival in sandbox.account.arrivals] == [None, Fault.PASS]


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("", "127.0.0.1")])  # noqa: S104
async def test_all_interfaces(host: str, shown: str, anyio_backend: str) -> None:
    """A sandbox that listens on all interfaces has URLs that clients on this computer can open."""
    async with (
        run_sandbox(host=host, faults_port=0, allow_hosts=["localhost"]) as sandbox,
        httpx.AsyncClient() as client,
    ):
        for url in (sandbox.base_url, sandbox.faults_url or ""):
            assert url.startswith(f"http://{shown}:")
            assert (await client.get(f"{url}/User/SessionId", params=LOGIN)).status_code == 200


async def test_the_limit_holds_for_the_history(anyio_backend: str) -> None:
    """With `keep`, the history of the faulty line has a limit, and its numbers go on."""
    async with run_sandbox(faults_port=0, keep=2) as sandbox, httpx.AsyncClient() as client:
        for _ in range(4):
            await client.get(f"{sandbox.faults_url}/User/Balance")
        assert sandbox.proxy is not None
        history = sandbox.proxy.history
        assert [(each.number, each.passed_on) for each in history] == [(2, True), (3, True)]
        assert all(arrival.fault is Fault.PASS for arrival in sandbox.account.arrivals)


async def _page(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(f"page {scope['path']}")(scope, receive, send)


@pytest.mark.parametrize("path", ["/", "/api/v1/state", "/restaurant", "/x/rest/User/Balance"])
async def test_the_page_gets_the_other_paths(path: str) -> None:
    """Requests outside `/rest` go to the page and do not count; without a page they count as before."""
    sandbox = Sandbox()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(sandbox.app), base_url="http://127.0.0.1"
    ) as client:
        assert (await client.get(path)).status_code == 404
        assert sandbox.account.count() == 1
        sandbox.web = _page
        assert (await client.get(path)).text == f"page {path}"
        assert sandbox.account.count() == 1


@pytest.mark.parametrize(
    "path", ["/rest/User/Balance", "/REST/user/balance", "//rest//User/Balance", "/rest"]
)
async def test_the_gateway_keeps_its_paths(path: str) -> None:
    """With a page, each path of the gateway still goes to the gateway, in any spelling, and counts."""
    sandbox = Sandbox()
    sandbox.web = _page
    async with httpx.AsyncClient(transport=httpx.ASGITransport(sandbox.app)) as client:
        answer = await client.post(f"http://127.0.0.1{path}", data=message())
    assert answer.status_code in {404, 405}
    assert sandbox.account.count() == 1
