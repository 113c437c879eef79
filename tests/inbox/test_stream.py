"""Tests of the stream of incoming messages.

The tests check the requests, the order of the messages, the failures and the end of the stream.
"""

import logging
from datetime import timedelta

import anyio
import anyio.lowlevel
import pytest

from smsapi_async import (
    ClientClosed,
    InboxInUse,
    InternalServerError,
    InvalidCredentials,
    RateLimited,
    StreamNotEntered,
    UsageError,
    ValidationError,
)
from smsapi_async.inbox import Inbox
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.client.tools import client_for
from tests.inbox.tools import (
    SENDER,
    START,
    Killed,
    SharedClock,
    after,
    in_process,
    periods,
    texts_until,
    watch,
)

pytestmark = pytest.mark.anyio


async def test_messages_come_once_and_in_order_of_creation(sandbox: Sandbox, clock: SharedClock) -> None:
    """The inbox returns each message once, in the order of the creation dates."""
    for second in (3, 3, 14, 2, 27, 14):
        clock.file(f"at {second}", created=second, filed=second)
    async with in_process(sandbox, clock) as sms, watch(sms, every=10) as messages:
        texts = await texts_until(messages, clock, 60)
    assert texts == ["at 2", "at 3", "at 3", "at 14", "at 14", "at 27"]
    assert clock.waits == [10.0] * 6


async def test_a_message_filed_late_is_given_when_it_is_found(sandbox: Sandbox, clock: SharedClock) -> None:
    """If the gateway files a message late, the inbox may return a newer message before this message."""
    clock.file("young", created=20, filed=20)
    clock.file("late", created=5, filed=55)
    async with (
        in_process(sandbox, clock) as sms,
        watch(sms, every=10, overlap=timedelta(minutes=1)) as messages,
    ):
        assert await texts_until(messages, clock, 200) == ["young", "late"]


async def test_without_since_it_begins_with_the_block(sandbox: Sandbox, clock: SharedClock) -> None:
    """Without `since`, the first period begins with the second in which the block was entered.

    Messages that were created before the first period are not returned.
    """
    sandbox.receive(SENDER, text="before", at=after(-2))
    sandbox.receive(SENDER, text="in the same second", at=START)
    async with in_process(sandbox, clock) as sms, watch(sms) as messages:
        assert await texts_until(messages, clock, 60) == ["in the same second"]


async def test_an_old_since_is_read_in_windows_without_a_pause(sandbox: Sandbox, clock: SharedClock) -> None:
    """If `since` is 84 hours ago, the inbox makes four requests without a pause between the requests.

    Each request moves the end of the period forward by at most one day. The inbox returns all messages of the
    84 hours.
    """
    hours = [-84, -83, -60, -36, -35, -12, 0]
    for hour in hours:
        sandbox.receive(SENDER, text=str(hour), at=after(hour * 3600))
    async with in_process(sandbox, clock) as sms, watch(sms, since=after(-84 * 3600)) as messages:
        assert await texts_until(messages, clock, 0) == [str(hour) for hour in hours]
    day, overlap = timedelta(days=1), timedelta(minutes=10)
    since = after(-84 * 3600)
    assert periods(sandbox) == [
        (since, since + day),
        (since + day - overlap, since + 2 * day),
        (since + 2 * day - overlap, since + 3 * day),
        (since + 3 * day - overlap, START + overlap),
    ]
    assert clock.waits == []


async def test_messages_without_a_date_come_once(sandbox: Sandbox, clock: SharedClock) -> None:
    """A message without a creation date is returned once, even if every response contains this message."""
    row = '{"Data":"undated","SourceAddress":"1","DestinationAddress":"2","ID":7,"CreateDateUtc":null}'
    sandbox.answer_next("Sms/In", body=f"[{row},{row}]", times=30)
    async with (
        in_process(sandbox, clock) as sms,
        watch(sms, every=10, overlap=timedelta(seconds=20)) as messages,
    ):
        assert await texts_until(messages, clock, 250) == ["undated"]
    assert len(periods(sandbox)) == 26


async def test_a_slow_consumer_delays_rounds_and_loses_nothing(sandbox: Sandbox, clock: SharedClock) -> None:
    """A slow consumer delays the next request, but the inbox still returns all messages."""
    for minute in range(0, 300, 30):
        clock.file(str(minute), created=60 * minute, filed=60 * minute + 45)
    texts = []
    async with (
        in_process(sandbox, clock) as sms,
        watch(sms, every=10, window=timedelta(minutes=45)) as messages,
    ):
        async for message in messages:
            asked = len(periods(sandbox))
            clock.move_to(clock.now() + timedelta(hours=1))
            assert len(periods(sandbox)) == asked
            texts.append(message.text)
            if len(texts) == 10:
                break
    assert texts == [str(minute) for minute in range(0, 300, 30)]
    # The gateway files the first message after 45 seconds, so the inbox first waits five times for 10
    # seconds. The consumer then needs an hour for each message, so that each further request is already due
    # and the inbox does not wait again.
    assert clock.waits == [10.0] * 5


async def test_a_failed_round_is_made_again_and_ends_nothing(
    sandbox: Sandbox, clock: SharedClock, caplog: pytest.LogCaptureFixture
) -> None:
    """After a failed request, the inbox logs a warning and makes the request again.

    The failed request causes no loss of a message.
    """
    clock.file("in the outage", created=5, filed=5)
    sandbox.answer_next("Sms/In", status=503, times=2)
    sandbox.refuse_next("Sms/In", 7)
    sandbox.answer_next("Sms/In", body="{}")
    async with in_process(sandbox, clock) as sms, watch(sms, every=10) as messages:
        clock.end = after(10)
        with caplog.at_level(logging.WARNING), pytest.raises(Killed):
            await anext(messages)
        assert isinstance(messages.last_error, InternalServerError)
        assert "Sms/In failed and will be repeated" in caplog.text
        assert await texts_until(messages, clock, 60) == ["in the outage"]
        assert repr(messages.last_error) == "None"
    assert periods(sandbox) == [(START, after(second + 600)) for second in (0, 10, 20, 30, 40, 50, 60)]
    assert SENDER not in caplog.text


async def test_the_gateways_own_wait_is_honoured(sandbox: Sandbox, clock: SharedClock) -> None:
    """After HTTP status 429, the inbox waits for the time in ``Retry-After`` before the next request.

    The wait after HTTP status 429 is at least `every` seconds long.
    """
    for wait in ("90", "2"):
        sandbox.answer_next("Sms/In", status=429, headers={"Retry-After": wait})
    async with in_process(sandbox, clock) as sms, watch(sms, every=10) as messages:
        await texts_until(messages, clock, 95)
        assert isinstance(messages.last_error, RateLimited)
        await texts_until(messages, clock, 120)
    assert clock.waits == [90.0, 10.0, 10.0, 10.0]


async def test_a_failure_in_a_long_gap_skips_no_window(sandbox: Sandbox, clock: SharedClock) -> None:
    """If the inbox needs several requests for a long period and one request fails, this request is repeated.

    The inbox requests the next part of the period only after the repeated request has succeeded.
    """
    sandbox.receive(SENDER, text="second day", at=after(-36 * 3600))
    sandbox.receive(SENDER, text="first day", at=after(-71 * 3600))
    async with in_process(sandbox, clock) as sms, watch(sms, since=after(-72 * 3600), every=10) as messages:
        assert (await anext(messages)).text == "first day"
        sandbox.answer_next("Sms/In", status=500)
        assert await texts_until(messages, clock, 10) == ["second day"]
    assert periods(sandbox)[1] == periods(sandbox)[2]
    assert clock.waits == [10.0]


async def test_refused_credentials_end_the_stream(sandbox: Sandbox, clock: SharedClock) -> None:
    """If the password is wrong, the inbox raises `InvalidCredentials` and makes no more requests."""
    async with in_process(sandbox, clock, password="wrong") as sms, watch(sms) as messages:
        with pytest.raises(InvalidCredentials):
            await anext(messages)
        assert [message async for message in messages] == []
    assert sandbox.account.logins == 1


async def test_a_closed_client_ends_the_stream(sandbox: Sandbox, clock: SharedClock) -> None:
    """If the client is closed, entering the inbox or asking for a message raises `ClientClosed`."""
    sms = in_process(sandbox, clock)
    async with watch(sms) as messages:
        await sms.aclose()
        with pytest.raises(ClientClosed):
            await anext(messages)
    with pytest.raises(ClientClosed):
        await watch(sms).__aenter__()


async def test_it_is_used_once_and_inside_its_block(sandbox: Sandbox, clock: SharedClock) -> None:
    """Iterating outside the ``async with`` block, or entering an inbox twice, raises `StreamNotEntered`."""
    async with in_process(sandbox, clock) as sms:
        messages = watch(sms)
        with pytest.raises(StreamNotEntered, match="async with"):
            await anext(messages)
        async with messages:
            with pytest.raises(StreamNotEntered):
                await messages.__aenter__()
        with pytest.raises(UsageError):
            await anext(messages)
    assert periods(sandbox) == []


async def test_two_tasks_do_not_iterate_together(sandbox: Sandbox, clock: SharedClock) -> None:
    """If two tasks iterate at the same time, the second task gets `InboxInUse`. The first task continues."""
    gate = sandbox.hold("Sms/In")
    sandbox.receive(SENDER, text="hello")
    texts: list[str] = []

    async def first(messages: Inbox) -> None:
        texts.append((await anext(messages)).text)

    async with in_process(sandbox, clock) as sms, watch(sms) as messages, anyio.create_task_group() as group:
        group.start_soon(first, messages)
        await gate.arrived()
        with pytest.raises(InboxInUse, match="one task"):
            await anext(messages)
        gate.release()
    assert texts == ["hello"]


async def test_a_cancelled_wait_leaves_nothing_behind(anyio_backend: str) -> None:
    """If the wait for a message is cancelled, the client can make other calls.

    After the cancellation, the next call of `anext` returns the message.
    """
    async with (
        run_sandbox() as sandbox,
        client_for(sandbox, concurrency=1) as sms,
        watch(sms, since=sandbox.now()) as messages,
    ):
        sandbox.receive(SENDER, text="hello")
        gate = sandbox.hold("Sms/In")
        async with anyio.create_task_group() as group:
            group.start_soon(anext, messages)
            await gate.arrived()
            group.cancel_scope.cancel()
        gate.release()
        assert await sms.balance() > 0
        assert (await anext(messages)).text == "hello"


async def test_leaving_the_loop_ends_the_requests(anyio_backend: str) -> None:
    """After a `break`, the inbox makes no more requests, and the client can make other calls."""
    async with run_sandbox() as sandbox, client_for(sandbox) as sms:
        sandbox.receive(SENDER, text="hello", at=sandbox.now())
        async with watch(sms, since=sandbox.now() - timedelta(minutes=1), every=0.001) as messages:
            async for message in messages:
                assert message.text == "hello"
                break
        count = sandbox.account.count("Sms/In")
        await sms.balance()
        assert sandbox.account.count("Sms/In") == count == 1


async def test_a_cancelled_consumer_keeps_the_message_it_was_not_given(
    sandbox: Sandbox, clock: SharedClock
) -> None:
    """If a consumer is cancelled while it asks for a message, the inbox keeps this message.

    After the cancellation, the next call of `anext` returns the message.
    """
    for text in ("a", "b"):
        sandbox.receive(SENDER, text=text)
    async with in_process(sandbox, clock) as sms, watch(sms) as messages:
        assert (await anext(messages)).text == "a"
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anext(messages)
        assert scope.cancelled_caught
        assert (await anext(messages)).text == "b"
        assert await texts_until(messages, clock, 60) == []


async def test_a_consumer_that_never_waits_leaves_others_their_turn(
    sandbox: Sandbox, clock: SharedClock
) -> None:
    """Even if a consumer never waits, other tasks run between two messages of one response."""
    for number in range(5):
        sandbox.receive(SENDER, text=str(number))
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with in_process(sandbox, clock) as sms, watch(sms) as messages:
        await anext(messages)
        async with anyio.create_task_group() as group:
            group.start_soon(count_turns)
            for _ in range(4):
                await anext(messages)
            group.cancel_scope.cancel()
    assert turns >= 3


@pytest.mark.parametrize("since", [START.replace(tzinfo=None), "2026-03-01", START.timestamp()])
async def test_since_must_be_aware(sandbox: Sandbox, clock: SharedClock, since: object) -> None:
    """If `since` is not an aware datetime, a `ValidationError` is raised before any request."""
    async with in_process(sandbox, clock) as sms:
        with pytest.raises(ValidationError) as caught:
            watch(sms, since=since)  # type: ignore[arg-type]
    assert caught.value.parameter == "since"
    assert sandbox.account.arrivals == []


@pytest.mark.parametrize("skew", [-30, 30])
async def test_clocks_that_differ_are_covered_by_the_overlap(sandbox: Sandbox, skew: int) -> None:
    """Each message is returned once, even if the client's clock is 30 seconds ahead or 30 seconds behind."""
    clock = SharedClock(sandbox, timedelta(seconds=skew))
    seconds = range(0, 300, 7)
    for second in seconds:
        clock.file(str(second), created=second, filed=second + 25 * (second % 2))
    async with (
        in_process(sandbox, clock) as sms,
        watch(sms, since=START, every=10, overlap=timedelta(minutes=1)) as messages,
    ):
        texts = await texts_until(messages, clock, 400)
    assert sorted(map(int, texts)) == list(seconds)
