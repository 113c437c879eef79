"""Finds the login code in the text of a message."""

import re
from collections.abc import Iterator

# The words near which a code stands, in English and Russian, with their inflections. No letter precedes or
# follows a word, except in compounds such as "passcode" and "пин-код".
_WORD = re.compile(
    r"(?<![^\W\d_])(?:(?:pass|pin|пин|пинкод)?-?(?:codes?|код(?:а|у|ом|е|ы)?)|парол(?:ь|я|ю|ем|е)"
    r"|password|pin|пин|otp)(?![^\W\d_])",
    re.IGNORECASE,
)
# Digits that are no code: links, telephone numbers, and numbers of 9 or more digits.
_NO_CODE = re.compile(
    r"(?:https?://|www\.)\S+|\+(?:[ ()-]*[0-9]){10,12}(?![0-9])"
    r"|(?<![0-9])8[ (-]+[0-9]{3}[ )-]+[0-9]{3}[ -]?[0-9]{2}[ -]?[0-9]{2}(?![0-9])|[0-9]{9,}",
    re.IGNORECASE,
)
# No letter, digit or part of a date, a time or an amount of money touches a number. A code may be written in
# two groups: 123 456 or 123-456.
_START = r"(?<![^\W_])(?<![0-9][.,:/])"
_END = r"(?![^\W_])(?![.,:/][0-9])"
_NUMBER = re.compile(rf"{_START}(?:[0-9]{{4,8}}|[0-9]{{3}}[ -][0-9]{{3}}(?![ -][0-9])){_END}")
_SHORT_NUMBER = re.compile(rf"{_START}[0-9]{{3}}{_END}")
_ONLY_NUMBER = re.compile(rf"{_START}[0-9]{{4,8}}{_END}")
# A word and a code without a space, for example "код1234".
_GLUED = re.compile(rf"(?:{_WORD.pattern})(?=[0-9])", re.IGNORECASE)
_CLAUSE_END = re.compile(r"[,.!?;](?!\S)|\n")
# Between a word and the code that follows directly: no letter, no digit and no end of a sentence.
_DIRECTLY = re.compile(r"[^\w.!?;\n]*(?:is|это)?[^\w.!?;\n]*", re.IGNORECASE)


def find_code(text: str) -> str | None:
    """Return the login code in a text, as its digits, or None if the text has no code or several numbers.

    The code is the number of 4 to 8 digits nearest to a word such as code, код, пароль, PIN or OTP. A number
    that follows the word directly comes first. A text without such a word has a code if exactly one number
    has 4 to 8 digits. Links, telephone numbers, dates, times and amounts with a decimal point do not count.

    Args:
        text: the text of a message.
    """
    searched = _GLUED.sub(r"\g<0> ", _NO_CODE.sub(lambda match: "#" * len(match[0]), text))
    words = list(_WORD.finditer(searched))
    if not words:
        numbers = {match[0] for match in _ONLY_NUMBER.finditer(searched)}
        return numbers.pop() if len(numbers) == 1 else None
    found = list(_NUMBER.finditer(searched)) or list(_SHORT_NUMBER.finditer(searched))
    if not found:
        return None
    nearest = min(_distances(searched, words, found))
    return re.sub(r"[ -]", "", found[nearest[-1]][0])


def _distances(
    text: str, words: list[re.Match[str]], numbers: list[re.Match[str]]
) -> Iterator[tuple[bool, bool, int, bool, int]]:
    """Yield a sort key for each pair of a word and a number.

    A key contains whether the number does not follow the word directly, whether a clause ends between them,
    their distance, whether the number precedes the word, and the index of the number.
    """
    for index, number in enumerate(numbers):
        for word in words:
            precedes = number.start() < word.end()
            between = text[number.end() : word.start()] if precedes else text[word.end() : number.start()]
            is_direct = not precedes and _DIRECTLY.fullmatch(between) is not None
            yield not is_direct, _CLAUSE_END.search(between) is not None, len(between), precedes, index
