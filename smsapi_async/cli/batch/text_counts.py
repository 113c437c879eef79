"""Counts of texts: segments, encodings, texts that are a little too long, and needless UCS-2."""

import unicodedata
from collections import Counter
from functools import lru_cache

import attrs

from smsapi_async.models import Encoding, Segmentation
from smsapi_async.protocol.segments import LIMITS, segment, text_units

FEW_CHARACTERS = 5
"""A message whose last segment exists only because of so many characters or fewer is counted in `spills`."""
_LETTERS = frozenset({"Lu", "Ll", "Lt", "Lo"})


@attrs.frozen
class TextFacts:
    """The facts about one text.

    Attributes:
        segmentation: the segments of the text.
        spill: how many characters at the end of the text must go, so that the text has one segment less;
            None if the text has only one segment.
        forcing: the characters that alone make a text of the alphabet GSM 03.38 a text in UCS-2, each once.
        needless: the number of segments that the text has more because of the characters in `forcing`.
    """

    segmentation: Segmentation
    spill: int | None
    forcing: tuple[str, ...] = attrs.field(repr=lambda characters: f"<{len(characters)} characters>")
    needless: int

    @property
    def segments(self) -> int:
        """The number of segments of the text."""
        return self.segmentation.count


# With the cache, a text that many rows share is not divided into segments again for each row.
@lru_cache(maxsize=1024)
def text_facts(text: str) -> TextFacts:
    """Return the facts about a text."""
    segmentation = segment(text)
    forcing = segmentation.forcing_ucs2
    if not all(map(_is_replaceable, forcing)):
        forcing = ()
    replaced = text.translate({ord(character): "-" for character in forcing}) if forcing else text
    needless = segmentation.count - segment(replaced).count if forcing else 0
    return TextFacts(segmentation, characters_over(text, segmentation), forcing, needless)


def characters_over(text: str, segmentation: Segmentation) -> int | None:
    """Return how many characters at the end of a text must go, so that the text has one segment less.

    The shorter text keeps the encoding of the whole text. A character of two units counts as one character.

    Returns:
        The number of characters; None if the text has at most one segment.
    """
    if segmentation.count < 2:
        return None
    if segmentation.count > 2:
        return len(segmentation.parts[-1])
    # The only segment of a text has more room than the first of two segments.
    excess = segmentation.units - LIMITS[segmentation.encoding][0]
    if segmentation.units == len(text):
        return excess  # Each character has one unit.
    count = 0
    while excess > 0:
        count += 1
        excess -= text_units(text[-count], segmentation.encoding)
    return count


@attrs.define(kw_only=True)
class TextCounts:
    """The counts of the texts of a batch.

    Attributes:
        messages: the number of messages.
        by_segments: the number of messages for each number of segments.
        encodings: the number of messages for each encoding of the text.
        spills: for each number of segments, the number of messages that have the last of these segments only
            because of at most `FEW_CHARACTERS` characters.
        forcing: for each character that makes a text of the alphabet GSM 03.38 a text in UCS-2, the number of
            messages with the character. A text in another script than Latin does not count.
        forced: the number of messages with a character in `forcing`.
        needless: the number of segments that these messages have more because of the characters in `forcing`.
    """

    messages: int = 0
    by_segments: Counter[int] = attrs.field(factory=Counter)
    encodings: Counter[Encoding] = attrs.field(factory=Counter)
    spills: Counter[int] = attrs.field(factory=Counter)
    forcing: Counter[str] = attrs.field(factory=Counter)
    forced: int = 0
    needless: int = 0

    def add(self, text: str) -> None:
        """Count the text of a message."""
        facts = text_facts(text)
        self.messages += 1
        self.by_segments[facts.segments] += 1
        self.encodings[facts.segmentation.encoding] += 1
        if facts.spill is not None and facts.spill <= FEW_CHARACTERS:
            self.spills[facts.segments] += 1
        if facts.forcing:
            self.forcing.update(facts.forcing)
            self.forced += 1
            self.needless += facts.needless

    @property
    def segments(self) -> int:
        """The number of segments of all messages. The gateway bills every segment."""
        return sum(count * messages for count, messages in self.by_segments.items())


@lru_cache(maxsize=4096)
def _is_replaceable(character: str) -> bool:
    """Return whether a text can do without a character: whether it is no letter of another script."""
    if character <= "\xff" or unicodedata.category(character) not in _LETTERS:
        return True
    return unicodedata.name(character, "").startswith("LATIN")
