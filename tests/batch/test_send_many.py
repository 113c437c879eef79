"""Batches without a ledger: each message has one outcome, whatever the gateway does."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import anyio
import pytest

from smsapi_async import (
    Accepted,
    AsyncSmsClient,
    BatchHalted,
    ClientClosed,
    Forbidden,
    InvalidCredentials,
    Message,
    NotEnoughCredits,
    NotSent,
    Outcome,
    OutcomeUnknown,
    Rejected,
    RetryPolicy,
    Unknown,
    UsageError,
    ValidationError,
)
from smsapi_async.sandbox import Sandbox
from tests.client.tools import ManualClock, client_for

pytestmark = pytest.mark.anyio


def number(index: int) -> str:
    """A number whose last digits have no special meaning in the sandbox."""
    return f"7903{index:05}12"


def messages(count: int, text: str = "hello") -> list[Message]:
    return [Message(number(index), text) for index in range(count)]


async def outcomes_of(sms: AsyncSmsClient, batch: Any, **options: Any) -> list[Outcome]:
    async with sms.send_many(batch, **options) as outcomes:
        return [outcome async for outcome in outcomes]


async def test_messages_that_share_a_text_share_requests(sandbox: Sandbox) -> None:
    """A thousand recipients of one text cost two requests, and each message has its own ids."""
    batch = messages(1000)
    async with client_for(sandbox) as sms:
        outcomes = await outcomes_of(sms, batch)
    assert sandbox.account.count("Sms/SendBulk") == 2
    assert {outcome.message for outcome in outcomes} == set(batch)
    ids = {message.destination_address: tuple(message.segment_ids) for message in sandbox.account.messages}
    for outcome in outcomes:
        assert isinstance(outcome, Accepted)
        assert outcome.segment_ids == ids[outcome.message.destination_address]
        assert not outcome.unattributed


async def test_messages_of_every_kind_in_one_batch(sandbox: Sandbox) -> None:
    """Texts, senders, dates, validities and time zones may all differ."""
    date = datetime(2030, 1, 1, 12, 0)  # noqa: DTZ001
    batch = [
        Message(number(1), "one"),
        Message(number(2), "two", source_address="SHOP"),
        Message(number(3), "three", send_date=date.replace(tzinfo=UTC)),
        Message(number(4), "four", validity=60),
        Message(number(5), "five", send_date=date, by_time_zone=True),
    ]
    async with client_for(sandbox) as sms:
        outcomes = await outcomes_of(sms, batch)
    assert {type(outcome) for outcome in outcomes} == {Accepted}
    sent = {message.text: message for message in sandbox.account.messages}
    assert sent["two"].source_address == "SHOP"
    assert sent["three"].send_date == datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
    assert sent["four"].validity == 60
    assert sent["five"].send_date == datetime(2030, 1, 1, 9, 0, tzinfo=UTC)


async def test_a_bad_message_costs_itself_only(sandbox: Sandbox) -> None:
    """Messages that cannot be sent are rejected one by one, and the others go out."""
    bad: list[Any] = [
        Message("not a number", "hello"),
        Message(number(1), ""),
        Message(number(1), "x" * 2001),
        Message(number(1), "hello", source_address="far too long a name"),
        Message(number(1), "hello", send_date=datetime(2030, 1, 1)),  # noqa: DTZ001
        Message(number(1), "hello", validity=-1),
        Message(number(1), ["not", "a", "text"]),  # type: ignore[arg-type]
        "not a message",
    ]
    batch = [*bad, *messages(3), *bad]
    async with client_for(sandbox) as sms:
        outcomes = await outcomes_of(sms, batch)
    assert Counter(type(outcome) for outcome in outcomes) == {Rejected: 16, Accepted: 3}
    assert len(sandbox.account.messages) == 3


async def test_culprits_are_found_by_halving(sandbox: Sandbox) -> None:
    """Two recipients that the gateway refuses cost a logarithm of requests and nobody else's message."""
    culprits = {"79031234806", "79037654806"}
    batch = messages(512)
    batch[37], batch[400] = (Message(culprit, "hello") for culprit in sorted(culprits))
    async with client_for(sandbox) as sms:
        outcomes = await outcomes_of(sms, batch, recipients_per_request=512)
    rejected = {outcome.message.destination_address for outcome in outcomes if isinstance(outcome, Rejected)}
    assert rejected == culprits
    assert len(outcomes) == 512
    assert len(sandbox.account.messages) == 510
    requests = sandbox.account.count("Sms/SendBulk") + sandbox.account.count("Sms/Send")
    assert requests <= 2 * 2 * 9


async def test_ids_that_do_not_divide_are_shared_and_said_so(sandbox: Sandbox) -> None:
    """When the gateway returns ids that cannot be told apart, all messages are accepted and marked."""
    sandbox.answer_next("Sms/SendBulk", body=b'["1", "2", "3", "4"]', accept=True)
    async with client_for(sandbox) as sms:
        outcomes = await outcomes_of(sms, messages(3))
    assert [type(outcome) for outcome in outcomes] == [Accepted] * 3
    for outcome in outcomes:
        assert isinstance(outcome, Accepted)
        assert outcome.unattributed
        assert outcome.segment_ids == ("1", "2", "3", "4")


@pytest.mark.parametrize(("code", "cause"), [(5, NotEnoughCredits), (7, Forbidden)])
async def test_running_out_halts_the_batch_in_order(
    sandbox: Sandbox, code: int, cause: type[Exception]
) -> None:
    """Without credits, or blocked, the batch ends and says how many messages were not sent."""
    batch = messages(50)
    accepted = []
    async with client_for(sandbox, concurrency=1) as sms:
        await sms.balance()
        with pytest.raises(BatchHalted, match="not sent") as caught:
            async with sms.send_many(batch, recipients_per_request=10) as outcomes:
                async for outcome in outcomes:
                    accepted.append(outcome)
                    if len(accepted) == 1:
                        sandbox.refuse_next("Sms/SendBulk", code, times=100)
    assert isinstance(caught.value.cause, cause)
    assert caught.value.pending == 50 - len(accepted) > 0
    assert len(sandbox.account.messages) == len(accepted)
    assert {message.destination_address for message in caught.value.messages} <= {
        m.destination_address for m in batch
    }


async def test_refused_credentials_halt_the_batch(sandbox: Sandbox) -> None:
    """A wrong password ends a batch of a thousand with one login."""
    async with client_for(sandbox, password="wrong") as sms:
        with pytest.raises(BatchHalted) as caught:
            await outcomes_of(sms, messages(1000))
    assert isinstance(caught.value.cause, InvalidCredentials)
    assert caught.value.pending == 1000
    assert sandbox.account.logins == 1


async def test_a_gateway_that_is_away_halts_the_batch(anyio_backend: str) -> None:
    """Nobody listening: nothing was sent, and the batch does not run through all its messages."""
    sms = AsyncSmsClient(
        "login",
        "password",
        source_address="ACME",
        base_url="http://127.0.0.1:9/rest",
        retry=RetryPolicy(attempts=1),
    )
    async with sms:
        with pytest.raises(BatchHalted) as caught:
            await outcomes_of(sms, (message for message in messages(100_000)))
    assert isinstance(caught.value.cause, NotSent)
    assert f"halted with at least {caught.value.pending} messages not sent" in str(caught.value)


async def test_unknown_outcomes_in_a_row_halt_the_batch(sandbox: Sandbox) -> None:
    """After so many unknown requests in a row the rest is not thrown after them."""
    sandbox.answer_next("Sms/Send", status=500, times=1000)
    batch = [Message(number(index), f"text {index}") for index in range(100)]
    collected = []
    async with client_for(sandbox, concurrency=1) as sms:
        with pytest.raises(BatchHalted) as caught:
            async with sms.send_many(batch, unknown_limit=3) as outcomes:
                async for outcome in outcomes:
                    collected.append(outcome)
    assert isinstance(caught.value.cause, OutcomeUnknown)
    assert [type(outcome) for outcome in collected] == [Unknown] * 3
    assert str(caught.value) == (
        "the batch was halted with 97 messages not sent: 3 requests in a row ended unknown"
    )
    assert sandbox.account.count("Sms/Send") == 3


async def test_a_batch_waits_when_the_gateway_is_too_busy(sandbox: Sandbox) -> None:
    """HTTP 429 is waited out, as long as the gateway asks, and the message is sent once."""
    clock = ManualClock()
    sandbox.answer_next("Sms/Send", status=429, headers={"Retry-After": "3"})
    async with client_for(sandbox, clock=clock) as sms:
        outcomes = await outcomes_of(sms, messages(1))
    assert [type(outcome) for outcome in outcomes] == [Accepted]
    assert clock.waits == [3.0]
    assert len(sandbox.account.messages) == 1


async def test_a_source_is_read_no_faster_than_it_is_sent(sandbox: Sandbox) -> None:
    """Messages are read as there is room for them, not all at once."""
    read = 0

    def source() -> Iterator[Message]:
        nonlocal read
        for index in range(10_000):
            read += 1
            yield Message(number(index), f"text {index}")

    sms = client_for(sandbox, concurrency=2)
    async with sms, sms.send_many(source(), lookahead=10) as outcomes:
        async for _ in outcomes:
            break
        assert read < 200


async def test_a_slow_source_is_not_held_back(sandbox: Sandbox) -> None:
    """A message from a source that then pauses goes out without waiting for the next one."""
    proceed = anyio.Event()

    async def source() -> AsyncIterator[Message]:
        yield Message(number(1), "now")
        await proceed.wait()
        yield Message(number(2), "later")

    async with client_for(sandbox) as sms, sms.send_many(source(), linger=0.001) as outcomes:
        first = await anext(outcomes)
        assert first.message.text == "now"
        proceed.set()
        assert [outcome.message.text async for outcome in outcomes] == ["later"]


async def test_an_error_of_the_source_comes_after_what_was_read(sandbox: Sandbox) -> None:
    """A source that breaks is reported as it is, once its earlier messages have their outcomes."""

    def source() -> Iterator[Message]:
        yield from messages(3)
        raise RuntimeError("the file ends in the middle of a line")

    collected = []
    async with client_for(sandbox) as sms:
        with pytest.raises(RuntimeError, match="middle of a line"):
            async with sms.send_many(source()) as outcomes:
                async for outcome in outcomes:
                    collected.append(outcome)
    assert len(collected) == 3
    assert len(sandbox.account.messages) == 3


async def test_leaving_early_waits_for_what_is_in_flight(sandbox: Sandbox) -> None:
    """A break out of the loop sends nothing more, and what was in flight has its real outcome."""
    batch = [Message(number(index), f"text {index}") for index in range(1000)]
    async with client_for(sandbox, concurrency=3) as sms:
        async with sms.send_many(batch) as outcomes:
            async for first in outcomes:
                break
        known = [first, *outcomes.unread]
    assert {type(outcome) for outcome in known} == {Accepted}
    assert len(known) == len(sandbox.account.messages) < 1000
    assert outcomes.pending > 0


async def test_a_request_that_outlasts_the_grace_is_unknown(sandbox: Sandbox) -> None:
    """Who leaves while the gateway is silent learns that the message may have been sent."""
    async with client_for(sandbox) as sms:
        await sms.balance()
        with sandbox.hold("Sms/Send") as gate:
            async with sms.send_many(messages(1), linger=0.001, grace=0.01) as outcomes:
                await gate.arrived(1)
        assert [type(outcome) for outcome in outcomes.unread] == [Unknown]
    assert outcomes.pending == 0


async def test_cancelling_a_batch_keeps_its_account(sandbox: Sandbox) -> None:
    """A cancelled batch knows afterwards what was accepted, what is unknown, and what was not sent."""
    batch = [Message(number(index), f"text {index}") for index in range(100)]
    async with client_for(sandbox, concurrency=4) as sms:
        await sms.balance()
        outcomes = sms.send_many(batch, grace=0.01)
        with sandbox.hold("Sms/Send") as gate, anyio.CancelScope() as scope:
            async with outcomes:
                await gate.arrived(4)
                scope.cancel()
                await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert [type(outcome) for outcome in outcomes.unread] == [Unknown] * 4
    assert sandbox.account.count("Sms/Send") == 4


async def test_the_block_is_needed(sandbox: Sandbox) -> None:
    """A batch outside `async with`, entered twice, of a closed client, or with a ledger that is none."""
    async with client_for(sandbox) as sms:
        batch = sms.send_many(messages(1))
        with pytest.raises(UsageError, match="async with"):
            await anext(batch)
        async with batch:
            pass
        with pytest.raises(UsageError, match="async with"):
            async with batch:
                pass
        late = sms.send_many(messages(1))
        with pytest.raises(ValidationError, match="ledger: <str> cannot be used"):
            sms.send_many(messages(1), ledger="run.db")  # type: ignore[arg-type]
    with pytest.raises(ClientClosed):
        async with late:
            pass
    assert sandbox.account.messages == []


async def test_an_error_in_the_block_comes_out_as_it_is(sandbox: Sandbox) -> None:
    """An exception of the caller's own is not wrapped in a group."""
    async with client_for(sandbox) as sms:
        with pytest.raises(KeyError, match="mine"):
            async with sms.send_many(messages(100)) as outcomes:
                async for _ in outcomes:
                    raise KeyError("mine")


async def test_requests_are_paced(sandbox: Sandbox) -> None:
    """With a rate set, requests begin evenly spaced, whoever makes them."""
    clock = ManualClock()
    async with client_for(sandbox, clock=clock, requests_per_second=4) as sms:
        batch = [Message(number(index), f"text {index}") for index in range(8)]
        await outcomes_of(sms, batch)
        await sms.balance()
    assert sandbox.account.count() == 10
    assert sum(clock.waits) == pytest.approx(8 * 0.25)


async def test_an_empty_batch_ends_at_once(sandbox: Sandbox) -> None:
    """Nothing to send costs no request, not even a login."""
    async with client_for(sandbox) as sms:
        assert await outcomes_of(sms, []) == []
    assert sandbox.account.count() == 0


async def test_money_is_spent_once(sandbox: Sandbox) -> None:
    """The balance falls by the price of what was accepted and no more."""
    before = sandbox.balance
    async with client_for(sandbox) as sms:
        await outcomes_of(sms, messages(10))
    assert before - sandbox.balance == 10 * Decimal("1.50")
