"""Tests of the end of a client: `aclose` during calls, in another event loop, and no `aclose` at all."""

import gc
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint

from smsapi_async import (
    AsyncSmsClient,
    BatchHalted,
    ClientClosed,
    MemorySessionStore,
    Message,
    NotSent,
    OutcomeUnknown,
    RetryPolicy,
    SegmentState,
    Session,
    SmsApiError,
    Unknown,
    ValidationError,
    WrongEventLoop,
)
from smsapi_async.calls import sessions
from smsapi_async.sandbox import Sandbox
from smsapi_async.sandbox.gate import Gate
from tests.client.tools import NUMBER, TEXT, ManualClock, RawServer, client_for, read_request, until

Call = Callable[[], Awaitable[Any]]
NO_RETRY = RetryPolicy(attempts=1)


class SleepingClock(ManualClock):
    """A clock on which every wait lasts for ever.

    Attributes:
        sleepers: the number of waits in progress.
    """

    sleepers = 0

    async def sleep(self, _: float) -> None:
        self.sleepers += 1
        try:
            await anyio.sleep_forever()
        finally:
            self.sleepers -= 1


async def _outcome(call: Call, results: list[Any]) -> None:
    try:
        results.append(await call())
    except SmsApiError as error:
        results.append(error)


async def _closed_during(
    calls: list[Call], ready: Call, close: Call, results: list[Any] | None = None
) -> list[Any]:
    """Start the calls, close the client when `ready` returns, and return the results and the errors."""
    results = [] if results is None else results
    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(_outcome, call, results)
        await ready()
        await close()
    return results


def _send(sms: AsyncSmsClient, **options: Any) -> Call:
    return lambda: sms.send(NUMBER, TEXT, **options)


@pytest.mark.anyio
@pytest.mark.parametrize("grace", [0, 3600])
@pytest.mark.parametrize("options", [{}, {"timeout": 3600}])
async def test_a_send_that_waits_for_others_is_not_sent(
    sandbox: Sandbox, grace: float, options: dict[str, Any]
) -> None:
    """If the client is closed while sends wait for other calls, the sends raise `NotSent`."""
    sms = client_for(sandbox, concurrency=1)
    await sms.balance()
    in_flight: list[Any] = []
    waiting: list[Any] = []
    with sandbox.hold("Sms/State") as gate:
        async with anyio.create_task_group() as group:
            group.start_soon(_outcome, lambda: sms.state("1"), in_flight)
            await gate.arrived()
            for call in (_send(sms, **options), _send(sms, **options), sms.balance):
                group.start_soon(_outcome, call, waiting)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(lambda: sms.aclose(grace=grace))
            while len(waiting) < 3:
                await checkpoint()
            gate.release()
    assert sorted(type(each).__name__ for each in waiting) == ["ClientClosed", "NotSent", "NotSent"]
    assert all("closed" in str(error) for error in waiting)
    # With a grace, the request in flight ends with its own response.
    assert [type(each) for each in in_flight] == [SegmentState if grace else ClientClosed]
    assert sandbox.account.messages == []


@pytest.mark.anyio
@pytest.mark.parametrize("grace", [0, 3600])
async def test_a_send_that_waits_for_the_login_is_not_sent(sandbox: Sandbox, grace: float) -> None:
    """If the client is closed during the login, all sends raise `NotSent`, and all reads `ClientClosed`."""
    sms = client_for(sandbox)
    with sandbox.hold("User/SessionId") as gate:

        async def ready() -> None:
            await gate.arrived()
            await anyio.wait_all_tasks_blocked()

        calls: list[Call] = [*[_send(sms)] * 3, sms.balance]
        results = await _closed_during(calls, ready, lambda: sms.aclose(grace=grace))
    assert sorted(type(each).__name__ for each in results) == ["ClientClosed", *["NotSent"] * 3]
    assert sandbox.account.messages == []


@pytest.mark.anyio
@pytest.mark.parametrize("grace", [0, 3600])
async def test_a_send_that_waits_for_its_time_is_not_sent(sandbox: Sandbox, grace: float) -> None:
    """If the client is closed while a send waits because of `requests_per_second`, it raises `NotSent`."""
    clock = SleepingClock()
    sms = client_for(sandbox, clock=clock, requests_per_second=1)
    await sms.balance()
    results = await _closed_during(
        [_send(sms), _send(sms)], lambda: until(lambda: clock.sleepers), lambda: sms.aclose(grace=grace)
    )
    assert [type(each) for each in results] == [NotSent, NotSent]
    assert clock.sleepers == 0
    assert sandbox.account.messages == []


@pytest.mark.anyio
@pytest.mark.parametrize("grace", [0, 3600])
async def test_a_send_that_waits_for_another_attempt_is_not_sent(sandbox: Sandbox, grace: float) -> None:
    """If the client is closed while a send waits before another attempt, the send raises `NotSent`."""
    clock = SleepingClock()
    with RawServer(lambda _: None) as server:
        server.refuse()
        url = f"http://127.0.0.1:{server.port}/rest"
        sms = client_for(sandbox, base_url=url, clock=clock)
        results = await _closed_during(
            [_send(sms), sms.balance],
            lambda: until(lambda: clock.sleepers),
            lambda: sms.aclose(grace=grace),
        )
    assert sorted(type(each).__name__ for each in results) == ["ClientClosed", "NotSent"]


@pytest.mark.anyio
async def test_a_request_in_flight_finishes_within_the_grace(sandbox: Sandbox) -> None:
    """With a grace, `aclose` waits until the requests in flight have their responses."""
    sms = client_for(sandbox)
    await sms.balance()
    results: list[Any] = []
    with sandbox.hold("Sms/Send") as gate:

        async def close() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: sms.aclose(grace=timedelta(hours=1)))
                await anyio.wait_all_tasks_blocked()
                assert results == []
                with pytest.raises(ClientClosed):
                    await sms.balance()
                gate.release()

        await _closed_during([_send(sms)] * 2, lambda: gate.arrived(2), close, results)
    assert sorted(len(each.segment_ids) for each in results) == [1, 1]
    assert len(sandbox.account.messages) == 2
    with pytest.raises(ClientClosed):
        await sms.send(NUMBER, TEXT)


@pytest.mark.anyio
@pytest.mark.parametrize("grace", [0, 0.01])
async def test_a_request_in_flight_after_the_grace_has_an_unknown_outcome(
    sandbox: Sandbox, grace: float
) -> None:
    """After the grace, a send in flight raises `OutcomeUnknown`, and a read raises `ClientClosed`."""
    sms = client_for(sandbox, retry=NO_RETRY)
    await sms.balance()
    with sandbox.hold("Sms/Send") as sends, sandbox.hold("Sms/State") as states:

        async def ready() -> None:
            await sends.arrived()
            await states.arrived()

        calls: list[Call] = [_send(sms), lambda: sms.state("1")]
        results = await _closed_during(calls, ready, lambda: sms.aclose(grace=grace))
    assert sorted(type(each).__name__ for each in results) == ["ClientClosed", "OutcomeUnknown"]
    assert len(sandbox.account.messages) == 1


@pytest.mark.anyio
@pytest.mark.usefixtures("leaves_no_socket")
async def test_a_send_that_still_connects_is_not_sent(sandbox: Sandbox) -> None:
    """If the client is closed before the TLS handshake of a send is complete, the send raises `NotSent`."""
    release, accepted = threading.Event(), threading.Event()

    def serve(_: Any) -> None:
        accepted.set()
        release.wait(10)

    with RawServer(serve) as server:
        sms = client_for(sandbox, base_url=f"https://127.0.0.1:{server.port}/rest", retry=NO_RETRY)
        results = await _closed_during([_send(sms)], lambda: until(accepted.is_set), sms.aclose)
        release.set()
    assert [type(each) for each in results] == [NotSent]


@pytest.mark.anyio
async def test_a_send_through_the_callers_client_ends_too(sandbox: Sandbox) -> None:
    """A send through the caller's own httpx client also ends with `aclose`; the httpx client stays open."""
    async with httpx.AsyncClient() as client:
        sms = client_for(sandbox, client=client)
        await sms.balance()
        with sandbox.hold("Sms/Send") as gate:
            results = await _closed_during([_send(sms)], gate.arrived, sms.aclose)
        assert [type(each) for each in results] == [OutcomeUnknown]
        assert not client.is_closed


@pytest.mark.anyio
async def test_no_other_attempt_starts_within_the_grace(sandbox: Sandbox) -> None:
    """While `aclose` waits, a send whose session is refused makes no new login, and raises `NotSent`."""
    sms = client_for(sandbox)
    await sms.balance()
    sandbox.expire_sessions()
    with sandbox.hold("Sms/Send") as gate:

        async def close() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: sms.aclose(grace=3600))
                await anyio.wait_all_tasks_blocked()
                gate.release()

        results = await _closed_during([_send(sms)], gate.arrived, close)
    assert [type(each) for each in results] == [NotSent]
    assert (sandbox.account.logins, sandbox.account.messages) == (1, [])


@pytest.mark.anyio
async def test_no_repeated_read_starts_within_the_grace(sandbox: Sandbox) -> None:
    """While `aclose` waits, a read that fails is not repeated, and raises its own error."""
    sms = client_for(sandbox)
    await sms.balance()
    sandbox.answer_next("User/Balance", status=503, body=b"")
    with sandbox.hold("User/Balance") as gate:

        async def close() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: sms.aclose(grace=3600))
                await anyio.wait_all_tasks_blocked()
                gate.release()

        results = await _closed_during([sms.balance], gate.arrived, close)
    assert [type(each).__name__ for each in results] == ["InternalServerError"]


@pytest.mark.anyio
async def test_a_second_close_ends_the_grace(sandbox: Sandbox) -> None:
    """A second `aclose` without a grace ends the wait of the first `aclose`."""
    await _ends_the_grace(sandbox, lambda sms, _: sms.aclose())


@pytest.mark.anyio
async def test_a_cancelled_close_ends_the_grace(sandbox: Sandbox) -> None:
    """If `aclose` is cancelled, the requests in flight end at once, and the connections are closed."""

    async def cancel(_: AsyncSmsClient, scope: anyio.CancelScope) -> None:
        scope.cancel()

    await _ends_the_grace(sandbox, cancel)


async def _ends_the_grace(
    sandbox: Sandbox, end: Callable[[AsyncSmsClient, anyio.CancelScope], Awaitable[None]]
) -> None:
    sms = client_for(sandbox)
    await sms.balance()
    scope = anyio.CancelScope()

    async def first() -> None:
        with scope:
            await sms.aclose(grace=3600)

    with sandbox.hold("Sms/Send") as gate:

        async def close() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(first)
                await anyio.wait_all_tasks_blocked()
                await end(sms, scope)

        results = await _closed_during([_send(sms)], gate.arrived, close)
    assert [type(each) for each in results] == [OutcomeUnknown]
    await sms.aclose(grace=1)


@pytest.mark.anyio
@pytest.mark.parametrize("grace", [0, 3600])
async def test_a_call_may_close_its_own_client(sandbox: Sandbox, grace: float) -> None:
    """If a session store closes the client during a send, the send raises `NotSent`, and nothing hangs."""

    class ClosingStore(MemorySessionStore):
        async def load(self) -> Session | None:
            await sms.aclose(grace=grace)
            return await super().load()

    sms = client_for(sandbox, session_store=ClosingStore())
    with pytest.raises(NotSent):
        await sms.send(NUMBER, TEXT)
    assert sandbox.account.arrivals == []


@pytest.mark.anyio
@pytest.mark.usefixtures("transport")
async def test_a_session_store_that_cannot_be_cancelled(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a session store delays the end of the login, a waiting send still ends with its client."""
    loading, release = anyio.Event(), anyio.Event()

    class ShieldedStore(MemorySessionStore):
        async def load(self) -> Session | None:
            loading.set()
            with anyio.CancelScope(shield=True):
                await release.wait()
            return None

    monkeypatch.setattr(sessions, "_CLOSING_SECONDS", 0.001)
    results: list[Any] = []
    async with anyio.create_task_group() as group:
        try:
            async with client_for(sandbox, session_store=ShieldedStore()) as sms:
                group.start_soon(_outcome, _send(sms), results)
                await loading.wait()
            with anyio.move_on_after(10):
                await until(lambda: results)
            assert [type(each) for each in results] == [NotSent]
        finally:
            release.set()
    assert sandbox.account.arrivals == []


@pytest.mark.anyio
@pytest.mark.usefixtures("leaves_no_socket")
async def test_a_cancelled_task_still_closes_the_client(sandbox: Sandbox) -> None:
    """If the `async with` block is cancelled, all connections of the client are closed."""
    with anyio.CancelScope() as scope:
        async with client_for(sandbox) as sms:
            await sms.balance()
            scope.cancel()
            await anyio.sleep_forever()
    with pytest.raises(ClientClosed):
        await sms.balance()


@pytest.mark.anyio
@pytest.mark.parametrize("grace", [-1, -0.001, True, "5", float("nan"), float("inf"), None, timedelta(-1)])
async def test_a_wrong_grace(sandbox: Sandbox, grace: Any) -> None:
    """A grace that is not a time of at least 0 seconds raises a `ValidationError`, and closes nothing."""
    async with client_for(sandbox) as sms:
        with pytest.raises(ValidationError, match="grace: "):
            await sms.aclose(grace=grace)
        await sms.balance()


@pytest.mark.anyio
async def test_a_number_in_place_of_a_grace_is_not_shown(sandbox: Sandbox) -> None:
    """A number that is passed as the grace by mistake is not in the error."""
    async with client_for(sandbox) as sms:
        with pytest.raises(ValidationError, match="grace: ") as caught:
            await sms.aclose(grace=NUMBER)  # type: ignore[arg-type]
    assert NUMBER not in f"{caught.value} {caught.value!r}"


@pytest.mark.anyio
async def test_a_batch_ends_with_the_client(sandbox: Sandbox) -> None:
    """If the client is closed during a batch, the message in flight is `Unknown`, and the batch halts."""
    sms = client_for(sandbox, concurrency=1)
    await sms.balance()
    outcomes: list[Any] = []

    async def messages() -> AsyncIterator[Message]:
        for number in range(3):
            yield Message(f"7903123456{number}", f"text {number}")

    async def batch() -> None:
        async with sms.send_many(messages(), lookahead=1) as stream:
            async for outcome in stream:
                outcomes.append(outcome)

    with sandbox.hold("Sms/SendBulk") as bulks, sandbox.hold("Sms/Send") as sends:
        results = await _closed_during([batch], lambda: _first(sends, bulks), sms.aclose)
    assert [type(each) for each in outcomes] == [Unknown]
    assert [type(each) for each in results] == [BatchHalted]
    assert len(sandbox.account.messages) == 1


async def _first(*gates: Gate) -> None:
    async with anyio.create_task_group() as group:
        for gate in gates:
            group.start_soon(_then_cancel, gate, group.cancel_scope)


async def _then_cancel(gate: Gate, scope: anyio.CancelScope) -> None:
    await gate.arrived()
    scope.cancel()


@pytest.mark.anyio
async def test_a_batch_that_pauses_ends_with_the_client(sandbox: Sandbox) -> None:
    """If the client is closed while a batch waits after HTTP status 429, the batch halts at once."""
    clock = SleepingClock()
    sms = client_for(sandbox, clock=clock)
    sandbox.answer_next("Sms/Send", status=429, body=b"", headers={"Retry-After": "200"})
    sandbox.answer_next("Sms/SendBulk", status=429, body=b"", headers={"Retry-After": "200"})

    async def batch() -> list[Any]:
        async with sms.send_many([Message(NUMBER, TEXT)]) as stream:
            return [outcome async for outcome in stream]

    (halted,) = await _closed_during([batch], lambda: until(lambda: clock.sleepers), sms.aclose)
    assert isinstance(halted, BatchHalted)
    assert (type(halted.cause), halted.pending) == (ClientClosed, 1)
    assert sandbox.account.messages == []


@pytest.mark.anyio
async def test_waiting_streams_end_with_the_client(sandbox: Sandbox) -> None:
    """If the client is closed while streams wait for their next request, the streams raise `ClientClosed`."""
    clock = SleepingClock()
    sms = client_for(sandbox, clock=clock)
    receipt = await sms.send(NUMBER, TEXT)

    async def track() -> None:
        async with sms.track([receipt]) as deliveries:
            async for _ in deliveries:
                pass

    async def watch() -> None:
        async with sms.watch_incoming() as messages:
            async for _ in messages:
                pass

    calls: list[Call] = [track, watch, lambda: sms.wait_delivered(receipt)]
    results = await _closed_during(calls, lambda: until(lambda: clock.sleepers == 3), sms.aclose)
    assert [type(each) for each in results] == [ClientClosed] * 3
    assert clock.sleepers == 0


def test_a_close_in_another_event_loop(transport: str, anyio_backend: tuple[str, Any]) -> None:
    """`aclose` and the end of `async with` in another event loop raise `WrongEventLoop` and close nothing."""
    sockets: list[Any] = []

    def serve(connection: Any) -> None:
        sockets.append(connection)
        while read_request(connection):
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\n"' + b"S" * 36 + b'"')

    def run(function: Call) -> Any:
        return anyio.run(function, backend=anyio_backend[0], backend_options=anyio_backend[1])

    with RawServer(serve) as server:
        sms = client_for(Sandbox(), base_url=f"http://127.0.0.1:{server.port}/rest", retry=NO_RETRY)

        async def first() -> None:
            with pytest.raises(SmsApiError):
                await sms.balance()
            errors: list[BaseException] = []
            await anyio.to_thread.run_sync(lambda: errors.append(_error(lambda: run(sms.aclose))))
            await anyio.to_thread.run_sync(lambda: errors.append(_error(lambda: run(sms.__aexit__))))
            assert [type(error) for error in errors] == [WrongEventLoop, WrongEventLoop]
            assert "close the client in its own event loop" in str(errors[0])
            assert "closed" not in repr(sms)
            await sms.aclose()

        run(first)
        # The client is closed already, so that there is nothing to do in any event loop.
        run(sms.aclose)
    assert transport


def _error(function: Callable[[], Any]) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the caller checks the type
        function()
    return caught.value


def test_a_client_without_a_call_is_closed_in_any_event_loop(anyio_backend: str) -> None:
    """A client that made no call can be closed in any event loop, and its end is silent."""
    sms = client_for(Sandbox())
    anyio.run(sms.aclose, backend=anyio_backend)
    anyio.run(sms.aclose, backend=anyio_backend)


@pytest.mark.anyio
async def test_an_unclosed_client_warns_in_its_own_name(sandbox: Sandbox) -> None:
    """If a client is deleted without a close, a `ResourceWarning` names the client and its close."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sms = client_for(sandbox)
        await sms.balance()
        exchanger = sms._exchanger
        del sms
        gc.collect()
    # Close the connections here, because an unclosed socket warns in its own name whenever it is collected.
    await exchanger.aclose()
    (own,) = [str(each.message) for each in caught if "AsyncSmsClient" in str(each.message)]
    assert own.startswith(f"unclosed <AsyncSmsClient {sandbox.base_url} ")
    assert "call `await sms.aclose()`" in own
    assert sandbox.password not in own
    await checkpoint()


@pytest.mark.anyio
async def test_no_warning_without_a_connection(sandbox: Sandbox) -> None:
    """A client that was closed, that made no request, or that could not be created issues no warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sms = client_for(sandbox)
        async with client_for(sandbox) as closed:
            await closed.balance()
        with pytest.raises(ValidationError):
            await sms.send("1", TEXT)
        with pytest.raises(ValidationError):
            client_for(sandbox, concurrency=0)
        del sms, closed
        gc.collect()
    assert [str(each.message) for each in caught if "AsyncSmsClient" in str(each.message)] == []


_SCRIPT = """
import asyncio
from smsapi_async import AsyncSmsClient, RetryPolicy, SmsApiError

sms = AsyncSmsClient("login", "secret", base_url="http://127.0.0.1:1", retry=RetryPolicy(attempts=1))

async def main():
    try:
        await sms.balance()
    except SmsApiError:
        pass

asyncio.run(main())
"""


def test_a_client_that_is_unclosed_at_the_end_of_the_program() -> None:
    """At the end of a program, the only message about an unclosed client is its `ResourceWarning`."""
    command = [sys.executable, "-X", "dev", "-c", _SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.count("ResourceWarning: unclosed <AsyncSmsClient http://127.0.0.1:1 ") == 1
    assert "Exception ignored" not in done.stderr
    assert "secret" not in done.stderr
    quiet = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True)
    assert quiet.stderr == ""
