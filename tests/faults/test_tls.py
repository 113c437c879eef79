"""Tests of the fault proxy with TLS between the client and the proxy."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import trustme

from smsapi_async.sandbox.faults import Fault, FaultPlan, FaultProxy, Rule, run_fault_proxy
from tests.faults.support import IDS, Upstream, run_upstream

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return a certificate authority that signs the certificate of the proxy."""
    return trustme.CA()


@asynccontextmanager
async def run_tls(
    authority: trustme.CA, plan: FaultPlan, *, seconds: float = 60
) -> AsyncIterator[tuple[httpx.AsyncClient, FaultProxy, Upstream]]:
    """Yield a client that trusts the proxy, the proxy, and the server behind the proxy.

    The parameter `seconds` is the timeout of the client in seconds.
    """
    server, trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(trusted)
    async with (
        run_upstream() as upstream,
        run_fault_proxy("127.0.0.1", upstream.port, plan, tls=server) as proxy,
        httpx.AsyncClient(base_url=proxy.base_url, verify=trusted, timeout=seconds) as client,
    ):
        yield client, proxy, upstream


async def test_answer_comes_over_tls(authority: trustme.CA) -> None:
    """With TLS, the base URL of the proxy begins with `https`, and the gateway receives every request."""
    async with run_tls(authority, FaultPlan()) as (client, proxy, upstream):
        for _ in range(2):
            assert (await client.post("Sms/Send")).content == IDS
        assert proxy.base_url.startswith("https://127.0.0.1:")
        assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.CLOSE_BEFORE_READ, (httpx.RemoteProtocolError, httpx.NetworkError)),
        (Fault.RESET_BEFORE_READ, httpx.NetworkError),
        (Fault.CLOSE_AFTER_READ, httpx.RemoteProtocolError),
        (Fault.RESET_AFTER_READ, httpx.ReadError),
        (Fault.CLOSE_AFTER_PASS, httpx.RemoteProtocolError),
        (Fault.RESET_AFTER_PASS, httpx.ReadError),
        (Fault.TRUNCATE_AFTER_PASS, httpx.RemoteProtocolError),
        (Fault.GARBAGE_AFTER_PASS, httpx.RemoteProtocolError),
        (Fault.TLS_GARBAGE_AFTER_PASS, (ssl.SSLError, httpx.ReadError)),
    ],
)
async def test_broken_exchange(
    authority: trustme.CA, fault: Fault, error: type[Exception] | tuple[type[Exception], ...]
) -> None:
    """With TLS, each fault that breaks an exchange raises the expected exception of httpx or of `ssl`."""
    async with run_tls(authority, FaultPlan(rules=(Rule(resource="Sms/Send", fault=fault),))) as (
        client,
        proxy,
        upstream,
    ):
        # Send a request without a body. If httpx fails to write a body, httpx does not close the generator of
        # the body, and trio warns about the open generator.
        with pytest.raises(error):
            await client.post("Sms/Send")
        assert len(upstream.requests) == fault.reaches_gateway
        assert proxy.history == [(0, "Sms/Send", fault, fault.reaches_gateway)]


async def test_refusal_breaks_the_handshake(authority: trustme.CA) -> None:
    """With TLS, the fault `REFUSE` makes the handshake fail before the client can send a request."""
    async with run_tls(authority, FaultPlan.script([Fault.REFUSE])) as (client, proxy, _):
        with pytest.raises(httpx.ConnectError):
            await client.post("Sms/Send")
        assert proxy.history == [(0, "", Fault.REFUSE, False)]


async def test_silence_stalls_the_handshake(authority: trustme.CA) -> None:
    """With TLS, the fault `ACCEPT_THEN_SILENCE` causes a connect timeout."""
    async with run_tls(authority, FaultPlan.script([Fault.ACCEPT_THEN_SILENCE]), seconds=0.05) as (
        client,
        _,
        _,
    ):
        with pytest.raises(httpx.ConnectTimeout):
            await client.post("Sms/Send")


async def test_client_that_trusts_nobody_is_let_go(authority: trustme.CA) -> None:
    """If a client does not trust the proxy, the TLS handshake fails.

    After the failed TLS handshake, the proxy still serves the next client.
    """
    async with run_tls(authority, FaultPlan()) as (client, proxy, _):
        async with httpx.AsyncClient(base_url=proxy.base_url, timeout=60) as stranger:
            with pytest.raises(httpx.ConnectError):
                await stranger.post("Sms/Send")
        assert (await client.post("Sms/Send")).status_code == 200
