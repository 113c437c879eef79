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
    st.sampled_from([NUMBER, "4903123", "49031234"]),
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
        {"destination_address": 79031234568},
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
    assert "79031234568" not in str(caught.value)


def test_a_text_that_cannot_be_sent_still_has_a_key() -> None:
    """A text with a lone surrogate cannot be sent, but `key_of` returns a key for this text."""
    assert key_of(message(text="\ud800")) != key_of(message(text="\ud801"))


RECORDED = {
    "sha256:1IFOrDHt7hTJ0FfKzgP5JA:79031234567": Message("79031234567", "hello"),
    "sha256:c9zH6Ld8I2FR81G4QMNLwg:79031234567": Message(
        "+79031234567", "hello", source_address="ACME", send_date=DATE, validity=60
    ),
    "sha256:Y8mnBBd-38LBZQhI79P_Rw:79031234567": Message(
        "79031234567", "Привет", send_date=DATE.replace(tzinfo=None), by_time_zone=True
    ),
}


@pytest.mark.parametrize("key", RECORDED)
def test_derived_keys_do_not_change(key: str) -> None:
    """Derived keys are equal to recorded keys.

    If the derived keys changed, a ledger would not recognise its messages, and they would be sent again.
    """
    assert key_of(RECORDED[key]) == key


OTHER = key_of(message(1))


@pytest.mark.parametrize(
    "own", ["sha256:", OTHER[:-8], f"{OTHER}x", OTHER.upper(), f" {OTHER}", f"{OTHER}\n"]
)
def test_a_key_that_only_resembles_a_derived_key_is_kept(own: str) -> None:
    """A key of the user that is no derived key is used unchanged, whatever the key looks like."""
    assert key_of(message(key=own)) == own


def test_a_derived_key_counts_as_no_key() -> None:
    """A message whose `Message.key` is its own derived key has this key, as the message without a key has."""
    assert key_of(message(1, key=OTHER)) == OTHER


@pytest.mark.parametrize("change", [{"destination_address": NUMBER}, {"text": "another"}, {"validity": 1}])
def test_the_derived_key_of_another_message_is_refused(change: dict[str, Any]) -> None:
    """For a message with the derived key of another message, `key_of` raises a `ValidationError`."""
    with pytest.raises(ValidationError, match="the derived key of another message") as caught:
        key_of(attrs.evolve(message(1, key=OTHER), **change))
    assert caught.value.parameter == "key"
    assert NUMBER[:8] not in str(caught.value)


def test_keys_are_quick() -> None:
    """Deriving a key takes less than 100 microseconds of CPU time, so `key_of` may run in the event loop."""
    many = [message(number, "x" * 500) for number in range(2000)]
    started = time.process_time()
    for each in many:
        key_of(each)
    assert (time.process_time() - started) / len(many) < 100e-6
