"""Segment ids without the numbers of recipients, as a redacted ledger stores them.

A segment id may contain the number of the recipient, for example ``SAR-GW01+79160000000-5f3b1972-2-1``. A
redacted ledger stores a digest in place of the number. The digest identifies the number when the caller
passes the message again.

All functions of this module are pure.
"""

import re
from collections.abc import Collection, Iterable, Iterator

import attrs

from smsapi_async.ledger.keys import digest
from smsapi_async.privacy import steady_repr
from smsapi_async.protocol.placeholders import NATIONAL_PART, NUMBER

# A number has 7 to 15 digits. A shorter run of digits cannot contain a number.
_RUN = re.compile(r"[0-9]{7,}")
_SHORTEST, _LONGEST = 7, 15
# All numbers of the country codes 7 and 1 have 11 digits, and no country code begins with 0 (see
# `checked_destination_address`).
_NUMBER = re.compile(r"[71][0-9]{10}|[2-689][0-9]{6,14}")
# A part of a longer run of digits can be equal to a short number by chance.
_SHORTEST_PART = 10
_NATIONAL = 10
_COUNTRIES_OF_TEN = ("7", "1")
# The last ten digits of a number with 12 digits follow two digits.
_FIRST_TWO = tuple(str(code) for code in range(20, 100) if code // 10 != 7)
_WHOLE_MARK, _NATIONAL_MARK = "w", "n"


@steady_repr
@attrs.frozen
class RedactedId:
    """A segment id in which digests stand in place of numbers.

    Attributes:
        pieces: texts and marks in turn, beginning and ending with a text. A mark stands in place of a number:
            one letter, and then the digest of the whole number. The letter ``w`` means that the id contains
            the whole number, and ``n`` that the id contains the last ten digits of the number.
    """

    pieces: tuple[str, ...]

    @property
    def digests(self) -> set[str]:
        """The digests of the numbers that the segment id contains."""
        return {mark[1:] for mark in self.pieces[1::2]}

    def text(self, number: str = "") -> str:
        """Return the segment id as text.

        Args:
            number: a number without ``+``. This number is written in full. The other numbers, and all numbers
                if `number` is empty, are placeholders.
        """
        known = digest(number) if number else ""
        words = list(self.pieces)
        for place in range(1, len(words), 2):
            is_whole, is_known = words[place][0] == _WHOLE_MARK, words[place][1:] == known
            if is_known:
                words[place] = number if is_whole else number[-_NATIONAL:]
            else:
                words[place] = NUMBER if is_whole else NATIONAL_PART
        return "".join(words)


StoredId = str | RedactedId
"""A segment id as a ledger stores it: whole, or with digests in place of numbers."""


def redacted_ids(segment_ids: Iterable[str], digests: Collection[str]) -> tuple[StoredId, ...]:
    """Return segment ids with digests in place of numbers. Ids without a number are not changed.

    A number is a run of digits, with or without ``+`` before the run. The number of a Russian recipient may
    also begin with 8 in place of 7. A run of ten digits, with or without 0 before the run, may be the last
    ten digits of a number. In an id that also contains other characters, a number of at least ten digits is
    also found inside of a longer run. An id that consists only of more than 15 digits is never changed.

    Args:
        segment_ids: the segment ids from a response.
        digests: the digests of the numbers to replace, as `digest` returns them.
    """
    return tuple([_redacted_id(segment_id, digests) for segment_id in segment_ids])


def possible_digests(segment_ids: Iterable[str]) -> set[str]:
    """Return the digests of all numbers that segment ids may contain."""
    return {
        digest(number)
        for segment_id in segment_ids
        for run in _runs(segment_id)
        for start in range(len(run[0]))
        for _, _, number in _readings(run[0], start)
    }


def text_of(segment_id: StoredId, number: str = "") -> str:
    """Return a stored segment id as text; see `RedactedId.text`."""
    return segment_id.text(number) if isinstance(segment_id, RedactedId) else segment_id


def _redacted_id(segment_id: str, digests: Collection[str]) -> StoredId:
    pieces: list[str] = []
    written = 0
    for run in _runs(segment_id):
        for start, end, mark in _marks(run[0], digests):
            pieces += segment_id[written : run.start() + start], mark
            written = run.start() + end
    return RedactedId((*pieces, segment_id[written:])) if pieces else segment_id


def _runs(segment_id: str) -> Iterator[re.Match[str]]:
    """Return the runs of digits that may contain a number."""
    is_opaque = len(segment_id) > _LONGEST and segment_id.isascii() and segment_id.isdigit()
    return iter(()) if is_opaque else _RUN.finditer(segment_id)


def _marks(run: str, digests: Collection[str]) -> Iterator[tuple[int, int, str]]:
    """Yield the start, the end and the mark of each known number in a run of digits."""
    start = 0
    while start <= len(run) - _SHORTEST:
        for end, letter, number in _readings(run, start):
            hashed = digest(number)
            if hashed in digests:
                yield start, end, letter + hashed
                start = end
                break
        else:
            start += 1


def _readings(run: str, start: int) -> Iterator[tuple[int, str, str]]:
    """Yield the numbers that may begin at a place of a run: the end, the letter of the mark, the number.

    A longer number comes before a shorter number.
    """
    for end in range(min(len(run), start + _LONGEST), start + _SHORTEST - 1, -1):
        part, is_rest = run[start:end], end == len(run) and run[:start] in {"", "0"}
        if end - start < len(run) and len(part) < _SHORTEST_PART:
            return
        if _NUMBER.fullmatch(part):
            yield end, _WHOLE_MARK, part
        if len(part) == _NATIONAL:
            for first in _COUNTRIES_OF_TEN + (_FIRST_TWO if is_rest else ()):
                yield end, _NATIONAL_MARK, first + part
