"""Tests of `Ledger.records`: all that a ledger knows about many messages, looked up at once."""

from decimal import Decimal

import attrs
import pytest

from smsapi_async import Accepted, Delivery, Message, Phase, Receipt, Rejected, SegmentState, State
from smsapi_async.errors import ValidationError
from smsapi_async.ledger import Ledger
from smsapi_async.ledger.keys import redacted_key
from tests.ledger.tools import ACCEPTED_AT, Place, accepted, claim_many, keyed, message, rejected, unknown

pytestmark = pytest.mark.anyio

OWN = message(20, key="order 1")


async def filled(ledger: Ledger) -> list[Message]:
    """Record seven messages in all states, one with a key of its own, and return them."""
    messages = [*(message(number) for number in range(6)), OWN]
    pairs = [(ledger.key_of(each), each) for each in messages]
    await ledger.claim("a", [pairs[0], pairs[6]])
    await ledger.settle("a", accepted("1", "2"))
    for token, pair in (("b", pairs[1]), ("c", pairs[2]), ("d", pairs[3]), ("e", pairs[4])):
        await ledger.claim(token, [pair])
    await ledger.settle("b", rejected())
    await ledger.settle("c", unknown())
    await ledger.release("d")
    return messages


STATES = ["accepted", "rejected", "unknown", "pending", "sending", None, "accepted"]


@pytest.mark.parametrize("redact", [False, True])
async def test_the_records_of_messages_are_those_of_the_report(place: Place, redact: bool) -> None:
    """A look-up by messages or by their keys returns the same records as the report, in the given order."""
    async with place(redact=redact) as ledger:
        messages = await filled(ledger)
        report = {each.key: each async for each in ledger.report()}
        found = await ledger.records(messages)
        assert [each and each.state for each in found] == STATES
        expected = [
            report.get(redacted_key(ledger.key_of(each)) if redact else ledger.key_of(each))
            for each in messages
        ]
        assert found == expected
        assert await ledger.records([each.key for each in report.values()]) == list(report.values())
        assert await ledger.records([ledger.key_of(each) for each in messages]) == expected
        assert await ledger.records([*messages[::-1], *messages]) == [*found[::-1], *found]
        assert await ledger.records([]) == []
    async with place(read_only=True) as reader:
        states = [each and each.state for each in await reader.records(messages)]
    assert states == [state if state != "sending" else "unknown" for state in STATES]


@pytest.mark.parametrize("redact", [False, True])
async def test_a_record_has_the_delivery(place: Place, redact: bool) -> None:
    """A record has the last delivery of its own message, with price, and no delivery of its neighbour."""
    async with place(redact=redact) as ledger:
        keys = await claim_many(ledger, 2)
        await ledger.settle("many", accepted("1", "2"))
        given = attrs.evolve(message(1), key=keys[1])
        states = (SegmentState("2", State.DELIVERED, price=Decimal("1.50"), reported_date=ACCEPTED_AT),)
        await ledger.record(
            [Delivery(Receipt(given, ("2",), ACCEPTED_AT), Phase.DELIVERED, states, True, ACCEPTED_AT)]
        )
        first, second = await ledger.records([message(0), message(1)])
    assert first is not None
    assert second is not None
    assert isinstance(first.outcome, Accepted)
    assert (first.delivery, first.segment_ids) == (None, ("1",))
    assert (second.price, second.delivered_at, second.segment_ids) == (Decimal("1.50"), ACCEPTED_AT, ("2",))


@pytest.mark.parametrize("redact", [False, True])
async def test_another_message_with_the_key_has_no_record_of_it(place: Place, redact: bool) -> None:
    """A changed message under a recorded key is reported as refused, and not as the message that was sent."""
    async with place(redact=redact) as ledger:
        await filled(ledger)
        other = attrs.evolve(OWN, text="changed")
        (found,) = await ledger.records([other])
        (by_key,) = await ledger.records(["order 1"])
    assert found is not None
    assert (found.state, found.message, found.sent_at, found.delivery) == ("rejected", other, None, None)
    assert isinstance(found.outcome, Rejected)
    assert "a different message with the same key" in found.reason
    assert not found.outcome.recorded
    assert by_key is not None
    assert by_key.state == "accepted"


async def test_many_records_at_once(place: Place) -> None:
    """Thousands of messages are looked up in one call, each with its own record."""
    async with place() as ledger:
        await claim_many(ledger, 3000)
        own = [("own " + str(number), message(number, "own")) for number in range(2000)]
        await ledger.claim("own", own)
        given = [each for _, each in keyed(ledger, 3000)]
        found = await ledger.records([*given, *(key for key, _ in own)])
    assert [each and each.key for each in found] == [ledger.key_of(each) for each in given] + [
        key for key, _ in own
    ]


@pytest.mark.parametrize("wrong", [Message("none", "x"), "", "\ud800"])
async def test_no_record_without_a_key(place: Place, wrong: Message | str) -> None:
    """A message or a text that cannot be a key is refused."""
    async with place() as ledger:
        with pytest.raises(ValidationError):
            await ledger.records([message(), wrong])
