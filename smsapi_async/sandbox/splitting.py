"""Splits a text into segments in the GSM 7-bit alphabet (3GPP TS 23.038) or in UCS-2 with surrogate pairs."""

from collections.abc import Callable

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# A character of the extension table needs two septets: the septet of the escape character, and the septet of
# the character itself.
_EXTENSION = frozenset("\f^{}\\[~]|€")
_GSM = _BASIC | _EXTENSION


def utf16_units(text: str) -> int:
    """Return the number of UTF-16 units in a text. .NET measures the length of a text in these units."""
    return len(text) if text.isascii() else sum(map(_utf16_cost, text))


def split_text(text: str) -> list[str]:
    """Return the segments of a text, in their order (contract, "Text").

    A text of one segment has at most 160 septets or 70 UTF-16 units. If a text has several segments, each
    segment has at most 153 septets or 67 UTF-16 units.
    """
    # If a text has several segments, each segment contains fewer characters than a single segment, because it
    # also contains a concatenation header of 6 bytes (3GPP TS 23.040).
    if _GSM.issuperset(text):
        return _split(text, _septet_cost, single=160, part=153)
    return _split(text, _utf16_cost, single=70, part=67)


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
