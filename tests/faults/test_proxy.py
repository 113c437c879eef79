"""Tests of the start and the stop of the fault proxy, and of a new fault plan while the proxy runs."""

import threading
from contextlib import AsyncExitStack, suppress

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest
from anyio.abc import SocketAttribute

from smsapi_async.sandbox.faults import Fault, FaultPlan, FaultProxy, Rule, client_connection, run_fault_proxy
from smsapi_async.sandbox.faults.connections import Connections
from tests.faults.support import RawClient, request, run_upstream

pytestmark = pytest.mark.anyio

HANGING = [Fault.ACCEPT_THEN_SILENCE, Fault.HANG_AFTER_READ, Fault.HANG_AFTER_PASS, Fault.STALE_KEEP_ALIVE]


def proxy_threads() -> list[threading.Thread]:
    """Return the running threads of fault proxies."""
    return [thread for thread in threading.enumerate() if thread.name == "fault-proxy"]


async def test_refused_connections_and_back() -> None:
    """While the proxy refuses connections, a client cannot connect.

    When the proxy accepts connections again, a client can connect.
    """
    async with run_upstream() as upstream, run_fault_proxy("127.0.0.1", upstream.port) as proxy:
        async with httpx.AsyncClient(base_url=proxy.base_url, timeout=60) as client:
            assert (await client.post("Sms/Send")).status_code == 200
        for _ in range(2):
            proxy.refuse_connections(True)
            async with httpx.AsyncClient(base_url=proxy.base_url, timeout=60) as client:
                with pytest.raises(httpx.ConnectError):
                    await client.post("Sms/Send")
        for _ in range(2):
            proxy.refuse_connections(False)
            async with httpx.AsyncClient(base_url=proxy.base_url, timeout=60) as client:
                assert (await client.post("Sms/Send")).status_code == 200
        assert len(upstream.requests) == 3


async def test_open_connection_survives_a_refusal() -> None:
    """If the proxy refuses new connections, open connections stay usable."""
    async with (
        run_upstream() as upstream,
        run_fault_proxy("127.0.0.1", upstream.port) as proxy,
        httpx.AsyncClient(base_url=proxy.base_url, timeout=60) as client,
    ):
        await client.post("Sms/Send")
        proxy.refuse_connections(True)
        assert (await client.post("Sms/Send")).status_code == 200


async def test_ends_at_once_with_hanging_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy stops without waiting for its clients, and no thread and no open connection remains."""
    monkeypatch.setattr(client_connection, "LINGER_SECONDS", 3600.0)
    async with run_upstream() as upstream:
        plan = FaultPlan(rules=tuple(Rule(fault=fault, resource=fault.value) for fault in HANGING))
        async with AsyncExitStack() as clients:
            async with run_fault_proxy("127.0.0.1", upstream.port, plan) as proxy:
                sent = [*(request(f"/rest/{fault}") for fault in HANGING), request()[:-1], b""]
                hanging = [await clients.enter_async_context(await RawClient.connect(proxy)) for _ in sent]
                for client, raw in zip(hanging, sent, strict=True):
                    await client.send(raw)
                while len(proxy.history) < len(HANGING):
                    await anyio.lowlevel.checkpoint()
            for client in hanging:
                assert (await client.ending())[1] in {"closed", "reset"}
        assert proxy_threads() == []


async def test_end_while_the_gateway_is_silent() -> None:
    """The proxy stops without waiting for the response of a silent gateway."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's `extra`
        async with run_fault_proxy("127.0.0.1", port) as proxy, await RawClient.connect(proxy) as client:
            await client.send(request())
            while not (proxy.history and proxy.history[0].passed_on):
                await anyio.lowlevel.checkpoint()
            await anyio.to_thread.run_sync(proxy.close)
            assert (await client.ending())[0] == b""


async def test_plan_may_be_changed_while_running() -> None:
    """If a test sets the plan of a running proxy, the plan starts at its first fault.

    The history of the proxy continues after the change of the plan.
    """
    first, second = FaultPlan.script([Fault.ERROR_500] * 9), FaultPlan.script([Fault.ERROR_502])
    async with run_upstream() as upstream, run_fault_proxy("127.0.0.1", upstream.port, first) as proxy:
        async with httpx.AsyncClient(base_url=proxy.base_url, timeout=60) as client:
            statuses = [(await client.post("Sms/Send")).status_code]
            for _ in range(2):
                proxy.plan = second
                statuses.append((await client.post("Sms/Send")).status_code)
        assert statuses == [500, 502, 502]
        assert proxy.plan == second
        assert [entry.number for entry in proxy.history] == [0, 1, 2]


async def test_random_faults_and_many_clients_agree_with_the_gateway() -> None:
    """Even with random faults, the history shows exactly which requests the gateway received."""
    plan = FaultPlan.random(seed=20260101, weights=dict.fromkeys(Fault, 1.0))

    async def send(proxy: FaultProxy) -> None:
        for _ in range(12):
            async with await RawClient.connect(proxy) as client:
                with suppress(anyio.BrokenResourceError, OSError):
                    await client.send(request(fields="Connection: close\r\n"))
                    await client.stream.send_eof()
                await client.ending()

    async with (
        run_upstream() as upstream,
        run_fault_proxy("127.0.0.1", upstream.port, plan, byte_interval=0) as proxy,
    ):
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(send, proxy)
        faults = [entry.fault for entry in proxy.history]
        assert len(set(faults)) > 15
        assert len(upstream.requests) == sum(entry.passed_on for entry in proxy.history)
        assert all(entry.passed_on == entry.fault.reaches_gateway for entry in proxy.history)


async def test_failure_inside_is_raised_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a defect of the proxy raises an exception while it serves a client, `close` raises this exception.

    The exception that `close` raises is in an exception group.
    """

    async def fail(_self: Connections, _client: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Connections, "_serve_client", fail)
    proxy = FaultProxy("127.0.0.1", 9)
    proxy.start()
    await RawClient.ending_of_new(proxy)
    with pytest.raises(ExceptionGroup) as raised:
        await anyio.to_thread.run_sync(proxy.close)
    assert raised.group_contains(RuntimeError, match="a defect")
    proxy.close()


def test_synchronous_use() -> None:
    """Synchronous code can use the proxy in a `with` statement."""
    with FaultProxy("127.0.0.1", 9, FaultPlan.script([Fault.EXPIRED_SESSION])) as proxy:
        response = httpx.post(f"{proxy.base_url}/Sms/Send", timeout=60)
    assert response.json() == {"Code": 4, "Desc": "SessionID expired"}
    assert proxy_threads() == []


def test_proxy_that_never_ran_is_closed() -> None:
    """If a proxy was not started, `refuse_connections` raises `RuntimeError`, and `close` closes its port."""
    proxy = FaultProxy("127.0.0.1", 9)
    with pytest.raises(RuntimeError, match="not running"):
        proxy.refuse_connections(True)
    proxy.close()
    with pytest.raises(httpx.ConnectError):
        httpx.post(proxy.base_url)
