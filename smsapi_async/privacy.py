"""Keeps secrets and personal data out of every text that this package produces."""

import itertools
import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

# The pattern matches phone numbers as people and gateways write them: 79031234567 or +7 (903) 123-45-67.
_LONG_NUMBER = re.compile(r"\d(?:[\s().-]{0,3}\d){6,}")
# The function `scrub` cuts off a gateway's text after this number of characters.
_LONGEST_WORDS = 1000
# A gateway's text may quote only a part of a private value. The function `scrub` masks each part of a private
# value that has at least this number of characters.
_SHORTEST_RUN = 8


class Secret:
    """A string that `repr` and `str` do not show.

    Args:
        value: the secret string, for example a password.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret string unmasked."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def type_name(value: object) -> str:
    """Return the type of a value with its module, such as ``<httpx.Client>``, and not the value.

    The module shows that an object belongs to another library than the wanted object of the same name. The
    types of Python itself have no module in the result, such as ``<int>``.
    """
    kind, prefix = (value, "class ") if isinstance(value, type) else (type(value), "")
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"<{prefix}{module}{kind.__qualname__}>"


def mask_number(number: object) -> str:
    """Return a phone number with all characters masked except the last two.

    A number of up to four characters is masked completely. None is not masked. If the object is not a `str`,
    the function returns the name of its type.
    """
    if number is None:
        return "None"
    if not isinstance(number, str):
        return type_name(number)
    return f"'***{number[-2:]}'" if len(number) > 4 else f"'***' ({len(number)} characters)"


def mask_source_address(source: object) -> str:
    """Return a source address. A source address that is a number is masked, and a name is not masked."""
    # A name has at most 11 characters (contract, "Addresses"). A longer value with letters is masked, because
    # it is not a valid name.
    if isinstance(source, str) and any(character.isalpha() for character in source) and len(source) <= 11:
        return repr(source)
    return mask_number(source)


def mask_text(text: object) -> str:
    """Return a description of a text, which contains only the length of the text."""
    if text is None:
        return "None"
    return f"<text of {len(text)} characters>" if isinstance(text, str) else type_name(text)


def mask_key(key: str | None) -> str:
    """Return a key with long numbers masked, because callers may use phone numbers as keys."""
    return repr(key if key is None else scrub(key, ()))


def is_encodable(text: str) -> bool:
    """Return whether a text can be encoded as UTF-8. A text with a lone surrogate cannot be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def scrub(words: str, private: Iterable[str]) -> str:
    """Return a gateway's text with private values and long numbers masked.

    A gateway may quote only a part of a private value, in upper or lower case, or URL-encoded.

    Args:
        words: the text of the gateway.
        private: the values that the result must not contain, for example a password or a message text.
    """
    words = unquote_plus(words[:_LONGEST_WORDS]) if "%" in words else words[:_LONGEST_WORDS]
    # The longest private value is masked first. If a shorter value that is a part of the longest value were
    # masked first, the rest of the longest value would stay in the text.
    for value in sorted(private, key=len, reverse=True):
        if value.isdigit():
            words = words.replace(value, "***")
        elif value:
            words = _without(words, value)
    return _LONG_NUMBER.sub(lambda match: "***" + match[0][-2:], words)


def _without(words: str, value: str) -> str:
    """Return a text in which a private value and the parts of the value are masked.

    A part of the value is masked if the part has at least `_SHORTEST_RUN` characters. Upper and lower case
    count as equal.
    """
    folded, hidden = words.casefold(), value.casefold()
    if len(folded) != len(words):
        # If case folding changes the length of the text ("ß" becomes "ss"), we compare the original texts,
        # because positions in the folded text are not the same as positions in the original text.
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
