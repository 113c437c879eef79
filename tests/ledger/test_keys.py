"""Tests of the keys that identify messages in a ledger."""

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async.errors import ValidationError
from smsapi_async.ledger import Ledger
from smsapi_async.models import Message
from tests.ledger.tools import NUMBER, TEXT, message

key_of = Ledger.sqlite("nowhere.db").key_of
BASE = Message(NUMBER, TEXT)
DATE = datetime(2024, 5, 1, 12, tzinfo=UTC)


def test_the_callers_key_comes_first() -> None:
    """If the user sets `Message.key`, the ledger uses this key unchanged."""
    assert key_of(message(key="заказ 7")) == "заказ 7"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"destination_address": NUMBER}, {"destination_address": f"+{NUMBER}"}),
        ({"validity": 60}, {"validity": timedelta(hours=1)}),
        ({"send_date": DATE}, {"send_date": DATE.astimezone(timezone(timedelta(hours=7)))}),
    ],
)
def test_the_same_message_has_the_same_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two notations of one number, of one send date or of one validity result in equal keys."""
    assert key_of(attrs.evolve(BASE, **one)) == key_of(attrs.evolve(BASE, **other))
    assert key_of(attrs.evolve(BASE, **one)).startswith("sha256:")


_words = st.sampled_from(["", "a", "b", "|", "1|", "None", "'", "ab", "a|b", "\0"])
_messages = st.builds(
    Message,
    _words,
    _words,
    source_address=st.none() | _words,
    send_date=st.sampled_from([None, DATE, DATE.replace(tzinfo=None)]),
    validity=st.sampled_from([None, 1, 60]),
    by_time_zone=st.booleans(),
)


@given(_messages, _messages)
def test_different_messages_have_different_keys(one: Message, other: Message) -> None:
    """Equal messages have equal derived keys, and different messages have different derived keys."""
    assert (key_of(one) == key_of(other)) == (one == other)


@pytest.mark.parametrize(
    "change",
    [
        {"destination_address": 79031234567},
        {"text": b"bytes"},
        {"key": ""},
        {"key": 7},
        {"key": "\ud800"},
        {"send_date": "2024-05-01"},
        {"send_date": datetime.max.replace(tzinfo=timezone(timedelta(hours=-7)))},
        {"send_date": datetime.min.replace(tzinfo=timezone(timedelta(hours=7)))},
        {"validity": 1.5},
        {"validity": timedelta(seconds=61)},
    ],
)
def test_a_message_that_cannot_be_named_is_refused(change: dict[str, Any]) -> None:
    """For an invalid key, number, text, send date or validity, `key_of` raises a `ValidationError`.

    The error names the invalid field.
    """
    with pytest.raises(ValidationError) as caught:
        key_of(attrs.evolve(BASE, **change))
    assert caught.value.parameter == next(iter(change))
    assert caught.value.__context__ is None
    assert "79031234567" not in str(caught.value)


def test_a_text_that_cannot_be_sent_still_has_a_key() -> None:
    """A text with a lone surrogate cannot be sent, but `key_of` returns a key for this text."""
    assert key_of(message(text="\ud800")) != key_of(message(text="\ud801"))


GREETING = Message("79031234567", "hello")
RECORDED = {
    "sha256:c9b97d7f0b7637eb23b7a96959347386e619b6b98962014a6c46e561c183f91d": Message(
        "79031234567", "hello"
    ),
    "sha256:9695def2ce355422605ba555e35d511a5da4da2dac9d5e877b44d3d1d7e8b7e0": Message(
        "+79031234567", "hello", source_address="ACME", send_date=DATE, validity=60
    ),
    "sha256:305a2a523670687e0416989ed06e5c971c4579d4be9710c8a47ea84c3a70bd80": Message(
        "79031234567", "Привет", send_date=DATE.replace(tzinfo=None), by_time_zone=True
    ),
}


@pytest.mark.parametrize("key", RECORDED)
def test_keys_of_earlier_versions(key: str) -> None:
    """Derived keys are equal to the keys of version 0.1.

    Because of the equal keys, `claim` recognises the messages in a ledger that version 0.1 wrote.
    """
    assert key_of(RECORDED[key]) == key


def test_keys_are_quick() -> None:
    """Deriving a key takes less than 100 microseconds of CPU time, so `key_of` may run in the event loop."""
    many = [message(number, "x" * 500) for number in range(2000)]
    started = time.process_time()
    for each in many:
        key_of(each)
    assert (time.process_time() - started) / len(many) < 100e-6
