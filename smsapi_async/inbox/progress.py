"""The decisions of an `Inbox`: the next period, the new messages of a response, and the ids to remember.

The module ``progress`` does no I/O.

Why the inbox misses no message: the time `until` is never later than the time of the gateway at a response.
If the response does not contain a message that was created before `until`, the gateway stores the missing
message only after the response. The overlap must be at least as long as the time from the creation of a
message until the gateway stores the message. The missing message was therefore created after
`until - overlap`. The next period begins at `until - overlap`, so a later response contains the missing
message.

Two clocks and the messages tell the time of the gateway at a response. The header ``Date`` is the clock of
the gateway or of a proxy, and the local clock may be wrong too. `until` follows the earlier one of the two
clocks. The creation date of a message in the response also proves that the clock of the gateway has reached
this date. Without the header, `until` stays two days behind the local clock until a message arrives. The end
of a requested period can be in the future without any harm, so the period ends after both clocks.
"""

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Self

import attrs

from smsapi_async.inbox.handled import EARLIEST, HandledIds
from smsapi_async.inbox.position import Position, checked_ids
from smsapi_async.inbox.rounds import InboxSettings
from smsapi_async.models import IncomingMessage
from smsapi_async.protocol.dates import ceil_to_second, floor_to_second

# A request can contain the date `_LATEST` in every time zone.
_LATEST = datetime(9999, 12, 30, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
LARGEST_DIFFERENCE = timedelta(days=2)
"""The difference between the clocks up to which the inbox loses no message.

A date of the gateway that is further in the future of the local clock counts as wrong.
"""
REACH = timedelta(days=365) - LARGEST_DIFFERENCE
"""The longest time before now at which a period may begin, so that each gateway accepts the period.

Some gateways refuse a period that begins more than a year ago (contract, "Sms/In").
"""


def earlier(moment: datetime, by: timedelta) -> datetime:
    """Return `moment - by`, or the earliest `datetime` if the result would be out of range."""
    return moment - min(by, moment - EARLIEST)


def later(moment: datetime, by: timedelta) -> datetime:
    """Return `moment + by`, but at most `_LATEST`."""
    return _LATEST if by >= _LATEST - moment else moment + by


def open_end(now: datetime) -> datetime:
    """Return the end of a period that includes the time of the gateway, even if the local clock is behind.

    Args:
        now: the time of the local clock.
    """
    return later(now, LARGEST_DIFFERENCE)


@attrs.frozen
class GatewayTime:
    """The time of the gateway, as the header ``Date`` of a response tells the time.

    Attributes:
        at_request: the time at which the request began, or earlier.
        at_response: the time of the response, or later.
    """

    at_request: datetime
    at_response: datetime

    @classmethod
    def of(cls, answered_at: datetime, elapsed: float = 0.0) -> Self:
        """Return the time of the gateway.

        Args:
            answered_at: the time in the header ``Date``, which has no fraction of a second.
            elapsed: the seconds from the start of the request to the end of the response.
        """
        return cls(earlier(answered_at, timedelta(seconds=elapsed)), later(answered_at, _SECOND))


def shown_time(now: datetime, gateway: datetime | None) -> datetime:
    """Return a time that the clock of the gateway has certainly reached.

    Args:
        now: the time of the local clock at the request.
        gateway: the time of the header ``Date``, or None if the header is missing or invalid.
    """
    if gateway is None or gateway - now > LARGEST_DIFFERENCE:
        return earlier(now, LARGEST_DIFFERENCE)
    return min(now, gateway)


@attrs.frozen
class Window:
    """The period of one request for incoming messages, including both ends; aware datetimes in UTC.

    Attributes:
        since: the start of the period, without a fraction of a second.
        until: the end of the period. The end is later than the time of the request, by the overlap or more,
            unless the inbox divides a long time into several periods.
    """

    since: datetime
    until: datetime

    def has_date_of(self, message: IncomingMessage) -> bool:
        """Return whether the message has a creation date inside the period."""
        # Requests have whole seconds, so the end of the requested period is rounded up.
        date = message.creation_date
        return date is not None and self.since <= date <= ceil_to_second(self.until)

    def date_of(self, message: IncomingMessage) -> datetime:
        """Return the date that `Progress` stores together with the id of a message.

        A later response can contain the message again if its period begins at or before the returned date.
        `Progress` must not forget the message id as long as such a period is possible.
        """
        # If the creation date is missing or outside the period, the creation date cannot be trusted, and the
        # end of the period is used in its place. If a later response contains such a message again,
        # `Progress` stores the end of the later period with the message id.
        if message.creation_date is not None and self.has_date_of(message):
            return message.creation_date
        return self.until


def _order(message: IncomingMessage) -> tuple[bool, datetime]:
    # Messages without a creation date come first, because a message without a date may be older than all
    # others. `mark_handled` moves `until` to the creation date of each handled message, and must not move
    # `until` past a message that is not handled yet.
    return message.creation_date is not None, message.creation_date or EARLIEST


@attrs.define(eq=False)
class Progress:
    """The progress of an `Inbox`: the handled messages and the received messages that are not handled yet.

    A message is handled when `mark_handled` is called for the message. `Progress` keeps only the message ids
    and dates of one overlap and of one response, and the messages of one response, in memory.

    Attributes:
        is_behind: whether the next request must follow without a pause, because the last response did not
            reach the time of the gateway.
    """

    _settings: InboxSettings
    _until: datetime
    _since: datetime
    _handled: HandledIds = attrs.field(factory=HandledIds)
    # Whether a response has shown that the clock of the gateway has reached `_until`.
    _confirmed: bool = False
    # Whether the gateway returns messages that are older than the requested period. The position then
    # contains the ids of the whole last response, because the next response contains its messages again.
    _repeats_older: bool = False
    _is_first: bool = True
    _resumed: bool = False
    _now: datetime = EARLIEST
    _window: Window | None = None
    _covered: datetime = EARLIEST
    _unhandled: deque[IncomingMessage] = attrs.field(factory=deque)
    is_behind: bool = False

    @classmethod
    def begin(cls, since: datetime, settings: InboxSettings, *, confirmed: bool = False) -> Self:
        """Return the progress for a first run, without an earlier position.

        Args:
            since: the start of the first period, an aware datetime. `begin` rounds the start down to a whole
                second.
            settings: the settings of the inbox.
            confirmed: whether the inbox keeps the start even if the start is in the future of the gateway.
        """
        return cls(settings, since, floor_to_second(since), confirmed=confirmed)

    @classmethod
    def resume(cls, position: Position, settings: InboxSettings) -> Self:
        """Return the progress for a run that continues after an earlier run.

        Args:
            position: the last position of the earlier run.
            settings: the settings of the inbox. The earlier run may have used other settings.

        Raises:
            ValidationError: if `Position.ids` does not consist of pairs of an id and an aware date.
        """
        ids = checked_ids(position.ids)
        since = EARLIEST if position.since is None else floor_to_second(position.since)
        progress = cls(settings, position.until, since, HandledIds(ids), position.confirmed, resumed=True)
        progress._repeats_older = any(date < since for _, date in ids)
        return progress

    def anchor(self, entered: datetime, error: timedelta) -> None:
        """Set the start of a first run that begins at the current time, on the clock of the gateway.

        Args:
            entered: the time on the clock of the gateway at which the run began.
            error: the largest error of `entered`.
        """
        if abs(entered - self._until) <= self._settings.overlap:
            start = min(entered, self._until)
        else:
            start = earlier(entered, min(error, self._settings.overlap))
        self._until, self._since, self._confirmed = start, floor_to_second(start), True

    def skip_before(self, moment: datetime) -> None:
        """Let the next period begin at a moment, if it would begin earlier."""
        self._until = max(self._until, moment)
        self._since = max(self._since, floor_to_second(moment))

    def next_window(self, now: datetime, gateway: datetime | None = None) -> Window:
        """Return the period of the next request.

        The start of the next period stays the same until `receive` is called.

        Args:
            now: the current time of the local clock, an aware datetime in UTC.
            gateway: the current time of the gateway, estimated from an earlier response, or None.
        """
        self._now = now
        certain = now if self._is_first else shown_time(now, gateway)
        end = later(self._until, self._settings.window)
        # The limit applies only to a period in the past. The response then moves `_until` to its end. If the
        # limit also applied to a period that may be in the future, `_until` could stay where it is.
        self.is_behind = end < certain
        if not self.is_behind:
            latest = now if gateway is None else max(now, gateway)
            if gateway is None and not self._is_first:
                # The last response had no header `Date`, and the local clock may be behind the gateway.
                latest = open_end(now)
            end = max(later(latest, self._settings.overlap), self._until)
        begin = self._begin()
        # Some gateways refuse a period that ends when it begins (contract, "Sms/In").
        return Window(begin, end if begin < end else begin + _SECOND)

    def receive(
        self, window: Window, messages: Iterable[IncomingMessage], gateway: GatewayTime | None = None
    ) -> None:
        """Process the response for a period. Call `receive` only while `upcoming` is None.

        Args:
            window: the period of the request.
            messages: the messages in the response. A message may occur several times.
            gateway: the time of the gateway, or None if the response does not tell the time.
        """
        self._settle(gateway)
        latest = EARLIEST
        new: dict[str, IncomingMessage] = {}
        for message in messages:
            if window.has_date_of(message):
                latest = max(latest, window.date_of(message))
            elif message.creation_date is not None and message.creation_date < window.since:
                self._repeats_older = True
            self._sort_out(window, message, new)
        self._window = window
        self._unhandled.extend(sorted(new.values(), key=_order))
        self._cover(window, latest, None if gateway is None else gateway.at_request)
        self._handled.forget_before(min(window.since, self._begin()))
        self._advance(window.since)

    @property
    def upcoming(self) -> IncomingMessage | None:
        """The next message to handle. None means that the next step is a request."""
        return self._unhandled[0] if self._unhandled else None

    def mark_handled(self) -> None:
        """Mark the message in `upcoming` as handled."""
        assert self._window is not None  # noqa: S101 - the type checker needs this line
        message = self._unhandled.popleft()
        self._handled.put(message.id, self._window.date_of(message))
        self._advance(message.creation_date or self._window.since)

    @property
    def position(self) -> Position:
        """The position to save. A later run with this position continues after the last handled message."""
        begin = self._begin()
        ids = self._handled.snapshot(EARLIEST if self._repeats_older else begin)
        return Position(self._until, ids, begin, self._confirmed)

    def _settle(self, gateway: GatewayTime | None) -> None:
        """Move the start of the run back if the start is in the future and no response has confirmed it."""
        now = self._now if gateway is None else gateway.at_request
        latest = self._now if gateway is None else gateway.at_response
        if not self._confirmed and self._until > latest:
            # A wrong clock wrote `_until`. If the clock is still wrong, its difference to the clock of the
            # gateway tells the time that was meant.
            meant = earlier(self._until, max(self._now - now, timedelta(0)))
            self._until = min(meant, now)
            back = self._settings.overlap if self._resumed else timedelta(0)
            self._since = min(self._since, floor_to_second(earlier(self._until, back)))
        self._confirmed = self._confirmed or gateway is not None

    def _sort_out(self, window: Window, message: IncomingMessage, new: dict[str, IncomingMessage]) -> None:
        """Add a message to `new`, or store a later date with the id of a handled message."""
        known = self._handled.date_of(message.id)
        if known is None:
            date = message.creation_date
            # `anchor` can move the start of the first run into the period of its first response.
            if date is None or not window.since <= date < self._since:
                new.setdefault(message.id, message)
        elif known < earlier(window.until, self._settings.overlap):
            date = window.date_of(message)
            if date > known:
                self._handled.put(message.id, date)

    def _cover(self, window: Window, latest: datetime, gateway: datetime | None) -> None:
        """Set `_covered`, the time to which `_until` moves when all messages of a response are handled.

        Args:
            window: the period of the request.
            latest: the latest creation date in the response.
            gateway: the time of the gateway at the start of the request, or None.
        """
        # A creation date proves the time, unless the date is in the future of the gateway.
        proven = min(latest, self._now if gateway is None else gateway)
        shown = min(window.until, max(proven, shown_time(self._now, gateway)))
        # If the start moved back, messages between the new start and the period are missing.
        is_gap = window.since > self._begin()
        self._covered = self._until if is_gap else max(shown, self._until)
        self._confirmed = self._confirmed or shown >= self._until
        is_early = (
            gateway is not None
            and window.until < min(gateway, _LATEST)
            # A wrong date that is ever later must not cause requests without a pause.
            and (self._is_first or gateway - self._now <= LARGEST_DIFFERENCE)
        )
        self.is_behind = self.is_behind or is_gap or is_early
        self._is_first = False

    def _advance(self, date: datetime) -> None:
        """Move `_until` forward to a date or, if all messages are handled, to the time that is covered.

        Args:
            date: a date before which all messages of the response are handled.
        """
        self._until = max(self._until, min(date, self._covered) if self._unhandled else self._covered)

    def _begin(self) -> datetime:
        return max(self._since, floor_to_second(earlier(self._until, self._settings.overlap)))
