"""Splits a text into segments in the GSM 7-bit alphabet (3GPP TS 23.038) or in UCS-2 with surrogate pairs."""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import attrs

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# A character of the extension table needs two septets: the septet of the escape character, and the septet of
# the character itself.
_EXTENSION = frozenset("\f^{}\\[~]|€")
_GSM = _BASIC | _EXTENSION
# One of this many characters may be beyond the GSM alphabet, so that `costly_characters` names it.
_FEW = 4


def utf16_units(text: str) -> int:
    """Return the number of UTF-16 units in a text. .NET measures the length of a text in these units."""
    return len(text) if text.isascii() else sum(map(_utf16_cost, text))


def split_text(text: str) -> list[str]:
    """Return the segments of a text, in their order (contract, "Text").

    A text of one segment has at most 160 septets or 70 UTF-16 units. If a text has several segments, each
    segment has at most 153 septets or 67 UTF-16 units.
    """
    return list(_segments(text))


# The gateway, the stream of events and the page split the same texts again.
@lru_cache(maxsize=256)
def _segments(text: str) -> tuple[str, ...]:
    # If a text has several segments, each segment contains fewer characters than a single segment, because it
    # also contains a concatenation header of 6 bytes (3GPP TS 23.040).
    if _GSM.issuperset(text):
        return tuple(_split(text, _septet_cost, single=160, part=153))
    return tuple(_split(text, _utf16_cost, single=70, part=67))


def encoding_of(text: str) -> Literal["GSM-7", "UCS-2"]:
    """Return the encoding of a text: "GSM-7" if the GSM alphabet has all characters, otherwise "UCS-2"."""
    return "GSM-7" if _GSM.issuperset(text) else "UCS-2"


@attrs.frozen
class CostlyCharacters:
    """Characters that cost further segments.

    Attributes:
        characters: the characters, each once, in the order of the text.
        segments: the number of segments without these characters: a character with a surrogate pair is left
            out, and each other character is replaced by a plain letter.
    """

    characters: str
    segments: int


def costly_characters(text: str) -> CostlyCharacters | None:
    """Return the characters of a text that cost further segments; None if there are no such characters.

    There are three kinds. In a text whose characters are nearly all in the GSM alphabet, the other characters
    force UCS-2, for example a typographic apostrophe. In the GSM alphabet, a character of the extension table
    takes two places, for example a bracket. In UCS-2, a character with a surrogate pair takes two places, for
    example an emoji.
    """
    beyond = [character for character in text if character not in _GSM]
    if 0 < len(beyond) * _FEW <= len(text):
        costly = frozenset(beyond)
    elif beyond:
        costly = frozenset(character for character in beyond if _utf16_cost(character) > 1)
    else:
        costly = _EXTENSION
    if costly.isdisjoint(text):
        return None
    without = len(split_text("".join(_plain(each) if each in costly else each for each in text)))
    if without >= len(_segments(text)):
        return None
    return CostlyCharacters("".join(each for each in dict.fromkeys(text) if each in costly), without)


def _plain(character: str) -> str:
    return "" if _utf16_cost(character) > 1 else "a"


def _septet_cost(character: str) -> int:
    return 2 if character in _EXTENSION else 1


def _utf16_cost(character: str) -> int:
    return 2 if character > "\uffff" else 1


def _split(text: str, cost: Callable[[str], int], *, single: int, part: int) -> list[str]:
    costs = list(map(cost, text))
    if sum(costs) <= single:
        return [text]
    # A segment never ends inside a character: the two septets or the two units of a character stay together.
    pieces, start, used = [], 0, 0
    for position, each in enumerate(costs):
        if used + each > part:
            pieces.append(text[start:position])
            start, used = position, 0
        used += each
    return [*pieces, text[start:]]
