"""The decisions of an `Inbox`: the next period, the new messages of a response, and the ids to remember.

The module ``progress`` does no I/O.

Why the inbox misses no message: a period ends at the time `until`, and the inbox requests the period at
`until` or later. If the response does not contain a message of the period, the gateway stores the missing
message only after `until`. The overlap must be at least as long as the time from the creation of a message
until the gateway stores the message. The missing message was therefore created after `until - overlap`. The
next period begins at `until - overlap`, so a later response contains the missing message.
"""

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Self

import attrs

from smsapi_async.inbox.position import Position, checked_ids
from smsapi_async.inbox.rounds import InboxSettings
from smsapi_async.models import IncomingMessage
from smsapi_async.protocol.dates import ceil_to_second, floor_to_second

_EARLIEST = datetime.min.replace(tzinfo=UTC)


@attrs.frozen
class Window:
    """The period of one request for incoming messages, including both ends; aware datetimes in UTC.

    Attributes:
        since: the start of the period, without a fraction of a second.
        until: the end of the period. The end is later than the time of the request only if the clock was set
            back, or if the clock has not reached the start of the period yet.
    """

    since: datetime
    until: datetime

    def date_of(self, message: IncomingMessage) -> datetime:
        """Return the date that `Progress` stores together with the id of a message.

        A later response can contain the message again if its period begins at or before the returned date.
        `Progress` must not forget the message id as long as such a period is possible.
        """
        date = message.creation_date
        # Requests have whole seconds, so the end of the requested period is rounded up. If the creation date
        # is missing or outside the period, the creation date cannot be trusted, and the end of the period is
        # used in its place. If a later response contains such a message again, `Progress` stores the end of
        # the later period with the message id.
        if date is not None and self.since <= date <= ceil_to_second(self.until):
            return date
        return self.until


def _order(message: IncomingMessage) -> tuple[bool, datetime]:
    # Messages without a creation date come first, because a message without a date may be older than all
    # others. `mark_handled` moves `until` to the creation date of each handled message, and must not move
    # `until` past a message that is not handled yet.
    return message.creation_date is not None, message.creation_date or _EARLIEST


@attrs.define(eq=False)
class Progress:
    """The progress of an `Inbox`: the handled messages and the received messages that are not handled yet.

    A message is handled when `mark_handled` is called for the message. `Progress` keeps only the message ids
    and dates of one overlap and the messages of one response in memory.
    """

    _settings: InboxSettings
    _until: datetime
    _since: datetime
    _handled: dict[str, datetime] = attrs.field(factory=dict)
    _window: Window | None = None
    _unhandled: deque[IncomingMessage] = attrs.field(factory=deque)

    @classmethod
    def begin(cls, since: datetime, settings: InboxSettings) -> Self:
        """Return the progress for a first run, without an earlier position.

        Args:
            since: the start of the first period, an aware datetime. `begin` rounds the start down to a whole
                second.
            settings: the settings of the inbox.
        """
        return cls(settings, since, floor_to_second(since))

    @classmethod
    def resume(cls, position: Position, settings: InboxSettings) -> Self:
        """Return the progress for a run that continues after an earlier run.

        Args:
            position: the last position of the earlier run.
            settings: the settings of the inbox. The earlier run may have used other settings.

        Raises:
            ValidationError: if `Position.ids` does not consist of pairs of an id and an aware date.
        """
        earliest = _EARLIEST if position.since is None else floor_to_second(position.since)
        return cls(settings, position.until, earliest, dict(checked_ids(position.ids)))

    def next_window(self, now: datetime) -> Window:
        """Return the period of the next request.

        The start of the next period stays the same until `receive` is called.

        Args:
            now: the current time, an aware datetime in UTC.
        """
        # If the clock was set back, `now` is before `_until`, but the end of the period must not move back.
        gap = max(now - self._until, timedelta(0))
        return Window(self._begin(), self._until + min(gap, self._settings.window))

    def receive(self, window: Window, messages: Iterable[IncomingMessage]) -> None:
        """Process the response for a period. Call `receive` only while `upcoming` is None.

        Args:
            window: the period of the request.
            messages: the messages in the response. A message may occur several times.
        """
        new: dict[str, IncomingMessage] = {}
        for message in messages:
            if message.id in self._handled:
                self._handled[message.id] = max(self._handled[message.id], window.date_of(message))
            else:
                new.setdefault(message.id, message)
        self._window = window
        self._unhandled.extend(sorted(new.values(), key=_order))
        self._advance(window.since)

    @property
    def upcoming(self) -> IncomingMessage | None:
        """The next message to handle. None means that the next step is a request."""
        return self._unhandled[0] if self._unhandled else None

    def mark_handled(self) -> None:
        """Mark the message in `upcoming` as handled."""
        assert self._window is not None  # noqa: S101 - the type checker needs this line
        message = self._unhandled.popleft()
        self._handled[message.id] = self._window.date_of(message)
        self._advance(message.creation_date or self._window.since)

    @property
    def position(self) -> Position:
        """The position to save. A later run with this position continues after the last handled message."""
        self._forget()
        return Position(self._until, tuple(self._handled.items()), self._begin())

    def _advance(self, date: datetime) -> None:
        """Move `_until` forward to a date or, if all messages are handled, to the end of the period.

        Args:
            date: a date before which all messages of the response are handled.
        """
        assert self._window is not None  # noqa: S101 - the type checker needs this line
        if not self._unhandled:
            self._until = max(self._until, self._window.until)
            self._forget()
        else:
            self._until = max(self._until, min(date, self._window.until))

    def _begin(self) -> datetime:
        overlap = min(self._settings.overlap, self._until - _EARLIEST)
        return max(self._since, floor_to_second(self._until - overlap))

    def _forget(self) -> None:
        begin = self._begin()
        self._handled = {id_: date for id_, date in self._handled.items() if date >= begin}
