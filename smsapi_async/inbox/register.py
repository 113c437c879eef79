"""The register of messages: which incoming messages are handled, and which are being handled.

An `IncomingReceiver` has a register. An `Inbox` that runs together with the receiver uses the same register,
so that only one of them gives each message to the caller.
"""

import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import anyio

from smsapi_async.clock import Clock
from smsapi_async.errors import ValidationError
from smsapi_async.inbox.checkpoints import Checkpoint
from smsapi_async.inbox.handled import EARLIEST, HandledIds, Pair
from smsapi_async.inbox.position import Position
from smsapi_async.inbox.progress import earlier
from smsapi_async.privacy import Hidden, type_name

logger = logging.getLogger("smsapi_async")

Claim: TypeAlias = Callable[[str], AbstractAsyncContextManager[bool] | Awaitable[bool]]
"""The type of the function ``claim`` of an `IncomingReceiver`."""

Release: TypeAlias = Callable[[str], Awaitable[object]]
"""The type of the function ``release`` of an `IncomingReceiver`."""

# A receiver and an inbox may give different dates to one message: the clocks may differ by this time.
_LARGEST_DIFFERENCE = timedelta(days=2)
# The gateway makes the last attempt to push a message less than five minutes after the first attempt.
_REPLY_SECONDS = 15 * 60.0
# The longest time in seconds to undo a claim after a failure or a cancellation.
_UNDO_SECONDS = 5.0


class NotHandled(Exception):
    """The exception that a context manager of ``claim`` gets if a message was not handled.

    If the handler of a receiver raised an exception, the context manager gets that exception instead.
    """


class Turn:
    """The right to handle one message. Nobody else handles the message until `done` or `undone` is called.

    Args:
        register: the register that gave the turn.
        id_: the id of the message.
    """

    def __init__(self, register: "MessageRegister", id_: str) -> None:
        self._register = register
        self.id = Hidden(id_)
        self.ended = anyio.Event()
        self._manager: AbstractAsyncContextManager[bool] | None = None
        self._is_claimed = False

    @property
    def is_final(self) -> bool:
        """Whether a claim that returned False means that the message is handled, and not only claimed."""
        return self._manager is not None

    def keep_claim(self) -> None:
        """Use the claim of an earlier turn that could not be undone."""
        self._is_claimed = True

    async def claim(self, claim: Claim) -> bool:
        """Call the function ``claim`` of the caller, and return whether the message is new."""
        result: object = claim(self.id.value)
        is_new: Any
        if isinstance(result, AbstractAsyncContextManager):
            is_new = await result.__aenter__()
            self._manager = result
        else:
            # The result of a function that is not async is checked, too.
            is_new = await result if inspect.isawaitable(result) else result
        if not isinstance(is_new, bool):
            hint = "let it return True for a new message and False for a handled message"
            raise ValidationError("claim", f"a {type_name(is_new)}", hint)
        self._is_claimed = is_new
        return is_new

    async def done(self, reply: str | None = None) -> None:
        """Record that the message is handled.

        Args:
            reply: the reply to the message, for later pushes of the same message.

        Raises:
            Exception: if the context manager of the caller raised this error at its end. The message then
                counts as not handled.
        """
        try:
            await self._leave()
        except BaseException:
            self._register.end(self)
            raise
        self._register.put(self.id.value, reply)
        self._register.end(self)

    async def undone(self, error: BaseException | None = None) -> None:
        """Undo the claim, so that the message can be handled again. No error is raised.

        Args:
            error: the exception of the handler, or None.
        """
        try:
            with anyio.move_on_after(_UNDO_SECONDS, shield=True) as scope:
                await self._undo(NotHandled() if error is None else error)
            if scope.cancelled_caught:
                logger.warning("the claim of an incoming message could not be undone: it took too long")
        finally:
            self._register.end(self)

    async def _undo(self, error: BaseException) -> None:
        try:
            if self._manager is not None:
                await self._leave(error)
            elif self._is_claimed:
                await self._register.disclaim(self.id.value)
        except Exception as problem:  # noqa: BLE001 - the code of the caller may raise any exception
            if problem is not error:
                name = type(problem).__name__
                logger.warning("the claim of an incoming message could not be undone (%s)", name)

    async def _leave(self, error: BaseException | None = None) -> None:
        manager, self._manager = self._manager, None
        if manager is not None:
            trace = None if error is None else error.__traceback__
            await manager.__aexit__(None if error is None else type(error), error, trace)


class MessageRegister:
    """The incoming messages that are handled, and the messages that are being handled.

    All methods take constant time, except once in `memory`.

    Args:
        clock: the clock of the receiver.
        memory: how long the register keeps an id, at least. It keeps an id for at most twice this time.
        checkpoint: stores the ids, or None.
        claim: the function of the caller that decides whether a message is new, or None.
        release: the function of the caller that undoes a claim, or None.
    """

    def __init__(
        self,
        clock: Clock,
        memory: timedelta,
        checkpoint: Checkpoint | None = None,
        claim: Claim | None = None,
        release: Release | None = None,
    ) -> None:
        self._clock = clock
        self._memory = memory
        self.checkpoint = checkpoint
        self._claim = claim
        self._release = release
        self._handled = HandledIds()
        # The ids since the begin of the current period of the length `memory`. At its end, all other ids are
        # forgotten.
        self._recent: list[str] = []
        self._begin: datetime | None = None
        self._needed_from: datetime | None = None
        self._active: dict[str, Turn] = {}
        self._replies: dict[str, str] = {}
        self._reply_times: deque[tuple[float, str]] = deque()
        # The messages that this process claimed and did not handle, if the claim cannot be undone.
        self._kept_claims: set[str] = set()
        self._unsaved: set[str] = set()
        self._is_loaded = checkpoint is None
        self._lock = anyio.Lock()

    def __len__(self) -> int:
        return self._handled.snapshot(EARLIEST).length

    async def take(self, id_: str) -> Turn | None:
        """Return the turn to handle a message, or None if the message is handled.

        While the message is being handled, `take` waits for the end.

        Raises:
            Exception: if ``load`` of the checkpoint or ``claim`` raised this error.
            ValidationError: if ``load`` or ``claim`` returned an object of another type.
        """
        await self._load()
        while self._handled.date_of(id_) is None:
            other = self._active.get(id_)
            if other is not None:
                await other.ended.wait()
                continue
            turn = self._active[id_] = Turn(self, id_)
            if await self._is_new(turn):
                return turn
            if not turn.is_final:
                # The process that claimed the message may fail, and then this process may handle the message.
                self.end(turn)
                return None
            await turn.done()
        return None

    async def _is_new(self, turn: Turn) -> bool:
        if self._claim is None:
            return True
        if turn.id.value in self._kept_claims:
            turn.keep_claim()
            return True
        try:
            return await turn.claim(self._claim)
        except BaseException as error:
            await turn.undone(error)
            raise

    async def disclaim(self, id_: str) -> None:
        """Undo the claim of a function that returned True."""
        self._kept_claims.add(id_)
        if self._release is not None:
            released: object = self._release(id_)
            if inspect.isawaitable(released):
                await released
            self._kept_claims.discard(id_)

    def put(self, id_: str, reply: str | None) -> None:
        """Record that a message is handled, in memory."""
        now = self._clock.now()
        self._rotate(now)
        self._handled.put(id_, now)
        self._recent.append(id_)
        self._unsaved.add(id_)
        self._kept_claims.discard(id_)
        if reply is not None:
            self._keep_reply(id_, reply)

    def end(self, turn: Turn) -> None:
        """Let others handle the message of a turn, unless it is handled."""
        if self._active.get(turn.id.value) is turn:
            del self._active[turn.id.value]
        turn.ended.set()

    def reply_to(self, id_: str) -> str | None:
        """Return the reply to a handled message, or None."""
        return self._replies.get(id_)

    async def save(self, id_: str) -> None:
        """Save the ids, unless the checkpoint already contains this id.

        Raises:
            Exception: if ``save`` of the checkpoint raised this error.
        """
        if self.checkpoint is None:
            self._unsaved.clear()
            return
        async with self._lock:
            if id_ in self._unsaved:
                # `save` may wait. Ids that are handled meanwhile are not part of the snapshot.
                saved, snapshot = set(self._unsaved), self._handled.snapshot(EARLIEST)
                await self.checkpoint.save(Position(self._clock.now(), snapshot, confirmed=True))
                self._unsaved -= saved

    async def adopt(self, pairs: Iterable[Pair]) -> None:
        """Add the messages that an earlier run of an inbox handled. The checkpoint of the inbox has them."""
        await self._load()
        for id_, _ in pairs:
            if self._handled.date_of(id_) is None:
                self.put(id_, None)

    def keep_from(self, since: datetime | None) -> None:
        """Forget no message that an inbox may still receive.

        Args:
            since: the start of the next period of the inbox. None means that no inbox runs.
        """
        self._needed_from = since

    async def _load(self) -> None:
        if not self._is_loaded:
            async with self._lock:
                await self._load_once()

    async def _load_once(self) -> None:
        if self._is_loaded or self.checkpoint is None:
            return
        position: Any = await self.checkpoint.load()
        if position is not None and not isinstance(position, Position):
            hint = "let load() return a Position or None"
            raise ValidationError("checkpoint", f"a {type_name(position)} from load()", hint)
        if position is not None and position.ids:
            self._restore(position.ids)
        self._is_loaded = True

    def _restore(self, pairs: tuple[Pair, ...]) -> None:
        dates = [date for _, date in pairs]
        # The time of the latest message counts and not the current time: while the receiver did not run, the
        # inbox did not run either, and may still receive these messages.
        latest = max(dates)
        self._begin = max(min(dates), earlier(latest, self._memory))
        self._handled = HandledIds(pairs)
        self._recent = [id_ for id_, date in pairs if date >= self._begin]

    def _rotate(self, now: datetime) -> None:
        """Forget the ids that are older than the current period, if the current period ends."""
        if self._begin is None or now < self._begin:
            # The clock may have been set back.
            self._begin = now
        needed = self._needed_from
        is_needed = needed is not None and self._begin > earlier(needed, _LARGEST_DIFFERENCE)
        if is_needed or now - self._begin < self._memory:
            return
        recent = dict.fromkeys(self._recent)
        pairs = [(id_, date) for id_ in recent if (date := self._handled.date_of(id_)) is not None]
        self._handled = HandledIds(pairs)
        self._recent, self._begin = [], now

    def _keep_reply(self, id_: str, reply: str) -> None:
        now = self._clock.monotonic()
        while self._reply_times and self._reply_times[0][0] < now - _REPLY_SECONDS:
            self._replies.pop(self._reply_times.popleft()[1], None)
        self._replies[id_] = reply
        self._reply_times.append((now, id_))
