"""Tests of broken exchanges (a request and its response) over sockets.

The error of a send must agree with the requests that arrived at the sandbox.
"""

import socket
import ssl
import threading
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trustme

from smsapi_async import AsyncSmsClient, NotSent, OutcomeUnknown, RetryPolicy, Timeouts, TransportFailed
from smsapi_async.sandbox import Sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan, FaultProxy, run_fault_proxy
from tests.client.tools import (
    NUMBER,
    TEXT,
    RawServer,
    client_for,
    json_answer,
    logged_in_store,
    port_of,
    read_request,
    tls_pair,
    until,
)

pytestmark = [pytest.mark.anyio, pytest.mark.over_httpx2("trio-httpx2", "asyncio-httpx2")]
HANGING = {Fault.HANG_AFTER_READ, Fault.HANG_AFTER_PASS, Fault.ACCEPT_THEN_SILENCE}


def _client(sandbox: Sandbox, proxy: FaultProxy, **options: Any) -> AsyncSmsClient:
    return client_for(sandbox, base_url=proxy.base_url, **options)


def _for_fault(fault: Fault) -> dict[str, Any]:
    """Return the options for a client whose requests get a fault.

    The options contain a short read timeout only for a fault that lets an exchange hang.
    """
    if fault not in HANGING:
        return {}
    # Allow 100 attempts, because on a slow machine the short timeout may end an exchange without a fault.
    return {"timeouts": Timeouts(read=0.1), "retry": RetryPolicy(attempts=100, initial=0.001, maximum=0.001)}


AFTER_THE_REQUEST = [
    (Fault.CLOSE_AFTER_READ, 0),
    (Fault.RESET_AFTER_READ, 0),
    (Fault.HANG_AFTER_READ, 0),
    (Fault.CLOSE_AFTER_PASS, 1),
    (Fault.RESET_AFTER_PASS, 1),
    (Fault.HANG_AFTER_PASS, 1),
    (Fault.TRUNCATE_AFTER_PASS, 1),
    (Fault.GARBAGE_AFTER_PASS, 1),
    (Fault.ERROR_500_AFTER_PASS, 1),
    (Fault.ERROR_502_AFTER_PASS, 1),
    (Fault.GARBAGE, 0),
    (Fault.ERROR_500, 0),
    (Fault.ERROR_502, 0),
    (Fault.REDIRECT_307, 0),
    (Fault.CLOSE_BEFORE_READ, 0),
    (Fault.RESET_BEFORE_READ, 0),
    (Fault.ACCEPT_THEN_SILENCE, 0),
]


@pytest.mark.parametrize(("fault", "arrivals"), AFTER_THE_REQUEST)
async def test_a_send_that_was_written_is_unknown_and_arrives_at_most_once(
    sandbox: Sandbox, proxy: FaultProxy, fault: Fault, arrivals: int
) -> None:
    """If the exchange breaks after the request was written, the outcome of the send is unknown.

    After the exchange has broken, the client does not send the message a second time.
    """
    async with _client(sandbox, proxy, **_for_fault(fault)) as sms:
        await sms.balance()
        proxy.plan = FaultPlan.script([fault], resource="Sms/Send")
        with pytest.raises(OutcomeUnknown):
            await sms.send(NUMBER, TEXT)
    # Wait for the proxy, because the call of the client may end before the proxy has passed the request on.
    await until(lambda: proxy.history[-1].resource == "Sms/Send")
    await until(lambda: sandbox.account.count("Sms/Send") >= arrivals)
    assert sandbox.account.count("Sms/Send") == arrivals
    assert len(sandbox.account.messages) == arrivals


@pytest.mark.parametrize(("fault", "arrivals"), AFTER_THE_REQUEST)
async def test_a_read_survives_the_same_failures(
    sandbox: Sandbox, proxy: FaultProxy, fault: Fault, arrivals: int
) -> None:
    """If the exchange of `balance` breaks, the client repeats the request. A redirect raises an error."""
    async with _client(sandbox, proxy, **_for_fault(fault)) as sms:
        proxy.plan = FaultPlan.script([fault], resource="User/Balance")
        if fault is Fault.REDIRECT_307:
            with pytest.raises(Exception, match="HTTP 307"):
                await sms.balance()
        else:
            assert await sms.balance() == sandbox.balance


async def test_a_refused_connection_is_proved_not_sent_and_tried_again(
    sandbox: Sandbox, proxy: FaultProxy
) -> None:
    """While the gateway refuses connections, a send raises `NotSent`.

    When the gateway accepts connections again, the message of a new send arrives once.
    """
    async with _client(sandbox, proxy, retry=RetryPolicy(attempts=2, initial=0.001)) as sms:
        await sms.balance()
        await sms.aclose()
    async with _client(sandbox, proxy, retry=RetryPolicy(attempts=2, initial=0.001)) as sms:
        proxy.refuse_connections(True)
        with pytest.raises(NotSent):
            await sms.send(NUMBER, TEXT)
        proxy.refuse_connections(False)
        await sms.send(NUMBER, TEXT)
    assert len(sandbox.account.messages) == 1


async def test_a_send_after_a_connect_failure_is_repeated_by_itself(
    sandbox: Sandbox, proxy: FaultProxy
) -> None:
    """If the gateway refuses a connection, the client repeats the send, and the message arrives once."""

    class OpensLater(RetryPolicy):
        """A retry policy that lets the proxy accept connections again before the second attempt."""

        def wait(self, attempt: int, *rest: Any) -> float | None:
            proxy.refuse_connections(False)
            return super().wait(attempt, *rest)

    async with _client(sandbox, proxy, retry=OpensLater(initial=0.001)) as sms:
        proxy.refuse_connections(True)
        await sms.send(NUMBER, TEXT)
    assert len(sandbox.account.messages) == 1


@pytest.mark.sms_real
async def test_a_name_that_does_not_resolve_is_not_sent() -> None:
    """If the host name of the gateway cannot be resolved, the send raises `NotSent`."""
    sms = AsyncSmsClient(
        "login",
        "password",
        source_address="ACME",
        base_url="https://gateway.invalid/rest",
        retry=RetryPolicy(attempts=1),
    )
    async with sms:
        with pytest.raises(NotSent):
            await sms.send(NUMBER, TEXT)


async def test_a_connect_timeout_is_not_sent(sandbox: Sandbox) -> None:
    """If the connection is not established before the connect timeout ends, the send raises `NotSent`."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        # Fill the queue of the listening socket with these connections, so that the connection of the client
        # cannot be established.
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        sms = client_for(
            sandbox,
            base_url=f"http://127.0.0.1:{address[1]}/rest",
            timeouts=Timeouts(connect=0.05),
            retry=RetryPolicy(attempts=1),
            session_store=await logged_in_store(sandbox),
        )
        async with sms:
            with pytest.raises(NotSent, match="ConnectTimeout"):
                await sms.send(NUMBER, TEXT)
        for filler in fillers:
            filler.close()


async def test_a_certificate_that_is_not_trusted_is_not_sent(sandbox: Sandbox) -> None:
    """If the client does not trust the certificate of the gateway, the send raises `NotSent`."""
    serving, _ = tls_pair()
    async with run_fault_proxy("127.0.0.1", port_of(sandbox), FaultPlan.script([]), tls=serving) as proxy:
        url = proxy.base_url.replace("http://", "https://")
        async with client_for(sandbox, base_url=url, retry=RetryPolicy(attempts=1)) as sms:
            with pytest.raises(NotSent, match="CERTIFICATE_VERIFY_FAILED"):
                await sms.send(NUMBER, TEXT)
    assert sandbox.account.arrivals == []


@pytest.mark.parametrize(
    "fault", [Fault.TLS_GARBAGE_AFTER_PASS, Fault.RESET_AFTER_PASS, Fault.TRUNCATE_AFTER_PASS]
)
async def test_tls_that_breaks_after_the_request_is_unknown(
    sandbox: Sandbox, fault: Fault, tmp_path: Any
) -> None:
    """If the TLS connection breaks after the request was written, the outcome of the send is unknown."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(authority.cert_pem.bytes())
    plan = FaultPlan.script([fault], resource="Sms/Send")
    async with run_fault_proxy("127.0.0.1", port_of(sandbox), plan, tls=context) as proxy:
        url = proxy.base_url.replace("http://", "https://")
        async with client_for(sandbox, base_url=url, ca_file=ca_file) as sms:
            with pytest.raises(OutcomeUnknown):
                await sms.send(NUMBER, TEXT)
            await sms.send(NUMBER, TEXT)
    assert len(sandbox.account.messages) == 2


@pytest.mark.parametrize("fault", [Fault.TWO_ANSWERS, Fault.STALE_KEEP_ALIVE, Fault.UNSOLICITED_408])
async def test_an_answer_nobody_asked_for_is_never_taken(
    sandbox: Sandbox, proxy: FaultProxy, fault: Fault
) -> None:
    """Surplus bytes on a connection never become the response to the next request."""
    receipts = []
    async with _client(sandbox, proxy) as sms:
        proxy.plan = FaultPlan.script([fault] * 20, resource="Sms/Send")
        for index in range(20):
            try:
                receipts.append(await sms.send(f"790312345{index:02}", TEXT))
            except OutcomeUnknown:
                # Accept an unknown outcome, because the proxy may close the connection during a request.
                continue
    accepted = {
        message.destination_address: tuple(message.segment_ids) for message in sandbox.account.messages
    }
    assert len(sandbox.account.messages) == len(accepted)
    assert receipts
    for receipt in receipts:
        assert accepted[receipt.message.destination_address] == receipt.segment_ids


async def test_an_answer_that_comes_while_the_connection_is_idle_is_never_taken(sandbox: Sandbox) -> None:
    """A response that arrives between two requests never becomes the response to the next request."""
    idle, late = threading.Semaphore(0), threading.Semaphore(0)

    def serve(connection: socket.socket) -> None:
        while request := read_request(connection):
            if b"sessionid?" in request.lower():
                connection.sendall(json_answer(b'"Z5CYSZEKDL1DPICU37WENQVOYKP0T1GSLHX1"'))
                continue
            connection.sendall(json_answer(b"1"))
            idle.acquire()
            connection.sendall(json_answer(b"666"))
            late.release()

    with RawServer(serve) as server:
        async with client_for(sandbox, base_url=f"http://127.0.0.1:{server.port}/rest") as sms:
            for _ in range(10):
                assert await sms.balance() == 1
                idle.release()
                await anyio.to_thread.run_sync(late.acquire)


async def test_surplus_under_tls_costs_its_connection(sandbox: Sandbox) -> None:
    """A surplus response in a separate TLS record never becomes the response to the next request."""
    serving, trusting = tls_pair()

    def serve(raw: socket.socket) -> None:
        with serving.wrap_socket(raw, server_side=True) as connection:
            while request := read_request(connection):
                if b"sessionid?" in request.lower():
                    connection.sendall(json_answer(b'"Z5CYSZEKDL1DPICU37WENQVOYKP0T1GSLHX1"'))
                else:
                    # Set TCP_CORK, so that the response and the surplus response are sent in one TCP segment.
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
                    connection.sendall(json_answer(b"1"))
                    connection.sendall(json_answer(b"666"))
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    with RawServer(serve) as server:
        url = f"https://127.0.0.1:{server.port}/rest"
        async with client_for(sandbox, base_url=url, ssl_context=trusting) as sms:
            assert [await sms.balance() for _ in range(10)] == [1] * 10


@pytest.mark.parametrize("library", ["httpx", "httpx2"], indirect=True)
async def test_a_transport_that_reports_nothing_proves_nothing(library: Any) -> None:
    """After a connect error of a transport that the caller supplies, the outcome of a send is unknown.

    The transport of the caller may raise a connect error even after it has sent the request.
    """
    sent = []

    def handler(request: Any) -> Any:
        if request.method == "POST":
            sent.append(request)
            raise library.ConnectTimeout("so it says", request=request)
        return library.Response(200, json="Z5CYSZEKDL1DPICU37WENQVOYKP0T1GSLHX1")

    transport = library.MockTransport(handler)
    for options in ({"transport": transport}, {"client": library.AsyncClient(transport=transport)}):
        async with AsyncSmsClient("login", "password", source_address="ACME", **options) as sms:
            with pytest.raises(OutcomeUnknown):
                await sms.send(NUMBER, TEXT)
    assert len(sent) == 2


@pytest.mark.parametrize("library", ["httpx", "httpx2"], indirect=True)
async def test_a_callers_httpx_client_proves_by_its_trace(
    sandbox: Sandbox, proxy: FaultProxy, library: Any
) -> None:
    """Over the caller's own HTTP client, a send raises `NotSent` if the gateway refuses the connection.

    If the exchange breaks after the request was written to the socket, a send raises `OutcomeUnknown`.
    """
    async with library.AsyncClient(follow_redirects=True) as client:
        store = await logged_in_store(sandbox)
        async with client_for(
            sandbox,
            base_url=proxy.base_url,
            client=client,
            session_store=store,
            retry=RetryPolicy(attempts=1),
        ) as sms:
            proxy.refuse_connections(True)
            with pytest.raises(NotSent):
                await sms.send(NUMBER, TEXT)
            proxy.refuse_connections(False)
            proxy.plan = FaultPlan.script([Fault.REDIRECT_307, Fault.RESET_AFTER_PASS], resource="Sms/Send")
            for _ in range(2):
                with pytest.raises(OutcomeUnknown):
                    await sms.send(NUMBER, TEXT)
        assert not client.is_closed
    assert len(sandbox.account.messages) == 1


async def test_a_cancelled_send_arrives_at_most_once(sandbox: Sandbox) -> None:
    """If a send is cancelled after its request has arrived, the client does not send the message again."""
    async with client_for(sandbox) as sms:
        with sandbox.hold("Sms/Send") as gate:
            async with anyio.create_task_group() as group:
                group.start_soon(sms.send, NUMBER, TEXT)
                await gate.arrived(1)
                group.cancel_scope.cancel()
        await sms.balance()
    assert sandbox.account.count("Sms/Send") == 1


async def test_a_read_with_nobody_there_names_the_reason(sandbox: Sandbox, proxy: FaultProxy) -> None:
    """If the gateway refuses the connection, `balance` raises `TransportFailed` with the reason."""
    proxy.refuse_connections(True)
    async with _client(sandbox, proxy, retry=RetryPolicy(attempts=1)) as sms:
        with pytest.raises(TransportFailed, match="ConnectError"):
            await sms.balance()
