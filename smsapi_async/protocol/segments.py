"""Splits a text into segments, in GSM 03.38 with the extension table or in UCS-2 (contract, "Text")."""

from collections.abc import Callable

from smsapi_async.errors import ValidationError
from smsapi_async.models import Encoding, Segmentation
from smsapi_async.privacy import is_encodable, mask_text, sealed

# The GSM 03.38 default alphabet without its escape character (3GPP TS 23.038, 6.2.1).
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# The GSM 03.38 extension table (3GPP TS 23.038, 6.2.1.1). Each of its characters needs two septets: an escape
# and a code.
_EXTENSION = frozenset("\f^{}\\[~]|€")
_GSM = _BASIC | _EXTENSION

LIMITS = {Encoding.GSM_03_38: (160, 153), Encoding.UCS_2: (70, 67)}
"""For each encoding: the maximum number of units in the only segment of a text, and in each of several
segments.
"""


_SHORT = LIMITS[Encoding.UCS_2][0] // 2


def utf16_units(text: str) -> int:
    """Return the number of UTF-16 units of a text. The gateway runs on .NET and counts UTF-16 units."""
    # To encode the text is ten times as fast as to look at each character in Python.
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def text_units(text: str, encoding: Encoding) -> int:
    """Return the length of a text in the units of an encoding that contains all characters of the text."""
    if encoding is Encoding.UCS_2:
        return utf16_units(text)
    return len(text) + (0 if _EXTENSION.isdisjoint(text) else sum(map(_EXTENSION.__contains__, text)))


def segment_count(text: str) -> int:
    """Return the number of segments of a text: the length of `Segmentation.parts`, but much faster."""
    # A character has at most two units, so a short text has one segment in each encoding.
    if len(text) <= _SHORT:
        return 1 if text else 0
    encoding = Encoding.GSM_03_38 if _GSM.issuperset(text) else Encoding.UCS_2
    units = text_units(text, encoding)
    single, multiple = LIMITS[encoding]
    if units <= single:
        return 1
    # Characters of two units are never divided, so that the segments may be shorter than `multiple`.
    return -(-units // multiple) if units == len(text) else len(segment(text).parts)


@sealed
def segment(text: str) -> Segmentation:
    """Split a text into segments in the same way as the gateway (contract, "Text").

    The gateway bills each segment. `segment` computes the result locally, without a request.

    Args:
        text: a text of any length, because `segment` does not check the limit of 2000 units for a message.

    Returns:
        The encoding, the text of each segment, the length in the units of the encoding, and the characters
        that force UCS-2. An empty text has no segments.

    Raises:
        ValidationError: if the text is not a `str`, or contains a lone surrogate.
    """
    if not isinstance(text, str):
        raise ValidationError("text", mask_text(text), "pass a str")
    if not is_encodable(text):
        raise ValidationError("text", mask_text(text), "pass text without lone surrogates")
    # `dict.fromkeys` is fast, so only the few different characters of the text are compared one by one.
    forcing = tuple(character for character in dict.fromkeys(text) if character not in _GSM)
    encoding = Encoding.UCS_2 if forcing else Encoding.GSM_03_38
    units = text_units(text, encoding)
    single, multiple = LIMITS[encoding]
    if units <= single:
        parts: tuple[str, ...] = (text,) if text else ()
    elif units == len(text):  # Each character has one unit, so all segments but the last have one length.
        parts = tuple(text[start : start + multiple] for start in range(0, units, multiple))
    else:
        parts = _split(text, _ucs2_cost if forcing else _gsm_cost, multiple)
    return Segmentation(encoding=encoding, parts=parts, units=units, forcing_ucs2=forcing)


def _gsm_cost(character: str) -> int:
    return 2 if character in _EXTENSION else 1


def _ucs2_cost(character: str) -> int:
    return 2 if character > "\uffff" else 1


def _split(text: str, cost: Callable[[str], int], limit: int) -> tuple[str, ...]:
    """Split a text into segments. A character of two units is never divided between two segments."""
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
