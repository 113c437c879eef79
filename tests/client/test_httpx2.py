"""Clients over httpx2: a client or a transport of the caller, and the connections that ``http`` selects.

`test_proof.py`, `test_privacy.py` and `test_tracebacks.py` run over httpx2, too.
"""

import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest

from smsapi_async import (
    Accepted,
    AsyncSmsClient,
    Message,
    NotSent,
    OutcomeUnknown,
    RetryPolicy,
    Timeouts,
    TransportFailed,
    ValidationError,
)
from smsapi_async.http import libraries
from smsapi_async.ledger import Ledger
from smsapi_async.privacy import HTTP_PACKAGES
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan, run_fault_proxy
from tests.client.tools import (
    NUMBER,
    TEXT,
    RawServer,
    client_for,
    logged_in_store,
    port_of,
    read_request,
    tls_pair,
)
from tests.conftest import need_httpx2

httpx2: Any = need_httpx2()
pytestmark = pytest.mark.anyio
ONCE = RetryPolicy(attempts=1)
WAYS = ["http", "client", "transport"]


@pytest.fixture
async def sandbox(anyio_backend: str) -> AsyncIterator[Sandbox]:
    """Serve a sandbox on a socket during the test, and yield the sandbox."""
    async with run_sandbox() as running:
        yield running


@asynccontextmanager
async def _over(way: str, sandbox: Sandbox, **options: Any) -> AsyncIterator[AsyncSmsClient]:
    """Enter a client over httpx2.

    Args:
        way: a member of `WAYS`: the parameter that selects httpx2.
        sandbox: the sandbox to which the client sends its requests.
        options: more parameters of `AsyncSmsClient`.
    """
    context = options.pop("ssl_context", None)
    if way == "http":
        async with client_for(sandbox, http="httpx2", ssl_context=context, **options) as sms:
            yield sms
    elif way == "transport":
        transport = httpx2.AsyncHTTPTransport(verify=context or True)
        async with client_for(sandbox, transport=transport, **options) as sms:
            yield sms
    else:
        async with (
            httpx2.AsyncClient(verify=context or True) as client,
            client_for(sandbox, client=client, **options) as sms,
        ):
            yield sms


@pytest.mark.usefixtures("leaves_no_socket")
@pytest.mark.parametrize("way", WAYS)
async def test_each_kind_of_call(sandbox: Sandbox, way: str, tmp_path: Any) -> None:
    """Over httpx2, a client sends, reads, tracks and watches as over httpx, and leaves no socket open."""
    sandbox.receive(NUMBER, text="hello", at=sandbox.now())
    async with _over(way, sandbox) as sms, Ledger.sqlite(tmp_path / "run.db") as ledger:
        receipt = await sms.send(NUMBER, TEXT)
        assert await sms.balance() == sandbox.balance
        assert (await sms.wait_delivered(receipt, timeout=1)).receipt == receipt
        messages = [Message(f"790312345{index:02}", TEXT) for index in range(30)]
        async with sms.send_many(messages, ledger=ledger) as outcomes:
            assert all([isinstance(outcome, Accepted) async for outcome in outcomes])
        assert len(await sms.incoming()) == 1
    assert len(sandbox.account.messages) == 31


@pytest.mark.parametrize(
    ("fault", "arrivals"),
    [
        (Fault.CLOSE_BEFORE_READ, 0),
        (Fault.RESET_AFTER_READ, 0),
        (Fault.CLOSE_AFTER_PASS, 1),
        (Fault.HANG_AFTER_PASS, 1),
        (Fault.TRUNCATE_AFTER_PASS, 1),
        (Fault.GARBAGE_AFTER_PASS, 1),
        (Fault.REDIRECT_307, 0),
    ],
)
@pytest.mark.parametrize("way", ["client", "transport"])
async def test_a_send_that_was_written_is_unknown(
    sandbox: Sandbox, way: str, fault: Fault, arrivals: int
) -> None:
    """Over an httpx2 client of the caller, a send whose exchange breaks is unknown, and never sent twice."""
    plan = FaultPlan.script([Fault.PASS, fault])
    timeouts = Timeouts(read=0.3) if fault is Fault.HANG_AFTER_PASS else Timeouts()
    async with (
        run_fault_proxy("127.0.0.1", port_of(sandbox), plan) as proxy,
        _over(way, sandbox, base_url=proxy.base_url, timeouts=timeouts) as sms,
    ):
        with pytest.raises(OutcomeUnknown):
            await sms.send(NUMBER, TEXT)
        assert sandbox.account.count("Sms/Send") == len(sandbox.account.messages) == arrivals


@pytest.mark.parametrize("way", WAYS)
async def test_the_total_time_ends_an_exchange(sandbox: Sandbox, way: str) -> None:
    """The total timeout ends a send whose response does not arrive; its outcome is unknown."""
    store = await logged_in_store(sandbox)
    timeouts = Timeouts(total=0.2)
    async with _over(way, sandbox, session_store=store, timeouts=timeouts, retry=ONCE) as sms:
        with sandbox.hold("Sms/Send"), pytest.raises(OutcomeUnknown, match="ReadTimeout"):
            await sms.send(NUMBER, TEXT)


@pytest.mark.parametrize("way", WAYS)
async def test_a_cancelled_send_arrives_at_most_once(sandbox: Sandbox, way: str) -> None:
    """A send that is cancelled after its request has arrived is not repeated by a later call."""
    async with _over(way, sandbox) as sms:
        with sandbox.hold("Sms/Send") as gate:
            async with anyio.create_task_group() as group:
                group.start_soon(sms.send, NUMBER, TEXT)
                await gate.arrived(1)
                group.cancel_scope.cancel()
        await sms.balance()
    assert sandbox.account.count("Sms/Send") == 1


@pytest.mark.parametrize("way", WAYS)
async def test_tls(sandbox: Sandbox, way: str) -> None:
    """The TLS context of the caller is used, and a certificate that is not trusted proves `NotSent`."""
    serving, trusting = tls_pair()
    async with run_fault_proxy("127.0.0.1", port_of(sandbox), FaultPlan.script([]), tls=serving) as proxy:
        url = proxy.base_url.replace("http://", "https://")
        async with _over(way, sandbox, base_url=url, ssl_context=trusting) as sms:
            assert await sms.balance() == sandbox.balance
        store = await logged_in_store(sandbox)
        async with _over(way, sandbox, base_url=url, session_store=store, retry=ONCE) as sms:
            with pytest.raises(NotSent):
                await sms.send(NUMBER, TEXT)


@pytest.mark.sms_real
@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy(anyio_backend: str, scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    """With ``http="httpx2"``, all requests go through the proxy, and no error shows its password."""
    caplog.set_level(logging.DEBUG)
    heard: list[bytes] = []

    def serve(connection: Any) -> None:
        heard.append(read_request(connection) if scheme == "http" else connection.recv(100))
        connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

    with RawServer(serve) as server:
        sms = AsyncSmsClient(
            "login",
            "password",
            http="httpx2",
            base_url="https://gateway.invalid/rest",
            proxy=f"{scheme}://user:hidden@127.0.0.1:{server.port}",
            retry=ONCE,
        )
        async with sms:
            with pytest.raises(TransportFailed) as caught:
                await sms.balance()
    assert heard[0].startswith(b"CONNECT gateway.invalid:443" if scheme == "http" else b"\x05")
    assert "hidden" not in f"{caught.value}{caplog.text}"
    assert "password" not in b"".join(heard).decode("latin-1")


@pytest.mark.parametrize("way", ["client", "transport"])
async def test_what_the_logs_show(sandbox: Sandbox, way: str, caplog: pytest.LogCaptureFixture) -> None:
    """httpx2 logs each request without its query, and httpcore2 logs nothing of the exchanges."""
    caplog.set_level(logging.DEBUG)
    async with _over(way, sandbox) as sms:
        await sms.balance()
        assert not [record for record in caplog.records if record.name.startswith("httpcore2")]
    lines = [record.getMessage() for record in caplog.records if record.name == "httpx2"]
    assert len(lines) == 2
    assert all("?" not in line for line in lines)
    # The records of requests that this package does not make are kept.
    async with httpx2.AsyncClient() as client:
        await client.get(f"{sandbox.base_url}/unknown?a=b")
    assert [record for record in caplog.records if record.name == "httpcore2.http11"]


@pytest.mark.parametrize("way", ["client", "transport"])
async def test_cookies_are_not_sent_back(sandbox: Sandbox, way: str) -> None:
    """Over a transport of the caller, cookies of the gateway are not sent back. A client may keep them."""
    sandbox.answer_next("User/Balance", body=b"1", headers={"Set-Cookie": "ASP.NET_SessionId=abc; path=/"})
    async with _over(way, sandbox) as sms:
        await sms.balance()
        await sms.balance()
    sent = any("cookie" in map(str.lower, dict(arrival.headers)) for arrival in sandbox.account.arrivals)
    assert sent is (way == "client")


async def test_the_client_of_the_caller_stays_open(sandbox: Sandbox) -> None:
    """`aclose` does not close the httpx2 client of the caller, but closes a client over a transport."""
    async with httpx2.AsyncClient() as client:
        async with client_for(sandbox, client=client) as sms:
            await sms.balance()
        assert not client.is_closed
        assert "client=the caller's" in repr(sms)


async def test_from_env(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """``from_env(http="httpx2")`` sends over httpx2, and the repr of the client says so."""
    monkeypatch.setenv("SMSAPI_LOGIN", sandbox.login)
    monkeypatch.setenv("SMSAPI_PASSWORD", sandbox.password)
    monkeypatch.setenv("SMSAPI_BASE_URL", sandbox.base_url)
    async with AsyncSmsClient.from_env(http="httpx2", source_address="ACME") as sms:
        await sms.send(NUMBER, TEXT)
        assert "transport=httpcore2" in repr(sms)
    async with AsyncSmsClient.from_env(http="httpx", source_address="ACME") as sms:
        await sms.send(NUMBER, TEXT)
        assert "httpcore2" not in repr(sms)
    assert len(sandbox.account.messages) == 2


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"http": "aiohttp"}, "http: 'aiohttp' cannot be used; pass 'httpx' or 'httpx2'"),
        ({"http": 2}, "http: <int> cannot be used"),
        ({"http": httpx}, "http: <module> cannot be used"),
        ({"http": "httpx2", "transport": "asyncio"}, "transport: 'asyncio' cannot be used; omit"),
        ({"http": "httpx2", "transport": "httpcore"}, "transport: 'httpcore' cannot be used; omit"),
        ({"http": "httpx2", "client": httpx.AsyncClient()}, "the client that you pass belongs to httpx"),
        ({"http": "httpx", "transport": httpx2.AsyncHTTPTransport()}, "that you pass belongs to httpx2"),
        ({"client": httpx2.AsyncClient(), "transport": httpx2.AsyncHTTPTransport()}, "transport: "),
        ({"client": httpx2.AsyncClient(), "proxy": "http://127.0.0.1:1"}, "proxy: "),
        ({"transport": httpx2.HTTPTransport()}, "transport: <httpx2.HTTPTransport> cannot be used"),
    ],
)
async def test_settings_that_contradict(options: dict[str, Any], words: str) -> None:
    """A wrong library, or a library that does not match another setting, is refused before any request."""
    with pytest.raises(ValidationError) as caught:
        AsyncSmsClient("login", "password", **options)
    assert words in str(caught.value)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_matching_settings(sandbox: Sandbox) -> None:
    """``http`` may also name the library of the client that the caller passes."""
    async with httpx2.AsyncClient() as client, client_for(sandbox, client=client, http="httpx2") as sms:
        assert await sms.balance() == sandbox.balance


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_without_httpx2(monkeypatch: pytest.MonkeyPatch) -> None:
    """If httpx2 is not installed, the error says what to install."""
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ValidationError, match=r"http: 'httpx2' cannot be used; run `pip install httpx2`"):
        AsyncSmsClient("login", "password", http="httpx2")


_WITHOUT_HTTPX2 = """
import sys
sys.modules["httpx2"] = sys.modules["httpcore2"] = None
import anyio, httpx
from smsapi_async import AsyncSmsClient

async def main():
    for options in ({}, {"transport": httpx.AsyncHTTPTransport()}):
        async with AsyncSmsClient("login", sys.argv[2], base_url=sys.argv[1], **options) as sms:
            print(await sms.balance())

anyio.run(main)
"""
_ALIAS = _WITHOUT_HTTPX2.replace(
    'sys.modules["httpx2"] = sys.modules["httpcore2"] = None', "import httpx2; httpx2.alias_httpx()"
)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("program", [_WITHOUT_HTTPX2, _ALIAS], ids=["without httpx2", "httpx2 as httpx"])
async def test_programs_with_one_library(program: str) -> None:
    """A client works if httpx2 cannot be imported, and if httpx2 has taken the name of httpx."""
    with run_sandbox(login="login") as sandbox:
        command = [sys.executable, "-c", program, sandbox.base_url, sandbox.password]
        done = await anyio.run_process(command, check=False, stderr=subprocess.PIPE)
    assert (done.stderr, done.stdout.split()) == (b"", [str(sandbox.balance).encode()] * 2)


async def test_an_answer_nobody_asked_for_is_never_taken(sandbox: Sandbox) -> None:
    """With ``http="httpx2"``, surplus bytes on a connection never become the response to the next request."""
    plan = FaultPlan.script([Fault.TWO_ANSWERS] * 10, resource="Sms/Send")
    async with (
        run_fault_proxy("127.0.0.1", port_of(sandbox), plan) as proxy,
        client_for(sandbox, base_url=proxy.base_url, http="httpx2") as sms,
    ):
        receipts = [await sms.send(f"790312345{index:02}", TEXT) for index in range(10)]
    accepted = {each.destination_address: tuple(each.segment_ids) for each in sandbox.account.messages}
    assert {each.message.destination_address: each.segment_ids for each in receipts} == accepted


def test_no_library_is_forgotten() -> None:
    """A traceback shows no private value of a frame of either library, and of the packages below them."""
    assert {*libraries.LIBRARIES, *libraries._CORES.values(), "h11"} == HTTP_PACKAGES
