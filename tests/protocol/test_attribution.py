"""The client assigns the segment ids in the response to a bulk to the messages of the bulk."""

from datetime import UTC, datetime
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async import Message, SegmentIdsUnattributed, SystemClock
from smsapi_async.calls.caller import Caller
from smsapi_async.calls.event_hub import EventHub
from smsapi_async.calls.sender import Sender
from smsapi_async.privacy import Hidden
from smsapi_async.protocol.attribution import attribute

NOW = datetime(2026, 1, 28, 16, 0, tzinfo=UTC)
TEMPLATE = Message("79031234500", "test", source_address="DEVIN0")


@given(messages=st.integers(1, 40), share=st.integers(1, 8))
def test_each_message_gets_its_ids(messages: int, share: int) -> None:
    """`attribute` returns the segment ids of each message.

    The response first lists all ids of the first message, then all ids of the second message, and so on.
    """
    shares = [tuple(f"{message}/{segment}" for segment in range(share)) for message in range(messages)]
    assert attribute(messages, tuple(one for ids in shares for one in ids)) == shares


@given(messages=st.integers(1, 40), ids=st.lists(st.text(min_size=1), max_size=90))
def test_ids_are_never_guessed_at_and_never_dropped(messages: int, ids: list[str]) -> None:
    """`attribute` assigns all segment ids in order, an equal number to each message, or returns None."""
    shares = attribute(messages, tuple(ids))
    if shares is None:
        assert not ids or len(ids) % messages
        return
    assert len(shares) == messages
    assert [one for share in shares for one in share] == ids
    assert len({len(share) for share in shares}) == 1


class _Accepting:
    """A replacement for `Caller` that returns the same segment ids for every send."""

    is_crowded = False

    def __init__(self, ids: tuple[str, ...]) -> None:
        self.ids = ids
        self.hub = EventHub(None, "https://localhost")

    async def send(self, *_: object, **__: object) -> tuple[str, ...]:
        return self.ids


class _At(SystemClock):
    def now(self) -> datetime:
        """Return `NOW` for every call."""
        return NOW


def _sender(*ids: str) -> Sender:
    """Return a sender that gets the segment ids `ids` as the response to every send."""
    return Sender(cast("Caller", _Accepting(ids)), _At(), None, UTC)


@pytest.mark.anyio
@pytest.mark.parametrize(("messages", "ids"), [(2, 3), (3, 2), (2, 1), (3, 10), (4, 90)])
async def test_ids_that_do_not_divide(messages: int, ids: int) -> None:
    """If segment ids cannot be divided equally among messages, the error contains all messages and ids."""
    numbers = [str(79031234500 + index) for index in range(messages)]
    expected = tuple(f"WF{index}" for index in range(ids))
    with pytest.raises(SegmentIdsUnattributed, match=f"{messages} messages.*{ids} segment ids") as caught:
        await _sender(*expected).send_bulk(Hidden(numbers), TEMPLATE, None)
    assert caught.value.segment_ids == expected
    assert [message.destination_address for message in caught.value.messages] == numbers
    assert {message.text for message in caught.value.messages} == {"test"}


@pytest.mark.anyio
async def test_the_same_number_twice() -> None:
    """If a bulk lists a recipient twice, the client returns two receipts with different segment ids."""
    numbers = ["79031234567", "79161002030", "79031234567"]
    receipts = await _sender("1", "2", "3", "4", "5", "6").send_bulk(Hidden(numbers), TEMPLATE, None)
    assert [receipt.message.destination_address for receipt in receipts] == numbers
    assert [receipt.segment_ids for receipt in receipts] == [("1", "2"), ("3", "4"), ("5", "6")]
    assert {receipt.accepted_at for receipt in receipts} == {NOW}
