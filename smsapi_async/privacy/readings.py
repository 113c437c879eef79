"""The readings of a text: a server may show a value encoded, decoded, or in a wrong character set."""

import html
import re
import unicodedata
from functools import lru_cache
from typing import Final

import attrs

# Each pass decodes one layer of encoding. A text with more layers than this number is not read to its end.
_MOST_LAYERS = 6
_ESCAPE = re.compile(
    r"(?P<percent>(?:%[0-9A-Fa-f]{2})+)"
    r"|(?P<octets>(?:\\x[0-9A-Fa-f]{2})+)"
    r"|(?P<units>(?:[%\\]u[0-9A-Fa-f]{4})+)"
    r"|(?P<point>\\U[0-9A-Fa-f]{8})"
    r"|(?P<slash>\\[/\"'\\bfnrt])"
    r"|(?P<entity>&(?:\#[0-9]{1,7}|\#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});?)",
    re.ASCII,
)
# An ``&`` or a backslash may also be a plain character just before a value, as in ``&copyright``. Therefore a
# text has further readings, in which the escapes of one kind are not decoded.
_LEFT_OUT: Final[tuple[frozenset[str], ...]] = (frozenset(), frozenset({"entity"}), frozenset({"slash"}))
_SHORTEST_REST = 4
_SLASHES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
# A server in Russia may write a text in one of these character sets, and read the bytes in another one.
_WRITTEN_AS: Final = ("utf-8", "cp1251", "cp866", "koi8-r", "ascii")
_READ_AS: Final = ("latin-1", "cp1252", "cp1251", "cp866", "koi8-r", "cp437")


@attrs.frozen
class Reading:
    """A text after some layers of encoding were removed.

    Attributes:
        text: the decoded text.
        spans: for each character of `text`, the begin and the end of its origin in the original text.
    """

    text: str
    spans: list[tuple[int, int]]


def readings(words: str) -> list[Reading]:
    """Return the text as it is and after each pass that removes one layer of encoding.

    A pass decodes percent-encoding, HTML entities and the escapes of JSON.
    """
    verbatim = Reading(words, [(index, index + 1) for index in range(len(words))])
    found = {words: verbatim}
    for left_out in _LEFT_OUT:
        reading = verbatim
        for _ in range(_MOST_LAYERS):
            decoded = _decoded(reading, left_out)
            if decoded is None:
                break
            reading = found.setdefault(decoded.text, decoded)
    return list(found.values())


def folded(reading: Reading) -> Reading:
    """Return a reading without the differences that do not matter; see `fold`."""
    characters: list[str] = []
    spans: list[tuple[int, int]] = []
    for character, span in zip(reading.text, reading.spans, strict=True):
        for each in _folded_character(character):
            if each == " " and characters and characters[-1] == " ":
                spans[-1] = (spans[-1][0], span[1])
            else:
                characters.append(each)
                spans.append(span)
    return Reading("".join(characters), spans)


def without_losses(reading: Reading) -> Reading:
    """Return a folded reading without each ``?`` that may stand for a lost character."""
    kept = [pair for pair in zip(reading.text, reading.spans, strict=True) if pair[0] != "?"]
    return Reading("".join(character for character, _ in kept), [span for _, span in kept])


def fold(text: str) -> str:
    """Return a text without the differences that do not matter for a comparison.

    Upper and lower case are equal, and so are a ``+`` and white space of any length. Control characters,
    marks and characters that stand for undecodable bytes are left out.
    """
    return re.sub(" +", " ", "".join(map(_folded_character, text)))


def forms(value: str) -> set[str]:
    """Return the folded texts that a server may show for a value, apart from layers of encoding."""
    found: set[str] = set()
    for reading in readings(value):
        found.add(fold(reading.text))
        if not reading.text.isascii():
            # A shorter rest of a text, for example the "12" of "код 12" in ASCII, would mask other words.
            found.update([form for form in map(fold, _garbled(reading.text)) if len(form) >= _SHORTEST_REST])
    found.update([form.replace("?", "") for form in found if len(form) - form.count("?") >= _SHORTEST_REST])
    # A server may remove the spaces around a value. A form of spaces only would mask every space.
    found.update([form.strip(" ") for form in found])
    return found - {"", " "}


def _garbled(text: str) -> set[str]:
    """Return the text as it looks if it is written in one character set and read in another one."""
    found = set()
    for written in _WRITTEN_AS:
        for read in _READ_AS:
            once = text.encode(written, "replace").decode(read, "replace")
            found.add(once)
            if written == "utf-8":
                found.add(once.encode(written, "replace").decode(read, "replace"))
    return found


@lru_cache(maxsize=4096)
def _folded_character(character: str) -> str:
    shown = unicodedata.normalize("NFKD", character.casefold()).casefold()
    kept = []
    for each in shown:
        if each.isspace() or each == "+":
            kept.append(" ")
        elif unicodedata.category(each) not in {"Cc", "Cf", "Mn"} and each != "\N{REPLACEMENT CHARACTER}":
            kept.append(each)
    return "".join(kept)


def _decoded(reading: Reading, left_out: frozenset[str]) -> Reading | None:
    """Remove one layer of encoding; None if the text has no layer.

    Args:
        reading: the text to decode.
        left_out: the groups of `_ESCAPE` that are not decoded.
    """
    characters: list[str] = []
    spans: list[tuple[int, int]] = []
    position = 0
    is_changed = False
    for match in _ESCAPE.finditer(reading.text):
        if match.lastgroup in left_out:
            continue
        begin, end = match.span()
        for character, width in _unescaped(match):
            if position < begin:
                characters.append(reading.text[position:begin])
                spans.extend(reading.spans[position:begin])
            last = (begin + width if width else end) - 1
            characters.append(character)
            spans.append((reading.spans[begin][0], reading.spans[last][1]))
            begin, is_changed = begin + width, True
            position = begin
    characters.append(reading.text[position:])
    spans.extend(reading.spans[position:])
    return Reading("".join(characters), spans) if is_changed else None


def _unescaped(match: re.Match[str]) -> list[tuple[str, int]]:
    """Return each decoded character, with the number of characters of its escape."""
    kind, escape = match.lastgroup, match[0]
    if kind == "slash":
        return [(_SLASHES.get(escape[1], escape[1]), 2)]
    if kind == "units":
        raw = bytes.fromhex("".join(escape[begin + 2 : begin + 6] for begin in range(0, len(escape), 6)))
        units = raw.decode("utf-16-be", "surrogatepass")
        return [(character, 6 * (1 + (character > "\uffff"))) for character in units]
    if kind in {"percent", "octets"}:
        width = 3 if kind == "percent" else 4
        return _from_octets(bytes.fromhex(re.sub(r"%|\\x", "", escape)), width)
    if kind == "point" or escape[1] == "#":
        return _from_point(escape)
    characters = html.unescape(escape)
    if characters == escape:
        return []
    # An entity may stand for two characters.
    widths = [0] * (len(characters) - 1) + [len(escape)]
    return list(zip(characters, widths, strict=True))


def _from_point(escape: str) -> list[tuple[str, int]]:
    digits = escape.lstrip("&#\\U").rstrip(";")
    base = 10 if escape[1] == "#" and digits[0] not in "xX" else 16
    point = int(digits.lstrip("xX"), base)
    return [(chr(point), len(escape))] if point < 0x110000 else []


def _from_octets(octets: bytes, width: int) -> list[tuple[str, int]]:
    """Decode bytes as UTF-8. A byte that is not UTF-8 becomes a character of Latin-1."""
    found = []
    for character in octets.decode("utf-8", "surrogateescape"):
        if "\udc80" <= character <= "\udcff":
            found.append((chr(ord(character) - 0xDC00), width))
        else:
            found.append((character, width * len(character.encode())))
    return found
