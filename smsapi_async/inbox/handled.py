"""The ids of handled messages. A new id and a snapshot of all ids take constant time."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime

import attrs

EARLIEST = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)
_SHORTEST_LOG = 1000

Pair = tuple[str, datetime]


def encoded(pairs: Iterable[Pair]) -> str:
    """Return the elements of a JSON array with one array of an id and a date for each pair."""
    return ", ".join([f'[{json.dumps(id_)}, "{date.isoformat()}"]' for id_, date in pairs])


class Log:
    """Pairs of an id and a date, and their JSON text, to which pairs are only appended.

    A later pair replaces an earlier pair with the same id.

    Attributes:
        pairs: the pairs, in the order in which they were appended.
        has_repeats: whether two pairs may have the same id.
        earliest: the earliest date of a pair.
    """

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self.pairs = list(pairs)
        self.has_repeats = False
        self.earliest = min((date for _, date in self.pairs), default=_LATEST)
        # The number of pairs that the text contains, and the text.
        self._text = (0, "")

    def append(self, pair: Pair) -> None:
        """Append a pair."""
        self.pairs.append(pair)
        self.earliest = min(self.earliest, pair[1])

    def text(self, length: int) -> str:
        """Return the JSON text of the first pairs. A text that is longer than the last one is continued."""
        count, text = self._text
        if length < count:
            return encoded(self.pairs[:length])
        added = encoded(self.pairs[count:length])
        text += f", {added}" if text and added else added
        self._text = (length, text)
        return text


@attrs.frozen(eq=False)
class Snapshot:
    """The handled ids at one time.

    All snapshots share one log. `HandledIds` only appends to the log, so a snapshot copies nothing.

    Attributes:
        log: the log of the handled ids.
        length: the number of pairs in the log that belong to this snapshot.
        keep_from: the earliest date of a pair that belongs to this snapshot.
    """

    log: Log = attrs.field(repr=False)
    length: int
    keep_from: datetime

    def pairs(self) -> tuple[Pair, ...]:
        """Return the pairs of this snapshot, one for each id."""
        latest = dict(self.log.pairs[: self.length])
        return tuple([pair for pair in latest.items() if pair[1] >= self.keep_from])

    def text(self) -> str:
        """Return the elements of a JSON array with the pairs of this snapshot."""
        # A new text needs time for each pair. A program that stores the text after each message would
        # otherwise need that time for each message.
        if self.log.has_repeats or self.log.earliest < self.keep_from:
            return encoded(self.pairs())
        return self.log.text(self.length)


class HandledIds:
    """The ids of handled messages, each with a date until which a response may contain the message again.

    Args:
        pairs: the ids and dates of an earlier run.
    """

    def __init__(self, pairs: Iterable[Pair] = ()) -> None:
        self._dates = dict(pairs)
        self._log = Log(self._dates.items())
        self._keep_from = EARLIEST

    def date_of(self, id_: str) -> datetime | None:
        """Return the date that is stored with an id, or None if the id is not known."""
        return self._dates.get(id_)

    def put(self, id_: str, date: datetime) -> None:
        """Store an id with a date, in place of an earlier date."""
        self._log.has_repeats = self._log.has_repeats or id_ in self._dates
        self._dates[id_] = date
        self._log.append((id_, date))

    def forget_before(self, date: datetime) -> None:
        """Remove the ids with an earlier date. The call reads all ids."""
        if date <= self._keep_from:
            return
        self._keep_from = date
        self._dates = {id_: kept for id_, kept in self._dates.items() if kept >= date}
        # A new log needs time for each id. The log must therefore become twice as long before.
        if len(self._log.pairs) > 2 * len(self._dates) + _SHORTEST_LOG:
            self._log = Log(self._dates.items())

    def snapshot(self, keep_from: datetime) -> Snapshot:
        """Return the ids with the given date or a later date."""
        return Snapshot(self._log, len(self._log.pairs), max(keep_from, self._keep_from))
