"""Tests of batches without a ledger: outcomes, requests, halts (early stops) and the end of a batch."""

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
    """Return a different phone number for each `index`.

    Some endings of phone numbers have a special meaning in the sandbox. The returned numbers do not have
    such an ending.
    """
    return f"7903{index:05}12"


def messages(count: int, text: str = "hello") -> list[Message]:
    """Return `count` messages with the text `text` to different numbers."""
    return [Message(number(index), text) for index in range(count)]


async def outcomes_of(sms: AsyncSmsClient, batch: Any, **options: Any) -> list[Outcome]:
    """Send a batch, and return all outcomes.

    Args:
        sms: the client that sends the batch.
        batch: the messages to send.
        options: more parameters for `send_many`.
    """
    async with sms.send_many(batch, **options) as outcomes:
        return [outcome async for outcome in outcomes]


async def test_messages_that_share_a_text_share_requests(sandbox: Sandbox) -> None:
    """A batch of one text to 1,000 recipients needs two requests; each message has its own segment ids."""
    batch = messages(1000)
    async with client_for(sandbox) as sms:
        # A long `linger` is needed because a busy machine may take longer than the default `linger` to read
        # the 500 messages of a request.
        outcomes = await outcomes_of(sms, batch, linger=60)
    assert sandbox.account.count("Sms/SendBulk") == 2
    assert {outcome.message for outcome in outcomes} == set(batch)
    ids = {message.destination_address: tuple(message.segment_ids) for message in sandbox.account.messages}
    for outcome in outcomes:
        assert isinstance(outcome, Accepted)
        assert outcome.segment_ids == ids[outcome.message.destination_address]
        assert not outcome.unattributed


async def test_messages_of_every_kind_in_one_batch(sandbox: Sandbox) -> None:
    """The messages of a batch can differ in text, source address, send date, validity and `by_time_zone`."""
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
    """Each invalid message is rejected, and the other messages of the batch are sent."""
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
    """If the gateway refuses 2 of 512 recipients, the batch isolates and rejects only these 2 recipients.

    To isolate 2 of 512 recipients, the batch needs at most 36 requests.
    """
    culprits = {"79031234806", "79037654806"}
    batch = messages(512)
    batch[37], batch[400] = (Message(culprit, "hello") for culprit in sorted(culprits))
    async with client_for(sandbox) as sms:
        outcomes = await outcomes_of(sms, batch, recipients_per_request=512, linger=60)
    rejected = {outcome.message.destination_address for outcome in outcomes if isinstance(outcome, Rejected)}
    assert rejected == culprits
    assert len(outcomes) == 512
    assert len(sandbox.account.messages) == 510
    requests = sandbox.account.count("Sms/SendBulk") + sandbox.account.count("Sms/Send")
    assert requests <= 2 * 2 * 9


async def test_ids_that_do_not_divide_are_shared_and_said_so(sandbox: Sandbox) -> None:
    """If the segment ids of a bulk cannot be divided among its messages, each outcome contains all ids.

    Each outcome with ids that cannot be divided has `unattributed` set.
    """
    sandbox.answer_next("Sms/SendBulk", body=b'["1", "2", "3", "4"]', accept=True)
    async with client_for(sandbox) as sms:
        outcomes = await outcomes_of(sms, messages(3))
    assert [type(outcome) for outcome in outcomes] == [Accepted] * 3
    for outcome in outcomes:
        assert isinstance(outcome, Accepted)
        assert outcome.unattributed
        assert outcome.segment_ids == ("1", "2", "3", "4")


async def test_running_out_halts_the_batch_in_order(sandbox: Sandbox) -> None:
    """If the account has too few credits, the batch halts (stops early).

    `BatchHalted.pending` is the number of messages that were not sent.
    """
    batch = messages(50)
    accepted = []
    async with client_for(sandbox, concurrency=1) as sms:
        await sms.balance()
        with pytest.raises(BatchHalted, match="not sent") as caught:
            async with sms.send_many(batch, recipients_per_request=10) as outcomes:
                async for outcome in outcomes:
                    accepted.append(outcome)
                    if len(accepted) == 1:
                        sandbox.refuse_next("Sms/SendBulk", 5, times=100)
    assert isinstance(caught.value.cause, NotEnoughCredits)
    assert caught.value.pending == 50 - len(accepted) > 0
    assert len(sandbox.account.messages) == len(accepted)
    assert {message.destination_address for message in caught.value.messages} <= {
        m.destination_address for m in batch
    }


async def test_refused_credentials_halt_the_batch(sandbox: Sandbox) -> None:
    """If the password is wrong, a batch of 1,000 messages halts (stops early) after one login."""
    async with client_for(sandbox, password="wrong") as sms:
        with pytest.raises(BatchHalted) as caught:
            await outcomes_of(sms, messages(1000))
    assert isinstance(caught.value.cause, InvalidCredentials)
    assert caught.value.pending == 1000
    assert sandbox.account.logins == 1


async def test_a_gateway_that_is_away_halts_the_batch(anyio_backend: str) -> None:
    """If the gateway cannot be reached, the batch halts (stops early).

    `BatchHalted` contains the number of messages that were read but not sent.
    """
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
    assert f"halted, and at least {caught.value.pending} messages were not sent" in str(caught.value)


async def test_unknown_outcomes_in_a_row_halt_the_batch(sandbox: Sandbox) -> None:
    """The batch halts (stops early) after `unknown_limit` successive requests with an unknown outcome."""
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
        "the batch halted, and 97 messages were not sent: 3 requests in a row had an unknown outcome"
    )
    assert sandbox.account.count("Sms/Send") == 3


async def test_a_batch_waits_when_the_gateway_is_too_busy(sandbox: Sandbox) -> None:
    """After HTTP status 429, the batch waits for the time in ``Retry-After``.

    After the wait for ``Retry-After``, the batch sends the message exactly once.
    """
    clock = ManualClock()
    sandbox.answer_next("Sms/Send", status=429, headers={"Retry-After": "3"})
    async with client_for(sandbox, clock=clock) as sms:
        outcomes = await outcomes_of(sms, messages(1))
    assert [type(outcome) for outcome in outcomes] == [Accepted]
    assert clock.waits == [3.0]
    assert len(sandbox.account.messages) == 1


async def test_a_source_is_read_no_faster_than_it_is_sent(sandbox: Sandbox) -> None:
    """The batch stops reading messages from the iterable if the caller takes no more outcomes."""
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
    """The batch sends a message even if the iterable has not returned the next message yet."""
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
    """If the iterable raises an error, the batch first returns the outcomes of the earlier messages."""

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
    """After a `break`, the batch sends no further message, but waits for the requests in flight.

    Each message in flight gets its outcome from the response of the gateway.
    """
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
    """If a response is missing `grace` seconds after the end of the block, its message becomes unknown."""
    async with client_for(sandbox) as sms:
        await sms.balance()
        with sandbox.hold("Sms/Send") as gate:
            async with sms.send_many(messages(1), linger=0.001, grace=0.01) as outcomes:
                await gate.arrived(1)
        assert [type(outcome) for outcome in outcomes.unread] == [Unknown]
    assert outcomes.pending == 0


async def test_cancelling_a_batch_keeps_its_account(sandbox: Sandbox) -> None:
    """After the batch is cancelled, `unread` contains an unknown outcome for each request in flight."""
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
    """Iterating outside the ``async with`` block, or entering a batch twice, raises `UsageError`.

    A `ledger` of a wrong type raises a `ValidationError`. A closed client raises `ClientClosed`.
    """
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
    """An exception of the caller leaves the ``async with`` block unchanged, not in an exception group."""
    async with client_for(sandbox) as sms:
        with pytest.raises(KeyError, match="mine"):
            async with sms.send_many(messages(100)) as outcomes:
                async for _ in outcomes:
                    raise KeyError("mine")


async def test_requests_are_paced(sandbox: Sandbox) -> None:
    """With `requests_per_second`, the requests of all calls start at equal intervals."""
    clock = ManualClock()
    async with client_for(sandbox, clock=clock, requests_per_second=4) as sms:
        batch = [Message(number(index), f"text {index}") for index in range(8)]
        await outcomes_of(sms, batch)
        await sms.balance()
    assert sandbox.account.count() == 10
    assert sum(clock.waits) == pytest.approx(8 * 0.25)


async def test_an_empty_batch_ends_at_once(sandbox: Sandbox) -> None:
    """A batch without messages makes no request, not even a login."""
    async with client_for(sandbox) as sms:
        assert await outcomes_of(sms, []) == []
    assert sandbox.account.count() == 0


async def test_money_is_spent_once(sandbox: Sandbox) -> None:
    """A batch decreases the balance by exactly the price of the accepted messages."""
    before = sandbox.balance
    async with client_for(sandbox) as sms:
        await outcomes_of(sms, messages(10))
    assert before - sandbox.balance == 10 * Decimal("1.50")
