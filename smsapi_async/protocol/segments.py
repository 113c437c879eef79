"""How a text is split into segments: GSM 03.38 with its extension table, or UCS-2 (contract, "Text")."""

from collections.abc import Callable

from smsapi_async.errors import ValidationError
from smsapi_async.models import Encoding, Segmentation
from smsapi_async.privacy import mask_text

# 3GPP TS 23.038, 6.2.1: the default alphabet, without the escape itself.
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# 6.2.1.1: the extension table; each of these costs an escape and a septet.
_EXTENSION = frozenset("\f^{}\\[~]|€")
_GSM = _BASIC | _EXTENSION

_LIMITS = {Encoding.GSM_03_38: (160, 153), Encoding.UCS_2: (70, 67)}


def utf16_units(text: str) -> int:
    """The length of a text as .NET counts it."""
    if text.isascii() or max(text) < "\U00010000":
        return len(text)
    return len(text) + sum(character > "\uffff" for character in text)


def segment(text: str) -> Segmentation:
    """Split a text the way the gateway does, and say what it costs.

    Args:
        text: any text; the 2000 units a message may have are not checked here.

    Returns:
        The encoding, the text of each segment, the length in the encoding's units, and the
        characters that force UCS-2. An empty text has no segments.

    Raises:
        ValidationError: the text is not a `str`, or holds half a surrogate pair.
    """
    if not isinstance(text, str):
        raise ValidationError("text", mask_text(text), "pass a str")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValidationError("text", mask_text(text), "pass text without lone surrogates")
    forcing = tuple(dict.fromkeys(character for character in text if character not in _GSM))
    encoding = Encoding.UCS_2 if forcing else Encoding.GSM_03_38
    cost = _ucs2_cost if forcing else _gsm_cost
    units = sum(map(cost, text))
    single, multiple = _LIMITS[encoding]
    parts = ((text,) if text else ()) if units <= single else _split(text, cost, multiple)
    return Segmentation(encoding=encoding, parts=parts, units=units, forcing_ucs2=forcing)


def _gsm_cost(character: str) -> int:
    return 2 if character in _EXTENSION else 1


def _ucs2_cost(character: str) -> int:
    return 2 if character > "\uffff" else 1


def _split(text: str, cost: Callable[[str], int], limit: int) -> tuple[str, ...]:
    """Fill segment after segment; a character of two units is never cut in half."""
    parts = []
    start = used = 0
    for position, character in enumerate(text):
        units = cost(character)
        if used + units > limit:
            parts.append(text[start:position])
            start, used = position, 0
        used += units
    parts.append(text[start:])
    return tuple(parts)
