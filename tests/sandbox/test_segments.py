"""The sandbox splits texts into segments and converts dates with the time zone of the recipient."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async.sandbox.number_rules import recipient_offset
from smsapi_async.sandbox.splitting import costly_characters, encoding_of, split_text, utf16_units
from tests.sandbox.support import START, logged_in, message


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("a", [1]),
        ("a" * 160, [160]),
        ("a" * 161, [153, 8]),
        ("a" * 306, [153, 153]),
        ("a" * 307, [153, 153, 1]),
        ("€" * 80, [80]),
        ("€" * 81, [76, 5]),
        ("a" * 152 + "€" + "a" * 10, [152, 11]),
        ("a" * 159 + "€", [153, 7]),
        ("ы" * 70, [70]),
        ("ы" * 71, [67, 4]),
        ("ы" * 134, [67, 67]),
        ("ы" * 135, [67, 67, 1]),
        ("🙂" * 35, [35]),
        ("🙂" * 36, [33, 3]),
        ("ы" * 66 + "🙂" + "ы" * 5, [66, 6]),
        ("a" * 69 + "`", [70]),
        ("a" * 70 + "`", [67, 4]),
        ("Ç" * 160, [160]),
        ("ç" * 71, [67, 4]),
    ],
)
def test_sizes(text: str, sizes: list[int]) -> None:
    """The sandbox splits a text at the limits of GSM 03.38 or UCS-2, and never inside a character."""
    pieces = split_text(text)
    assert [len(piece) for piece in pieces] == sizes
    assert "".join(pieces) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=500))
def test_pieces_make_the_text(text: str) -> None:
    """The joined segments of any text are the text, and no segment exceeds the limit."""
    pieces = split_text(text)
    assert "".join(pieces) == text
    assert all(pieces)
    assert all(len(piece) <= 160 for piece in pieces)
    if len(pieces) > 1:
        assert all(len(piece.encode("utf-16-le")) // 2 <= 153 for piece in pieces)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_units_are_dotnets(text: str) -> None:
    """The sandbox measures the length of a text in UTF-16 units, as .NET does."""
    assert utf16_units(text) == len(text.encode("utf-16-le")) // 2


ZONES = {
    "79031234567": 3,
    "79131234567": 7,
    "79141234567": 10,
    "77011234567": 5,
    "380501234567": 2,
    "375291234567": 3,
    "12025550123": -5,
    "14155550123": -8,
    "447911123456": 0,
    "919812345678": 5.5,
    "999123456789": 3,
}


@pytest.mark.parametrize(("number", "hours"), ZONES.items())
def test_offset_by_prefix(number: str, hours: float) -> None:
    """The longest known prefix of a number determines the time zone.

    If the number has no known prefix, the time zone is GMT+03:00.
    """
    assert recipient_offset(number) == timedelta(hours=hours)


@pytest.mark.anyio
@pytest.mark.parametrize(("number", "hours"), ZONES.items())
async def test_send_by_time_zone(number: str, hours: float) -> None:
    """`Sms/SendByTimeZone` reads `SendDate` as the local time of the recipient.

    `Sms/Send` reads `SendDate` as GMT+03:00.
    """
    caller = await logged_in()
    noon = START.replace(hour=12, minute=30)
    fields = message(number, SendDate="2026-03-10T12:30:00")
    assert (await caller.post("Sms/SendByTimeZone", fields)).status_code == 200
    assert (await caller.post("Sms/Send", fields)).status_code == 200
    assert [each.send_date for each in caller.sandbox.account.messages] == [
        noon - timedelta(hours=hours),
        noon - timedelta(hours=3),
    ]
    assert [each.resource for each in caller.sandbox.account.messages] == ["Sms/SendByTimeZone", "Sms/Send"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-03-11T12:30:15", START.replace(day=11, hour=9, minute=30, second=15)),
        ("2026-03-11 12:30:15", START.replace(day=11, hour=9, minute=30, second=15)),
        ("2026-03-11T12:30", START.replace(day=11, hour=9, minute=30)),
        ("2026-03-12", START.replace(day=11, hour=21)),
        ("2026-03-11T12:30:15.5", START.replace(day=11, hour=9, minute=30, second=15, microsecond=500000)),
        # .NET writes up to seven decimals of a second, but a `datetime` of Python has only six decimals.
        (
            "2026-03-11T12:30:15.1234567",
            START.replace(day=11, hour=9, minute=30, second=15, microsecond=123456),
        ),
    ],
)
async def test_forms_of_a_date(written: str, moment: object) -> None:
    """A date may contain `T` or a space before the time.

    The time, the seconds and the fraction of a second are optional.
    """
    caller = await logged_in()
    await caller.send(SendDate=written)
    assert caller.sandbox.account.messages[0].send_date == moment


@pytest.mark.parametrize(
    ("text", "characters", "segments"),
    [
        ("Your code is 902644. It’s valid for 10 minutes. Never tell it to anyone, please.", "’", 1),
        ("a" * 159 + "—", "—", 1),
        ("a" * 100 + "«b»" + "c" * 57, "«»", 1),
        ("a" * 159 + "€", "€", 1),
        ("[" * 81, "[", 1),
        ("ы" * 69 + "🌷", "🌷", 1),
        ("🌷" * 36, "🌷", 1),
        ("Hello 🌷" + "a" * 80, "🌷", 1),
    ],
)
def test_costly_characters(text: str, characters: str, segments: int) -> None:
    """The sandbox names the characters that cost further segments, and the segments without them."""
    found = costly_characters(text)
    assert found is not None
    assert (found.characters, found.segments) == (characters, segments)
    assert len(split_text(text)) > segments


@pytest.mark.parametrize(
    "text", ["", "Hello", "It’s", "a" * 161, "ы" * 71, "ы" * 100, "Привет 🌷", "Tom & Jerry’s", "€"]
)
def test_no_costly_characters(text: str) -> None:
    """If no character costs a further segment, or the whole text is in another alphabet, there is no hint."""
    assert costly_characters(text) is None


@pytest.mark.parametrize(
    ("text", "encoding"), [("", "GSM-7"), ("€[]", "GSM-7"), ("ё", "UCS-2"), ("’", "UCS-2")]
)
def test_encoding(text: str, encoding: str) -> None:
    """The encoding is GSM-7 exactly if the GSM alphabet has all characters."""
    assert encoding_of(text) == encoding
