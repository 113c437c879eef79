"""Tests of the result of a call for the different responses of the gateway."""

from decimal import Decimal

import httpx
import pytest

import smsapi_async as package
from smsapi_async import (
    GatewayFault,
    InternalServerError,
    InvalidAnswer,
    NotEnoughCredits,
    OutcomeUnknown,
    RateLimited,
    RequestRejected,
    RetryPolicy,
    SegmentIdsUnattributed,
)
from smsapi_async.sandbox import Sandbox
from tests.client.tools import NUMBER, TEXT, ManualClock, client_for

pytestmark = pytest.mark.anyio

CODES = [
    (1, 400, "ArgumentNullOrEmpty"),
    (2, 400, "InvalidArgument"),
    (3, 400, "InvalidSession"),
    (4, 401, "Unauthorized"),
    (5, 403, "NotEnoughCredits"),
    (6, 400, "InvalidOperation"),
    (7, 403, "Forbidden"),
]


@pytest.mark.parametrize(("code", "status", "name"), CODES)
async def test_each_refusal_has_a_class_of_its_own(
    sandbox: Sandbox, code: int, status: int, name: str
) -> None:
    """For each gateway error code from 1 to 7, a send and a read-only call raise the exception of this code.

    The gateway accepts no message in a request that it refuses.
    """
    for resource in ("Sms/Send", "User/Balance"):
        sandbox.refuse_next(resource, code, desc="so it is", times=2)
    async with client_for(sandbox) as sms:
        for call in (sms.send(NUMBER, TEXT), sms.balance()):
            with pytest.raises(getattr(package, name)) as caught:
                await call
            assert isinstance(caught.value, RequestRejected)
            assert (caught.value.code, caught.value.http_status) == (code, status)
            assert caught.value.description == "so it is"
    assert sandbox.account.messages == []


@pytest.mark.parametrize(("code", "kind"), [(8, GatewayFault), (9, InternalServerError)])
async def test_the_gateways_own_failures(sandbox: Sandbox, code: int, kind: type[Exception]) -> None:
    """After error code 8 or 9 of the gateway, the outcome of a send is unknown.

    After error code 8 or 9, a read-only call raises the exception class of the code.
    """
    sandbox.refuse_next("Sms/Send", code)
    sandbox.refuse_next("User/Balance", code, times=4)
    async with client_for(sandbox) as sms:
        with pytest.raises(OutcomeUnknown) as unknown:
            await sms.send(NUMBER, TEXT)
        with pytest.raises(kind):
            await sms.balance()
    assert (unknown.value.code, unknown.value.http_status) == (code, 500)
    assert sandbox.account.count("Sms/Send") == 1


@pytest.mark.parametrize("quoted", [True, False])
async def test_errors_with_and_without_quoted_keys(anyio_backend: str, quoted: bool) -> None:
    """The client decodes an error body with quoted keys, as in JSON, and an error body with unquoted keys."""
    body = (
        b'{"Code": 6, "Desc": "Invalid source address"}'
        if quoted
        else b'{\n  Code: 6,\n  Desc: "Invalid source address"\n}'
    )
    sandbox = Sandbox()
    sandbox.answer_next("Sms/Send", status=400, body=body)
    async with client_for(sandbox, transport=httpx.ASGITransport(sandbox.app)) as sms:
        with pytest.raises(package.InvalidOperation, match="Invalid source address"):
            await sms.send(NUMBER, TEXT)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"[]"),
        (200, b"null"),
        (200, b'"579700854169272358"'),
        (200, b'[""]'),
        (200, b"[1.5]"),
        (200, b"<html>OK</html>"),
        (200, b'{"Code": 4, "Desc": "SessionID expired"}'),
        (204, b""),
        (301, b""),
        (307, b""),
        (400, b"<html>Bad Request</html>"),
        (400, b'{"Code": 0, "Desc": ""}'),
        (404, b"not here"),
        (408, b'{"Code": 3, "Desc": "too late"}'),
        (500, b""),
        (500, b'{"Code": 4, "Desc": "SessionID expired"}'),
        (502, b"<html>Bad Gateway</html>"),
        (503, b""),
    ],
)
async def test_everything_that_is_no_definite_answer_is_unknown(
    sandbox: Sandbox, status: int, body: bytes
) -> None:
    """If the response does not show whether the gateway sent the message, a send raises `OutcomeUnknown`.

    The client does not repeat a send with an unknown outcome.
    """
    sandbox.answer_next(
        "Sms/Send", status=status, body=body, accept=True, headers={"Location": "/rest/Sms/Send"}
    )
    async with client_for(sandbox) as sms:
        with pytest.raises(OutcomeUnknown) as caught:
            await sms.send(NUMBER, TEXT)
    assert caught.value.http_status == status
    assert len(sandbox.account.messages) == 1


async def test_429_is_a_refusal_that_says_how_long_to_wait(sandbox: Sandbox) -> None:
    """After HTTP status 429, a send raises `RateLimited` with the number of seconds to wait.

    The client does not repeat a send after HTTP status 429.
    """
    sandbox.answer_next("Sms/Send", status=429, headers={"Retry-After": "7"})
    async with client_for(sandbox) as sms:
        with pytest.raises(RateLimited) as caught:
            await sms.send(NUMBER, TEXT)
    assert caught.value.retry_after == 7
    assert sandbox.account.count("Sms/Send") == 1


async def test_ids_that_do_not_divide_are_all_there(sandbox: Sandbox) -> None:
    """If the segment ids of a bulk cannot be divided among its messages, the error contains all the ids."""
    sandbox.answer_next("Sms/SendBulk", body=b'["1", "2", "3"]', accept=True)
    async with client_for(sandbox) as sms:
        with pytest.raises(SegmentIdsUnattributed, match="were accepted") as caught:
            await sms.send_bulk([NUMBER, "79161234567"], TEXT)
    assert caught.value.segment_ids == ("1", "2", "3")
    assert [message.destination_address for message in caught.value.messages] == [NUMBER, "79161234567"]


async def test_an_empty_account_is_told_before_anything_is_sent(sandbox: Sandbox) -> None:
    """If the balance is too low, a send raises `NotEnoughCredits`, and the gateway sends no message."""
    sandbox.balance = Decimal(0)
    async with client_for(sandbox) as sms:
        with pytest.raises(NotEnoughCredits):
            await sms.send(NUMBER, TEXT)
    assert sandbox.account.messages == []


@pytest.mark.parametrize("status", [500, 502, 503, 408])
async def test_reads_are_repeated_after_a_failure_of_the_gateway(sandbox: Sandbox, status: int) -> None:
    """After HTTP status 408 or 5xx, the client repeats a read-only request until the request succeeds."""
    sandbox.answer_next("User/Balance", status=status, times=3)
    async with client_for(sandbox) as sms:
        assert await sms.balance() == sandbox.balance
    assert sandbox.account.count("User/Balance") == 4


async def test_reads_wait_as_long_as_the_gateway_asks(sandbox: Sandbox) -> None:
    """Before the client repeats a read-only request, it waits for the time in ``Retry-After``.

    The header ``Retry-After`` contains a number of seconds or a date.
    """
    clock = ManualClock()
    date = "Sun, 01 Mar 2026 12:00:12 GMT"
    sandbox.answer_next("User/Balance", status=429, headers={"Retry-After": "2"})
    sandbox.answer_next("User/Balance", status=503, headers={"Retry-After": date})
    async with client_for(sandbox, clock=clock, retry=RetryPolicy()) as sms:
        assert await sms.balance() == sandbox.balance
    assert clock.waits == [2.0, 10.0]


async def test_reads_give_up_after_the_attempts_allowed(sandbox: Sandbox) -> None:
    """If every attempt of a read-only request fails, the call raises the error of the last attempt."""
    sandbox.answer_next("User/Balance", status=503, times=100)
    async with client_for(sandbox, clock=ManualClock(), retry=RetryPolicy(attempts=3)) as sms:
        with pytest.raises(InternalServerError):
            await sms.balance()
    assert sandbox.account.count("User/Balance") == 3


async def test_reads_give_up_when_their_time_is_over(sandbox: Sandbox) -> None:
    """A read-only call raises its error at once if the next wait would exceed `RetryPolicy.total`."""
    clock = ManualClock()
    sandbox.answer_next("User/Balance", status=429, headers={"Retry-After": "3600"})
    async with client_for(sandbox, clock=clock, retry=RetryPolicy(total=60)) as sms:
        with pytest.raises(RateLimited):
            await sms.balance()
    assert clock.waits == []
    assert sandbox.account.count("User/Balance") == 1


@pytest.mark.parametrize("resource", ["User/Balance", "user/sessionid"])
async def test_a_wait_for_years_is_a_wait_for_minutes(sandbox: Sandbox, resource: str) -> None:
    """A read waits for at most five minutes, or the limit in `RetryPolicy`, if the gateway asks for years."""
    for policy, limit in ((RetryPolicy(total=5000), 300.0), (RetryPolicy(retry_after_limit=20), 20.0)):
        clock = ManualClock()
        sandbox.answer_next(resource, status=429, headers={"Retry-After": "999999999"})
        async with client_for(sandbox, clock=clock, retry=policy) as sms:
            await sms.balance()
        assert clock.waits == [limit]
        sandbox.answer_next(resource, status=429, headers={"Retry-After": "999999999"})
        async with client_for(sandbox, retry=RetryPolicy(attempts=1, retry_after_limit=limit)) as sms:
            with pytest.raises(RateLimited, match=f"try again in {limit:.0f} s") as caught:
                await sms.balance()
        assert caught.value.retry_after == limit


async def test_a_send_names_the_whole_wait(sandbox: Sandbox) -> None:
    """`RateLimited` of a send contains the time in `Retry-After` without a limit."""
    for resource in ("Sms/Send", "user/sessionid"):
        sandbox.answer_next(resource, status=429, headers={"Retry-After": "3600"})
        async with client_for(sandbox, retry=RetryPolicy(attempts=1)) as sms:
            with pytest.raises(RateLimited) as caught:
                await sms.send(NUMBER, "text")
        assert caught.value.retry_after == 3600


async def test_backoff_is_jittered_and_grows_to_its_limit(sandbox: Sandbox) -> None:
    """The wait between two attempts of a read-only request has a random length.

    The upper limit of the wait doubles after each attempt, up to `RetryPolicy.maximum`.
    """
    clock = ManualClock()
    sandbox.answer_next("User/Balance", status=503, times=9)
    policy = RetryPolicy(attempts=10, initial=1.0, maximum=4.0, total=1000)
    async with client_for(sandbox, clock=clock, retry=policy) as sms:
        await sms.balance()
    assert len(clock.waits) == 9
    assert all(0 <= wait <= limit for wait, limit in zip(clock.waits, [1.0, 2.0, *[4.0] * 7], strict=True))
    assert len(set(clock.waits)) > 1


async def test_a_read_that_cannot_be_decoded_fails_at_once(sandbox: Sandbox) -> None:
    """If a response does not follow the contract, a read-only call raises `InvalidAnswer` at once."""
    sandbox.answer_next("User/Balance", body=b"<html>")
    async with client_for(sandbox) as sms:
        with pytest.raises(InvalidAnswer, match="not JSON"):
            await sms.balance()
    assert sandbox.account.count("User/Balance") == 1
