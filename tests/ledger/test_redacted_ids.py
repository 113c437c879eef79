"""Tests of segment ids in a redacted ledger: the file contains no number, and the ids are found again."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smsapi_async.errors import ValidationError
from smsapi_async.ledger import Ledger, LedgerError, Record, Resolution
from smsapi_async.ledger.keys import digest
from smsapi_async.ledger.redacted_ids import RedactedId, possible_digests, redacted_ids, text_of
from smsapi_async.models import Message, Receipt, SegmentState
from smsapi_async.outcomes import Accepted
from smsapi_async.states import Phase, State
from smsapi_async.tracking import Delivery
from tests.ledger.tools import (
    ACCEPTED_AT,
    NUMBER,
    Place,
    accepted,
    bytes_of,
    execute,
    keyed,
    message,
    open_messages,
    unknown,
)

pytestmark = pytest.mark.anyio
NATIONAL = NUMBER[1:]
FORMS: dict[str, Callable[[str], str]] = {
    "plus": lambda number: f"SAR-GW01+{number}-5f3b1972-2-1",
    "percent": lambda number: f"SAR-GW01%2B{number}-5f3b1972-2-1",
    "bare": lambda number: number,
    "trunk prefix": lambda number: f"GW-8{number[1:]}-1",
    "national": lambda number: f"{number[1:]}/1",
    "in a run": lambda number: f"GW01{number}0001",
    "twice": lambda number: f"{number}-{number[1:]}",
}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def numbers(count: int, first: int = 0) -> list[str]:
    """Return the numbers of the messages that `message` returns."""
    return [message(first + place).destination_address for place in range(count)]


def private_in(content: bytes, count: int) -> list[str]:
    """Return the numbers whose last ten digits are in the content of a file."""
    return [number for number in numbers(count) if number[1:].encode() in content]


async def fill(ledger: Ledger, count: int, form: Callable[[str], str]) -> tuple[str, ...]:
    """Record that the gateway accepted some messages in one request, and return their segment ids."""
    pairs = keyed(ledger, count)
    assert await ledger.claim("token", pairs) == [None] * count
    ids = tuple(map(form, numbers(count)))
    await ledger.settle("token", accepted(*ids))
    return ids


async def found_again(ledger: Ledger, count: int) -> list[tuple[str, ...]]:
    """Return the segment ids that a second claim of the messages returns."""
    claimed = await ledger.claim("again", keyed(ledger, count))
    return [each.segment_ids for each in claimed if isinstance(each, Accepted)]


@each_form
@pytest.mark.parametrize("count", [1, 3])
async def test_a_later_run_has_the_whole_ids(
    place: Place, tmp_path: Path, form: Callable[[str], str], count: int
) -> None:
    """The file contains no number, and a later run with the same messages gets the whole segment ids."""
    async with place(redact=True) as ledger:
        ids = await fill(ledger, count, form)
        assert private_in(bytes_of(tmp_path), count) == []
    assert private_in(bytes_of(tmp_path), count) == []
    async with place() as ledger:
        assert await found_again(ledger, count) == [(each,) for each in ids]
        found = await ledger.records([message(place) for place in range(count)])
        assert [each and each.segment_ids for each in found] == [(each,) for each in ids]
        summary = await ledger.summary()
    assert (summary.accepted, summary.segments) == (count, count)


async def test_the_message_in_another_form_has_the_same_ids(place: Place) -> None:
    """A message with ``+``, with the trunk prefix 8 or with a key of its own gets the whole ids, too."""
    async with place(redact=True) as ledger:
        (whole,) = await fill(ledger, 1, FORMS["plus"])
        own = attrs.evolve(message(), key="order 1", destination_address="+" + NUMBER)
        await ledger.claim("own", [("order 1", own)])
        await ledger.settle("own", accepted(whole))
        for number in ("+" + NUMBER, "8" + NATIONAL):
            each = attrs.evolve(message(), destination_address=number)
            (record,) = await ledger.records([each])
            (claimed,) = await ledger.claim("again", [(ledger.key_of(each), each)])
            assert record is not None
            assert isinstance(claimed, Accepted)
            assert record.segment_ids == claimed.segment_ids == (whole,)
        (claimed,) = await ledger.claim("again", [("order 1", own)])
    assert isinstance(claimed, Accepted)
    assert claimed.segment_ids == (whole,)


@pytest.mark.parametrize(
    ("form", "shown"),
    [("plus", "SAR-GW01+<number>-5f3b1972-2-1"), ("bare", "<number>"), ("national", "<national>/1"),
     ("trunk prefix", "GW-8<national>-1"), ("twice", "<number>-<national>")],
)  # fmt: skip
async def test_without_the_number_ids_have_placeholders(place: Place, form: str, shown: str) -> None:
    """Lists of a redacted ledger show a placeholder in place of the number."""
    async with place(redact=True) as ledger:
        await fill(ledger, 2, FORMS[form])
        pairs = keyed(ledger, 1, first=5)
        await ledger.claim("unknown", pairs)
        ids = (FORMS[form](numbers(1, 5)[0]),)
        await ledger.settle("unknown", attrs.evolve(unknown(), segment_ids=ids))
    async with place(read_only=True) as ledger:
        outcomes = [each async for each in ledger.outcomes(state="accepted")]
        report = [each async for each in ledger.report()]
        by_key = await ledger.records([each.key or "" for each in outcomes])
        lost = [each async for each in ledger.unknown()]
    assert [each.segment_ids for each in outcomes if isinstance(each, Accepted)] == [(shown,)] * 2
    assert [each.segment_ids for each in report[:2]] == [(shown,)] * 2
    assert [each and each.segment_ids for each in by_key] == [(shown,)] * 2
    assert [each.segment_ids for each in lost] == [(shown,)]


async def test_placeholders_are_not_tracked(
    place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`to_track` leaves out messages without their whole ids, also whole pages, and logs one warning."""
    for module in ("sqlite.sqlite_ledger", "postgres.postgres_ledger"):
        monkeypatch.setattr(f"smsapi_async.ledger.{module}._PAGE", 2)
    async with place(redact=True) as ledger:
        await fill(ledger, 5, FORMS["plus"])
        await ledger.claim("other", keyed(ledger, 2, first=5))
        await ledger.settle("other", accepted("GW0261BBD6B3", "579700854169272358"))
        assert [each.segment_ids for each in await open_messages(ledger) if isinstance(each, Receipt)] == [
            ("GW0261BBD6B3",),
            ("579700854169272358",),
        ]
    (warning,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "5 accepted messages cannot be tracked" in warning.getMessage()
    assert "pass their receipts" in warning.getMessage()


@pytest.mark.parametrize("source", ["same process", "later claim", "records", "without number"])
async def test_deliveries_of_whole_receipts_are_recorded(place: Place, source: str) -> None:
    """The ledger records deliveries for receipts with whole ids, and returns the deliveries."""
    async with place(redact=True) as ledger:
        ids = await fill(ledger, 2, FORMS["plus"])
        key, given = keyed(ledger, 2)[1]
        receipt = Receipt(attrs.evolve(given, key=key), ids[1:], ACCEPTED_AT)
        if source == "later claim":
            claimed = (await ledger.claim("again", keyed(ledger, 2)))[1]
            assert isinstance(claimed, Accepted)
            receipt = claimed.receipt
        elif source != "same process":
            (record,) = await ledger.records([given])
            assert record is not None
            assert isinstance(record.outcome, Accepted)
            receipt = record.outcome.receipt
            assert receipt.message.destination_address == ""
        states = (SegmentState(ids[1], State.DELIVERED),)
        done = Delivery(receipt, Phase.DELIVERED, states, True, ACCEPTED_AT)
        await ledger.record([done])
        (record,) = await ledger.records([given])
        report = [each async for each in ledger.report()]
        assert (await ledger.deliveries_summary()).delivered == 1
        another = attrs.evolve(receipt, segment_ids=(ids[1].replace("5f", "6f"),))
        with pytest.raises(LedgerError, match="1 of 1 deliveries"):
            await ledger.record([attrs.evolve(done, receipt=another)])
    assert states_in(record) == states
    assert [state and state.segment_id for state in states_in(report[1])] == [
        "SAR-GW01+<number>-5f3b1972-2-1"
    ]


def states_in(record: Record | None) -> tuple[SegmentState | None, ...]:
    """Return the states in the delivery of a record."""
    assert record is not None
    assert record.delivery is not None
    return record.delivery.states


async def test_ids_of_a_whole_request(place: Place, tmp_path: Path) -> None:
    """If the ids of a request cannot be divided, no number is stored, and all outcomes have equal ids."""
    async with place(redact=True) as ledger:
        await ledger.claim("token", keyed(ledger, 2))
        await ledger.settle("token", accepted(*map(FORMS["plus"], numbers(2)), "GW1"))
        claimed = await ledger.claim("again", keyed(ledger, 2))
    shown = ("SAR-GW01+<number>-5f3b1972-2-1",) * 2 + ("GW1",)
    assert [each.segment_ids for each in claimed if isinstance(each, Accepted)] == [shown] * 2
    assert private_in(bytes_of(tmp_path), 2) == []


@pytest.mark.parametrize("is_resolved", [False, True])
async def test_a_late_answer(place: Place, tmp_path: Path, is_resolved: bool) -> None:
    """An answer after the ledger was opened again is stored without numbers.

    The same is true if a person has resolved one message of the request meanwhile.
    """
    async with place(redact=True) as ledger:
        await ledger.claim("token", keyed(ledger, 3))
    async with place() as ledger:
        if is_resolved:
            await ledger.resolve(keyed(ledger, 1)[0][0], sent=False)
        await ledger.settle("token", accepted(*map(FORMS["plus"], numbers(3))))
        expected = [(FORMS["plus"](number),) for number in numbers(3)][is_resolved:]
        assert await found_again(ledger, 3) == expected
    assert private_in(bytes_of(tmp_path), 3) == []


async def test_resolved_with_ids(place: Place, tmp_path: Path) -> None:
    """Segment ids that a person passes to `resolve` are stored without the number of their message."""
    async with place(redact=True) as ledger:
        await ledger.claim("token", keyed(ledger, 2))
        await ledger.settle("token", unknown())
        ids = tuple(map(FORMS["plus"], numbers(2)))
        await ledger.resolve(keyed(ledger, 1)[0][0], sent=True, segment_ids=ids[:1])
        (left,) = [each async for each in ledger.unknown()]
        await ledger.resolve(left.key, sent=True, segment_ids=ids[1:])
        assert await found_again(ledger, 2) == [(each,) for each in ids]
    assert private_in(bytes_of(tmp_path), 2) == []


@pytest.mark.parametrize("wrong", ["SAR-GW01+<number>-1", "8<national>"])
async def test_an_id_with_a_placeholder_is_no_id(wrong: str) -> None:
    """A person who copies an id with a placeholder to a resolution gets an error."""
    with pytest.raises(ValidationError, match="placeholder") as caught:
        Resolution("key", True, [wrong])
    assert wrong not in str(caught.value)


async def test_an_older_redacted_ledger(path: Path) -> None:
    """A redacted ledger of an older version contains whole ids, which are returned and tracked as before."""
    async with Ledger.sqlite(path, redact=True) as ledger:
        ids = await fill(ledger, 2, FORMS["plus"])
        await execute(ledger, f"UPDATE requests SET segment_ids = '{json.dumps(ids)}'")  # noqa: S608
        assert await found_again(ledger, 2) == [(each,) for each in ids]
        (first, second) = await open_messages(ledger)
        assert isinstance(first, Receipt)
        assert (first.segment_ids, second) != (ids[1:], first)
        done = Delivery(first, Phase.DELIVERED, (SegmentState(ids[0], State.DELIVERED),), True, ACCEPTED_AT)
        await ledger.record([done])
        assert await open_messages(ledger) == [second]


async def test_a_full_ledger_stores_ids_as_they_are(place: Place) -> None:
    """Without `redact`, all ids are stored whole, and can be tracked."""
    async with place() as ledger:
        ids = await fill(ledger, 2, FORMS["plus"])
    async with place(read_only=True) as ledger:
        receipts = [each for each in await open_messages(ledger) if isinstance(each, Receipt)]
    assert [each.segment_ids for each in receipts] == [(each,) for each in ids]


UNCHANGED = [
    "579700854169272358",
    NATIONAL + "12345678",
    "GW0261BBD6B3",
    "WF3F22A2E",
    "SAR-W+84333",
    "SAR-GW01+79160000000-5f3b1972-2-1",
    NUMBER[:7],
    NUMBER[:6] + "-" + NUMBER[6:],
    "\ud800<number>",
    "",
]


@pytest.mark.parametrize("segment_id", UNCHANGED)
async def test_other_ids_are_not_changed(place: Place, segment_id: str) -> None:
    """An id that does not contain the number of a recipient of the request stays as it is."""
    async with place(redact=True) as ledger:
        await fill(ledger, 1, lambda _: segment_id)
        (outcome,) = [each async for each in ledger.outcomes()]
    assert isinstance(outcome, Accepted)
    assert outcome.segment_ids == (segment_id,)


@pytest.mark.parametrize(
    ("number", "written", "shown"),
    [
        ("380671234567", "id+380671234567", "id+<number>"),
        ("380671234567", "id-0671234567", "id-<national>"),
        ("447911123456", "id-7911123456", "id-<national>"),
        ("447911123456", "id-07911123456", "id-0<national>"),
        ("12025550123", "id-2025550123-1", "id-<national>-1"),
        ("3712345678", "3712345678", "<number>"),
        ("3581234", "A3581234B", "A<number>B"),
        ("3581234", "A03581234B", "A03581234B"),
        ("4915112345678", "GW4915112345678000", "GW<number>000"),
    ],
)
async def test_numbers_of_other_countries(place: Place, number: str, written: str, shown: str) -> None:
    """Numbers of all lengths are found. A short number is found only if no other digit adjoins the number."""
    given = Message(number, "text")
    async with place(redact=True) as ledger:
        key = ledger.key_of(given)
        await ledger.claim("token", [(key, given)])
        await ledger.settle("token", accepted(written))
        (outcome,) = [each async for each in ledger.outcomes()]
        (again,) = await ledger.claim("again", [(key, given)])
    assert isinstance(outcome, Accepted)
    assert isinstance(again, Accepted)
    assert (outcome.segment_ids, again.segment_ids) == ((shown,), (written,))


_numbers = st.from_regex("79[01]{9}", fullmatch=True)


@st.composite
def _ids(draw: st.DrawFn) -> tuple[list[str], str]:
    """Return some numbers, and an id that may contain a number in any form between other characters."""
    known = draw(st.lists(_numbers, min_size=1, max_size=3, unique=True))
    forms = [form for number in known for form in (number, "8" + number[1:], number[1:])]
    parts = st.sampled_from([*forms, "7", "8", "9", "0", "1", "+", "-", "GW", "<number>"])
    return known, "".join(draw(st.lists(parts, max_size=6)))


@given(_ids())
@example(([NUMBER], NATIONAL[:5] + NUMBER))
async def test_any_id(anyio_backend: str, case: tuple[list[str], str]) -> None:
    """A stored id contains no number of the request, and is whole again with the numbers.

    An id without a number of the request, and an id of more than 15 digits only, are not changed.
    """
    known, segment_id = case
    digests = set(map(digest, known))
    (stored,) = redacted_ids([segment_id], digests)
    is_opaque = segment_id.isdigit() and len(segment_id) > 15
    is_private = any(number[1:] in segment_id for number in known) and not is_opaque
    assert isinstance(stored, RedactedId) is is_private
    if isinstance(stored, RedactedId):
        assert not any(number[1:] in piece for number in known for piece in stored.pieces[::2])
        assert stored.digests <= digests & possible_digests([segment_id])
        if len(stored.digests) == 1:
            (number,) = [each for each in known if digest(each) in stored.digests]
            assert stored.text(number) == segment_id
            assert redacted_ids([segment_id], stored.digests) == (stored,)
    else:
        assert text_of(stored) == segment_id
