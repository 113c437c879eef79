"""Tests of `api_version=2`: each request contains the login and the password, and there is no session."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import anyio
import httpx
import pytest

from smsapi_async import (
    AsyncSmsClient,
    ClientClosed,
    InternalServerError,
    InvalidCredentials,
    MemorySessionStore,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    ReadFailed,
    RetryPolicy,
    SmsApiError,
    Timeouts,
    ValidationError,
    WrongEventLoop,
)
from smsapi_async.sandbox import Dialect, Sandbox, run_sandbox
from tests.batch.test_cancellation import CancelledAt
from tests.client.tools import NUMBER, TEXT, ManualClock, client_for

pytestmark = pytest.mark.anyio
ONCE = RetryPolicy(attempts=1)
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NINE = datetime(2030, 1, 1, 9, 0)  # noqa: DTZ001

Call = Callable[[AsyncSmsClient], Awaitable[Any]]

CALLS: dict[str, Call] = {
    "User/Balance": lambda sms: sms.balance(),
    "Sms/Send": lambda sms: sms.send(NUMBER, TEXT),
    "Sms/SendByTimeZone": lambda sms: sms.send_by_time_zone(NUMBER, TEXT, send_date=NINE),
    "Sms/SendBulk": lambda sms: sms.send_bulk([NUMBER], TEXT),
    "Sms/SendByTimeZoneToAddresses": lambda sms: sms.send_bulk(
        [NUMBER], TEXT, send_date=NINE, by_time_zone=True
    ),
    "Sms/State": lambda sms: sms.state("1"),
    "Sms/In": lambda sms: sms.incoming(),
    "Sms/Statistics": lambda sms: sms.statistics(START, START),
}
"""One call for each resource of version 2."""


@pytest.fixture
def sandbox() -> Sandbox:
    """Return a sandbox in this process that has version 2."""
    return Sandbox(dialect=Dialect.LATEST)


def client(sandbox: Sandbox, **options: Any) -> AsyncSmsClient:
    """Return a client of version 2 that calls the sandbox without a socket."""
    options.setdefault("transport", httpx.ASGITransport(sandbox.app))
    return client_for(sandbox, api_version=2, gateway_time_zone=UTC, **options)


async def results_of(call: Callable[[], Awaitable[Any]], count: int) -> list[Any]:
    """Make a call `count` times at the same time, and return the results and the errors."""
    results: list[Any] = []

    async def one() -> None:
        try:
            results.append(await call())
        except SmsApiError as error:
            results.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return results


@pytest.mark.parametrize("resource", CALLS)
async def test_each_call(sandbox: Sandbox, resource: str) -> None:
    """Each call makes one request below /v2 with the login and the password, and no login request."""
    sandbox.answer_next(None, 500)
    async with client(sandbox, login="a+b", password="p &=%ё", retry=ONCE) as sms:
        with pytest.raises((OutcomeUnknown, ReadFailed)):
            await CALLS[resource](sms)
    (arrival,) = sandbox.account.arrivals
    path, _, query = arrival.target.partition("?")
    fields = parse_qs(arrival.body.decode() if arrival.method == "POST" else query)
    assert path == f"/rest/v2/{resource}"
    assert (arrival.version, arrival.resource) == (2, resource)
    assert (fields["Login"], fields["Password"]) == (["a+b"], ["p &=%ё"])
    assert "SessionID" not in f"{arrival.target} {arrival.body!r}"


@pytest.mark.parametrize("resource", CALLS)
async def test_wrong_credentials(sandbox: Sandbox, resource: str) -> None:
    """Each call with a wrong password raises `InvalidCredentials`, and nothing is sent."""
    async with client(sandbox, password="wrong") as sms:
        with pytest.raises(InvalidCredentials) as caught:
            await CALLS[resource](sms)
    assert (caught.value.code, caught.value.http_status) == (4, 403)
    assert "wrong" not in f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert not caught.value.may_have_been_sent
    assert sandbox.account.count() == 1
    assert not sandbox.account.messages


async def test_a_hint(sandbox: Sandbox) -> None:
    """The error of a wrong password names a probable cause, as the error of a refused login does."""
    hints = []
    for version in (1, 2):
        async with client_for(
            sandbox,
            api_version=version,
            password="sandbox-password\n",
            transport=httpx.ASGITransport(sandbox.app),
        ) as sms:
            with pytest.raises(InvalidCredentials) as caught:
                await sms.balance()
            hints.append(caught.value.hint)
    assert hints[0] == hints[1] != ""


@pytest.mark.parametrize("resource", ["User/Balance", "Sms/Send"])
async def test_many_calls_with_a_wrong_password(sandbox: Sandbox, resource: str) -> None:
    """50 calls at the same time with a wrong password make one request, and each raises the refusal."""
    async with client(sandbox, password="wrong", concurrency=50) as sms:
        results = await results_of(lambda: CALLS[resource](sms), 50)
    assert [type(result) for result in results] == [InvalidCredentials] * 50
    assert sandbox.account.count() == 1


async def test_the_cool_down(sandbox: Sandbox) -> None:
    """After a refusal, calls raise the refusal for 60 seconds without a request; then one request is made."""
    clock = ManualClock()
    async with client(sandbox, password="wrong", clock=clock) as sms:
        for seconds, requests in ((0, 1), (30, 1), (29, 1), (2, 2), (59, 2)):
            clock.advance(seconds=seconds)
            results = await results_of(sms.balance, 10)
            assert [type(result) for result in results] == [InvalidCredentials] * 10
            assert sandbox.account.count() == requests
        with pytest.raises(InvalidCredentials, match="try again in 1 s") as caught:
            await sms.send(NUMBER, TEXT)
        assert caught.value.retry_after == pytest.approx(1)


async def test_a_password_that_becomes_right(sandbox: Sandbox) -> None:
    """If the gateway accepts the password after a cool-down, all calls work again."""
    clock = ManualClock()
    async with client(sandbox, clock=clock) as sms:
        sandbox.refuse_next("User/Balance", 4)
        with pytest.raises(InvalidCredentials):
            await sms.balance()
        clock.advance(seconds=61)
        assert await results_of(sms.balance, 20) == [sandbox.balance] * 20
    assert sandbox.account.count() == 21


async def test_the_first_request_is_alone(sandbox: Sandbox) -> None:
    """All other calls wait for the response to the first request, and are then made at the same time."""
    async with client(sandbox, concurrency=10) as sms, anyio.create_task_group() as group:
        with sandbox.hold() as gate:
            group.start_soon(results_of, sms.balance, 10)
            await gate.arrived()
            await anyio.wait_all_tasks_blocked()
            assert sandbox.account.count() == 1
            others = sandbox.hold()
            gate.release()
        await others.arrived(9)
        others.release()


@pytest.mark.parametrize("refusal", [1, 2, 5, 6, 7, 8, 9])
async def test_a_first_request_with_another_error(sandbox: Sandbox, refusal: int) -> None:
    """An error of the first request that does not name the password does not stop other calls."""
    sandbox.refuse_next("Sms/Send", refusal)
    async with client(sandbox, concurrency=10) as sms, anyio.create_task_group() as group:
        with pytest.raises(SmsApiError):
            await sms.send(NUMBER, TEXT)
        with sandbox.hold() as gate:
            group.start_soon(results_of, sms.balance, 5)
            await gate.arrived(5)


async def test_a_first_request_without_an_answer(sandbox: Sandbox) -> None:
    """If the first request gets no response in time, the other requests are made at the same time."""
    timeouts = Timeouts(read=0.05)
    async with client_for(
        sandbox, api_version=2, transport=_Silent(1, sandbox), retry=ONCE, timeouts=timeouts, concurrency=10
    ) as sms:
        results = await results_of(lambda: sms.send(NUMBER, TEXT), 10)
    assert [type(result).__name__ for result in results].count("Receipt") == 9
    assert len(sandbox.account.messages) == 9


class _Silent(httpx.AsyncBaseTransport):
    """A transport that raises `httpx.ReadTimeout` for a number of requests, and then passes requests on."""

    def __init__(self, count: int, sandbox: Sandbox) -> None:
        self.left = count
        self.next = httpx.ASGITransport(sandbox.app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.left:
            self.left -= 1
            await anyio.wait_all_tasks_blocked()
            raise httpx.ReadTimeout("silence", request=request)
        return await self.next.handle_async_request(request)


async def test_a_first_request_that_is_cancelled(sandbox: Sandbox) -> None:
    """If the first call is cancelled, one other call is made alone: a wrong password is not tried 9 times."""
    results: list[Any] = []
    async with client(sandbox, password="wrong", concurrency=10) as sms:
        with sandbox.hold() as gate:
            async with anyio.create_task_group() as group:
                first = anyio.CancelScope()

                async def cancelled() -> None:
                    with first:
                        await sms.balance()

                async def others() -> None:
                    results.extend(await results_of(sms.balance, 9))

                group.start_soon(cancelled)
                await gate.arrived()
                group.start_soon(others)
                await anyio.wait_all_tasks_blocked()
                first.cancel()
                await gate.arrived(2)
                await anyio.wait_all_tasks_blocked()
                gate.release()
    assert [type(result) for result in results] == [InvalidCredentials] * 9
    assert sandbox.account.count() == 2


@pytest.mark.parametrize("behind", [0, 1, 2])
async def test_a_call_cancelled_at_every_await(anyio_backend: str, behind: int) -> None:
    """If one of several calls is cancelled at any time, all other calls and later calls succeed."""
    at = waits = 0
    while waits >= at:
        at += 1
        results: list[Any] = []
        counts: list[int] = []
        async with (
            run_sandbox(dialect="latest") as sandbox,
            client_for(sandbox, api_version=2, concurrency=3) as sms,
        ):
            async with anyio.create_task_group() as group:
                group.start_soon(_collect, sms, behind, results)
                group.start_soon(_cancel_at, sms, at, counts)
                group.start_soon(_collect, sms, 3 - behind, results)
            results.append(await sms.balance())
        assert results == [sandbox.balance] * 4
        waits = counts[0]
    assert at > 2


async def _collect(sms: AsyncSmsClient, count: int, results: list[Any]) -> None:
    results.extend(await results_of(sms.balance, count))


async def _cancel_at(sms: AsyncSmsClient, at: int, counts: list[int]) -> None:
    """Read the balance, and cancel the call at its wait with the number `at`."""
    with anyio.CancelScope() as scope:
        counted = CancelledAt(sms.balance(), scope, at)
        try:
            await counted
        finally:
            counts.append(counted.waits)


async def test_calls_that_wait_are_cancelled(sandbox: Sandbox) -> None:
    """If calls are cancelled while they wait for the first request, the other calls succeed."""
    results: list[Any] = []
    async with client(sandbox, concurrency=10) as sms:
        with sandbox.hold() as gate:
            async with anyio.create_task_group() as group:

                async def first() -> None:
                    results.append(await sms.balance())

                group.start_soon(first)
                await gate.arrived()
                with anyio.move_on_after(0.02):
                    await results_of(sms.balance, 5)
                assert [
                    type(each) for each in await results_of(lambda: sms.send(NUMBER, TEXT, timeout=0.02), 5)
                ] == [NotSent] * 5
                gate.release()
        assert results == [sandbox.balance]
        assert await results_of(sms.balance, 10) == [sandbox.balance] * 10
    assert sandbox.account.count() == 11


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_of_asyncio(sandbox: Sandbox, anyio_backend: str) -> None:
    """After `Task.cancel` has ended the first call, the calls that wait for its end are made."""
    async with client(sandbox, concurrency=10) as sms:
        with sandbox.hold() as gate:
            task = asyncio.create_task(sms.balance())
            await gate.arrived()
            others = asyncio.create_task(results_of(sms.balance, 3))
            await anyio.wait_all_tasks_blocked()
            task.cancel()
            await gate.arrived(2)
            gate.release()
        assert await others == [sandbox.balance] * 3
        assert task.cancelled()


async def test_a_close_during_the_first_request(sandbox: Sandbox) -> None:
    """If the client is closed during the first request, the waiting calls end, and have made no request."""
    results: list[Any] = []
    sms = client(sandbox, concurrency=10)

    async def run(call: Callable[[], Awaitable[Any]], count: int) -> None:
        results.extend(await results_of(call, count))

    with sandbox.hold() as gate:
        async with anyio.create_task_group() as group:
            group.start_soon(run, lambda: sms.send(NUMBER, TEXT), 1)
            await gate.arrived()
            group.start_soon(run, lambda: sms.send(NUMBER, TEXT), 3)
            group.start_soon(run, sms.balance, 3)
            await anyio.wait_all_tasks_blocked()
            await sms.aclose()
    kinds = sorted(type(result).__name__ for result in results)
    assert kinds == ["ClientClosed"] * 3 + ["NotSent"] * 3 + ["OutcomeUnknown"]
    assert sandbox.account.count() == 1
    with pytest.raises(ClientClosed):
        await sms.balance()


def test_another_event_loop(anyio_backend: str) -> None:
    """If the event loop ends during the first request, another event loop cannot use the client."""
    sandbox = Sandbox(dialect=Dialect.LATEST)
    sms = client(sandbox)

    async def leave() -> None:
        with sandbox.hold(), anyio.move_on_after(0.05):
            await sms.balance()

    anyio.run(leave, backend=anyio_backend)
    for call in (sms.balance, sms.aclose):
        with pytest.raises(WrongEventLoop):
            anyio.run(call, backend=anyio_backend)
    assert sandbox.account.count() == 1


async def test_a_password_that_is_refused_later(sandbox: Sandbox) -> None:
    """If the gateway refuses the password in the middle of a batch, the batch halts, and no call follows."""
    clock = ManualClock()
    async with client(sandbox, clock=clock) as sms:
        await sms.balance()
        sandbox.refuse_next("Sms/Send", 4, "SessionID expired")
        with pytest.raises(InvalidCredentials):
            await sms.send(NUMBER, TEXT)
        with pytest.raises(InvalidCredentials):
            await sms.balance()
        assert sandbox.account.count() == 2
        clock.advance(seconds=61)
        assert await sms.balance() == sandbox.balance


@pytest.mark.parametrize("way", ["accepted", "refused"])
async def test_a_late_result_of_an_earlier_request(sandbox: Sandbox, way: str) -> None:
    """The response to a request from before a refusal neither ends a cool-down nor starts one."""
    clock = ManualClock()
    async with client(sandbox, clock=clock) as sms, anyio.create_task_group() as group:
        await sms.balance()
        if way == "refused":
            sandbox.refuse_next("Sms/Send", 4)
        with sandbox.hold("Sms/Send") as gate:
            group.start_soon(results_of, lambda: sms.send(NUMBER, TEXT), 1)
            await gate.arrived()
            sandbox.refuse_next("User/Balance", 4)
            with pytest.raises(InvalidCredentials):
                await sms.balance()
            if way == "refused":
                clock.advance(seconds=61)
                await sms.balance()
            gate.release()
        await anyio.wait_all_tasks_blocked()
        count = sandbox.account.count()
        if way == "refused":
            await sms.balance()
        else:
            with pytest.raises(InvalidCredentials):
                await sms.balance()
        assert sandbox.account.count() == count + (way == "refused")


@pytest.mark.parametrize(("status", "error"), [(429, RateLimited), (500, InternalServerError)])
async def test_reads_that_fail(sandbox: Sandbox, status: int, error: type[SmsApiError]) -> None:
    """A read is repeated after status 429 or 500, and raises the error of the last attempt."""
    async with client(sandbox, retry=RetryPolicy(attempts=3, initial=0.001)) as sms:
        sandbox.answer_next("User/Balance", status, headers={"Retry-After": "0"}, times=2)
        assert await sms.balance() == sandbox.balance
        sandbox.answer_next("User/Balance", status, headers={"Retry-After": "0"}, times=3)
        with pytest.raises(error):
            await sms.balance()
    assert sandbox.account.count() == 6


async def test_no_gateway() -> None:
    """If there is no gateway, a send raises `NotSent`, and a read raises `ReadFailed`."""
    sms = AsyncSmsClient(
        "login",
        "password",
        source_address="ACME",
        base_url="http://127.0.0.1:9/rest",
        api_version=2,
        retry=ONCE,
    )
    async with sms:
        assert {type(each) for each in await results_of(lambda: sms.send(NUMBER, TEXT), 10)} == {NotSent}
        with pytest.raises(ReadFailed):
            await sms.balance()


@pytest.mark.parametrize("suffix", ["", "/", "/v2", "/v2/", "/V2"])
async def test_base_urls(suffix: str, anyio_backend: str) -> None:
    """The base URL may end with /v2, and both forms reach the same resources."""
    async with run_sandbox(dialect="latest") as sandbox:
        url = sandbox.base_url + suffix
        async with client_for(sandbox, base_url=url, api_version=2) as sms:
            assert await sms.balance() == sandbox.balance
            assert sandbox.password not in repr(sms)
            assert sandbox.login not in repr(sms)
    assert sandbox.account.count(version=2) == 1


@pytest.mark.parametrize("suffix", ["/v2", "/v2/", "/V2"])
def test_version_1_at_version_2(suffix: str) -> None:
    """A client of version 1 refuses a URL of version 2."""
    with pytest.raises(ValidationError, match="api_version=2") as caught:
        AsyncSmsClient("login", "password", base_url=f"https://gateway.invalid/rest{suffix}")
    assert caught.value.parameter == "base_url"


def test_a_session_store() -> None:
    """A client of version 2 has no session, and refuses a session store."""
    with pytest.raises(ValidationError, match="leave it out") as caught:
        AsyncSmsClient("login", "password", api_version=2, session_store=MemorySessionStore())
    assert caught.value.parameter == "session_store"


@pytest.mark.parametrize("version", [0, 3, "2", 2.0, True, None])
def test_other_versions(version: Any) -> None:
    """A version that does not exist is refused."""
    with pytest.raises(ValidationError, match="pass 1 or 2") as caught:
        AsyncSmsClient("login", "password", api_version=version)
    assert caught.value.parameter == "api_version"


async def test_from_env(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client with credentials from the environment can use version 2."""
    monkeypatch.setenv("SMSAPI_LOGIN", sandbox.login)
    monkeypatch.setenv("SMSAPI_PASSWORD", sandbox.password)
    monkeypatch.setenv("SMSAPI_BASE_URL", f"{sandbox.base_url}/v2")
    transport = httpx.ASGITransport(sandbox.app)
    async with AsyncSmsClient.from_env(api_version=2, transport=transport) as sms:
        assert await sms.balance() == sandbox.balance
