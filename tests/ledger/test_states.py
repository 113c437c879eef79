"""Tests of the states of a message in a ledger, from the claim of the message to its outcome."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest

from smsapi_async import ValidationError
from smsapi_async.ledger import Ledger, LedgerError, Summary
from smsapi_async.models import Message
from smsapi_async.outcomes import Accepted, Outcome, Rejected, Unknown
from tests.ledger.tools import (
    accepted,
    claim_many,
    content_of,
    keyed,
    message,
    recorded,
    rejected,
    states,
    unknown,
)

pytestmark = pytest.mark.anyio


async def test_a_new_message_is_to_be_sent(path: Path) -> None:
    """For a new message, `claim` returns None. None means that the caller must send the message."""
    async with Ledger.sqlite(path) as ledger:
        given = keyed(ledger, 3)
        assert await ledger.claim(given) == dict.fromkeys(key for key, _ in given)
        assert await ledger.summary() == Summary(sending=3)


async def test_a_settled_message_is_told_and_not_sent(path: Path) -> None:
    """If a message already has an outcome, `claim` returns the recorded outcome with `recorded` set.

    This outcome contains the message object that was passed to `claim`.
    """
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 3)
        outcomes: list[Outcome] = [accepted(keys[0], "a", "b"), rejected(keys[1]), unknown(keys[2])]
        await ledger.settle(outcomes)
    async with Ledger.sqlite(path) as ledger:
        given = keyed(ledger, 4)
        claimed = await ledger.claim(given)
        expected: list[Outcome | None] = [
            attrs.evolve(outcome, message=each, recorded=True)
            for outcome, (_, each) in zip(outcomes, given, strict=False)
        ]
        assert list(claimed.values()) == [*expected, None]


async def test_a_message_in_flight_cannot_be_claimed(path: Path) -> None:
    """If one of several messages is already in flight, `claim` raises `LedgerError` and claims no message."""
    async with Ledger.sqlite(path) as ledger:
        await claim_many(ledger, 1)
        with pytest.raises(LedgerError, match="already in flight"):
            await ledger.claim(keyed(ledger, 5))
        assert await ledger.summary() == Summary(sending=1)


async def test_a_released_message_is_sent_by_the_next_claim(path: Path) -> None:
    """After `release`, a message is pending and can be claimed again."""
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 2)
        await ledger.release(keys[:1])
        assert await ledger.summary() == Summary(pending=1, sending=1)
        assert await ledger.claim([(keys[0], message())]) == {keys[0]: None}
        assert await ledger.summary() == Summary(sending=2)


async def test_messages_that_were_only_read_are_pending(path: Path) -> None:
    """`record_pending` adds new messages as pending.

    Messages that are already in the ledger do not change.
    """
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 1)
        await ledger.settle([rejected(keys[0])])
        await ledger.record_pending(keyed(ledger, 3))
        assert await ledger.summary() == Summary(pending=2, rejected=1)
        expected = [(key, attrs.evolve(each, key=key)) for key, each in keyed(ledger, 3)[1:]]
        assert await ledger.pending() == expected
        assert await ledger.pending(limit=1) == expected[:1]


async def test_ending_in_flight_means_unknown(path: Path) -> None:
    """If a message is in flight when the ledger is closed, the next opening makes the message unknown."""
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 2)
        await ledger.settle([accepted(keys[0])])
    async with Ledger.sqlite(path) as ledger:
        (left,) = [outcome async for outcome in ledger.outcomes(state="unknown")]
        assert isinstance(left, Unknown)
        assert left.key == keys[1]
        assert left.reason == "the process ended before the outcome was recorded"
        assert isinstance((await ledger.claim([(keys[1], message(1))]))[keys[1]], Unknown)


@pytest.mark.parametrize(("late", "state"), [(accepted, Accepted), (rejected, Rejected), (unknown, Unknown)])
async def test_a_late_answer_settles_an_unknown(
    path: Path, late: Callable[[str], Outcome], state: type[Outcome]
) -> None:
    """If a message is unknown, `settle` can replace the unknown outcome with another outcome."""
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 1)
        await ledger.settle([unknown(keys[0])])
        await ledger.settle([late(keys[0])])
        assert isinstance((await recorded(ledger))[keys[0]], state)


async def test_a_known_outcome_is_not_written_over(path: Path) -> None:
    """If a message is already accepted, `settle` raises `LedgerError` and keeps the accepted outcome.

    `settle` records the outcomes of the other messages in the same call.
    """
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 2)
        await ledger.settle([accepted(keys[0])])
        foreign = attrs.evolve(accepted("x"), key=None)
        with pytest.raises(LedgerError, match="2 of 3 outcomes"):
            await ledger.settle([rejected(keys[0]), rejected(keys[1]), foreign])
        found = await recorded(ledger)
        assert states([found[key] for key in keys]) == ["Accepted", "Rejected"]


async def test_only_messages_in_flight_can_be_released(path: Path) -> None:
    """If a message already has an outcome, `release` raises `LedgerError` and does not change the message."""
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 1)
        await ledger.settle([unknown(keys[0])])
        with pytest.raises(LedgerError, match="1 of 1 messages"):
            await ledger.release(keys)
        assert await ledger.summary() == Summary(unknown=1)


async def test_nothing_to_do_is_allowed(path: Path) -> None:
    """A call with an empty list does not change the ledger."""
    async with Ledger.sqlite(path) as ledger:
        assert await ledger.claim([]) == {}
        await ledger.settle([])
        await ledger.release([])
        await ledger.record_pending([])
        assert await ledger.summary() == Summary()
        assert await recorded(ledger) == {}


async def test_a_person_says_that_it_was_sent(path: Path) -> None:
    """After `resolve` with ``sent=True``, an unknown message is accepted and has the given segment ids."""
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 2)
        await ledger.settle([unknown(key) for key in keys])
        await ledger.resolve(keys[0], sent=True, segment_ids=["a", "b"])
        await ledger.resolve(keys[1], sent=True)
        found = await recorded(ledger)
        first, second = found[keys[0]], found[keys[1]]
        assert isinstance(first, Accepted)
        assert isinstance(second, Accepted)
        assert (first.segment_ids, second.segment_ids) == (("a", "b"), ())
        assert abs(datetime.now(UTC) - first.accepted_at) < timedelta(minutes=1)
        assert await ledger.summary() == Summary(accepted=2, segments=2)


async def test_a_person_says_that_it_was_not_sent(path: Path) -> None:
    """After `resolve` with ``sent=False``, an unknown message is pending and can be claimed again."""
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 1)
        await ledger.settle([unknown(keys[0])])
        await ledger.resolve(keys[0], sent=False)
        assert await ledger.summary() == Summary(pending=1)
        assert await ledger.claim([(keys[0], message())]) == {keys[0]: None}


async def test_only_an_unknown_can_be_resolved(path: Path) -> None:
    """`resolve` raises `LedgerError` if the message is not unknown.

    `resolve` also raises `LedgerError` for segment ids together with ``sent=False``.
    """
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 2)
        await ledger.settle([accepted(keys[0]), unknown(keys[1])])
        before = await ledger.summary()
        for key in (keys[0], "nobody's"):
            with pytest.raises(LedgerError, match="no unknown message"):
                await ledger.resolve(key, sent=False)
        with pytest.raises(LedgerError, match="has no segment ids"):
            await ledger.resolve(keys[1], sent=False, segment_ids=["a"])
        assert await ledger.summary() == before


async def test_rejected_messages_are_tried_again_when_asked_for(path: Path) -> None:
    """After `retry_rejected`, the rejected messages can be claimed again.

    Accepted and unknown messages still cannot be claimed.
    """
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 5)
        await ledger.settle([accepted(keys[0], "a"), unknown(keys[1]), rejected(keys[2]), rejected(keys[3])])
        assert await ledger.retry_rejected() == 2
        assert await ledger.summary() == Summary(accepted=1, unknown=1, pending=2, sending=1, segments=1)
        again = await ledger.claim(keyed(ledger, 4))
        assert [key for key, outcome in again.items() if outcome is None] == keys[2:4]
        assert await ledger.retry_rejected() == 0


async def test_ids_that_nobody_can_divide_are_kept_once(path: Path) -> None:
    """If the segment ids of a request cannot be divided among its messages, each outcome contains all ids.

    The ledger stores the segment ids of such a request only once.
    """
    ids = tuple(f"{number:036d}" for number in range(1500))
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 1000)
        await ledger.settle([accepted(key, *ids, unattributed=True) for key in keys])
        assert await ledger.summary() == Summary(accepted=1000, segments=1500)
        found = await recorded(ledger)
        assert {outcome.segment_ids for outcome in found.values() if isinstance(outcome, Accepted)} == {ids}
        assert all(isinstance(outcome, Accepted) and outcome.unattributed for outcome in found.values())
    assert len(content_of(path)) < 1_000_000


async def test_outcomes_come_in_order_and_by_state(path: Path) -> None:
    """`outcomes` returns each outcome once, in the order in which the messages were claimed.

    With the parameter `state`, `outcomes` returns only the outcomes with this state.
    """
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 1203)
        kinds: list[Callable[[str], Outcome]] = [accepted, rejected, unknown]
        await ledger.settle([kinds[number % 3](key) for number, key in enumerate(keys)])
        await ledger.record_pending(keyed(ledger, 10, first=5000))
        assert [outcome.key async for outcome in ledger.outcomes()] == keys
        assert [outcome.key async for outcome in ledger.outcomes(state="rejected")] == keys[1::3]


@pytest.mark.parametrize(
    "state",
    ["UNKNOWN", "Unknown", "unknown ", "", "pending", "sending", "delivered", b"unknown", 5, ["unknown"]],
)
async def test_an_unknown_state_is_refused(path: Path, state: Any) -> None:
    """`outcomes` refuses a word that is no state of an outcome, instead of an iterator without outcomes."""
    async with Ledger.sqlite(path) as ledger:
        with pytest.raises(ValidationError, match="pass 'accepted', 'rejected' or 'unknown'") as caught:
            ledger.outcomes(state=state)
    assert caught.value.parameter == "state"


async def test_what_is_told_is_what_was_given(path: Path) -> None:
    """The ledger returns each message with the recorded content and with the key of the message.

    An aware `send_date` is returned in UTC, and `validity` is returned as a number of minutes.
    """
    moscow = timezone(timedelta(hours=3))
    given = [
        Message("+79031234567", "Здравствуйте\0", key="a"),
        Message("79031234567", "x", source_address="Shop", send_date=datetime(2024, 5, 1, 15, tzinfo=moscow)),
        Message("79031234567", "x", send_date=datetime(2024, 5, 1, 15), by_time_zone=True),  # noqa: DTZ001
        Message("79031234567", "x", validity=timedelta(hours=2)),
    ]
    async with Ledger.sqlite(path) as ledger:
        pairs = [(ledger.key_of(each), each) for each in given]
        await ledger.claim(pairs)
        await ledger.settle([accepted(key) for key, _ in pairs])
        told = [outcome.message async for outcome in ledger.outcomes()]
        assert [ledger.key_of(each) for each in told] == [key for key, _ in pairs]
    expected = [attrs.evolve(each, key=key) for key, each in pairs]
    assert told == [*expected[:3], attrs.evolve(expected[3], validity=120)]
    assert told[1].send_date is not None
    assert told[1].send_date.tzinfo is UTC


async def test_words_of_the_gateway_that_are_not_unicode_are_kept(path: Path) -> None:
    """A reason or a segment id with a lone surrogate can be recorded.

    In a recorded reason, an escape sequence replaces the lone surrogate.
    """
    async with Ledger.sqlite(path) as ledger:
        keys = await claim_many(ledger, 2)
        refusal = rejected(keys[0])
        assert isinstance(refusal, Rejected)
        await ledger.settle([attrs.evolve(refusal, reason="\ud800!"), accepted(keys[1], "\ud800")])
        first, second = (await recorded(ledger)).values()
        assert isinstance(first, Rejected)
        assert first.reason == "\\ud800!"
        assert isinstance(second, Accepted)
        assert second.segment_ids == ("\ud800",)


async def test_many_texts_are_told_apart(path: Path) -> None:
    """If hundreds of messages have different texts, the ledger returns each message with its own text."""
    given = [(f"key {number}", message(number, f"text {number}")) for number in range(700)]
    async with Ledger.sqlite(path) as ledger:
        for part in (given[:100], given[100:300], given[300:]):
            await ledger.claim(part)
        await ledger.release([key for key, _ in given])
        assert [each.text for _, each in await ledger.pending() if each] == [each.text for _, each in given]


async def test_a_text_sent_to_many_is_kept_once(path: Path) -> None:
    """If many messages have the same text, the ledger stores this text only once, even for several claims."""
    async with Ledger.sqlite(path) as ledger:
        for first in (0, 300, 600):
            await ledger.claim([(f"{first + n}", message(first + n, "x" * 2000)) for n in range(300)])
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM contents").fetchone() == (1,)
    connection.close()


async def test_a_claim_may_be_larger_than_a_statement(path: Path) -> None:
    """One call of `claim` can claim 2,999 messages."""
    async with Ledger.sqlite(path) as ledger:
        assert len(await claim_many(ledger, 2999)) == 2999
        with pytest.raises(LedgerError, match="already in flight"):
            await ledger.claim(keyed(ledger, 1, first=2998))
