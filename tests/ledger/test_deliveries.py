"""Tests of a ledger that records, returns and counts the deliveries of accepted messages."""

import traceback
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import anyio
import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smsapi_async.errors import ValidationError
from smsapi_async.ledger import DeliverySummary, LedgerError
from smsapi_async.models import Message, Receipt, SegmentState
from smsapi_async.outcomes import Accepted
from smsapi_async.states import Phase, State, known_state
from smsapi_async.tracking import Delivery
from tests.ledger.tools import (
    ACCEPTED_AT,
    NUMBER,
    PLACES,
    TEXT,
    Place,
    accepted,
    accepted_receipts,
    bytes_of,
    claim_each,
    claim_many,
    keyed,
    open_messages,
    recorded,
    settle_each,
    unknown,
)

pytestmark = pytest.mark.anyio

_dates = st.none() | st.datetimes(timezones=st.just(UTC))
_prices = st.none() | st.decimals(allow_nan=False, allow_infinity=False)
_codes = (st.sampled_from(State) | st.integers()).map(known_state)
_words = st.text(st.characters(exclude_categories=()))
_segments = st.none() | st.builds(
    SegmentState,
    segment_id=st.just(""),
    state=_codes,
    creation_date=_dates,
    submitted_date=_dates,
    reported_date=_dates,
    time_stamp=_dates,
    state_description=_words,
    price=_prices,
)


def delivery(
    receipt: Receipt, *codes: int | None, final: bool = False, phase: Phase = Phase.ENROUTE
) -> Delivery:
    """Return a delivery of the message that belongs to a receipt.

    Args:
        receipt: the receipt of the accepted message.
        codes: the state of each segment, as a number. None means that the state of the segment is not known.
        final: the value of `Delivery.is_final`.
        phase: the phase of the message.
    """
    states = tuple(
        None if code is None else SegmentState(id_, known_state(code), price=Decimal("1.50"))
        for id_, code in zip(receipt.segment_ids, codes, strict=True)
    )
    return Delivery(receipt, phase, states, final, ACCEPTED_AT)


async def _told(expected: Delivery, place: Place) -> list[Receipt | Delivery]:
    """Record the delivery `expected` in a new ledger, and return the items of `Ledger.to_track`."""
    key = expected.receipt.message.key
    assert key is not None
    async with place() as ledger:
        await ledger.claim("a", [(key, expected.receipt.message)])
        await ledger.settle("a", accepted(*expected.receipt.segment_ids))
        await ledger.record([expected])
    async with place(read_only=True) as reader:
        return await open_messages(reader)


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@example(
    states=[SegmentState("", State.EXPIRED, state_description="\ud800, не доставлено")],
    phase=Phase.FAILED,
    updated_at=ACCEPTED_AT,
)
@given(
    states=st.lists(_segments, min_size=1, max_size=5),
    phase=st.sampled_from(Phase),
    updated_at=st.datetimes(timezones=st.just(UTC)),
)
def test_what_is_told_is_what_was_recorded(
    backend: Literal["asyncio", "trio"],
    kind: str,
    states: list[SegmentState | None],
    phase: Phase,
    updated_at: datetime,
) -> None:
    """The ledger returns a delivery that is equal to the recorded delivery.

    The dates, descriptions and prices in a recorded delivery do not change.
    """
    ids = tuple(f"id {number}" for number in range(len(states)))
    receipt = Receipt(Message(NUMBER, TEXT, key="a"), ids, ACCEPTED_AT)
    named = tuple(
        state and attrs.evolve(state, segment_id=id_) for id_, state in zip(ids, states, strict=True)
    )
    expected = Delivery(receipt, phase, named, is_final=False, updated_at=updated_at)
    with TemporaryDirectory() as directory:
        (told,) = anyio.run(_told, expected, PLACES[kind](Path(directory)), backend=backend)
    assert told == expected
    assert isinstance(told, Delivery)
    assert [str(state.price) for state in told.states if state] == [str(s.price) for s in named if s]
    assert [type(state.state) for state in told.states if state] == [type(s.state) for s in named if s]


async def test_a_restart_goes_on_where_it_was(place: Place) -> None:
    """After a restart, `to_track` returns only the messages that are not final.

    For a message with a recorded delivery, `to_track` returns the last delivery. For a message without a
    recorded delivery, `to_track` returns the receipt. The messages are in the order in which they were
    claimed.
    """
    async with place() as ledger:
        receipts = await accepted_receipts(ledger, 1203, segments=2)
        finals = [delivery(each, 0, 0, final=True, phase=Phase.DELIVERED) for each in receipts[::3]]
        known = [delivery(each, 0, None) for each in receipts[1::3]]
        await ledger.record([*finals, *known])
    async with place() as ledger:
        told = await open_messages(ledger)
        assert told == [each for pair in zip(known, receipts[2::3], strict=True) for each in pair]


async def test_the_last_word_counts(place: Place) -> None:
    """If a message has several deliveries, the ledger keeps only the delivery that was recorded last."""
    async with place() as ledger:
        (receipt,) = await accepted_receipts(ledger, 1)
        for code in (-2, -1, 255):
            await ledger.record([delivery(receipt, -98), delivery(receipt, code)])
            assert await open_messages(ledger) == [delivery(receipt, code)]
        last = delivery(receipt, 0, final=True, phase=Phase.DELIVERED)
        await ledger.record([delivery(receipt, -1), last])
        assert await open_messages(ledger) == []
        await ledger.record([])
        assert await ledger.deliveries_summary() == DeliverySummary(delivered=1)


async def test_a_message_without_a_key_is_found_by_its_content(place: Place) -> None:
    """If the message in a delivery has no key, the ledger derives the key from the content of the message."""
    async with place() as ledger:
        (receipt,) = await accepted_receipts(ledger, 1)
        bare = attrs.evolve(receipt, message=attrs.evolve(receipt.message, key=None))
        await ledger.record([delivery(bare, -1)])
        assert await open_messages(ledger) == [delivery(receipt, -1)]


async def test_messages_of_others_are_told_and_the_rest_recorded(place: Place) -> None:
    """A delivery is refused if the ledger has no accepted message with the same key and segment ids.

    The other deliveries in the same call of `record` are recorded.
    """
    async with place() as ledger:
        receipts = await accepted_receipts(ledger, 2)
        (pending,) = keyed(ledger, 1, first=7)
        await ledger.record_pending([pending])
        foreign = [
            Receipt(Message(NUMBER, TEXT, key=NUMBER), ("x",), ACCEPTED_AT),
            Receipt(attrs.evolve(pending[1], key=pending[0]), ("x",), ACCEPTED_AT),
            attrs.evolve(receipts[0], segment_ids=("sent elsewhere",)),
        ]
        with pytest.raises(LedgerError, match="3 of 4 deliveries") as caught:
            await ledger.record([delivery(each, -1) for each in [*foreign, receipts[1]]])
        assert NUMBER not in "".join(traceback.format_exception(caught.value))
        assert await open_messages(ledger) == [receipts[0], delivery(receipts[1], -1)]


@pytest.mark.parametrize("defect", ["key", "states"])
async def test_what_is_no_delivery_is_refused(place: Place, defect: str) -> None:
    """If one of several deliveries is invalid, `record` raises `ValidationError` and records no delivery."""
    async with place() as ledger:
        first, second = await accepted_receipts(ledger, 2)
        wrong = delivery(second, -1)
        if defect == "key":
            wrong = delivery(attrs.evolve(second, message=attrs.evolve(second.message, key="")), -1)
        else:
            wrong = attrs.evolve(wrong, states=())
        with pytest.raises(ValidationError, match=defect):
            await ledger.record([delivery(first, -1), wrong])
        assert await open_messages(ledger) == [first, second]


async def test_what_cannot_be_followed_is_left_out(place: Place) -> None:
    """`to_track` skips messages without segment ids of their own.

    `deliveries_summary` counts the skipped messages in `without_ids`.
    """
    async with place() as ledger:
        await claim_many(ledger, 2, token="shared")
        keys = await claim_each(ledger, 3, 2)
        await settle_each(ledger, {"shared": accepted("a", "b", "c"), **dict.fromkeys(keys, unknown())})
        await ledger.resolve(keys[0], sent=True)
        await ledger.resolve(keys[1], sent=True, segment_ids=["d"])
        assert [each.segment_ids for each in await open_messages(ledger) if isinstance(each, Receipt)] == [
            ("d",)
        ]
        assert await ledger.deliveries_summary() == DeliverySummary(untracked=4, without_ids=3)


async def test_a_summary_counts_messages(place: Place) -> None:
    """`deliveries_summary` counts the accepted messages in each phase.

    The summary also counts each failed message by the state of the first failed segment of the message.
    """
    async with place() as ledger:
        assert await ledger.deliveries_summary() == DeliverySummary()
        receipts = await accepted_receipts(ledger, 9, segments=2)
        await ledger.record_pending(keyed(ledger, 4, first=50))
        await ledger.record(
            [
                delivery(receipts[0], -1, None),
                delivery(receipts[1], -1, -1, final=True),
                delivery(receipts[2], 0, 0, final=True, phase=Phase.DELIVERED),
                delivery(receipts[3], 0, 46, final=True, phase=Phase.FAILED),
                delivery(receipts[4], 46, 69, final=True, phase=Phase.FAILED),
                delivery(receipts[5], 11, None, final=True, phase=Phase.FAILED),
                delivery(receipts[6], 255, None, final=True, phase=Phase.UNKNOWN),
            ]
        )
    async with place(read_only=True) as reader:
        assert await reader.deliveries_summary() == DeliverySummary(
            enroute=2, delivered=1, failed=3, unknown=1, untracked=2, failed_by_state={46: 2, 11: 1}
        )
        with pytest.raises(LedgerError, match="for reading only"):
            await reader.record([delivery(receipts[0], -1, None)])


async def test_a_redacted_ledger_knows_its_messages_by_key(place: Place, tmp_path: Path) -> None:
    """A redacted ledger returns receipts without the number and the text of the message.

    When a delivery with one of these receipts is recorded, the ledger finds the message by the key.
    """
    async with place(redact=True) as ledger:
        before = await accepted_receipts(ledger, 2)
    async with place() as ledger:
        first, second = await open_messages(ledger)
        assert isinstance(first, Receipt)
        assert first.message == Message("", "", source_address="Shop", key=first.message.key)
        assert first.message.key != before[0].message.key
        await ledger.record([delivery(first, 0, final=True, phase=Phase.DELIVERED)])
        assert await open_messages(ledger) == [second]
        await ledger.record([delivery(before[1], -1)])
        assert isinstance(second, Receipt)
        assert await open_messages(ledger) == [delivery(second, -1)]
    assert NUMBER.encode() not in bytes_of(tmp_path)


async def test_following_does_not_touch_outcomes(place: Place) -> None:
    """If the delivery of an accepted message fails, the message stays accepted.

    A second claim of this message returns the `Accepted` outcome, so the message is not sent again.
    """
    async with place() as ledger:
        (receipt,) = await accepted_receipts(ledger, 1)
        before = await recorded(ledger)
        await ledger.record([delivery(receipt, 46, final=True, phase=Phase.FAILED)])
        assert await recorded(ledger) == before
        (outcome,) = await ledger.claim("again", keyed(ledger, 1))
        assert isinstance(outcome, Accepted)
        assert outcome.key == receipt.message.key


async def test_reading_on_while_recording(place: Place) -> None:
    """If messages become final during the iteration over `to_track`, the iteration misses no other message.

    `to_track` reads page by page, and skips a message that became final before its page was read.
    """
    async with place() as ledger:
        receipts = await accepted_receipts(ledger, 1200)
        told = []
        async for each in ledger.to_track():
            assert isinstance(each, Receipt)
            told.append(each)
            if len(told) == 10:
                done = [
                    delivery(one, 0, final=True, phase=Phase.DELIVERED)
                    for one in receipts[:5] + receipts[900:]
                ]
                await ledger.record(done)
        assert told == receipts[:900]
        assert len(await open_messages(ledger)) == 1200 - 305
