"""Keeping secrets and personal data out of every text this package produces."""

import itertools
import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

# As people and gateways write them: 79031234567, +7 (903) 123-45-67.
_LONG_NUMBER = re.compile(r"\d(?:[\s().-]{0,3}\d){6,}")
_LONGEST_WORDS = 1000
_SHORTEST_RUN = 8


class Secret:
    """A string that does not show itself: neither `repr` nor `str` holds it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The string itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def mask_number(number: object) -> str:
    """A phone number, or whatever was passed for one, as its last two characters."""
    if not isinstance(number, str):
        return f"<{type(number).__name__}>"
    return f"'***{number[-2:]}'" if len(number) > 4 else f"'***' ({len(number)} characters)"


def mask_source(source: object) -> str:
    """A source address: a name as it is, a number masked."""
    if isinstance(source, str) and any(character.isalpha() for character in source) and len(source) <= 11:
        return repr(source)
    return mask_number(source)


def mask_text(text: object) -> str:
    """A message text as its length."""
    return f"<text of {len(text)} characters>" if isinstance(text, str) else f"<{type(text).__name__}>"


def mask_key(key: str | None) -> str:
    """A key without a long number in it: people use phone numbers as keys."""
    return repr(key if key is None else scrub(key, ()))


def is_encodable(text: str) -> bool:
    """Whether a text is free of lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def scrub(words: str, private: Iterable[str]) -> str:
    """The gateway's words without the given private values and without long numbers.

    A gateway may quote what it was sent in part, in another case, or encoded for a URL.
    """
    words = unquote_plus(words[:_LONGEST_WORDS]) if "%" in words else words[:_LONGEST_WORDS]
    # The longest first: a short text that is part of a secret must not cut it in pieces.
    for value in sorted(private, key=len, reverse=True):
        if value.isdigit():
            words = words.replace(value, "***")
        elif value:
            words = _without(words, value)
    return _LONG_NUMBER.sub(lambda match: "***" + match[0][-2:], words)


def _without(words: str, value: str) -> str:
    """The words without the value, and without any longer run of characters that both have."""
    folded, hidden = words.casefold(), value.casefold()
    if len(folded) != len(words):
        # A character folds into two, so that positions would not fit.
        folded, hidden = words, value
    length = min(len(hidden), _SHORTEST_RUN)
    private = bytearray(len(words))
    for start in range(len(words) - length + 1):
        if folded[start : start + length] in hidden:
            private[start : start + length] = b"\1" * length
    pieces = itertools.groupby(zip(words, private, strict=True), key=lambda pair: pair[1])
    return "".join(
        "***" if is_private else "".join(character for character, _ in piece) for is_private, piece in pieces
    )
