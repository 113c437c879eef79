"""How improbable a text is, in bits. The encoding that gives the least improbable text is the right one.

The costs are rough: minus the binary logarithm of the frequency of a letter, and a surcharge for each pair of
characters that hardly ever stand side by side, for example a Latin letter before a Cyrillic letter.
"""

import unicodedata
from functools import cache
from typing import Literal

_Script = Literal["cyrillic", "latin", "greek", "hebrew", "arabic", "han", "digit", "space", "mark"]

# The Russian letters by their cost.
_RUSSIAN = {
    **dict.fromkeys("о", 3.2),
    **dict.fromkeys("еаинт", 3.8),
    **dict.fromkeys("срвл", 4.4),
    **dict.fromkeys("кмдпу", 5.1),
    **dict.fromkeys("яыьгзб", 5.8),
    **dict.fromkeys("чйхж", 6.5),
    **dict.fromkeys("шюё", 7.3),
    **dict.fromkeys("цщэф", 8.2),
    **dict.fromkeys("ъ", 11.0),
}
_OTHER_CYRILLIC = {"і": 6.5, "ї": 9.0, "є": 9.0, "ґ": 9.0, "ў": 9.0}
# The letters with marks of Western Europe, and of the languages of cp1250, cp1254 and cp1257.
_WESTERN = frozenset("áàâäãåçèêëíîïñóôöõøúùûüßæ")
_EASTERN = frozenset("ąćęłńśźżčšžřěůťďňľőűășțşţđğıāēīūģķļņėįųĺŕ")
_RARE = frozenset("ýþðÿìòœ")
# Two letters with marks that stand side by side in real words.
_PAIRS = frozenset(
    [
        "çã",
        "çõ",
        "éé",
        "äß",
        "öß",
        "üß",
        "çü",
        "şı",
        "ış",
        "ğı",
        "łą",
        "łę",
        "łó",
        "źć",
        "ść",
        "żó",
        "ół",
        "łć",
    ]
)
_VOWELS = frozenset("aeiouyáàâäãåèéêëíîïóôöõøúùûüæœýÿìòąęěůőűăıāēīūėįų")
_CYRILLIC_VOWELS = frozenset("аеёиоуыэюяіїєь")
_CYRILLIC_CONSONANTS = frozenset("бвгджзйклмнпрстфхцчшщґ")
_COMMON_MARKS = {
    "\u00a0": 1.0,
    "’": 6.0,
    **dict.fromkeys("–—№", 4.0),
    **dict.fromkeys("…€°§©®™±×·•₽", 6.0),
    **dict.fromkeys("«»„“”‘", 8.0),
}
# The marks that stand before a letter, and the marks that stand after a letter.
_BEFORE_LETTERS = frozenset("«„‘“’")
_AFTER_LETTERS = frozenset("»”’“…™®")
# Dashes and no-break spaces may stand beside a letter, but mostly stand beside spaces and digits.
_DASHES = {"–": 5.0, "—": 5.0, "\u00a0": 2.0}
# Surcharges for pairs.
_MIXED, _RISING, _STUCK, _CAPITALS = 14.0, 12.0, 8.0, 0.5


def cost_of(word: str) -> float:
    """Return how improbable a word is, in bits. Only the characters outside of ASCII count."""
    cost = 0.0
    before = " "
    for mark in word:
        if mark > "\x7f":
            cost += _cost(mark)
        if mark > "\x7f" or before > "\x7f":
            cost += _pair_cost(before, mark)
        before = mark
    return cost + (_pair_cost(before, " ") if before > "\x7f" else 0.0)


@cache
def _script(mark: str) -> _Script:
    if mark.isspace():
        return "space"
    if mark.isdecimal():
        return "digit"
    if not mark.isalpha() or mark in "ªº":
        return "mark"
    name = unicodedata.name(mark, "")
    scripts: tuple[_Script, ...] = ("cyrillic", "latin", "greek", "hebrew", "arabic")
    for script in scripts:
        if name.startswith(script.upper()):
            return script
    return "han"


@cache
def _cost(mark: str) -> float:
    small = mark.lower()[:1]
    match _script(mark):
        case "cyrillic":
            return _RUSSIAN.get(small) or _OTHER_CYRILLIC.get(small, 14.0)
        case "latin":
            return _cost_of_latin(small)
        case "greek":
            return 4.0 if small in "αοιετσνηςυρπκμλ" else 6.0 if small in "βγδζθξφχψωάέήίόύώ" else 12.0
        case "hebrew" | "arabic":
            return 5.0
        case "han":
            return 11.0
        case _:
            return _cost_of_mark(mark)


def _cost_of_latin(small: str) -> float:
    if small == "é":
        return 4.5
    if small in _WESTERN:
        return 5.5
    return 6.0 if small in _EASTERN else 8.0 if small in _RARE else 10.0


def _cost_of_mark(mark: str) -> float:
    if mark in _COMMON_MARKS:
        return _COMMON_MARKS[mark]
    # Characters that draw boxes, private characters, control characters and undecodable bytes.
    if "\u2500" <= mark <= "\u259f" or unicodedata.category(mark) in {"Cc", "Cn", "Co"} or mark == "\ufffd":
        return 16.0
    return 10.0


@cache
def _pair_cost(before: str, after: str) -> float:
    """Return the surcharge for two characters side by side. At least one of them is outside of ASCII."""
    first, second = _script(before), _script(after)
    if first in {"space", "mark", "digit"} or second in {"space", "mark", "digit"}:
        return _cost_at_edge(before, after, first, second)
    if first != second:
        return _MIXED
    cost = 0.0
    if after.isupper():
        cost = _RISING if before.islower() else _CAPITALS
    if first == "latin":
        cost += _cost_of_latin_pair(before.lower(), after.lower())
    elif before == "ς":
        # The letter ς stands only at the end of a word.
        cost += _STUCK
    elif first == "cyrillic":
        # The letters ь, ъ and ы stand only after a consonant.
        cost += _cost_of_cyrillic_pair(before.lower(), after.lower())
        cost += _STUCK if after in "ьъыЬЪЫ" and before in "аеёиоуыэюяьъАЕЁИОУЫЭЮЯЬЪ" else 0.0
    return cost


def _cost_at_edge(before: str, after: str, first: _Script, second: _Script) -> float:
    """Return the surcharge at the beginning or at the end of a word, or beside a digit."""
    if "digit" in {first, second}:
        # A letter beside a digit. Spaces and common marks often stand beside digits.
        other = after if first == "digit" else before
        return (
            5.0
            if _script(other) not in {"space", "mark", "digit"}
            else 0.0
            if other in _COMMON_MARKS
            else 3.0
        )
    if first in {"space", "mark"} and second in {"space", "mark"}:
        return 0.0
    letter, mark = (after, before) if first in {"space", "mark"} else (before, after)
    if letter is after and letter in "ьъыЬЪЫÈÌÒÙ":
        # No word begins with these letters, except the Italian word È.
        return _STUCK
    if mark in _DASHES:
        return _DASHES[mark]
    return (
        0.0 if mark <= "\x7f" or mark in (_BEFORE_LETTERS if mark is before else _AFTER_LETTERS) else _STUCK
    )


def _cost_of_cyrillic_pair(before: str, after: str) -> float:
    # Vowels and consonants mostly alternate.
    if before in _CYRILLIC_CONSONANTS and after in _CYRILLIC_CONSONANTS:
        return 0.8
    return 1.2 if before in _CYRILLIC_VOWELS and after in _CYRILLIC_VOWELS else 0.0


def _cost_of_latin_pair(before: str, after: str) -> float:
    cost = 0.0
    if before > "\x7f" and after > "\x7f" and before + after not in _PAIRS:
        cost += 5.0
    if (before in _VOWELS) == (after in _VOWELS):
        cost += 3.0
    if before == "ń" and after in _VOWELS:
        cost += 4.0
    return cost
