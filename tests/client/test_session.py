"""Tests of the sessions of a client. The sandbox counts the logins."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import anyio
import httpx
import pytest

from smsapi_async import (
    AsyncSmsClient,
    InvalidCredentials,
    MemorySessionStore,
    NotSent,
    RetryPolicy,
    Secret,
    Session,
    SmsApiError,
    TransportFailed,
    Unauthorized,
)
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.client.tools import NUMBER, TEXT, ManualClock, client_for

pytestmark = pytest.mark.anyio
MANY = 2_000


async def _balances(sms: AsyncSmsClient, count: int) -> list[Any]:
    results: list[Any] = []

    async def call() -> None:
        try:
            results.append(await sms.balance())
        except SmsApiError as error:
            results.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(call)
    return results


def _in_process(sandbox: Sandbox, **options: Any) -> AsyncSmsClient:
    return client_for(sandbox, transport=httpx.ASGITransport(sandbox.app), **options)


async def test_many_first_calls_make_one_login() -> None:
    """If the first 2,000 calls of a client start at the same time, the client logs in only once."""
    sandbox = Sandbox()
    async with _in_process(sandbox) as sms:
        results = await _balances(sms, MANY)
    assert results == [sandbox.balance] * MANY
    assert sandbox.account.logins == 1


@pytest.mark.parametrize("code", [3, 4])
async def test_many_refused_calls_make_one_more_login(code: Literal[3, 4]) -> None:
    """If the session ends while 2,000 calls use it, the client logs in only once more, and no call fails."""
    sandbox = Sandbox(expired_session_code=code)
    async with _in_process(sandbox, concurrency=500) as sms:
        await sms.balance()
        sandbox.expire_sessions()
        results = await _balances(sms, MANY)
    assert results == [sandbox.balance] * MANY
    assert sandbox.account.logins == 2


async def test_a_send_refused_for_its_session_is_repeated_once(sandbox: Sandbox) -> None:
    """If the gateway refuses a send because the session has ended, the client logs in and repeats the send.

    The message of the send that was repeated arrives at the gateway exactly once.
    """
    async with client_for(sandbox) as sms:
        await sms.balance()
        sandbox.expire_sessions()
        await sms.send(NUMBER, TEXT)
    assert len(sandbox.account.messages) == 1
    assert sandbox.account.logins == 2


async def test_a_session_refused_twice_is_an_error(sandbox: Sandbox) -> None:
    """If the gateway refuses a send even after a second login, the send raises `Unauthorized`."""
    sandbox.refuse_next("Sms/Send", 4, desc="SessionID expired", times=5)
    async with client_for(sandbox) as sms:
        with pytest.raises(Unauthorized):
            await sms.send(NUMBER, TEXT)
    assert sandbox.account.count("Sms/Send") == 2
    assert sandbox.account.logins == 2
    assert sandbox.account.messages == []


async def test_code_4_that_names_no_session_is_not_cured_by_a_login(sandbox: Sandbox) -> None:
    """If error code 4 has another reason than the session, the call raises `Unauthorized`.

    After error code 4 without a session reason, the client does not log in again.
    """
    sandbox.refuse_next("User/Balance", 4, desc="Invalid user login or password")
    async with client_for(sandbox) as sms:
        with pytest.raises(Unauthorized):
            await sms.balance()
    assert sandbox.account.logins == 1


async def test_refused_credentials_fail_everybody_with_one_login() -> None:
    """With a wrong password, 1,000 calls share one login, and each call raises `InvalidCredentials`.

    After a refused login, the client logs in again only after a cool-down of 60 seconds.
    """
    sandbox = Sandbox()
    clock = ManualClock()
    async with _in_process(sandbox, password="wrong", clock=clock, concurrency=500) as sms:
        results = await _balances(sms, 1000)
        assert {type(result) for result in results} == {InvalidCredentials}
        assert sandbox.account.logins == 1
        clock.advance(seconds=59)
        with pytest.raises(InvalidCredentials, match="try again in 1 s"):
            await sms.send(NUMBER, TEXT)
        assert sandbox.account.logins == 1
        clock.advance(seconds=2)
        with pytest.raises(InvalidCredentials):
            await sms.balance()
    assert sandbox.account.logins == 2


async def test_each_waiter_gets_an_error_of_its_own() -> None:
    """If a login fails, each call that waited for the login raises a separate exception object."""
    sandbox = Sandbox()
    async with _in_process(sandbox, password="wrong") as sms:
        results = await _balances(sms, 50)
    assert len({id(result) for result in results}) == 50


async def test_a_login_that_gets_no_answer_fails_its_waiters_together() -> None:
    """If the gateway cannot be reached, 100 calls share the three attempts of one login.

    A send after the failed login raises `NotSent`.
    """
    attempts = 0

    def refuse(request: httpx.Request) -> httpx.Response:
        nonlocal attempts
        attempts += 1
        raise httpx.ConnectError("refused", request=request)

    sms = AsyncSmsClient(
        "login",
        "password",
        source_address="ACME",
        transport=httpx.MockTransport(refuse),
        retry=RetryPolicy(attempts=3),
        clock=ManualClock(),
        concurrency=100,
    )
    async with sms:
        results = await _balances(sms, 100)
        assert {type(result) for result in results} == {TransportFailed}
        assert attempts == 3
        with pytest.raises(NotSent, match="the login failed"):
            await sms.send(NUMBER, TEXT)


async def test_the_session_is_renewed_before_it_ends() -> None:
    """The client logs in again after 115 of the 120 minutes of a session.

    The gateway therefore never refuses a request because its session has ended.
    """
    sandbox = Sandbox(start=datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
    clock = ManualClock()
    async with _in_process(sandbox, clock=clock) as sms:
        await sms.balance()
        for _ in range(2):
            clock.advance(minutes=57)
            sandbox.advance(minutes=57)
            await sms.balance()
        assert sandbox.account.logins == 1
        clock.advance(minutes=2)
        sandbox.advance(minutes=2)
        await _balances(sms, 100)
        await anyio.wait_all_tasks_blocked()
        await sms.balance()
    assert sandbox.account.logins == 2
    assert sandbox.account.count("User/Balance", status=200) == sandbox.account.count("User/Balance")


@pytest.mark.parametrize("status", [503, 429])
async def test_a_failed_early_renewal_leaves_the_old_session_in_use(status: int) -> None:
    """If the login before the end of a session fails, the calls continue with the old session.

    After a failed early login, the client tries to log in again after 30 seconds.
    """
    sandbox = Sandbox(start=datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
    clock = ManualClock()
    async with _in_process(sandbox, clock=clock, retry=RetryPolicy(attempts=1)) as sms:
        await sms.balance()
        clock.advance(minutes=116)
        sandbox.advance(minutes=116)
        sandbox.answer_next("user/sessionid", status=status)
        for _ in range(2):
            assert await sms.balance() == sandbox.balance
            await anyio.wait_all_tasks_blocked()
        assert sandbox.account.logins == 2
        clock.advance(seconds=31)
        assert await sms.balance() == sandbox.balance
        await anyio.wait_all_tasks_blocked()
    assert sandbox.account.logins == 3


class _StoreOfAnother:
    """A session store that a second process seems to use: the test sets `session` in place of that process.

    Attributes:
        session: the session that the store returns to the client.
        saved: the sessions that the client has saved in the store, in order.
    """

    def __init__(self) -> None:
        self.session: Session | None = None
        self.saved: list[Session] = []

    async def load(self) -> Session | None:
        return self.session

    async def save(self, session: Session) -> None:
        self.saved.append(session)


async def test_a_stored_session_that_is_over_is_not_used() -> None:
    """The client never uses a stored session that has already ended, even after a failed login."""
    sandbox, clock, store = Sandbox(), ManualClock(), _StoreOfAnother()
    async with _in_process(sandbox, clock=clock, session_store=store, retry=RetryPolicy(attempts=1)) as sms:
        await sms.balance()
        store.session = Session(Secret("0" * 36), clock.now() - timedelta(minutes=1))
        clock.advance(minutes=119, seconds=45)
        sandbox.answer_next("user/sessionid", status=503)
        await sms.balance()
        await anyio.wait_all_tasks_blocked()
        clock.advance(seconds=20)
        await sms.balance()
    assert sandbox.account.count("User/Balance", status=200) == sandbox.account.count("User/Balance") == 3


async def test_a_shared_store_saves_a_login() -> None:
    """Two clients with the same session store share each login.

    After the gateway has refused a session, the two clients also share the next login.
    """
    sandbox = Sandbox()
    store = MemorySessionStore()
    async with (
        _in_process(sandbox, session_store=store) as one,
        _in_process(sandbox, session_store=store) as two,
    ):
        await one.balance()
        await two.balance()
        assert sandbox.account.logins == 1
        sandbox.expire_sessions()
        await one.balance()
        await two.balance()
    assert sandbox.account.logins == 2


async def test_each_send_of_a_burst_arrives_once(anyio_backend: str) -> None:
    """If 2,000 sends start at the same time, all sends succeed, and each message arrives once."""
    receipts = []
    async with run_sandbox(balance=Decimal(1_000_000)) as sandbox, client_for(sandbox) as sms:

        async def send(index: int) -> None:
            receipts.append(await sms.send(f"7{index:07}111", "burst"))

        async with anyio.create_task_group() as group:
            for index in range(MANY):
                group.start_soon(send, index)
    assert len(receipts) == MANY
    assert len(sandbox.account.messages) == MANY
    assert len({segment_id for receipt in receipts for segment_id in receipt.segment_ids}) == MANY
