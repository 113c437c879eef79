"""Tests of the timeout of a call. The error of a send says whether the message may have been sent."""

import math
import ssl
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from smsapi_async import AsyncSmsClient, NotSent, OutcomeUnknown, ReadFailed, TransportFailed, ValidationError
from smsapi_async.calls import caller
from smsapi_async.sandbox import Sandbox
from smsapi_async.sandbox.gate import Gate
from tests.client.tools import NUMBER, TEXT, RawServer, client_for, recorded_scopes

pytestmark = pytest.mark.anyio


async def _send(sms: AsyncSmsClient, method: str, seconds: Any) -> Any:
    if method == "send_bulk":
        return await sms.send_bulk([NUMBER], TEXT, timeout=seconds)
    if method == "send_by_time_zone":
        tomorrow = (sms._clock.now() + timedelta(days=1)).replace(tzinfo=None)
        return await sms.send_by_time_zone(NUMBER, TEXT, send_date=tomorrow, timeout=seconds)
    return await sms.send(NUMBER, TEXT, timeout=seconds)


async def _end_the_timeout(gate: Gate, scopes: list[anyio.CancelScope]) -> None:
    """End the newest cancel scope as its timeout does, when a request has arrived at the gate."""
    await gate.arrived()
    scopes[-1].deadline = -math.inf


METHODS = {"send": "Sms/Send", "send_bulk": "Sms/SendBulk", "send_by_time_zone": "Sms/SendByTimeZone"}


@pytest.mark.parametrize("method", METHODS)
async def test_over_while_the_gateway_sends(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """A send raises `OutcomeUnknown` if its timeout ends after the gateway has accepted the message."""
    scopes = recorded_scopes(monkeypatch, caller)

    async with client_for(sandbox) as sms:
        await sms.balance()
        with sandbox.hold(METHODS[method]) as gate:
            async with anyio.create_task_group() as group:
                group.start_soon(_end_the_timeout, gate, scopes)
                with pytest.raises(OutcomeUnknown, match="within 3600 seconds"):
                    await _send(sms, method, 3600)
    assert len(sandbox.account.messages) == 1


@pytest.mark.parametrize("method", METHODS)
async def test_over_while_the_login_is_waited_for(sandbox: Sandbox, method: str) -> None:
    """If the timeout ends during the login, the send raises `NotSent`.

    If a send raises `NotSent`, the gateway has received no message.
    """
    async with client_for(sandbox) as sms:
        with sandbox.hold("User/SessionId"), pytest.raises(NotSent, match=r"timeout of 0\.05 seconds passed"):
            await _send(sms, method, timedelta(milliseconds=50))
        assert sandbox.account.messages == []
        await _send(sms, method, 30)
    assert len(sandbox.account.messages) == 1


async def test_over_while_others_go_first(sandbox: Sandbox) -> None:
    """If the timeout ends while the send waits for another request to end, the send raises `NotSent`."""
    async with client_for(sandbox, concurrency=1) as sms, anyio.create_task_group() as group:
        await sms.balance()
        with sandbox.hold("Sms/State") as gate:
            group.start_soon(sms.state, "1")
            await gate.arrived()
            with pytest.raises(NotSent, match="seconds passed"):
                await sms.send(NUMBER, TEXT, timeout=0.05)
        await sms.send(NUMBER, TEXT, timeout=30)
    assert len(sandbox.account.messages) == 1


async def test_a_cancellation_from_outside_stays_one(sandbox: Sandbox) -> None:
    """If the caller cancels a send with a timeout, the send is cancelled and raises no timeout error."""
    async with client_for(sandbox) as sms:
        with sandbox.hold("Sms/Send") as gate, anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_once_arrived, gate, scope)
                await sms.send(NUMBER, TEXT, timeout=30)
        assert scope.cancelled_caught


async def _cancel_once_arrived(gate: Any, scope: anyio.CancelScope) -> None:
    await gate.arrived()
    scope.cancel()


@pytest.mark.parametrize("seconds", [0, -1, True, "5", float("nan"), float("inf"), 10**400, timedelta(0)])
@pytest.mark.parametrize("method", METHODS)
async def test_a_timeout_that_is_none(sandbox: Sandbox, method: str, seconds: object) -> None:
    """A timeout that is not a positive, finite number raises a `ValidationError` before any request."""
    async with client_for(sandbox) as sms:
        with pytest.raises(ValidationError, match="timeout: "):
            await _send(sms, method, seconds)
    assert sandbox.account.arrivals == []


@pytest.mark.usefixtures("leaves_no_socket")
async def test_over_amid_a_tls_handshake(sandbox: Sandbox) -> None:
    """If the timeout ends during the TLS handshake, the send raises `NotSent`, and the socket is closed."""
    release = threading.Event()
    with RawServer(lambda _: release.wait(10)) as server:
        url = f"https://127.0.0.1:{server.port}/rest"
        async with client_for(sandbox, base_url=url, ssl_context=ssl.create_default_context()) as sms:
            for _ in range(3):
                with pytest.raises(NotSent):
                    await sms.send(NUMBER, TEXT, timeout=0.03)
        release.set()
    assert sandbox.account.arrivals == []


async def test_thousands_of_sends_end_in_turns(sandbox: Sandbox, anyio_backend_name: str) -> None:
    """When 3,000 sends run out of time together, other tasks run again and again between their ends."""
    seen: set[int] = set()
    ended = unknown = 0

    async def send(sms: AsyncSmsClient) -> None:
        nonlocal ended, unknown
        with pytest.raises((NotSent, OutcomeUnknown)) as caught:
            await sms.send(NUMBER, TEXT, timeout=1)
        ended += 1
        unknown += caught.type is OutcomeUnknown

    async with client_for(sandbox, concurrency=1) as sms:
        await sms.balance()
        with sandbox.hold("Sms/Send"):
            async with anyio.create_task_group() as group:
                for _ in range(3000):
                    group.start_soon(send, sms)
                while ended < 3000:
                    seen.add(ended)
                    await checkpoint()
    # trio ends all waits of one moment together.
    assert anyio_backend_name == "trio" or len(seen) >= 20
    assert len(sandbox.account.messages) <= unknown


END = datetime(2026, 3, 1, tzinfo=UTC)
READS = {
    "balance": "User/Balance",
    "state": "Sms/State",
    "incoming": "Sms/In",
    "statistics": "Sms/Statistics",
}


async def _read(sms: AsyncSmsClient, method: str, **options: Any) -> Any:
    if method == "state":
        return await sms.state("1", **options)
    if method == "statistics":
        # The period is longer than 90 days, so the client makes several requests at the same time.
        return await sms.statistics(END - timedelta(days=200), END, **options)
    return await getattr(sms, method)(**options)


@pytest.mark.parametrize("method", READS)
async def test_a_read_ends_with_its_timeout(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """A read whose response does not arrive in time raises `ReadFailed`, and the client stays usable."""
    scopes = recorded_scopes(monkeypatch, caller)

    async with client_for(sandbox) as sms:
        await sms.balance()
        with sandbox.hold(READS[method]) as gate:
            async with anyio.create_task_group() as group:
                group.start_soon(_end_the_timeout, gate, scopes)
                with pytest.raises(ReadFailed, match="within the timeout of 3600 seconds") as caught:
                    await _read(sms, method, timeout=timedelta(hours=1))
        assert type(caught.value) is TransportFailed
        assert (caught.value.is_retryable, caught.value.may_have_been_sent) == (True, False)
        assert await _read(sms, method, timeout=30) == await _read(sms, method, timeout=None)


@pytest.mark.parametrize("method", READS)
async def test_a_read_that_waits_for_the_login_ends_with_its_timeout(sandbox: Sandbox, method: str) -> None:
    """The timeout of a read also limits the login."""
    async with client_for(sandbox) as sms:
        with sandbox.hold("User/SessionId"), pytest.raises(ReadFailed, match=r"timeout of 0\.05 seconds"):
            await _read(sms, method, timeout=0.05)
        await _read(sms, method, timeout=30)


@pytest.mark.parametrize("seconds", [0, -1, True, "5", float("nan"), float("inf"), 10**400, timedelta(0)])
@pytest.mark.parametrize("method", READS)
async def test_a_wrong_timeout_of_a_read(sandbox: Sandbox, method: str, seconds: object) -> None:
    """A read with a timeout that is not a positive number raises a `ValidationError` before any request."""
    async with client_for(sandbox) as sms:
        with pytest.raises(ValidationError, match="timeout: "):
            await _read(sms, method, timeout=seconds)
    assert sandbox.account.arrivals == []
