"""The ids of handled messages. A new id and a snapshot of all ids take constant time."""

from collections.abc import Iterable
from datetime import UTC, datetime

import attrs

EARLIEST = datetime.min.replace(tzinfo=UTC)
_SHORTEST_LOG = 1000

Pair = tuple[str, datetime]


@attrs.frozen(eq=False)
class Snapshot:
    """The handled ids at one time.

    All snapshots share one log. `HandledIds` only appends to the log, so a snapshot copies nothing.

    Attributes:
        log: pairs of an id and a date. A later pair replaces an earlier pair with the same id.
        length: the number of pairs in the log that belong to this snapshot.
        keep_from: the earliest date of a pair that belongs to this snapshot.
    """

    log: list[Pair] = attrs.field(repr=False)
    length: int
    keep_from: datetime

    def pairs(self) -> tuple[Pair, ...]:
        """Return the pairs of this snapshot, one for each id."""
        latest = dict(self.log[: self.length])
        return tuple([pair for pair in latest.items() if pair[1] >= self.keep_from])


class HandledIds:
    """The ids of handled messages, each with a date until which a response may contain the message again.

    Args:
        pairs: the ids and dates of an earlier run.
    """

    def __init__(self, pairs: Iterable[Pair] = ()) -> None:
        self._dates = dict(pairs)
        self._log = list(self._dates.items())
        self._keep_from = EARLIEST

    def date_of(self, id_: str) -> datetime | None:
        """Return the date that is stored with an id, or None if the id is not known."""
        return self._dates.get(id_)

    def put(self, id_: str, date: datetime) -> None:
        """Store an id with a date, in place of an earlier date."""
        self._dates[id_] = date
        self._log.append((id_, date))

    def forget_before(self, date: datetime) -> None:
        """Remove the ids with an earlier date. The call reads all ids."""
        if date <= self._keep_from:
            return
        self._keep_from = date
        self._dates = {id_: kept for id_, kept in self._dates.items() if kept >= date}
        # A new log needs time for each id. The log must therefore become twice as long before.
        if len(self._log) > 2 * len(self._dates) + _SHORTEST_LOG:
            self._log = list(self._dates.items())

    def snapshot(self, keep_from: datetime) -> Snapshot:
        """Return the ids with the given date or a later date."""
        return Snapshot(self._log, len(self._log), max(keep_from, self._keep_from))
