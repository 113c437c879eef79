"""What each broken exchange proves, over real sockets, with the arrivals counted."""

import socket
import ssl
import threading
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
import trustme

from smsapi_async import AsyncSmsClient, NotSent, OutcomeUnknown, RetryPolicy, Timeouts, TransportFailed
from smsapi_async.sandbox import Sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan, FaultProxy, run_fault_proxy
from tests.client.tools import NUMBER, TEXT, RawServer, client_for, json_answer, read_request

pytestmark = pytest.mark.anyio
SHORT = Timeouts(connect=0.3, read=0.3)


@pytest.fixture
async def proxy(sandbox: Sandbox) -> AsyncIterator[FaultProxy]:
    """A proxy in front of the sandbox that passes everything on until it is told otherwise."""
    port = int(sandbox.base_url.rsplit(":", 1)[1].split("/")[0])
    async with run_fault_proxy("127.0.0.1", port, FaultPlan.script([])) as running:
        yield running


def _client(sandbox: Sandbox, proxy: FaultProxy, **options: Any) -> AsyncSmsClient:
    return client_for(sandbox, base_url=proxy.base_url, timeouts=SHORT, **options)


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
    """Whatever becomes of an exchange whose request was written, the send is unknown and not repeated."""
    async with _client(sandbox, proxy) as sms:
        await sms.balance()
        proxy.plan = FaultPlan.script([fault], resource="Sms/Send")
        with pytest.raises(OutcomeUnknown):
            await sms.send(NUMBER, TEXT)
    assert sandbox.account.count("Sms/Send") == arrivals
    assert len(sandbox.account.messages) == arrivals


@pytest.mark.parametrize(("fault", "arrivals"), AFTER_THE_REQUEST)
async def test_a_read_survives_the_same_failures(
    sandbox: Sandbox, proxy: FaultProxy, fault: Fault, arrivals: int
) -> None:
    """A balance is asked again after any broken exchange, except for an answer that is no failure."""
    async with _client(sandbox, proxy) as sms:
        proxy.plan = FaultPlan.script([fault], resource="User/Balance")
        if fault is Fault.REDIRECT_307:
            with pytest.raises(Exception, match="HTTP 307"):
                await sms.balance()
        else:
            assert await sms.balance() == sandbox.balance


async def test_a_refused_connection_is_proved_not_sent_and_tried_again(
    sandbox: Sandbox, proxy: FaultProxy
) -> None:
    """Nothing listening means nothing sent; once somebody listens again, the message goes out once."""
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
    """A send proved not sent is attempted again and arrives once."""

    class OpensLater(RetryPolicy):
        """Lets the gateway come back while the first wait lasts."""

        def wait(self, attempt: int, *rest: Any) -> float | None:
            proxy.refuse_connections(False)
            return super().wait(attempt, *rest)

    async with _client(sandbox, proxy, retry=OpensLater(initial=0.001)) as sms:
        proxy.refuse_connections(True)
        await sms.send(NUMBER, TEXT)
    assert len(sandbox.account.messages) == 1


async def test_a_name_that_does_not_resolve_is_not_sent() -> None:
    """A failing look-up of the gateway's name proves that nothing was sent."""
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
    """A listener whose queue is full lets no connection through: nothing was sent."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        sms = client_for(
            sandbox,
            base_url=f"http://127.0.0.1:{address[1]}/rest",
            timeouts=SHORT,
            retry=RetryPolicy(attempts=1),
            session_store=await _logged_in_store(sandbox),
        )
        async with sms:
            with pytest.raises(NotSent, match="ConnectTimeout"):
                await sms.send(NUMBER, TEXT)
        for filler in fillers:
            filler.close()


async def _logged_in_store(sandbox: Sandbox) -> Any:
    from smsapi_async import MemorySessionStore  # noqa: PLC0415

    store = MemorySessionStore()
    async with client_for(sandbox, session_store=store) as sms:
        await sms.balance()
    return store


async def test_a_certificate_that_is_not_trusted_is_not_sent(sandbox: Sandbox) -> None:
    """TLS verification is on: a stranger's certificate stops the send before it begins."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    port = int(sandbox.base_url.rsplit(":", 1)[1].split("/")[0])
    async with run_fault_proxy("127.0.0.1", port, FaultPlan.script([]), tls=context) as proxy:
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
    """With a CA of one's own TLS works; when it breaks after the request the send is unknown."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(authority.cert_pem.bytes())
    port = int(sandbox.base_url.rsplit(":", 1)[1].split("/")[0])
    async with run_fault_proxy(
        "127.0.0.1", port, FaultPlan.script([fault], resource="Sms/Send"), tls=context
    ) as proxy:
        url = proxy.base_url.replace("http://", "https://")
        async with client_for(sandbox, base_url=url, ca_file=ca_file, timeouts=SHORT) as sms:
            with pytest.raises(OutcomeUnknown):
                await sms.send(NUMBER, TEXT)
            await sms.send(NUMBER, TEXT)
    assert len(sandbox.account.messages) == 2


@pytest.mark.parametrize("fault", [Fault.TWO_ANSWERS, Fault.STALE_KEEP_ALIVE, Fault.UNSOLICITED_408])
async def test_an_answer_nobody_asked_for_is_never_taken(
    sandbox: Sandbox, proxy: FaultProxy, fault: Fault
) -> None:
    """Bytes left over on a connection are not handed to the next request as its answer."""
    receipts = []
    async with _client(sandbox, proxy) as sms:
        proxy.plan = FaultPlan.script([fault] * 20, resource="Sms/Send")
        for index in range(20):
            try:
                receipts.append(await sms.send(f"790312345{index:02}", TEXT))
            except OutcomeUnknown:
                # The connection went away under the request: nothing is claimed of it.
                continue
    accepted = {
        message.destination_address: tuple(message.segment_ids) for message in sandbox.account.messages
    }
    assert len(sandbox.account.messages) == len(accepted)
    assert receipts
    for receipt in receipts:
        assert accepted[receipt.message.destination_address] == receipt.segment_ids


async def test_an_answer_that_comes_while_the_connection_is_idle_is_never_taken(sandbox: Sandbox) -> None:
    """An unsolicited answer between two requests costs its connection and is nobody's answer."""
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


async def test_surplus_under_tls_costs_its_connection(sandbox: Sandbox, tmp_path: Any) -> None:
    """A second answer hidden in a TLS record of its own is not taken for the next answer either."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def serve(raw: socket.socket) -> None:
        with context.wrap_socket(raw, server_side=True) as connection:
            while request := read_request(connection):
                if b"sessionid?" in request.lower():
                    connection.sendall(json_answer(b'"Z5CYSZEKDL1DPICU37WENQVOYKP0T1GSLHX1"'))
                else:
                    # Two TLS records that leave in one TCP segment.
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
                    connection.sendall(json_answer(b"1"))
                    connection.sendall(json_answer(b"666"))
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    with RawServer(serve) as server:
        client_context = ssl.create_default_context()
        authority.configure_trust(client_context)
        url = f"https://127.0.0.1:{server.port}/rest"
        async with client_for(sandbox, base_url=url, ssl_context=client_context) as sms:
            assert [await sms.balance() for _ in range(10)] == [1] * 10


async def test_a_transport_that_reports_nothing_proves_nothing() -> None:
    """A caller's own transport may raise a connect error after it has sent: the send is unknown."""
    sent = []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            sent.append(request)
            raise httpx.ConnectTimeout("so it says", request=request)
        return httpx.Response(200, json="Z5CYSZEKDL1DPICU37WENQVOYKP0T1GSLHX1")

    transport = httpx.MockTransport(handler)
    for options in ({"transport": transport}, {"client": httpx.AsyncClient(transport=transport)}):
        async with AsyncSmsClient("login", "password", source_address="ACME", **options) as sms:
            with pytest.raises(OutcomeUnknown):
                await sms.send(NUMBER, TEXT)
    assert len(sent) == 2


async def test_a_callers_httpx_client_proves_by_its_trace(sandbox: Sandbox, proxy: FaultProxy) -> None:
    """The transport of httpx reports what it wrote, so a refused connection is proved not sent."""
    async with httpx.AsyncClient(follow_redirects=True) as client:
        store = await _logged_in_store(sandbox)
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
    """A caller who gives up in the middle of a send gets the cancellation, and nothing is repeated."""
    async with client_for(sandbox) as sms:
        with sandbox.hold("Sms/Send") as gate:
            async with anyio.create_task_group() as group:
                group.start_soon(sms.send, NUMBER, TEXT)
                await gate.arrived(1)
                group.cancel_scope.cancel()
        await sms.balance()
    assert sandbox.account.count("Sms/Send") == 1


async def test_a_read_with_nobody_there_names_the_reason(sandbox: Sandbox, proxy: FaultProxy) -> None:
    """A read that never got through says why."""
    proxy.refuse_connections(True)
    async with _client(sandbox, proxy, retry=RetryPolicy(attempts=1)) as sms:
        with pytest.raises(TransportFailed, match="ConnectError"):
            await sms.balance()
