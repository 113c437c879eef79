"""The stream of incoming messages that `AsyncSmsClient.watch_incoming` returns.

`Inbox` makes requests only while a consumer waits for the next message.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Protocol, Self

from anyio.lowlevel import checkpoint as let_others_run

from smsapi_async.calls.event_hub import EventHub
from smsapi_async.calls.verdicts import Dated
from smsapi_async.clock import Clock
from smsapi_async.errors import (
    InboxInUse,
    InvalidArgument,
    InvalidCredentials,
    ReadFailed,
    RequestRejected,
    SmsApiError,
    StreamNotEntered,
    ValidationError,
)
from smsapi_async.inbox.checkpoints import checked_checkpoint
from smsapi_async.inbox.position import Position
from smsapi_async.inbox.progress import REACH, GatewayTime, Progress, Window, earlier, later
from smsapi_async.inbox.reading import report_skipped
from smsapi_async.inbox.receiver import IncomingReceiver
from smsapi_async.inbox.register import Turn
from smsapi_async.inbox.rounds import InboxSettings
from smsapi_async.models import IncomingMessage
from smsapi_async.observers import InboxRecovered, InboxRoundFailed
from smsapi_async.privacy import Hidden, type_name
from smsapi_async.protocol.dates import aware
from smsapi_async.protocol.decoding import IncomingRows

logger = logging.getLogger("smsapi_async")


# A sandbox can run 60 times as fast as the local clock. A time of the gateway that is computed from a later
# time and a duration has this error for each second of the duration.
_FASTEST_CLOCK = 60.0


class Read(Protocol):
    """The type of the function that reads the incoming messages of a period."""

    def __call__(self, *, since: datetime, until: datetime) -> Awaitable[Dated[IncomingRows]]:
        """Return the incoming messages of a period. Both dates of the period are aware."""


class Inbox(AsyncIterator[IncomingMessage]):
    """An async iterator over incoming messages. `AsyncSmsClient.watch_incoming` returns this object.

    Use the inbox with ``async with``, and iterate in one task inside the block::

        async with sms.watch_incoming(since=yesterday, checkpoint=ledger.checkpoint()) as messages:
            async for message in messages:
                ...

    In one run, the inbox returns each message once. The stream does not end by itself. To stop, leave the
    loop or cancel the task.

    Requests: while you wait for the next message, the inbox requests new messages every ``every`` seconds.
    The inbox has no background task: while you handle a message, the inbox makes no requests. A slow consumer
    delays the next request, but no message is lost.

    Periods: the period of each request overlaps the previous period by ``overlap`` (10 minutes by default),
    because the gateway may store a message some time after its creation date. The overlap must be longer than
    this delay of the gateway. If the overlap is too short, the inbox can miss a message. After a long time
    without a request, the inbox divides this time into periods of ``window`` (one day by default), and makes
    one request for each period without a pause. The inbox keeps only the ids of one overlap and of one
    response, and the messages of one response, in memory.

    Clocks: the inbox reads the time of the gateway in the header ``Date`` of each response. Your clock may be
    wrong, and it may change while the inbox runs. If the header is missing or invalid, your clock may differ
    from the clock of the gateway by at most two days, and a first run without ``since`` begins at your time.
    If the header is wrong, your clock must not be ahead of the gateway by more than ``overlap``. The inbox
    logs one warning if the clocks differ by more than ``overlap``.

    Malformed rows: a row of a response that is no message is left out, counted in ``skipped``, and reported
    once as a warning of the logger ``smsapi_async``. The inbox continues with the other messages.

    Order: messages of one response are sorted by creation date. Messages without a creation date come first.
    If the gateway stores a message late, the inbox may return newer messages before the late message.

    Restarts: a message counts as handled when you request the next message. The inbox then saves its position
    in the ``checkpoint`` before it returns the next message. The inbox also saves its position when a first
    run starts, and after each response without new messages. After a crash, a cancellation or a ``break``,
    the next run begins with the message that you were handling, so you can receive this one message twice.
    You can also receive a message twice if ``save`` raises an error and the process then ends. All other
    messages arrive exactly once.

    Start: if the checkpoint has a position, the inbox continues at this position and ignores ``since``.
    Without a saved position, the inbox begins at ``since``, or at the current time if ``since`` is None. If
    the start is later than the time of the gateway because your clock is ahead, the inbox begins earlier.

    Pushes: with a ``receiver``, the inbox and the `IncomingReceiver` give each message once, whichever gets
    the message first. If the receiver handled a message, the inbox leaves the message out. If the handler of
    the receiver is handling a message, the inbox waits for its end, and returns the message if the handler
    fails. While you handle a message, a push of this message waits, and gets the status 503 if you need more
    time than the ``timeout`` of the receiver. If you leave the loop, the receiver may handle the message that
    you were handling. Enter the inbox before the receiver gets requests, because the receiver then also knows
    the messages that an earlier run of the inbox handled. With ``claim`` of the receiver, the context manager
    stays open while you handle a message, and ends when you request the next message.

    Old messages: some gateways refuse a period that begins more than a year ago (contract, "Sms/In"). The
    inbox then leaves the older messages out, and logs a warning.

    Failures: after `ReadFailed`, `RateLimited` or another `RequestRejected`, the inbox repeats the request
    after ``every`` seconds, or later if the gateway asks for a longer wait. The repeated request includes the
    period of the failed request, so no message is lost. Each failure is logged as a warning of the logger
    ``smsapi_async``. Only `InvalidCredentials` ends the stream.

    Attributes:
        last_error: the error of the last request, or None if the last request succeeded.
        skipped: the number of malformed rows that this run left out.

    Raises:
        StreamNotEntered: if you iterate outside the ``async with`` block, or enter the inbox twice.
        InboxInUse: while iterating, if two tasks iterate over the inbox at the same time.
        InvalidCredentials: while iterating, if the login or the password is wrong. The stream ends.
        ClientClosed: while iterating, if the client was closed.
        ValidationError: when you create the inbox, if ``since`` is naive, ``checkpoint`` or ``receiver`` has
            a wrong type, or the receiver has the same checkpoint. Also at ``async with``, if ``load`` of the
            checkpoint returned an object that is not a `Position`.
        Exception: if ``load`` or ``save`` of a checkpoint, or ``claim`` of the receiver, raised this error.
    """

    def __init__(
        self,
        read: Read,
        clock: Clock,
        check_usable: Callable[[], None],
        hub: EventHub,
        *,
        since: datetime | None,
        settings: InboxSettings,
        checkpoint: object,
        receiver: object = None,
    ) -> None:
        self._read = read
        self._clock = clock
        self._check_usable = check_usable
        self._hub = hub
        # The number of successive failed rounds, and the time of the first one.
        self._failures = 0
        self._failing_since = 0.0
        self._first = None if since is None else aware("since", since)
        self._settings = settings
        self._checkpoint = checked_checkpoint(checkpoint)
        self._register = None if receiver is None else _checked_receiver(receiver, checkpoint).register
        # The turn to handle the message that the consumer is handling, if there is a receiver.
        self._turn: Turn | None = None
        # The id of the last handled message, if the register may not have saved the id yet.
        self._handled_id: Hidden[str] | None = None
        self._progress: Progress | None = None
        self._entered = False
        self._over = False
        self._iterating = False
        self._given = False
        self._unsaved = False
        self._due = self._entered_at = clock.monotonic()
        # Whether the start of the run is the time of the local clock, which no response has corrected yet.
        self._begins_now = False
        # The last header `Date`, and the monotonic time of its response.
        self._answered: tuple[datetime, float] | None = None
        self._has_warned = False
        # The digests of malformed rows that are already reported, each with the end of the last period.
        self._reported: dict[bytes, datetime] = {}
        self.skipped = 0
        self.last_error: SmsApiError | None = None

    async def __aenter__(self) -> Self:
        self._check_usable()
        if self._entered:
            raise StreamNotEntered
        self._entered = True
        self._progress = await self._start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress = None
        turn, self._turn = self._turn, None
        if self._register is not None:
            self._register.keep_from(None)
        if turn is not None:
            await turn.undone(exc_value)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> IncomingMessage:
        if self._progress is None:
            raise StreamNotEntered
        if self._over:
            raise StopAsyncIteration
        if self._iterating:
            raise InboxInUse
        self._iterating = True
        try:
            return await self._next(self._progress)
        finally:
            self._iterating = False

    async def _start(self) -> Progress:
        position: object = None if self._checkpoint is None else await self._checkpoint.load()
        if isinstance(position, Position):
            progress = Progress.resume(position, self._settings)
            if self._register is not None:
                await self._register.adopt(position.ids)
            return progress
        if position is not None:
            hint = "let load() return a Position or None"
            raise ValidationError("checkpoint", f"a <{type(position).__name__}> from load()", hint)
        now = self._clock.now()
        self._begins_now, self._entered_at = self._first is None, self._clock.monotonic()
        first = self._first or now
        progress = Progress.begin(first, self._settings, confirmed=first > now)
        # We save the start position at once, so that the next run begins at the same start if this run ends
        # before its first response.
        self._unsaved = True
        await self._save(progress)
        return progress

    async def _next(self, progress: Progress) -> IncomingMessage:
        # The previous message counts as handled when the consumer requests the next message.
        if self._given:
            self._given = False
            await self._confirm(progress)
        await self._save(progress)
        while (message := await self._upcoming(progress)) is None:
            await self._ask(progress)
            await self._save(progress)
        # We let other tasks run before each message. A consumer that never suspends would otherwise block the
        # event loop until all messages of one response are handled.
        await let_others_run()
        self._given = True
        return message

    async def _confirm(self, progress: Progress) -> None:
        """Mark the message that was given as handled, first for the receiver, and then for the next run."""
        turn, self._turn = self._turn, None
        if turn is not None and self._register is not None:
            await turn.done()
            self._handled_id = turn.id
        progress.mark_handled()
        self._unsaved = True

    async def _upcoming(self, progress: Progress) -> IncomingMessage | None:
        """Return the next message that the receiver has not handled, or None if a request must follow."""
        while self._register is not None and self._turn is None and progress.upcoming is not None:
            self._turn = await self._register.take(progress.upcoming.id)
            if self._turn is None:
                progress.mark_handled()
                self._unsaved = True
            # The client may have been closed while the receiver handled the message.
            self._check_usable()
        if self._unsaved:
            await self._save(progress)
        return progress.upcoming

    async def _ask(self, progress: Progress) -> None:
        wait = self._due - self._clock.monotonic()
        if wait > 0:
            await self._clock.sleep(wait)
        started, now = self._clock.monotonic(), self._clock.now()
        window = progress.next_window(now, self._gateway_at(started))
        if self._register is not None:
            self._register.keep_from(window.since)
        self._check_usable()
        try:
            response = await self._read(since=window.since, until=window.until)
        except InvalidCredentials as error:
            self._over = True
            self._report_failure(error, None)
            raise
        except (ReadFailed, RequestRejected) as error:
            if not self._skips(error, window, started, progress):
                self._put_off(error)
            return
        gateway = self._told(response.answered_at, started, progress)
        progress.receive(window, response.value, gateway)
        self._report(response.value.skipped, window)
        self._warn(now, gateway)
        self.last_error = None
        self._report_success()
        self._unsaved = progress.upcoming is None
        self._due = started if progress.is_behind else started + self._settings.every

    def _gateway_at(self, moment: float) -> datetime | None:
        """Return the time of the gateway at a monotonic time, or None if no response has told the time."""
        if self._answered is None:
            return None
        answered_at, then = self._answered
        return later(answered_at, timedelta(seconds=moment - then))

    def _told(self, answered_at: datetime | None, started: float, progress: Progress) -> GatewayTime | None:
        """Return the time of the gateway that a response tells, and set the start of a run that begins now.

        Args:
            answered_at: the time in the header ``Date``, or None.
            started: the monotonic time at which the request began.
            progress: the progress of this run.
        """
        now = self._clock.monotonic()
        self._answered = None if answered_at is None else (answered_at, now)
        # After the first response, messages may have been returned, so the start must not change any more.
        begins_now, self._begins_now = self._begins_now, False
        if answered_at is None:
            return None
        if begins_now:
            ago = timedelta(seconds=now - self._entered_at)
            progress.anchor(earlier(answered_at, ago), ago * _FASTEST_CLOCK)
        return GatewayTime.of(answered_at, now - started)

    def _report(self, skipped: tuple[bytes, ...], window: Window) -> None:
        """Report the malformed rows of a response that an earlier response did not contain."""
        known = {row: until for row, until in self._reported.items() if until >= window.since}
        new = [row for row in skipped if row not in known]
        self._reported = known | dict.fromkeys(skipped, window.until)
        self.skipped += len(new)
        report_skipped(len(new))

    def _warn(self, now: datetime, gateway: GatewayTime | None) -> None:
        """Log one warning if the local clock and the clock of the gateway differ by more than the overlap."""
        if gateway is None or self._has_warned:
            return
        difference = now - gateway.at_request
        if abs(difference) > self._settings.overlap:
            self._has_warned = True
            direction = "ahead of" if difference > timedelta(0) else "behind"
            logger.warning(
                "the local clock is %.0f s %s the gateway; incoming messages follow the gateway",
                abs(difference).total_seconds(),
                direction,
            )

    def _skips(
        self, error: ReadFailed | RequestRejected, window: Window, started: float, progress: Progress
    ) -> bool:
        """Begin later if the gateway refused a period because of its beginning, and return True then."""
        if not isinstance(error, InvalidArgument):
            return False
        now = self._clock.now()
        times = [now]
        if error.answered_at is not None:
            self._told(error.answered_at, started, progress)
            times.append(error.answered_at)
        # One of the two clocks may be wrong. A time by which the period began less than a year ago cannot be
        # right, because the gateway refused the period. Of two times, the earlier time skips less.
        limits = [limit for limit in (earlier(time, REACH) for time in times) if limit > window.since]
        if limits:
            progress.skip_before(min(limits))
        since = progress.next_window(now).since
        if since <= window.since:
            return False
        logger.warning("the gateway refuses periods that begin a year ago; the inbox begins at %s", since)
        self._due = self._clock.monotonic()
        self.last_error = error
        self._report_failure(error, 0.0)
        return True

    def _put_off(self, error: ReadFailed | RequestRejected) -> None:
        wait = max(self._settings.every, error.retry_after or 0.0)
        self._due = self._clock.monotonic() + wait
        self.last_error = error
        self._report_failure(error, wait)
        logger.warning("the request Sms/In failed and will be repeated: %s", error)

    def _report_failure(self, error: ReadFailed | RequestRejected, retry_in: float | None) -> None:
        """Emit the event of a failed round. The argument `retry_in` is None if the stream has ended."""
        self._failures += 1
        if self._failures == 1:
            self._failing_since = self._clock.monotonic()
        if self._hub.is_active:
            self._hub.emit(
                InboxRoundFailed(
                    failures=self._failures,
                    retry_in=retry_in,
                    code=error.code,
                    http_status=error.http_status,
                    error_type=type(error).__name__,
                )
            )

    def _report_success(self) -> None:
        """Emit the event of a round that succeeded after failed rounds."""
        failures, self._failures = self._failures, 0
        if failures and self._hub.is_active:
            elapsed = self._clock.monotonic() - self._failing_since
            self._hub.emit(InboxRecovered(failures=failures, elapsed=elapsed))

    async def _save(self, progress: Progress) -> None:
        if self._handled_id is not None and self._register is not None:
            # If the process ended between the two calls of `save`, the next run would find the id in the
            # register and leave the message out.
            await self._register.save(self._handled_id.value)
            self._handled_id = None
        if self._checkpoint is not None and self._unsaved:
            await self._checkpoint.save(progress.position)
            self._unsaved = False


def _checked_receiver(receiver: object, checkpoint: object) -> IncomingReceiver:
    if not isinstance(receiver, IncomingReceiver):
        raise ValidationError("receiver", type_name(receiver), "pass an IncomingReceiver")
    if receiver.has_checkpoint(checkpoint):
        hint = "pass another checkpoint than the checkpoint of the receiver"
        raise ValidationError("checkpoint", type_name(checkpoint), hint)
    return receiver
