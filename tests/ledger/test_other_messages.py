"""Tests of `claim` with a key that the ledger has already recorded for another message."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest

from smsapi_async.ledger import Ledger
from smsapi_async.models import Message
from smsapi_async.outcomes import Accepted, Rejected
from tests.ledger.tools import Place, accepted, recorded, rejected, unknown

pytestmark = pytest.mark.anyio

DATE = datetime(2024, 5, 1, 12, tzinfo=UTC)
FIRST = Message("79031234567", "one", source_address="Shop", send_date=DATE, validity=60, key="order 1")
CHANGES: dict[str, dict[str, Any]] = {
    "number": {"destination_address": "79031234568"},
    "text": {"text": "two"},
    "a text that cannot be stored": {"text": "\ud800"},
    "source address": {"source_address": None},
    "date": {"send_date": DATE + timedelta(minutes=1)},
    "validity": {"validity": 61},
    "time zone": {"by_time_zone": True},
}
STATES: dict[str, Callable[[Ledger], Awaitable[None]]] = {
    "pending": lambda ledger: ledger.release("a"),
    "accepted": lambda ledger: ledger.settle("a", accepted()),
    "rejected": lambda ledger: ledger.settle("a", rejected()),
    "unknown": lambda ledger: ledger.settle("a", unknown()),
}


async def _content(ledger: Ledger) -> object:
    return await ledger.summary(), await ledger.pending(), await recorded(ledger)


@pytest.mark.parametrize("redact", [False, True])
@pytest.mark.parametrize("state", STATES)
async def test_another_message_under_a_known_key_is_refused(place: Place, state: str, redact: bool) -> None:
    """If the ledger has another message with the same key, `claim` returns `Rejected` for the new message.

    The ledger does not change the recorded message.
    """
    async with place(redact=redact) as ledger:
        await ledger.claim("a", [("order 1", FIRST)])
        await STATES[state](ledger)
        before = await _content(ledger)
        for change in CHANGES.values():
            other = attrs.evolve(FIRST, **change)
            assert await ledger.claim("b", [("order 1", other)]) == [
                Rejected(
                    message=other,
                    reason="this ledger already has a different message with the same key",
                    key="order 1",
                )
            ]
        assert await _content(ledger) == before


@pytest.mark.parametrize("redact", [False, True])
async def test_the_same_message_written_otherwise_is_claimed(place: Place, redact: bool) -> None:
    """A pending message can be claimed with another notation of its number, send date or validity."""
    async with place(redact=redact) as ledger:
        await ledger.record_pending([("order 1", FIRST)])
        again = attrs.evolve(
            FIRST,
            destination_address="+79031234567",
            validity=timedelta(hours=1),
            send_date=DATE.astimezone(timezone(timedelta(hours=7))),
        )
        assert await ledger.claim("a", [("order 1", again)]) == [None]
        assert (await ledger.summary()).sending == 1


async def test_others_of_that_call_are_claimed(place: Place) -> None:
    """If `claim` rejects one message, `claim` still claims the other messages in the same call."""
    async with place() as ledger:
        await ledger.record_pending([("order 1", FIRST), ("order 2", FIRST)])
        other = attrs.evolve(FIRST, text="two")
        claimed = await ledger.claim("a", [("order 1", other), ("order 2", FIRST), ("order 3", other)])
        assert [type(outcome) for outcome in claimed] == [Rejected, type(None), type(None)]
        assert [key for key, _ in await ledger.pending()] == ["order 1"]


@pytest.mark.parametrize("redact", [False, True])
async def test_a_key_of_ones_own_is_apart_from_derived_keys(place: Place, redact: bool) -> None:
    """The same message with a key of its own and without a key are two messages, and both are sent."""
    bare = attrs.evolve(FIRST, key=None)
    async with place(redact=redact) as ledger:
        derived = ledger.key_of(bare)
        assert await ledger.claim("a", [("order 1", FIRST), (derived, bare)]) == [None, None]
        await ledger.settle("a", accepted("1", "2"))
        again = await ledger.claim("b", [(derived, bare), ("order 1", FIRST)])
        assert [outcome.segment_ids for outcome in again if isinstance(outcome, Accepted)] == [("2",), ("1",)]
        assert {each.key for each in again if isinstance(each, Accepted)} == {derived, "order 1"}


@pytest.mark.parametrize("redact", [False, True])
async def test_a_derived_key_in_the_message_counts_as_the_derived_key(place: Place, redact: bool) -> None:
    """A message whose key is its own derived key is the same message as without a key, and is sent once."""
    bare = attrs.evolve(FIRST, key=None)
    async with place(redact=redact) as ledger:
        derived = ledger.key_of(bare)
        named = attrs.evolve(bare, key=derived)
        await ledger.claim("a", [(ledger.key_of(named), named)])
        await ledger.settle("a", accepted())
        (claimed,) = await ledger.claim("b", [(ledger.key_of(bare), bare)])
        assert isinstance(claimed, Accepted)
        assert await ledger.states([bare, named]) == ["accepted", "accepted"]
