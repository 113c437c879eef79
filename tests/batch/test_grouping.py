"""Tests of `Grouper`, which groups the messages of a batch into requests."""

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async import Message, ValidationError
from smsapi_async.batch.chunks import BatchSettings, Chunk, Grouper, LocalBulks

MESSAGES = st.lists(
    st.builds(
        lambda number, text, source: Message(f"7903{number:07}", text, source_address=source),
        st.integers(0, 9_999_999),
        st.sampled_from(["one", "two", "three"]),
        st.sampled_from([None, "SHOP"]),
    ),
    max_size=60,
)


def _all(messages: list[Message], settings: BatchSettings) -> list[Chunk]:
    grouper = Grouper(settings, "ACME", UTC, LocalBulks(are_used=False))
    full = [grouper.add(message, grouper.look_up(message), lambda: 0.0) for message in messages]
    return [chunk for chunk in (*full, *iter(grouper.take_oldest, None)) if chunk is not None]


@given(MESSAGES, st.integers(1, 7), st.integers(1, 20))
def test_every_message_is_in_exactly_one_chunk(messages: list[Message], size: int, lookahead: int) -> None:
    """The grouper puts each message into exactly one chunk (the messages of one request).

    All messages of one chunk have the same text and source address.
    """
    chunks = _all(messages, BatchSettings(recipients_per_request=size, lookahead=lookahead))
    together = [message for chunk in chunks for message in chunk.messages]
    assert sorted(map(id, together)) == sorted(map(id, messages))
    for chunk in chunks:
        assert 1 <= len(chunk) <= size
        assert len({(message.text, message.source_address) for message in chunk.messages}) == 1


@given(MESSAGES, st.integers(1, 20))
def test_no_more_is_held_back_than_allowed(messages: list[Message], lookahead: int) -> None:
    """The grouper never holds back more than `lookahead` messages for later requests."""
    grouper = Grouper(BatchSettings(lookahead=lookahead), "ACME", UTC, LocalBulks(are_used=False))
    for message in messages:
        grouper.add(message, grouper.look_up(message), lambda: 0.0)
        assert grouper.held <= lookahead


def test_messages_for_the_recipients_time_zone_go_alone() -> None:
    """Each message with `by_time_zone` is sent in a request of its own."""
    from datetime import datetime  # noqa: PLC0415

    grouper = Grouper(BatchSettings(), "ACME", UTC, LocalBulks(are_used=False))
    date = datetime(2030, 1, 1)  # noqa: DTZ001
    for _ in range(2):
        message = Message("79031234567", "x", send_date=date, by_time_zone=True)
        chunk = grouper.add(message, grouper.look_up(message), lambda: 0.0)
        assert chunk is not None
        assert chunk.request().resource.name == "Sms/SendByTimeZone"


def test_a_chunk_is_overdue_after_its_linger() -> None:
    """A chunk (the messages of one request) is overdue `linger` seconds after its first message was added."""
    grouper = Grouper(BatchSettings(linger=1.0), "ACME", UTC, LocalBulks(are_used=False))
    for text, time in (("old", 0.0), ("young", 0.5)):
        message = Message("79031234567", text)
        grouper.add(message, grouper.look_up(message), lambda time=time: time)  # type: ignore[misc]
    overdue = grouper.take_overdue(1.0)
    assert overdue is not None
    assert overdue.messages[0].text == "old"
    assert grouper.take_overdue(1.0) is None
    assert grouper.held == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("recipients_per_request", 0),
        ("recipients_per_request", 3000),
        ("lookahead", 0),
        ("linger", -1),
        ("unknown_limit", 0),
        ("grace", float("nan")),
        ("grace", True),
    ],
)
def test_a_setting_out_of_range_is_named(setting: str, value: object) -> None:
    """A setting that is out of range raises a `ValidationError`.

    The text of the error contains the name of the setting and its allowed range.
    """
    with pytest.raises(ValidationError, match=f"{setting}: .*pass a number from"):
        BatchSettings(**{setting: value})  # type: ignore[arg-type]
