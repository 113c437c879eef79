"""Tests of `Ledger.report`: all messages in the order in which they were given, with all that is known."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import attrs
import pytest

from smsapi_async import Accepted, Delivery, Message, Phase, Receipt, SegmentState, State, Unknown
from smsapi_async.ledger import Ledger, Record
from smsapi_async.sandbox import run_sandbox
from tests.client.tools import client_for
from tests.ledger.tools import (
    ACCEPTED_AT,
    Place,
    accepted,
    claim_each,
    claim_many,
    keyed,
    message,
    rejected,
    settle_each,
    unknown,
)

pytestmark = pytest.mark.anyio

# Messages of three contents in turn, so that a request never has neighbours in this list.
GIVEN = [message(number, f"text {number % 3}", key="own" if number == 4 else None) for number in range(30)]
LATER = [message(number, "a later text") for number in range(5)]


async def report_of(ledger: Ledger) -> list[Record]:
    """Return all records of a report."""
    return [each async for each in ledger.report()]


async def send(ledger: Ledger, *batches: list[Message]) -> None:
    """Send batches one after the other with one ledger."""
    async with run_sandbox() as sandbox, client_for(sandbox) as sms:
        for messages in batches:
            async with sms.send_many(messages, ledger=ledger, recipients_per_request=4) as outcomes:
                assert {type(each) async for each in outcomes} == {Accepted}


def given_in(report: list[Record]) -> list[tuple[str, str]]:
    """Return the number and the text of each message of a report."""
    return [(each.message.destination_address, each.message.text) for each in report]


def given(messages: list[Message]) -> list[tuple[str, str]]:
    """Return the number and the text of each message."""
    return [(each.destination_address, each.text) for each in messages]


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ([GIVEN], GIVEN),
        ([GIVEN, GIVEN], GIVEN),
        ([GIVEN[:10], GIVEN], GIVEN),
        ([GIVEN, LATER], GIVEN + LATER),
        ([LATER, GIVEN, LATER], LATER + GIVEN),
        ([GIVEN, GIVEN + LATER], GIVEN + LATER),
        ([GIVEN[:10] + GIVEN[:10]], GIVEN[:10]),
    ],
    ids=["once", "twice", "continued", "another batch", "in turn", "longer", "repeated messages"],
)
async def test_a_report_has_the_order_of_the_messages(
    place: Place, batches: list[list[Message]], expected: list[Message]
) -> None:
    """The messages of a report have the order in which they were given, whatever their requests were.

    The messages of a second run keep their places, and the messages of another batch follow.
    """
    async with place() as ledger:
        await send(ledger, *batches)
        assert given_in(await report_of(ledger)) == given(expected)
    async with place(read_only=True) as reader:
        assert given_in(await report_of(reader)) == given(expected)


async def test_a_report_has_unsent_messages_in_their_places(place: Place) -> None:
    """Messages that were read but not sent have their places in the report, with the state pending."""
    async with place() as ledger:
        pairs = keyed(ledger, 6)
        await ledger.claim("a", pairs[::2], positions=[1, 3, 5])
        await ledger.settle("a", accepted("1", "2", "3"))
        await ledger.record_pending(pairs[1::2], positions=[2, 4, 6])
        report = await report_of(ledger)
    assert [each.key for each in report] == [key for key, _ in pairs]
    assert [each.state for each in report] == ["accepted", "pending"] * 3


async def test_a_record_has_all_that_is_known(place: Place) -> None:
    """A record has the state, the time of the request, the outcome and the last delivery of a message."""
    started = datetime.now(UTC)
    async with place() as ledger:
        keys = await claim_each(ledger, 5)
        await settle_each(
            ledger,
            {keys[0]: accepted("1", "2"), keys[1]: accepted("3"), keys[2]: rejected(), keys[3]: unknown()},
        )
        await ledger.record_pending(keyed(ledger, 1, 5))
        many = [attrs.evolve(message(number), key=key) for number, key in enumerate(keys)]
        states = tuple(
            SegmentState(id_, State.DELIVERED, price=Decimal("1.50"), reported_date=ACCEPTED_AT)
            for id_ in ("1", "2")
        )
        delivered = Delivery(
            Receipt(many[0], ("1", "2"), ACCEPTED_AT), Phase.DELIVERED, states, True, ACCEPTED_AT
        )
        failed = Delivery(
            Receipt(many[1], ("3",), ACCEPTED_AT),
            Phase.FAILED,
            (SegmentState("3", State.EXPIRED, state_description="expired"),),
            True,
            ACCEPTED_AT,
        )
        await ledger.record([delivered, failed])
        report = await report_of(ledger)
    first, second, third, fourth, fifth, sixth = report
    expected = ["accepted", "accepted", "rejected", "unknown", "sending", "pending"]
    assert [each.state for each in report] == expected
    assert (first.message, first.key, first.delivery) == (many[0], keys[0], delivered)
    assert first.outcome == Accepted(
        message=many[0], segment_ids=("1", "2"), accepted_at=ACCEPTED_AT, key=keys[0], recorded=True
    )
    assert (first.accepted_at, first.segment_ids, first.reason) == (ACCEPTED_AT, ("1", "2"), "")
    assert (first.price, first.delivered_at) == (Decimal("3.00"), delivered.delivered_at)
    assert first.delivered_at is not None
    assert (second.delivery, second.reason, second.price) == (failed, failed.reason, failed.price)
    assert "expired" in second.reason
    assert (third.reason, third.accepted_at, third.segment_ids) == ("Invalid argument", None, ())
    assert isinstance(fourth.outcome, Unknown)
    assert fourth.reason == "the connection was lost"
    assert (fifth.outcome, sixth.outcome, sixth.delivery, sixth.reason) == (None, None, None, "")
    for each in report[:5]:
        assert each.sent_at is not None
        assert started <= each.sent_at <= datetime.now(UTC)
        assert each.sent_at.utcoffset() == timedelta(0)
    assert sixth.sent_at is None


async def test_a_pending_record_has_no_time_of_its_request(place: Place) -> None:
    """A message that became pending again has no `Record.sent_at`, and a resolved message keeps its time."""
    async with place() as ledger:
        keys = await claim_each(ledger, 5)
        await ledger.release(keys[0])
        await settle_each(ledger, {keys[1]: rejected(), keys[2]: unknown(), keys[3]: unknown()})
        await ledger.retry_rejected()
        await ledger.resolve(keys[2], sent=True)
        await ledger.resolve(keys[3], sent=False)
        await ledger.settle(keys[4], unknown())
        await ledger.resolve_all(sent=False)
        report = await report_of(ledger)
    assert [each.state for each in report] == ["pending", "pending", "accepted", "pending", "pending"]
    assert [each.sent_at is None for each in report] == [True, True, False, True, True]


async def test_ids_of_a_whole_request_are_not_those_of_a_message(place: Place) -> None:
    """If the segment ids of a request cannot be divided, a record has no segment ids of its own."""
    async with place() as ledger:
        await claim_many(ledger, 2)
        await ledger.settle("many", accepted("a", "b", "c"))
        for each in await report_of(ledger):
            assert isinstance(each.outcome, Accepted)
            assert (each.outcome.segment_ids, each.segment_ids) == (("a", "b", "c"), ())


async def test_a_redacted_report(place: Place) -> None:
    """The report of a redacted ledger has the order and the states, and no number and no text."""
    async with place(redact=True) as ledger:
        await send(ledger, GIVEN)
        report = await report_of(ledger)
        assert given_in(report) == [("", "")] * len(GIVEN)
        assert report[4].key == "own"
        assert await ledger.states(GIVEN) == [each.state for each in report] == ["accepted"] * len(GIVEN)


async def test_messages_that_move_are_in_a_report_once(place: Place) -> None:
    """If messages are claimed, resolved or added during the iteration, a report has each message once.

    The report has the messages from the beginning of the iteration, with the states that they have when they
    are read.
    """
    async with place() as ledger:
        await claim_many(ledger, 1300, token="a")
        await ledger.settle("a", unknown())
        first, second = ledger.report(), ledger.report()
        records = [await anext(first) for _ in range(10)]
        await ledger.resolve_all(sent=False)
        assert await ledger.claim("b", keyed(ledger, 1400)[::-1]) == [None] * 1400
        assert (await anext(second)).state == "sending"
        records += [each async for each in first]
        assert len([each async for each in second]) == 1399
    assert [each.key for each in records] == [key for key, _ in keyed(ledger, 1300)]
    assert {each.state for each in records[:10]} == {"unknown"}
    assert {each.state for each in records[500:]} == {"sending"}


async def test_a_report_that_is_left_early_leaves_nothing(place: Place) -> None:
    """Hundreds of reports that nobody reads to the end do not disturb the ledger."""
    async with place() as ledger:
        await claim_many(ledger, 3)
        for _ in range(200):
            async for each in ledger.report():
                assert each.state == "sending"
                break
        assert len(await report_of(ledger)) == 3
