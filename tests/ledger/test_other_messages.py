"""Tests of `claim` with a key that the ledger has already recorded for another message."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest

from smsapi_async.ledger import Ledger
from smsapi_async.models import Message
from smsapi_async.outcomes import Rejected
from tests.ledger.tools import accepted, recorded, rejected, unknown

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
    "pending": lambda ledger: ledger.release(["order 1"]),
    "accepted": lambda ledger: ledger.settle([accepted("order 1")]),
    "rejected": lambda ledger: ledger.settle([rejected("order 1")]),
    "unknown": lambda ledger: ledger.settle([unknown("order 1")]),
}


async def _content(ledger: Ledger) -> object:
    return await ledger.summary(), await ledger.pending(), await recorded(ledger)


@pytest.mark.parametrize("redact", [False, True])
@pytest.mark.parametrize("state", STATES)
async def test_another_message_under_a_known_key_is_refused(path: Path, state: str, redact: bool) -> None:
    """If the ledger has another message with the same key, `claim` returns `Rejected` for the new message.

    The ledger does not change the recorded message.
    """
    async with Ledger.sqlite(path, redact=redact) as ledger:
        await ledger.claim([("order 1", FIRST)])
        await STATES[state](ledger)
        before = await _content(ledger)
        for change in CHANGES.values():
            other = attrs.evolve(FIRST, **change)
            assert await ledger.claim([("order 1", other)]) == {
                "order 1": Rejected(
                    message=other,
                    reason="this ledger already has a different message with the same key",
                    key="order 1",
                )
            }
        assert await _content(ledger) == before


@pytest.mark.parametrize("redact", [False, True])
async def test_the_same_message_written_otherwise_is_claimed(path: Path, redact: bool) -> None:
    """A pending message can be claimed with another notation of its number, send date or validity."""
    async with Ledger.sqlite(path, redact=redact) as ledger:
        await ledger.record_pending([("order 1", FIRST)])
        again = attrs.evolve(
            FIRST,
            destination_address="+79031234567",
            validity=timedelta(hours=1),
            send_date=DATE.astimezone(timezone(timedelta(hours=7))),
        )
        assert await ledger.claim([("order 1", again)]) == {"order 1": None}
        assert (await ledger.summary()).sending == 1


async def test_others_of_that_call_are_claimed(path: Path) -> None:
    """If `claim` rejects one message, `claim` still claims the other messages in the same call."""
    async with Ledger.sqlite(path) as ledger:
        await ledger.record_pending([("order 1", FIRST), ("order 2", FIRST)])
        other = attrs.evolve(FIRST, text="two")
        claimed = await ledger.claim([("order 1", other), ("order 2", FIRST), ("order 3", other)])
        assert [type(outcome) for outcome in claimed.values()] == [Rejected, type(None), type(None)]
        assert [key for key, _ in await ledger.pending()] == ["order 1"]
