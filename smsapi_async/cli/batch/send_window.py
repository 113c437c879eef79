"""The hours of the day in which messages may be sent, and the pace of a batch."""

import re
from collections.abc import Callable
from datetime import datetime, time, timedelta, timezone
from typing import Self

import attrs

from smsapi_async.clock import Clock
from smsapi_async.errors import ValidationError

# The hours of a window are in GMT+03:00, whatever the time zone of the gateway: the user means the hours of
# the recipients, most of whom are in Russia.
_GMT_3 = timezone(timedelta(hours=3))
_WINDOW = re.compile(r"([0-9]{1,2}):([0-9]{2})\s*-\s*([0-9]{1,2}):([0-9]{2})", re.ASCII)
_DAY = timedelta(days=1)


@attrs.frozen
class SendWindow:
    """A part of the day, for example 10:00-20:00. It may contain midnight, for example 22:00-06:00.

    Attributes:
        opens: the first moment of the window.
        closes: the first moment after the window.
    """

    opens: time
    closes: time

    @classmethod
    def parse(cls, words: str) -> Self:
        """Parse a window, for example ``10:00-20:00``.

        Raises:
            ValidationError: if the words are no window, or if the window is empty.
        """
        hint = "pass two different times of the day, for example 10:00-20:00"
        match = _WINDOW.fullmatch(words.strip())
        try:
            first, second, third, fourth = map(int, match.groups() if match else ())
            window = cls(time(first, second), time(third, fourth))
        except ValueError:
            raise ValidationError("--window", repr(words[:40]), hint) from None
        if window.opens == window.closes:
            raise ValidationError("--window", repr(words[:40]), hint)
        return window

    def holds(self, moment: datetime) -> bool:
        """Return whether a moment is in the window.

        Args:
            moment: an aware date, which is compared in GMT+03:00, or a naive date in the
                local time of the recipient.
        """
        local = (moment if moment.tzinfo is None else moment.astimezone(_GMT_3)).time()
        if self.opens < self.closes:
            return self.opens <= local < self.closes
        return local >= self.opens or local < self.closes

    def wait(self, now: datetime) -> float:
        """Return the seconds until the window opens in GMT+03:00; 0 if the window is open.

        Args:
            now: the current time, aware.
        """
        if self.holds(now):
            return 0.0
        local = now.astimezone(_GMT_3)
        opening = datetime.combine(local.date(), self.opens, _GMT_3)
        return ((opening if opening > local else opening + _DAY) - local).total_seconds()

    def __str__(self) -> str:
        return f"{self.opens:%H:%M}-{self.closes:%H:%M}"


class SendGate:
    """Lets the messages of a batch pass in the hours of a window, and at a highest pace.

    Args:
        window: the hours in GMT+03:00; None means all hours.
        per_minute: the highest number of messages per minute; None means no limit.
        clock: the clock of the window and of the pace.
        on_wait: a function that is called with the seconds before the gate waits for the window.
    """

    def __init__(
        self,
        window: SendWindow | None,
        per_minute: float | None,
        clock: Clock,
        on_wait: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._window = window
        self._clock = clock
        self._on_wait = on_wait
        # Messages pass in portions, at most one portion a second, so that they can share requests.
        self._portion = max(1, int((per_minute or 0) / 60))
        self._interval = 0.0 if per_minute is None else 60 * self._portion / per_minute
        self._left = self._portion
        self._next = clock.monotonic()

    async def passed(self) -> None:
        """Wait until the next message may pass."""
        if self._interval:
            await self._keep_the_pace()
        if self._window is not None:
            while seconds := self._window.wait(self._clock.now()):
                self._on_wait(seconds)
                # The clock of this computer may be set during a long wait, so the gate looks at the clock
                # again every minute.
                await self._clock.sleep(min(seconds, 60.0))

    async def _keep_the_pace(self) -> None:
        if not self._left:
            self._left = self._portion
            self._next += self._interval
            seconds = self._next - self._clock.monotonic()
            if seconds > 0:
                await self._clock.sleep(seconds)
            else:
                # After a long wait, for example for the window, the pace begins anew: messages do not make up
                # for the time.
                self._next = self._clock.monotonic()
        self._left -= 1
