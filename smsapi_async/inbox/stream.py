"""The stream of incoming messages: asks round after round, when and as far as it is iterated."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from anyio.lowlevel import checkpoint as let_others_run

from smsapi_async.clock import Clock
from smsapi_async.errors import (
    InboxInUse,
    InvalidCredentials,
    ReadFailed,
    RequestRejected,
    SmsApiError,
    StreamNotEntered,
    ValidationError,
)
from smsapi_async.inbox.checkpoints import checked_checkpoint
from smsapi_async.inbox.position import Position
from smsapi_async.inbox.progress import Progress
from smsapi_async.inbox.rounds import InboxSettings
from smsapi_async.models import IncomingMessage
from smsapi_async.protocol.dates import aware

logger = logging.getLogger("smsapi_async")


class Read(Protocol):
    """`AsyncSmsClient.incoming`."""

    def __call__(self, *, since: datetime, until: datetime) -> Awaitable[list[IncomingMessage]]:
        """The messages of a period."""


class Inbox(AsyncIterator[IncomingMessage]):
    """Incoming messages, each once. Use it with ``async with``, and iterate in one task.

    Rounds are made while the next message is waited for, and at no other time: there is no task in the
    background, and a consumer that is slow delays the next round and loses nothing. Within a round
    messages come in the order of their creation, those without a date first; one that was filed late
    comes in the round that finds it, after younger ones of earlier rounds.

    **Seen** is a message when the next one is asked for. With a checkpoint the position is saved then,
    before the next is given; and at the start of the first run and at the end of each round. So after
    a crash, a cancellation or a `break` the next run begins with the message that was being handled,
    and with no other that was given before: at that seam, and where saving fails, a message is given
    at least once; everywhere else exactly once.

    A round that fails (`ReadFailed`, `RateLimited` or another `RequestRejected`) is made again after
    ``every``, or after what the gateway asked for if that is longer, and reaches back as far.
    `InvalidCredentials` is raised and ends the stream.

    Attributes:
        last_error: why the last round failed; None where it did not.
    """

    def __init__(
        self,
        read: Read,
        clock: Clock,
        check_usable: Callable[[], None],
        *,
        since: datetime | None,
        settings: InboxSettings,
        checkpoint: object,
    ) -> None:
        self._read = read
        self._clock = clock
        self._check_usable = check_usable
        self._first = None if since is None else aware("since", since)
        self._settings = settings
        self._checkpoint = checked_checkpoint(checkpoint)
        self._progress: Progress | None = None
        self._entered = False
        self._over = False
        self._iterating = False
        self._given = False
        self._unsaved = False
        self._due = clock.monotonic()
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
            return Progress.resume(position, self._settings)
        if position is not None:
            hint = "let load() return a Position or None"
            raise ValidationError("checkpoint", f"a <{type(position).__name__}> from load()", hint)
        progress = Progress.begin(self._first or self._clock.now(), self._settings)
        # Saved at once: a run that ends before its first round must not move the beginning.
        self._unsaved = True
        await self._save(progress)
        return progress

    async def _next(self, progress: Progress) -> IncomingMessage:
        if self._given:
            progress.settle()
            self._given, self._unsaved = False, True
        await self._save(progress)
        while (message := progress.upcoming) is None:
            await self._ask(progress)
            await self._save(progress)
        # The messages of one answer would otherwise come without a turn for anybody else.
        await let_others_run()
        self._given = True
        return message

    async def _ask(self, progress: Progress) -> None:
        wait = self._due - self._clock.monotonic()
        if wait > 0:
            await self._clock.sleep(wait)
        started, now = self._clock.monotonic(), self._clock.now()
        window = progress.next_window(now)
        try:
            messages = await self._read(since=window.since, until=window.until)
        except InvalidCredentials:
            self._over = True
            raise
        except (ReadFailed, RequestRejected) as error:
            self._put_off(error)
            return
        progress.receive(window, messages)
        self.last_error = None
        self._unsaved = progress.upcoming is None
        self._due = started if window.until < now else started + self._settings.every

    def _put_off(self, error: ReadFailed | RequestRejected) -> None:
        asked_for = error.retry_after if isinstance(error, RequestRejected) else None
        self._due = self._clock.monotonic() + max(self._settings.every, asked_for or 0.0)
        self.last_error = error
        logger.warning("Sms/In failed and will be asked again: %s", error)

    async def _save(self, progress: Progress) -> None:
        if self._checkpoint is not None and self._unsaved:
            await self._checkpoint.save(progress.position)
            self._unsaved = False
