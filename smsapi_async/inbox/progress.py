"""Which period is asked for next, which of its messages are new, which ids may be forgotten. No I/O here.

Why nothing is missed. A period that ends at `until` is asked for at `until` or later, so a message that
was not in the answer was filed after `until`. Where it is filed no later than the overlap after its
creation date, it was created after `until - overlap`, which is where the next period begins.
"""

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Self

import attrs

from smsapi_async.inbox.position import Position, checked_ids
from smsapi_async.inbox.rounds import InboxSettings
from smsapi_async.models import IncomingMessage
from smsapi_async.protocol.dates import ceiling, floor

_EARLIEST = datetime.min.replace(tzinfo=UTC)


@attrs.frozen
class Window:
    """A period to ask for, both ends included.

    Attributes:
        since: a whole second.
        until: not after the moment of asking, unless the clock was set back or has not come to the beginning.
    """

    since: datetime
    until: datetime

    def date_of(self, message: IncomingMessage) -> datetime:
        """Until which date the message may be answered again, as far as this period tells."""
        date = message.creation_date
        # The wire widens the end to a whole second. A date that is missing or lies outside cannot be
        # relied upon: such an id is remembered as long as answers go on naming it.
        if date is not None and self.since <= date <= ceiling(self.until):
            return date
        return self.until


def _order(message: IncomingMessage) -> tuple[bool, datetime]:
    # Without a date first: `until` follows the dates of what was seen, and must not overtake them.
    return message.creation_date is not None, message.creation_date or _EARLIEST


@attrs.define(eq=False)
class Progress:
    """How far a stream of incoming messages has come.

    A message counts as seen when `settle` is called for it. Memory: the ids and dates of the overlap,
    and the messages of one answer.
    """

    _settings: InboxSettings
    _until: datetime
    _since: datetime
    _seen: dict[str, datetime] = attrs.field(factory=dict)
    _window: Window | None = None
    _pending: deque[IncomingMessage] = attrs.field(factory=deque)

    @classmethod
    def begin(cls, since: datetime, settings: InboxSettings) -> Self:
        """A first start: nothing that was created before `since` (by whole seconds) is asked for."""
        return cls(settings, since, floor(since))

    @classmethod
    def resume(cls, position: Position, settings: InboxSettings) -> Self:
        """A start where another run has ended.

        Raises:
            ValidationError: the ids of the position are no pairs of an id and an aware date.
        """
        earliest = _EARLIEST if position.since is None else floor(position.since)
        return cls(settings, position.until, earliest, dict(checked_ids(position.ids)))

    def next_window(self, now: datetime) -> Window:
        """The period to ask for now; the same again until its answer is received."""
        # A clock that was set back does not take back what was seen.
        gap = max(now - self._until, timedelta(0))
        return Window(self._begin(), self._until + min(gap, self._settings.window))

    def receive(self, window: Window, messages: Iterable[IncomingMessage]) -> None:
        """Take the answer for a period. Only while `upcoming` is None."""
        new: dict[str, IncomingMessage] = {}
        for message in messages:
            if message.id in self._seen:
                self._seen[message.id] = max(self._seen[message.id], window.date_of(message))
            else:
                new.setdefault(message.id, message)
        self._window = window
        self._pending.extend(sorted(new.values(), key=_order))
        self._move_on(window.since)

    @property
    def upcoming(self) -> IncomingMessage | None:
        """The next message that was not seen; None where a period is to be asked for first."""
        return self._pending[0] if self._pending else None

    def settle(self) -> None:
        """`upcoming` was seen."""
        assert self._window is not None  # noqa: S101 - for the type checker
        message = self._pending.popleft()
        self._seen[message.id] = self._window.date_of(message)
        self._move_on(message.creation_date or self._window.since)

    @property
    def position(self) -> Position:
        """What to save, so that another run begins behind the message settled last."""
        self._forget()
        return Position(self._until, tuple(self._seen.items()), self._begin())

    def _move_on(self, date: datetime) -> None:
        """What was created before `date` has been seen; all of the period has, where nothing is pending."""
        assert self._window is not None  # noqa: S101 - for the type checker
        if not self._pending:
            self._until = max(self._until, self._window.until)
            self._forget()
        else:
            self._until = max(self._until, min(date, self._window.until))

    def _begin(self) -> datetime:
        overlap = min(self._settings.overlap, self._until - _EARLIEST)
        return max(self._since, floor(self._until - overlap))

    def _forget(self) -> None:
        begin = self._begin()
        self._seen = {id_: date for id_, date in self._seen.items() if date >= begin}
