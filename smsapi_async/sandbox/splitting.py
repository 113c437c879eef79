"""Text into segments: 3GPP TS 23.038 (GSM 7 bit default alphabet) and UCS-2 with surrogate pairs."""

from collections.abc import Callable

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")
_GSM = _BASIC | _EXTENSION


def utf16_units(text: str) -> int:
    """The length of a text as .NET counts it."""
    return len(text) if text.isascii() else sum(map(_utf16_cost, text))


def split_text(text: str) -> list[str]:
    """The segments that carry a text, in order: 160 or 153 septets each, or 70 or 67 UTF-16 units."""
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
    pieces, start, used = [], 0, 0
    for position, each in enumerate(costs):
        if used + each > part:
            pieces.append(text[start:position])
            start, used = position, 0
        used += each
    return [*pieces, text[start:]]
