"""Keeping secrets and personal data out of every text this package produces."""

import re
from collections.abc import Iterable

_LONG_NUMBER = re.compile(r"\d{7,}")


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


def scrub(words: str, private: Iterable[str]) -> str:
    """The gateway's words without the given private values and without long numbers."""
    # The longest first: a short text that is part of a secret must not cut it in pieces.
    for value in sorted(private, key=len, reverse=True):
        if value:
            words = words.replace(value, "***")
    return _LONG_NUMBER.sub(lambda match: "***" + match[0][-2:], words)
