"""Tests of logins: a login belongs to no call, and refused sessions do not cause logins without end."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import anyio
import httpx
import pytest

from smsapi_async import (
    AsyncSmsClient,
    ClientClosed,
    InvalidCredentials,
    InvalidSession,
    MemorySessionStore,
    NotSent,
    RetryPolicy,
    Session,
    SmsApiError,
    Unauthorized,
    WrongEventLoop,
)
from smsapi_async.sandbox import Sandbox
from tests.client.tools import NUMBER, TEXT, ManualClock, client_for

pytestmark = pytest.mark.anyio


class _TwoClocks(ManualClock):
    """A clock whose wall clock can be set without a change of the monotonic clock.

    Attributes:
        error: the time by which the wall clock differs from the right time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.error = timedelta(0)

    def now(self) -> datetime:
        return self.moment + self.error


def _in_process(sandbox: Sandbox, **options: Any) -> AsyncSmsClient:
    return client_for(sandbox, transport=httpx.ASGITransport(sandbox.app), **options)


async def _errors(call: Callable[[], Awaitable[object]], count: int) -> list[SmsApiError]:
    """Make a call `count` times at the same time, and return the errors."""
    errors: list[SmsApiError] = []

    async def one() -> None:
        try:
            await call()
        except SmsApiError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return errors


async def test_short_timeouts_do_not_repeat_the_login(sandbox: Sandbox) -> None:
    """60 sends with a timeout that is shorter than the login make one login, and the next send uses it."""
    async with client_for(sandbox, concurrency=20) as sms:
        with sandbox.hold("User/SessionId") as gate:
            errors = await _errors(lambda: sms.send(NUMBER, TEXT, timeout=0.05), 60)
            assert [type(error) for error in errors] == [NotSent] * 60
            gate.release()
        await sms.send(NUMBER, TEXT)
    assert sandbox.account.logins == 1
    assert len(sandbox.account.messages) == 1


async def test_a_login_outlives_the_call_that_began_it(sandbox: Sandbox) -> None:
    """If the call that began the login is cancelled, the calls that wait for the login use its session."""
    results: list[Any] = []
    async with client_for(sandbox) as sms:
        with sandbox.hold("user/sessionid") as gate:
            async with anyio.create_task_group() as group:
                first = anyio.CancelScope()

                async def cancelled() -> None:
                    with first:
                        await sms.balance()

                async def patient() -> None:
                    results.append(await sms.balance())

                group.start_soon(cancelled)
                await gate.arrived(1)
                for _ in range(5):
                    group.start_soon(patient)
                first.cancel()
                await anyio.wait_all_tasks_blocked()
                gate.release()
    assert results == [sandbox.balance] * 5
    assert sandbox.account.logins == 1


async def test_a_login_without_a_waiting_call_serves_the_next_call(sandbox: Sandbox) -> None:
    """If all calls that waited for a login are cancelled, the next call uses the session of this login."""
    async with client_for(sandbox) as sms:
        with sandbox.hold("user/sessionid") as gate:
            with anyio.move_on_after(0.05) as scope:
                await sms.balance()
            assert scope.cancelled_caught
            gate.release()
        assert await sms.balance() == sandbox.balance
    assert sandbox.account.logins == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("way", ["wait_for", "cancel"])
async def test_a_cancellation_of_asyncio_does_not_end_the_login(
    anyio_backend: str, way: Literal["wait_for", "cancel"]
) -> None:
    """After `asyncio.wait_for` or `Task.cancel` has ended the first call, its login serves the next call."""
    sandbox = Sandbox()
    async with _in_process(sandbox) as sms:
        with sandbox.hold("user/sessionid") as gate:
            if way == "wait_for":
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(sms.balance(), 0.05)
            else:
                task = asyncio.create_task(sms.balance())
                await gate.arrived()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            gate.release()
        await sms.balance()
    assert sandbox.account.logins == 1


@pytest.mark.usefixtures("leaves_no_socket")
async def test_a_close_ends_a_login(sandbox: Sandbox) -> None:
    """If the client is closed during a login, the sends that wait for the login raise `NotSent`."""
    errors: list[SmsApiError] = []
    sms = client_for(sandbox)

    async def calls() -> None:
        errors.extend(await _errors(lambda: sms.send(NUMBER, TEXT), 3))

    with sandbox.hold("user/sessionid") as gate:
        async with anyio.create_task_group() as group:
            group.start_soon(calls)
            await gate.arrived()
            await sms.aclose()
    assert [type(error) for error in errors] == [NotSent] * 3
    assert sandbox.account.logins == 1


@pytest.mark.usefixtures("leaves_no_socket")
async def test_a_cancelled_close_ends_a_login(sandbox: Sandbox) -> None:
    """If the block of the client is cancelled during a login, the login ends and every socket is closed."""
    with sandbox.hold("user/sessionid"), anyio.move_on_after(0.05) as scope:
        async with client_for(sandbox) as sms:
            await sms.send(NUMBER, TEXT)
    assert scope.cancelled_caught
    assert sandbox.account.messages == []


async def test_a_close_at_the_start_of_a_login(sandbox: Sandbox) -> None:
    """If the client is closed before the login has sent a request, a waiting call raises `ClientClosed`."""
    sms = client_for(sandbox)
    errors: list[SmsApiError] = []

    async def calls() -> None:
        errors.extend(await _errors(sms.balance, 1))

    async with anyio.create_task_group() as group:
        group.start_soon(calls)
        while sms._caller._authentication._running is None:  # type: ignore[attr-defined]
            await anyio.lowlevel.checkpoint()
        await sms.aclose()
    assert [type(error) for error in errors] == [ClientClosed]


_LEFT_OPEN = """
import sys
import anyio
from smsapi_async import AsyncSmsClient

async def main():
    sms = AsyncSmsClient("login", "password", source_address="ACME", base_url=sys.argv[1])
    with anyio.move_on_after(0.05):
        await sms.balance()

anyio.run(main, backend=sys.argv[2])
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_the_end_of_the_event_loop_ends_a_login(backend: str) -> None:
    """If a program ends during a login and does not close the client, Python reports no forgotten task."""
    # The system accepts the connection, and no response arrives.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-X", "dev", "-W", "ignore::ResourceWarning", "-c", _LEFT_OPEN]
        done = await anyio.run_process(
            [*command, f"http://127.0.0.1:{port}/rest", backend], check=False, stderr=subprocess.PIPE
        )
    # On a busy machine, the debug mode of asyncio reports steps that took long.
    errors = [line for line in done.stderr.splitlines() if not line.startswith(b"Executing ")]
    assert (done.returncode, errors) == (0, [])


async def test_a_renewal_does_not_delay_a_call() -> None:
    """While the client renews a session that ends soon, calls use the old session without waiting."""
    sandbox = Sandbox(start=datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
    clock = ManualClock()
    async with _in_process(sandbox, clock=clock) as sms:
        await sms.balance()
        clock.advance(minutes=116)
        sandbox.advance(minutes=116)
        with sandbox.hold("user/sessionid") as gate:
            await sms.send(NUMBER, TEXT, timeout=5)
            await gate.arrived()
            await sms.send(NUMBER, TEXT, timeout=5)
    assert sandbox.account.logins == 2
    assert len(sandbox.account.messages) == 2


async def test_a_defect_in_a_transport_reaches_every_call() -> None:
    """If the transport raises an exception that is no HTTP error during a login, every call raises it."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise KeyError(request.method)

    async with AsyncSmsClient("login", "password", transport=httpx.MockTransport(fail)) as sms:
        for _ in range(2):
            with pytest.raises(KeyError):
                await sms.balance()


class _CancellingStore(MemorySessionStore):
    """A session store in which a cancelled task of the store cancels the call of `load`."""

    async def load(self) -> Session | None:
        raise asyncio.CancelledError


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_login_that_a_store_cancels_is_an_error(anyio_backend: str) -> None:
    """If the session store cancels the task of the login, a send raises `NotSent`, and nobody waits."""
    sandbox = Sandbox()
    async with _in_process(sandbox, session_store=_CancellingStore()) as sms:
        for _ in range(2):
            with pytest.raises(NotSent, match="the login was cancelled"):
                await sms.send(NUMBER, TEXT)
    assert sandbox.account.arrivals == []


async def test_a_new_session_that_is_refused_much_later_is_replaced() -> None:
    """If the gateway ends a new session long before its first use, the next send succeeds."""
    sandbox, clock = Sandbox(), ManualClock()
    async with _in_process(sandbox, clock=clock) as sms:
        await sms.balance()
        sandbox.expire_sessions()
        with sandbox.hold("user/sessionid") as gate:
            with pytest.raises(NotSent):
                await sms.send(NUMBER, TEXT, timeout=0.05)
            gate.release()
        await anyio.wait_all_tasks_blocked()
        sandbox.expire_sessions()
        clock.advance(minutes=10)
        await sms.send(NUMBER, TEXT)
    assert sandbox.account.logins == 3
    assert len(sandbox.account.messages) == 1


@pytest.mark.parametrize("hours", [-3, 3])
async def test_the_cool_down_does_not_depend_on_the_wall_clock(hours: int) -> None:
    """If the wall clock jumps after a refused login, the cool-down still takes 60 seconds."""
    sandbox, clock = Sandbox(), _TwoClocks()
    async with _in_process(sandbox, password="wrong", clock=clock) as sms:
        with pytest.raises(InvalidCredentials):
            await sms.balance()
        clock.error = timedelta(hours=hours)
        clock.advance(seconds=10)
        with pytest.raises(InvalidCredentials) as caught:
            await sms.balance()
        assert caught.value.retry_after == pytest.approx(50)
        assert sandbox.account.logins == 1
        clock.advance(seconds=51)
        with pytest.raises(InvalidCredentials):
            await sms.balance()
    assert sandbox.account.logins == 2


async def test_the_age_of_a_session_does_not_depend_on_the_wall_clock() -> None:
    """If the wall clock jumps, a valid session stays in use, and a session that is over is not used."""
    sandbox = Sandbox(start=datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
    clock = _TwoClocks()
    async with _in_process(sandbox, clock=clock) as sms:
        await sms.balance()
        for hours in (3, -3, 30, -30):
            clock.error = timedelta(hours=hours)
            await sms.balance()
        assert sandbox.account.logins == 1
        clock.advance(minutes=121)
        sandbox.advance(minutes=121)
        await sms.balance()
    assert sandbox.account.logins == 2
    assert sandbox.account.count("User/Balance") == sandbox.account.count("User/Balance", status=200)


@pytest.mark.parametrize(("code", "error"), [(3, InvalidSession), (4, Unauthorized)])
async def test_a_gateway_that_refuses_every_session_gets_few_logins(
    code: int, error: type[SmsApiError]
) -> None:
    """If the gateway refuses each new session, 1,000 sends make two logins, then one in each cool-down."""
    sandbox, clock = Sandbox(), ManualClock()
    sandbox.refuse_next("Sms/Send", code, desc="SessionID expired", times=5000)
    async with _in_process(sandbox, clock=clock) as sms:
        errors = await _errors(lambda: sms.send(NUMBER, TEXT), 1000)
        assert {type(each) for each in errors} == {error}
        assert len(errors) == 1000
        assert sandbox.account.logins == 2
        with pytest.raises(error, match="try again in 60 s"):
            await sms.send(NUMBER, TEXT)
        for logins in (3, 4):
            clock.advance(seconds=61)
            assert len(await _errors(lambda: sms.send(NUMBER, TEXT), 100)) == 100
            assert sandbox.account.logins == logins
    assert sandbox.account.messages == []


async def test_sessions_that_end_early_again_and_again_are_replaced() -> None:
    """If the gateway accepts each session and ends it early, every call succeeds without a cool-down."""
    sandbox = Sandbox()
    async with _in_process(sandbox, clock=ManualClock()) as sms:
        for _ in range(5):
            await sms.balance()
            await sms.send(NUMBER, TEXT)
            sandbox.expire_sessions()
        await sms.balance()
    assert sandbox.account.logins == 6
    assert len(sandbox.account.messages) == 5


async def test_a_refused_renewal_starts_the_cool_down() -> None:
    """If the gateway refuses the early renewal with code 7, the old session stays in use for its lifetime.

    The client makes the next login after the cool-down.
    """
    sandbox = Sandbox(start=datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
    clock = ManualClock()
    async with _in_process(sandbox, clock=clock, retry=RetryPolicy(attempts=1)) as sms:
        await sms.balance()
        clock.advance(minutes=116)
        sandbox.advance(minutes=116)
        sandbox.refuse_next("user/sessionid", 7)
        for seconds, logins in ((0, 2), (45, 2), (16, 3)):
            clock.advance(seconds=seconds)
            assert await sms.balance() == sandbox.balance
            await anyio.wait_all_tasks_blocked()
            assert sandbox.account.logins == logins


def test_a_close_in_another_event_loop_is_refused(anyio_backend: str) -> None:
    """If a login ended with its event loop, `aclose` in another event loop raises `WrongEventLoop`."""
    sandbox = Sandbox()
    sms = _in_process(sandbox)

    async def leave() -> None:
        with sandbox.hold("user/sessionid"), anyio.move_on_after(0.05):
            await sms.balance()

    anyio.run(leave, backend=anyio_backend)
    with pytest.raises(WrongEventLoop):
        anyio.run(sms.aclose, backend=anyio_backend)
    assert sms._caller._authentication._running is None  # type: ignore[attr-defined]
