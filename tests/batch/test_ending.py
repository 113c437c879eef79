"""Tests that a batch that halts or is left starts no more requests, not even a repeat of a request."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from smsapi_async import BatchHalted, MemorySessionStore, Message, NotEnoughCredits
from smsapi_async.batch.stream import Batch
from smsapi_async.privacy import Secret
from smsapi_async.sandbox import Sandbox
from smsapi_async.session import Session
from tests.client.tools import RawServer, client_for, json_answer, read_request, tls_pair, until
from tests.ledger.tools import Place

pytestmark = pytest.mark.anyio

SINGLE = Message("79031234501", "one", key="one")
LOCAL = Message("79031234502", "two", by_time_zone=True, send_date=datetime(2030, 1, 1), key="two")  # noqa: DTZ001
REFUSAL = b'{"Code": 5, "Desc": "no credits"}'
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%b" % (len(REFUSAL), REFUSAL)


class TlsServer:
    """A gateway with TLS that fails the handshake of one connection at a time that the test chooses.

    Args:
        halting: whether the first connection refuses its request with code 5, after the second connection
            has arrived. Then the handshake of the second connection fails. If `halting` is false, the
            handshake of the first connection fails.

    Attributes:
        connecting: an event that is set when the connection arrives whose handshake fails.
        fail: the handshake fails when the test sets this event.
        requests: the number of connections over which a request may arrive.
    """

    def __init__(self, *, halting: bool) -> None:
        self._halting = halting
        self._context, self.trusting = tls_pair()
        self._lock = threading.Lock()
        self._connections = 0
        self.connecting, self.fail = threading.Event(), threading.Event()
        self.requests = 0

    def serve(self, connection: Any) -> None:
        """Serve one connection."""
        with self._lock:
            self._connections += 1
            number = self._connections
        if number == (2 if self._halting else 1):
            self.connecting.set()
            self.fail.wait(30)
            return
        with self._lock:
            self.requests += 1
        with self._context.wrap_socket(connection, server_side=True) as stream:
            read_request(stream)
            if number == 1:
                self.connecting.wait(30)
                stream.sendall(REFUSED)
            else:
                stream.sendall(json_answer(b'["579700854169272358"]'))

    def client(self, port: int) -> Any:
        """Return a client with a valid session for the server on the given port."""
        store = MemorySessionStore()
        store._session = Session(Secret("0" * 36), datetime.now(UTC))
        url = f"https://127.0.0.1:{port}/rest"
        sandbox = Sandbox()  # only its login and password are used
        return client_for(
            sandbox, base_url=url, ssl_context=self.trusting, session_store=store, concurrency=2
        )


async def release_when(condition: Callable[[], object], release: Callable[[], object]) -> None:
    """Call `release` when the condition is true."""
    await until(condition)
    release()


@pytest.mark.usefixtures("transport")
async def test_a_halt_while_a_request_is_connecting() -> None:
    """If a batch halts while a request is connecting, and the connection fails, no other attempt is made."""
    gateway = TlsServer(halting=True)
    with RawServer(gateway.serve) as server:
        async with gateway.client(server.port) as sms, anyio.create_task_group() as group:
            batch = sms.send_many([SINGLE, LOCAL], linger=0.001)
            group.start_soon(release_when, lambda: batch._halt is not None, gateway.fail.set)
            with pytest.raises(BatchHalted) as caught:
                async with batch:
                    assert [outcome async for outcome in batch] == []
    assert isinstance(caught.value.cause, NotEnoughCredits)
    assert caught.value.pending == 2
    assert gateway.requests == 1


@pytest.mark.usefixtures("transport")
async def test_a_batch_left_while_a_request_is_connecting() -> None:
    """If a batch is left while a request is connecting, and the connection fails, no attempt follows."""
    gateway = TlsServer(halting=False)
    with RawServer(gateway.serve) as server:
        async with (
            gateway.client(server.port) as sms,
            anyio.create_task_group() as group,
            sms.send_many([SINGLE], linger=0.001, grace=3600) as batch,
        ):
            await until(gateway.connecting.is_set)
            group.start_soon(release_when, lambda: batch._stopped, gateway.fail.set)
    assert (batch.unread, batch.pending) == ([], 1)
    assert gateway.requests == 0


@pytest.mark.usefixtures("transport")
async def test_a_halt_while_the_gateway_refuses_a_session(sandbox: Sandbox) -> None:
    """If a batch halts before the gateway refuses the session of a request, no login and no repeat follow."""
    async with client_for(sandbox, concurrency=2) as sms:
        await sms.balance()
        sandbox.refuse_next("Sms/Send", 5)
        sandbox.expire_sessions()
        with sandbox.hold("Sms/Send") as first, sandbox.hold("Sms/SendByTimeZone") as second:
            async with anyio.create_task_group() as group:
                batch = sms.send_many([SINGLE, LOCAL], linger=0.001)
                group.start_soon(_release_in_turn, batch, first, second)
                with pytest.raises(BatchHalted) as caught:
                    async with batch:
                        assert [outcome async for outcome in batch] == []
    assert isinstance(caught.value.cause, NotEnoughCredits)
    assert caught.value.pending == 2
    assert (sandbox.account.logins, sandbox.account.count("Sms/SendByTimeZone")) == (1, 1)


async def _release_in_turn(batch: Batch, first: Any, second: Any) -> None:
    await first.arrived()
    await second.arrived()
    first.release()
    await until(lambda: batch._halt is not None)
    second.release()


@pytest.mark.usefixtures("transport")
async def test_a_batch_left_while_the_gateway_refuses_a_session(sandbox: Sandbox) -> None:
    """If a batch is left before the gateway refuses the session of a request, no repeat follows."""
    async with client_for(sandbox) as sms:
        await sms.balance()
        sandbox.expire_sessions()
        with sandbox.hold("Sms/Send") as gate:
            async with (
                anyio.create_task_group() as group,
                sms.send_many([SINGLE], linger=0.001, grace=3600) as batch,
            ):
                await gate.arrived()
                group.start_soon(release_when, lambda: batch._stopped, gate.release)
    assert (batch.unread, batch.pending) == ([], 1)
    assert (sandbox.account.logins, sandbox.account.count("Sms/Send")) == (1, 1)


async def test_the_cause_of_a_halt_is_the_first_error(
    sandbox: Sandbox, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`BatchHalted` names the refusal that halted the batch, and not a request that the halt withdrew."""
    async with client_for(sandbox, concurrency=2) as sms, place() as ledger:
        await sms.balance()
        claim, release, tokens_of_one = ledger.claim, ledger.release, []
        sandbox.answer_next("Sms/SendByTimeZone", status=429, headers={"Retry-After": "200"})
        sandbox.refuse_next("Sms/Send", 5)
        batch = sms.send_many([SINGLE, LOCAL], ledger=ledger, linger=0.001)

        async def noted(token: str, keyed: Any, **options: Any) -> Any:
            if keyed[0][0] == "one":
                tokens_of_one.append(token)
            return await claim(token, keyed, **options)

        async def slow_for_the_first(token: str) -> None:
            if token in tokens_of_one:
                await until(lambda: not batch._chunk_sender._in_flight)
            await release(token)

        monkeypatch.setattr(ledger, "claim", noted)
        monkeypatch.setattr(ledger, "release", slow_for_the_first)
        with sandbox.hold("Sms/Send") as gate:
            async with anyio.create_task_group() as group:
                group.start_soon(_release_during_the_pause, batch, gate)
                with pytest.raises(BatchHalted) as caught:
                    async with batch:
                        assert [outcome async for outcome in batch] == []
    assert isinstance(caught.value.cause, NotEnoughCredits)
    async with place() as ledger:
        assert (await ledger.summary()).pending == 2
    assert tokens_of_one


async def _release_during_the_pause(batch: Batch, gate: Any) -> None:
    """Release the gate when one request is in flight and another request waits because of HTTP status 429."""
    await gate.arrived()
    in_flight = batch._chunk_sender._in_flight
    await until(lambda: sorted(evidence.begun for evidence in in_flight.values()) == [False, True])
    gate.release()
