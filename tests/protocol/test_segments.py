"""`segment` agrees with a second implementation in this file, which uses septets and UTF-16 bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async import Encoding, ValidationError, segment
from smsapi_async.protocol.segments import utf16_units

# The default alphabet of 3GPP TS 23.038 in the order of the septets. Septet 0x1B is the escape septet.
_ROWS_0_1 = (
    "0040 00A3 0024 00A5 00E8 00E9 00F9 00EC 00F2 00C7 000A 00D8 00F8 000D 00C5 00E5 "
    "0394 005F 03A6 0393 039B 03A9 03A0 03A8 03A3 0398 039E 001B 00C6 00E6 00DF 00C9"
)
DEFAULT = [chr(int(code, 16)) for code in _ROWS_0_1.split()] + [chr(code) for code in range(0x20, 0x80)]
for _position, _code in {
    0x24: 0xA4, 0x40: 0xA1, 0x5B: 0xC4, 0x5C: 0xD6, 0x5D: 0xD1, 0x5E: 0xDC, 0x5F: 0xA7,
    0x60: 0xBF, 0x7B: 0xE4, 0x7C: 0xF6, 0x7D: 0xF1, 0x7E: 0xFC, 0x7F: 0xE0,
}.items():  # fmt: skip
    DEFAULT[_position] = chr(_code)
# The extension table of 3GPP TS 23.038: in a sent text, an escape septet precedes each septet of this table.
EXTENSION = {
    0x0A: 0x0C,
    0x14: 0x5E,
    0x28: 0x7B,
    0x29: 0x7D,
    0x2F: 0x5C,
    0x3C: 0x5B,
    0x3D: 0x7E,
    0x3E: 0x5D,
    0x40: 0x7C,
}
EXTENSION[0x65] = 0x20AC
ESCAPE = 0x1B
SEPTETS = {
    **{character: [septet] for septet, character in enumerate(DEFAULT) if septet != ESCAPE},
    **{chr(code): [ESCAPE, septet] for septet, code in EXTENSION.items()},
}
CHARACTERS = {tuple(septets): character for character, septets in SEPTETS.items()}

# The sample has characters of one septet, of two septets, of one UTF-16 unit and of a surrogate pair.
characters = st.sampled_from(
    ["a", "Z", "é", "€", "[", "\\", "\f", "я", "ё", "ъ", "😀", "\uffff", "ç", "`", "\x1b", "\x00"]
)
gsm_characters = st.sampled_from(sorted(SEPTETS))


def _texts(alphabet: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return a strategy for texts with long runs of one character, so that texts have several segments."""
    runs = st.tuples(alphabet, st.integers(1, 170)).map(lambda run: run[0] * run[1])
    return st.lists(runs | alphabet, max_size=14).map("".join)


texts = (
    _texts(characters)
    | _texts(gsm_characters)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
)


def _cut_septets(text: str) -> list[str]:
    """Split a GSM 03.38 text into segments."""
    septets = [septet for character in text for septet in SEPTETS[character]]
    if len(septets) <= 160:
        return [text] if text else []
    # If a text has several segments, each segment has a header of 6 bytes (7 septets, 3GPP TS 23.040), and
    # 153 of the 160 septets remain for text.
    parts = []
    while septets:
        length = min(153, len(septets))
        if septets[length - 1] == ESCAPE:
            length -= 1
        parts.append(_read_septets(septets[:length]))
        septets = septets[length:]
    return parts


def _read_septets(septets: list[int]) -> str:
    text, escaped = "", False
    for septet in septets:
        if septet == ESCAPE and not escaped:
            escaped = True
            continue
        text += CHARACTERS[ESCAPE, septet] if escaped else CHARACTERS[septet,]
        escaped = False
    assert not escaped, "a segment ends with an escape septet"
    return text


def _cut_utf_16(text: str) -> list[str]:
    """Split a UCS-2 text into segments."""
    units = text.encode("utf-16-be")
    if len(units) <= 140:
        return [text]
    # If a text has several segments, each segment has a header of 6 bytes (3GPP TS 23.040), and 134 of the
    # 140 bytes remain for text.
    parts = []
    while units:
        length = min(134, len(units))
        if 0xD8 <= units[length - 2] <= 0xDB:
            length -= 2
        parts.append(units[:length].decode("utf-16-be"))
        units = units[length:]
    return parts


@given(text=texts)
def test_against_septets_and_utf_16(text: str) -> None:
    """A text is split at the documented limits, and never inside an escape sequence or a surrogate pair."""
    result = segment(text)
    is_gsm = all(character in SEPTETS for character in text)
    assert result.encoding is (Encoding.GSM_03_38 if is_gsm else Encoding.UCS_2)
    assert list(result.parts) == (_cut_septets(text) if is_gsm else _cut_utf_16(text))
    assert result.units == (
        sum(len(SEPTETS[one]) for one in text) if is_gsm else len(text.encode("utf-16-be")) // 2
    )


def test_the_whole_alphabet() -> None:
    """A character uses GSM 03.38 exactly if one of the two GSM 03.38 tables contains the character."""
    everything = [chr(code) for code in range(0x11000) if not 0xD800 <= code <= 0xDFFF]
    units = {one: segment(one).units for one in everything if segment(one).encoding is Encoding.GSM_03_38}
    assert units == {character: len(septets) for character, septets in SEPTETS.items()}


@given(text=texts)
def test_nothing_is_lost(text: str) -> None:
    """The joined segments are the complete text, and `count` is the number of segments."""
    result = segment(text)
    assert "".join(result.parts) == text
    assert result.count == len(result.parts)
    assert all(result.parts)


@given(text=texts)
def test_every_part_fits(text: str) -> None:
    """A single segment has at most 160 septets or 70 UTF-16 units.

    If a text has several segments, each segment has at most 153 septets or 67 UTF-16 units.
    """
    result = segment(text)
    alone = result.count == 1
    for part in result.parts:
        if result.encoding is Encoding.GSM_03_38:
            assert sum(len(SEPTETS[one]) for one in part) <= (160 if alone else 153)
        else:
            assert len(part.encode("utf-16-be")) // 2 <= (70 if alone else 67)


@given(text=texts)
def test_the_characters_that_force_ucs_2(text: str) -> None:
    """`forcing_ucs2` contains each character outside GSM 03.38 once.

    `forcing_ucs2` is empty if the encoding is GSM 03.38.
    """
    result = segment(text)
    outside = [character for character in text if character not in SEPTETS]
    assert list(result.forcing_ucs2) == sorted(set(outside), key=outside.index)
    assert (result.encoding is Encoding.GSM_03_38) is not bool(result.forcing_ucs2)


@pytest.mark.parametrize(
    ("text", "encoding", "units", "lengths"),
    [
        ("", "GSM 03.38", 0, []),
        ("test", "GSM 03.38", 4, [4]),
        ("a" * 160, "GSM 03.38", 160, [160]),
        ("a" * 161, "GSM 03.38", 161, [153, 8]),
        ("a" * 306, "GSM 03.38", 306, [153, 153]),
        ("a" * 307, "GSM 03.38", 307, [153, 153, 1]),
        ("€" * 80, "GSM 03.38", 160, [80]),
        ("€" * 81, "GSM 03.38", 162, [76, 5]),
        ("a" * 152 + "€" + "a" * 7, "GSM 03.38", 161, [152, 8]),
        ("я" * 70, "UCS-2", 70, [70]),
        ("я" * 71, "UCS-2", 71, [67, 4]),
        ("я" * 134, "UCS-2", 134, [67, 67]),
        ("😀" * 35, "UCS-2", 70, [35]),
        ("😀" * 36, "UCS-2", 72, [33, 3]),
        ("я" * 66 + "😀" + "я" * 3, "UCS-2", 71, [66, 4]),
        ("a" * 159 + "ç", "UCS-2", 160, [67, 67, 26]),
    ],
)
def test_at_the_limits(text: str, encoding: str, units: int, lengths: list[int]) -> None:
    """One segment contains up to 160 septets or 70 UTF-16 units. A longer text has a second segment."""
    result = segment(text)
    assert (result.encoding.value, result.units) == (encoding, units)
    assert [len(part) for part in result.parts] == lengths


@pytest.mark.parametrize("text", ["\ud83d", "a\ude00", "\ude00\ud83d", None, b"test", 5])
def test_what_cannot_be_segmented(text: str) -> None:
    """`segment` refuses a value that is not a string and a string with a lone surrogate."""
    with pytest.raises(ValidationError) as caught:
        segment(text)
    assert caught.value.parameter == "text"


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_units_are_those_of_utf_16(text: str) -> None:
    """`utf16_units` returns the number of UTF-16 units, which is the length of a string in .NET."""
    assert utf16_units(text) == len(text.encode("utf-16-le")) // 2
