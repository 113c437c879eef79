"""Tests of the states of a message in a ledger, from the claim of the message to its outcome.

The tests use only the interface of a ledger.
"""

import logging
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import anyio
import attrs
import pytest

from smsapi_async import ValidationError
from smsapi_async.ledger import (
    InFlight,
    Ledger,
    LedgerError,
    RequestAnswer,
    Resolution,
    Summary,
    UnknownMessage,
)
from smsapi_async.models import Message
from smsapi_async.outcomes import Accepted, Outcome, Rejected, Unknown
from tests.ledger.tools import (
    ACCEPTED_AT,
    Place,
    accepted,
    claim_each,
    claim_many,
    keyed,
    message,
    recorded,
    rejected,
    settle_each,
    states,
    unknown,
)

pytestmark = pytest.mark.anyio


async def test_a_new_message_is_to_be_sent(place: Place) -> None:
    """For a new message, `claim` returns None. None means that the caller must send the message."""
    async with place() as ledger:
        assert await ledger.claim("a", keyed(ledger, 3)) == [None] * 3
        assert await ledger.summary() == Summary(sending=3)


async def test_a_settled_message_is_told_and_not_sent(place: Place) -> None:
    """If a message already has an outcome, `claim` returns the recorded outcome with `recorded` set.

    This outcome contains the message object that was passed to `claim`.
    """
    async with place() as ledger:
        keys = await claim_each(ledger, 3)
        answers = [accepted("a", "b"), rejected(), unknown()]
        await settle_each(ledger, dict(zip(keys, answers, strict=True)))
    async with place() as ledger:
        given = keyed(ledger, 4)
        expected = [
            answer.outcome(each, key, ("a", "b"), recorded=True)
            for answer, (key, each) in zip(answers, given, strict=False)
        ]
        claimed = await ledger.claim("b", given)
        assert claimed == [*expected, None]
        assert claimed[0].message is given[0][1]  # type: ignore[union-attr]


async def test_a_message_in_flight_is_not_claimed(place: Place) -> None:
    """If another sender sends a message now, `claim` returns the token of this sender.

    The other messages of the call are claimed.
    """
    async with place() as ledger:
        await claim_many(ledger, 2, token="first")
        claimed = await ledger.claim("second", keyed(ledger, 5))
        assert claimed == [*[InFlight("first")] * 2, None, None, None]
        assert await ledger.summary() == Summary(sending=5)
        await ledger.release("second")
        assert await ledger.summary() == Summary(sending=2, pending=3)


async def test_a_released_message_is_sent_by_the_next_claim(place: Place) -> None:
    """After `release`, a message is pending and can be claimed again."""
    async with place() as ledger:
        keys = await claim_each(ledger, 2)
        await ledger.release(keys[0])
        assert await ledger.summary() == Summary(pending=1, sending=1)
        assert await ledger.claim("again", [(keys[0], message())]) == [None]
        assert await ledger.summary() == Summary(sending=2)


async def test_messages_that_were_only_read_are_pending(place: Place) -> None:
    """`record_pending` adds new messages as pending.

    Messages that are already in the ledger do not change.
    """
    async with place() as ledger:
        (key,) = await claim_each(ledger, 1)
        await ledger.settle(key, rejected())
        await ledger.record_pending(keyed(ledger, 3))
        assert await ledger.summary() == Summary(pending=2, rejected=1)
        expected = [(key, attrs.evolve(each, key=key)) for key, each in keyed(ledger, 3)[1:]]
        assert await ledger.pending() == expected
        assert await ledger.pending(limit=1) == expected[:1]


@pytest.mark.parametrize("key", [None, "order 1"])
async def test_a_message_that_was_read_twice_is_pending_once(place: Place, key: str | None) -> None:
    """If a message occurs twice in a call of `record_pending`, all messages of the call are recorded once."""
    async with place() as ledger:
        one = message(key=key)
        await ledger.record_pending(
            [(ledger.key_of(one), one), *keyed(ledger, 1, 7), (ledger.key_of(one), one)]
        )
        assert await ledger.summary() == Summary(pending=2)


async def test_ending_in_flight_means_unknown(place: Place) -> None:
    """If a message is in flight when the ledger is closed, the next opening makes the message unknown."""
    async with place() as ledger:
        keys = await claim_each(ledger, 2)
        await ledger.settle(keys[0], accepted())
    async with place() as ledger:
        (left,) = [outcome async for outcome in ledger.outcomes(state="unknown")]
        assert isinstance(left, Unknown)
        assert left.key == keys[1]
        assert left.reason == "the process ended before the outcome was recorded"
        (claimed,) = await ledger.claim("again", [(keys[1], message(1))])
        assert isinstance(claimed, Unknown)


@pytest.mark.parametrize("is_reopened", [False, True])
@pytest.mark.parametrize(("late", "state"), [(accepted(), Accepted), (rejected(), Rejected)])
async def test_a_late_answer_settles_an_unknown(
    place: Place, late: RequestAnswer, state: type[Outcome], is_reopened: bool
) -> None:
    """If a message is unknown, `settle` replaces the unknown outcome, even after the ledger was reopened."""
    async with place() as ledger:
        (key,) = await claim_each(ledger, 1)
        await ledger.settle(key, unknown())
        if not is_reopened:
            await ledger.settle(key, late)
    async with place() as ledger:
        if is_reopened:
            await ledger.settle(key, late)
        assert isinstance((await recorded(ledger))[key], state)


async def _late_settle(ledger: Ledger, token: str) -> None:
    await ledger.settle(token, accepted("late"))


async def _late_release(ledger: Ledger, token: str) -> None:
    await ledger.release(token)


@pytest.mark.parametrize("late", [_late_settle, _late_release])
@pytest.mark.parametrize("state", ["accepted", "rejected", "pending", "claimed again", "nobody's"])
async def test_a_late_end_is_logged_and_changes_nothing(
    place: Place, late: Any, state: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A late `settle` or `release` changes no message that has an outcome, is pending or has a new sender.

    The log contains one warning, without a number or a key.
    """
    async with place() as ledger:
        keys = await claim_many(ledger, 2, token="a")
        if state in {"pending", "claimed again"}:
            await ledger.release("a")
        else:
            await ledger.settle("a", rejected() if state == "rejected" else accepted("1", "2"))
        if state == "claimed again":
            await claim_many(ledger, 2, token="b")
        before = await _content(ledger)
        caplog.clear()
        await late(ledger, "c" if state == "nobody's" else "a")
        assert await _content(ledger) == before
    (warning,) = [each for each in caplog.records if each.name == "smsapi_async"]
    assert warning.levelno == logging.WARNING
    assert "1 of 1" in warning.getMessage()
    assert keys[0] not in warning.getMessage()


async def test_an_unknown_message_cannot_be_released(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """A late `release` never makes an unknown message pending, so the message is not sent again."""
    async with place() as ledger:
        (key,) = await claim_each(ledger, 1)
        await ledger.settle(key, unknown())
        await ledger.release(key)
        assert await ledger.summary() == Summary(unknown=1)
    assert "1 of 1 releases came too late" in caplog.text


async def test_a_late_answer_does_not_touch_a_message_that_was_resolved(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """A late answer gives outcomes to the messages that are still unknown, each with its own segment ids.

    A message of the same request that a person resolved meanwhile keeps its state.
    """
    async with place() as ledger:
        keys = await claim_many(ledger, 4, token="a")
        await ledger.settle("a", unknown())
        await ledger.resolve(keys[0], sent=False)
        await ledger.resolve(keys[2], sent=True, segment_ids=["c"])
        await ledger.settle("a", accepted("1", "2", "3", "4"))
        found = {key: outcome.segment_ids for key, outcome in (await recorded(ledger)).items()}  # type: ignore[union-attr]
        assert found == {keys[1]: ("2",), keys[2]: ("c",), keys[3]: ("4",)}
        assert [key for key, _ in await ledger.pending()] == keys[:1]
    assert not [each for each in caplog.records if each.name == "smsapi_async"]


async def test_nothing_to_do_is_allowed(place: Place) -> None:
    """A call with an empty list does not change the ledger."""
    async with place() as ledger:
        assert await ledger.claim("a", []) == []
        await ledger.record_pending([])
        await ledger.resolve_many([])
        assert await ledger.states([]) == []
        assert await ledger.other_texts([]) == []
        assert await ledger.resolve_all(sent=False) == 0
        assert await ledger.summary() == Summary()
        assert await recorded(ledger) == {}
        assert [each async for each in ledger.report()] == []


async def test_a_person_says_that_it_was_sent(place: Place) -> None:
    """After `resolve` with ``sent=True``, an unknown message is accepted and has the given segment ids."""
    async with place() as ledger:
        keys = await claim_many(ledger, 2, token="a")
        await ledger.settle("a", unknown())
        await ledger.resolve(keys[0], sent=True, segment_ids=["a", "b"])
        await ledger.resolve(keys[1], sent=True)
        found = await recorded(ledger)
        first, second = found[keys[0]], found[keys[1]]
        assert isinstance(first, Accepted)
        assert isinstance(second, Accepted)
        assert (first.segment_ids, second.segment_ids) == (("a", "b"), ())
        assert abs(datetime.now(UTC) - first.accepted_at) < timedelta(minutes=1)
        assert await ledger.summary() == Summary(accepted=2, segments=2)


async def test_a_person_says_that_it_was_not_sent(place: Place) -> None:
    """After `resolve` with ``sent=False``, an unknown message is pending and can be claimed again."""
    async with place() as ledger:
        (key,) = await claim_each(ledger, 1)
        await ledger.settle(key, unknown())
        await ledger.resolve(key, sent=False)
        assert await ledger.summary() == Summary(pending=1)
        assert await ledger.claim("again", [(key, message())]) == [None]


async def test_only_an_unknown_can_be_resolved(place: Place) -> None:
    """`resolve` raises `LedgerError` if the message is not unknown, and `ValidationError` for wrong ids."""
    async with place() as ledger:
        keys = await claim_each(ledger, 2)
        await settle_each(ledger, {keys[0]: accepted(), keys[1]: unknown()})
        before = await ledger.summary()
        for key in (keys[0], "nobody's"):
            with pytest.raises(LedgerError, match="no unknown message"):
                await ledger.resolve(key, sent=False)
        with pytest.raises(ValidationError, match="has no segment ids"):
            await ledger.resolve(keys[1], sent=False, segment_ids=["a"])
        with pytest.raises(ValidationError, match="segment_ids"):
            await ledger.resolve(keys[1], sent=True, segment_ids="a")
        assert await ledger.summary() == before


async def test_many_are_resolved_at_once(place: Place) -> None:
    """`resolve_many` resolves thousands of messages of several requests, with each its own answer.

    If the ledger has no unknown message for some keys, all other messages are resolved.
    """
    async with place() as ledger:
        keys = await claim_many(ledger, 3000, token="a") + await claim_many(ledger, 500, 3000, token="b")
        for token in "ab":
            await ledger.settle(token, unknown())
        given = [
            Resolution(key, number % 2 == 0, (f"id {number}",) if number % 4 == 0 else ())
            for number, key in enumerate(keys)
        ]
        with pytest.raises(LedgerError, match="for 1 of 3401 keys"):
            await ledger.resolve_many([*given[:3400], Resolution("nobody's", sent=True)])
        assert await ledger.summary() == Summary(accepted=1700, pending=1700, unknown=100, segments=850)
        await ledger.resolve_many(given[3400:])
        assert await ledger.summary() == Summary(accepted=1750, pending=1750, segments=875)
        found = {key: outcome.segment_ids for key, outcome in (await recorded(ledger)).items()}  # type: ignore[union-attr]
    assert found == {each.key: each.segment_ids for each in given if each.sent}


@pytest.mark.parametrize(("sent", "state"), [(True, "accepted"), (False, "pending")])
async def test_all_are_resolved_at_once(place: Place, sent: bool, state: str) -> None:
    """`resolve_all` resolves every unknown message and returns their number. No other message changes."""
    async with place() as ledger:
        await claim_many(ledger, 30, token="a")
        keys = await claim_each(ledger, 3, 100)
        await ledger.settle("a", attrs.evolve(unknown(), segment_ids=("x", "y")))
        await settle_each(ledger, {keys[0]: unknown(), keys[1]: rejected()})
        assert await ledger.resolve_all(sent=sent) == 31
        assert attrs.asdict(await ledger.summary()) == attrs.asdict(Summary(sending=1, rejected=1)) | {
            state: 31
        }
        assert await ledger.resolve_all(sent=sent) == 0
        if sent:
            found = (await recorded(ledger))[keys[0]]
            assert isinstance(found, Accepted)
            assert abs(datetime.now(UTC) - found.accepted_at) < timedelta(minutes=1)


@pytest.mark.parametrize("sent", ["no", "", 0, 1, None])
async def test_only_true_or_false_resolves_all(place: Place, sent: object) -> None:
    """`resolve_all(sent="no")` raises an error, and does not record the messages as sent."""
    async with place() as ledger:
        await claim_many(ledger, 3, token="a")
        await ledger.settle("a", unknown())
        with pytest.raises(ValidationError, match="pass True or False"):
            await ledger.resolve_all(sent=sent)  # type: ignore[arg-type]
        assert await ledger.summary() == Summary(unknown=3)


async def test_rejected_messages_are_tried_again_when_asked_for(place: Place) -> None:
    """After `retry_rejected`, the rejected messages can be claimed again.

    Accepted and unknown messages still cannot be claimed.
    """
    async with place() as ledger:
        keys = await claim_each(ledger, 5)
        answers = [accepted("a"), unknown(), rejected(), rejected()]
        await settle_each(ledger, dict(zip(keys, answers, strict=False)))
        assert await ledger.retry_rejected() == 2
        assert await ledger.summary() == Summary(accepted=1, unknown=1, pending=2, sending=1, segments=1)
        assert [type(each) for each in await ledger.claim("again", keyed(ledger, 5))] == [
            Accepted,
            Unknown,
            type(None),
            type(None),
            InFlight,
        ]
        assert await ledger.retry_rejected() == 0


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([6], [1]), ([8], [2, 3]), ((6, 8), [1, 2, 3]), ([9], []), ([], []), (None, [0, 1, 2, 3])],
)
async def test_rejected_messages_of_some_codes_are_tried_again(
    place: Place, codes: Sequence[int] | None, expected: list[int]
) -> None:
    """With codes, `retry_rejected` makes only messages pending that were rejected with one of these codes.

    An unknown message with such a code stays unknown.
    """
    async with place() as ledger:
        keys = await claim_each(ledger, 5)
        answers = [attrs.evolve(rejected(), code=code) for code in (None, 6, 8, 8)]
        unclear = attrs.evolve(unknown(), code=8)
        await settle_each(ledger, dict(zip(keys, [*answers, unclear], strict=True)))
        assert await ledger.retry_rejected(codes) == len(expected)
        assert sorted(key for key, _ in await ledger.pending()) == [keys[number] for number in expected]
        assert (await ledger.summary()).unknown == 1


@pytest.mark.parametrize("codes", [["6"], [6, None], [True], [6.0]])
async def test_a_wrong_code_changes_nothing(place: Place, codes: Any) -> None:
    """`retry_rejected` refuses a code that is not an integer, and leaves all messages rejected."""
    async with place() as ledger:
        (key,) = await claim_each(ledger, 1)
        await ledger.settle(key, attrs.evolve(rejected(), code=6))
        with pytest.raises(ValidationError, match="codes"):
            await ledger.retry_rejected(codes)
        assert await ledger.summary() == Summary(rejected=1)


async def test_a_sender_is_awaited(place: Place) -> None:
    """`wait` returns when the other sender settles or releases its claim.

    If no such sender is at work, `wait` returns at once.
    """
    async with place() as ledger:
        keys = await claim_each(ledger, 2)
        ended: list[str] = []

        async def wait(key: str) -> None:
            await ledger.wait(key)
            ended.append(key)

        async with anyio.create_task_group() as group:
            for key in [*keys, *keys]:
                group.start_soon(wait, key)
            await ledger.summary()
            assert ended == []
            await ledger.settle(keys[0], accepted())
            await ledger.summary()
            await anyio.wait_all_tasks_blocked()
            assert ended == [keys[0]] * 2
            await ledger.release(keys[1])
        assert len(ended) == 4
        for token in [*keys, "nobody's"]:
            await ledger.wait(token)


async def test_those_who_wait_are_woken_when_the_ledger_is_closed(place: Place) -> None:
    """If a ledger is closed while a task waits for another sender, the wait ends."""
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group, place() as ledger:
            (key,) = await claim_each(ledger, 1)
            group.start_soon(ledger.wait, key)
            await ledger.summary()
            await anyio.wait_all_tasks_blocked()


async def test_ids_that_nobody_can_divide_are_kept(place: Place) -> None:
    """If the segment ids of a request cannot be divided among its messages, each outcome contains all ids."""
    ids = tuple(f"{number:036d}" for number in range(1500))
    async with place() as ledger:
        await claim_many(ledger, 1000, token="a")
        await ledger.settle("a", accepted(*ids))
        assert await ledger.summary() == Summary(accepted=1000, segments=1500)
        found = await recorded(ledger)
        assert {outcome.segment_ids for outcome in found.values() if isinstance(outcome, Accepted)} == {ids}
        assert all(isinstance(outcome, Accepted) and outcome.unattributed for outcome in found.values())


async def test_outcomes_come_in_order_and_by_state(place: Place) -> None:
    """`outcomes` returns each outcome once, in the order in which the requests were claimed.

    With the parameter `state`, `outcomes` returns only the outcomes with this state.
    """
    async with place() as ledger:
        expected: dict[str, list[str]] = {"accepted": [], "rejected": [], "unknown": []}
        for number in range(12):
            keys = await claim_many(ledger, 100, number * 100, token=str(number))
            answer = (accepted(), rejected(), unknown())[number % 3]
            await ledger.settle(str(number), answer)
            expected[answer.state] += keys
        await ledger.record_pending(keyed(ledger, 10, first=5000))
        given = [key for key, _ in keyed(ledger, 1200)]
        assert [outcome.key async for outcome in ledger.outcomes()] == given
        for state in ("accepted", "rejected", "unknown"):
            assert [outcome.key async for outcome in ledger.outcomes(state=state)] == expected[state]


@pytest.mark.parametrize(
    "state",
    ["UNKNOWN", "Unknown", "unknown ", "", "pending", "sending", "delivered", b"unknown", 5, ["unknown"]],
)
async def test_an_unknown_state_is_refused(place: Place, state: Any) -> None:
    """`outcomes` refuses a word that is no state of an outcome, instead of an iterator without outcomes."""
    async with place() as ledger:
        with pytest.raises(ValidationError, match="pass 'accepted', 'rejected' or 'unknown'") as caught:
            ledger.outcomes(state=state)
    assert caught.value.parameter == "state"


async def test_unknown_messages_are_listed_with_what_the_vendor_needs(place: Place) -> None:
    """`unknown` returns each unknown message with its number, time, request, segment ids, reason and code.

    Messages of one request have the same number of the request.
    """
    started = datetime.now(UTC)
    async with place() as ledger:
        keys = await claim_many(ledger, 600, token="a")
        other = await claim_many(ledger, 2, 600, token="b")
        await claim_many(ledger, 2, 700, token="accepted")
        await ledger.settle("accepted", accepted("1", "2"))
        await ledger.settle("a", attrs.evolve(unknown(), segment_ids=("x", "y")))
    async with place() as ledger:
        found = [each async for each in ledger.unknown()]
    assert [each.key for each in found] == keys + other
    first, last = found[0], found[-1]
    assert len({each.request for each in found}) == 2
    assert first.request == found[599].request != last.request
    assert started <= first.sent_at <= last.sent_at <= datetime.now(UTC)
    assert first == UnknownMessage(
        message=message(key=keys[0]),
        key=keys[0],
        request=first.request,
        sent_at=first.sent_at,
        reason="the connection was lost",
        code=9,
        segment_ids=("x", "y"),
    )
    ended = "the process ended before the outcome was recorded"
    assert (last.reason, last.code, last.segment_ids) == (ended, None, ())


async def test_each_message_has_a_state(place: Place) -> None:
    """`states` returns the state of each message, and None for a message that is not in the ledger.

    The same number with another text, and the same content with a key of its own, are other messages.
    """
    async with place() as ledger:
        keys = await claim_each(ledger, 4)
        await settle_each(ledger, {keys[0]: accepted(), keys[1]: rejected(), keys[2]: unknown()})
        await ledger.record_pending(keyed(ledger, 1, 4))
        await ledger.claim("own", [("order 1", message(key="order 1"))])
        many = [message(number) for number in range(6)]
        asked = [*many, message(text="another"), message(key="order 1"), message(key="order 2")]
        expected = ["accepted", "rejected", "unknown", "sending", "pending", None, None, "sending", None]
        assert await ledger.states(asked) == expected
        assert await ledger.states([*asked, *asked]) == expected * 2
    async with place(read_only=True) as reader:
        assert await reader.states([message(3)]) == ["unknown"]
        with pytest.raises(ValidationError):
            await reader.states([Message("none", "x")])


@pytest.mark.parametrize("number", ["+44 20 7946 0958", "0447946", "none", ""])
async def test_an_invalid_number_is_refused(place: Place, number: str) -> None:
    """A message with a key of its own and an invalid number is refused, and the error hides the number."""
    given = Message(number, "x", key="order 1")
    async with place() as ledger:
        for work in (
            lambda: ledger.states([given]),
            lambda: ledger.claim("a", [("order 1", given)]),
            lambda: ledger.record_pending([("order 1", given)]),
        ):
            with pytest.raises(ValidationError, match="destination_address") as caught:
                await work()
            assert "7946" not in "".join(traceback.format_exception(caught.value))
        assert await ledger.summary() == Summary()


async def test_a_second_text_to_a_number_is_told_apart(place: Place) -> None:
    """`other_texts` returns the new messages whose number was already sent another text.

    A text that was only read or was rejected does not count. Messages with keys of their own do not count.
    """
    async with place() as ledger:
        keys = await claim_each(ledger, 5)
        await settle_each(ledger, {keys[0]: accepted(), keys[1]: rejected(), keys[2]: unknown()})
        await ledger.release(keys[4])
        await ledger.claim("own", [("order 1", message(5, key="order 1"))])
        corrected = [message(number, "corrected") for number in range(7)]
        assert await ledger.other_texts(corrected) == [corrected[0], corrected[2], corrected[3]]
        assert await ledger.other_texts([message(number) for number in range(7)]) == []
        assert await ledger.other_texts([message(0, "corrected", key="order 2")]) == []
        await ledger.claim("corrected", [(ledger.key_of(corrected[0]), corrected[0])])
        assert await ledger.other_texts([*corrected[:3], message(0, "third")]) == [
            corrected[2],
            message(0, "third"),
        ]


async def test_what_is_told_is_what_was_given(place: Place) -> None:
    """The ledger returns each message with the recorded content and with the key of the message.

    An aware `send_date` is returned in UTC, and `validity` is returned as a number of minutes.
    """
    moscow = timezone(timedelta(hours=3))
    given = [
        Message("+79031234567", "Здравствуйте\0", key="a"),
        Message("79031234567", "x", source_address="Shop", send_date=datetime(2024, 5, 1, 15, tzinfo=moscow)),
        Message("+79031234567", "x", send_date=datetime(2024, 5, 1, 15), by_time_zone=True),  # noqa: DTZ001
        Message("79031234567", "x", validity=timedelta(hours=2)),
    ]
    async with place() as ledger:
        pairs = [(ledger.key_of(each), each) for each in given]
        await ledger.claim("a", pairs)
        await ledger.settle("a", accepted())
        told = [outcome.message async for outcome in ledger.outcomes()]
        assert [ledger.key_of(each) for each in told] == [key for key, _ in pairs]
    expected = [attrs.evolve(each, key=key, destination_address="79031234567") for key, each in pairs]
    assert told == [*expected[:3], attrs.evolve(expected[3], validity=120)]
    assert told[1].send_date is not None
    assert told[1].send_date.tzinfo is UTC


async def test_words_of_the_gateway_that_are_not_unicode_are_kept(place: Place) -> None:
    """A reason or a segment id with a lone surrogate can be recorded.

    In a recorded reason, an escape sequence replaces the lone surrogate.
    """
    async with place() as ledger:
        keys = await claim_each(ledger, 2)
        await ledger.settle(keys[0], attrs.evolve(rejected(), reason="\ud800!"))
        await ledger.settle(keys[1], accepted("\ud800"))
        found = await recorded(ledger)
        first, second = (found[key] for key in keys)
        assert isinstance(first, Rejected)
        assert first.reason == "\\ud800!"
        assert isinstance(second, Accepted)
        assert second.segment_ids == ("\ud800",)
        assert second.accepted_at == ACCEPTED_AT


async def test_many_texts_are_told_apart(place: Place) -> None:
    """If hundreds of messages have different texts, the ledger returns each message with its own text."""
    given = [(f"key {number}", message(number, f"text {number}")) for number in range(700)]
    async with place() as ledger:
        for token, part in {"a": given[:100], "b": given[100:300], "c": given[300:]}.items():
            await ledger.claim(token, part)
            await ledger.release(token)
        assert [each.text for _, each in await ledger.pending() if each] == [each.text for _, each in given]


async def test_one_request_can_have_thousands_of_messages(place: Place) -> None:
    """One call of `claim` can claim 4,096 messages. A call with more messages claims no message."""
    async with place() as ledger:
        await claim_many(ledger, 4096)
        assert await ledger.claim("again", keyed(ledger, 1, first=4095)) == [InFlight("many")]
        with pytest.raises(LedgerError, match="at most 4096"):
            await ledger.claim("more", keyed(ledger, 4097, first=5000))
        assert await ledger.summary() == Summary(sending=4096)
        assert states([each async for each in ledger.outcomes()]) == []


async def test_a_claim_with_a_message_twice_claims_nothing(place: Place) -> None:
    """If a message occurs twice in one claim, `claim` raises `LedgerError` and claims no message."""
    async with place() as ledger:
        with pytest.raises(LedgerError, match="twice in one claim"):
            await ledger.claim("a", [*keyed(ledger, 2), *keyed(ledger, 1)])
        assert await ledger.summary() == Summary()
        assert await ledger.claim("b", keyed(ledger, 2)) == [None] * 2


async def _content(ledger: Ledger) -> object:
    return await ledger.summary(), await ledger.pending(), await recorded(ledger)
