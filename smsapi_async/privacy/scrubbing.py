"""Masks private values and long numbers in the texts of other people, such as the gateway."""

import itertools
import re
import unicodedata
from collections.abc import Iterable

from smsapi_async.privacy.readings import Reading, folded, forms, readings, without_losses

# The pattern matches phone numbers as people and gateways write them: 79031234567 or +7 (903) 123-45-67.
_LONG_NUMBER = re.compile(r"\d(?:[\s().-]{0,3}\d){6,}")
# The function `scrub` cuts off a gateway's text after this number of characters.
_LONGEST_WORDS = 1000
# A private value may begin just before the cut. The masks are therefore computed for some more characters.
_BEYOND_THE_CUT = 200
# A gateway's text may quote only a part of a private value. The function `scrub` masks each part of a private
# value that has at least this number of characters.
_SHORTEST_RUN = 8


def scrub(words: str, private: Iterable[str]) -> str:
    """Return a gateway's text with private values and long numbers masked, on one line and printable.

    A gateway may quote only a part of a private value, in upper or lower case, and may change the value. The
    function masks each value that is percent-encoded, decoded once more, written with HTML entities or with
    the escapes of JSON, or read in a wrong character set; see `readings`.

    Args:
        words: the text of the gateway.
        private: the values that the result must not contain, for example a password or a message text.
    """
    return visible(masked(words, private))


def masked(words: str, private: Iterable[str]) -> str:
    """Return a text with private values and long numbers masked. Control characters stay as they are.

    Args:
        words: the text.
        private: the values that the result must not contain.
    """
    words = words[: _LONGEST_WORDS + _BEYOND_THE_CUT]
    hidden = bytearray(len(words))
    values = [value for value in private if value]
    for value in values:
        _hide_verbatim(hidden, words, value)
    runs = _runs(values)
    for reading in map(folded, readings(words)):
        _hide_runs(hidden, reading, runs)
        if "?" in reading.text:
            _hide_runs(hidden, without_losses(reading), runs)
        for match in _LONG_NUMBER.finditer(reading.text):
            # The last two digits of a number stay visible, so that a reader can recognize the number.
            _hide(hidden, reading, match.start(), match.end() - 2)
    pieces = itertools.groupby(
        zip(words[:_LONGEST_WORDS], hidden, strict=False), key=lambda pair: bool(pair[1])
    )
    return "".join(
        "***" if is_hidden else "".join(character for character, _ in piece) for is_hidden, piece in pieces
    )


def visible(words: str) -> str:
    r"""Return a text with its invisible characters as escapes such as ``\x1b`` and ``\u202e``.

    A control character, a line break or a change of the direction in the text of another person could forge a
    line of a log, or change the display of a terminal.
    """
    if words.isprintable():
        return words
    return "".join(
        character if _is_visible(character) else character.encode("unicode_escape").decode("ascii")
        for character in words
    )


def _is_visible(character: str) -> bool:
    # A space that is not U+0020, for example the no-break space in "10 000", is not printable for Python.
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _runs(values: list[str]) -> dict[int, set[str]]:
    """Return the texts to mask by their length: the parts of long values, and whole short values."""
    runs: dict[int, set[str]] = {}
    for value in values:
        # A part of a number is no secret, and the search for long numbers masks the part.
        if value.isdecimal() and value.isascii():
            runs.setdefault(len(value), set()).add(value)
            continue
        for form in forms(value):
            length = min(len(form), _SHORTEST_RUN)
            parts = runs.setdefault(length, set())
            parts.update(form[begin : begin + length] for begin in range(len(form) - length + 1))
    return runs


def _hide_runs(hidden: bytearray, reading: Reading, runs: dict[int, set[str]]) -> None:
    text = reading.text
    for length, parts in runs.items():
        for begin in range(len(text) - length + 1):
            if text[begin : begin + length] in parts:
                _hide(hidden, reading, begin, begin + length)


def _hide_verbatim(hidden: bytearray, words: str, value: str) -> None:
    begin = words.find(value)
    while begin >= 0:
        hidden[begin : begin + len(value)] = b"\1" * len(value)
        begin = words.find(value, begin + 1)


def _hide(hidden: bytearray, reading: Reading, begin: int, end: int) -> None:
    first, last = reading.spans[begin][0], reading.spans[end - 1][1]
    hidden[first:last] = b"\1" * (last - first)
