"""The life of a client: its event loop, its calls in progress, and its end."""

from __future__ import annotations

import os
import warnings
import weakref
from datetime import datetime

import anyio
from anyio.lowlevel import EventLoopToken, checkpoint, current_token

from smsapi_async.clock import Clock
from smsapi_async.errors import ClientClosed, NotSent, OutcomeUnknown, SmsApiError, WrongEventLoop
from smsapi_async.eventloop import running_asyncio_loop
from smsapi_async.http.exchange import Evidence, Exchanger
from smsapi_async.protocol.encoding import Request

# Number of turns of the event loop for which a close waits for the cancelled calls.
_TURNS = 10


class Lifetime:
    """Knows whether a client may be used, and ends the calls in progress when the client is closed.

    The client has no task group, because a client can be used without ``async with``. Each call runs in the
    task of the caller. A call has a cancel scope that this object cancels, or ends when the waits and the
    connections of the client are closed.

    Attributes:
        is_closed: whether `close` was called. No request starts after that.
        is_over: whether `end` has ended all calls in progress.
    """

    def __init__(self) -> None:
        # The event loop of the first call. A call in another event loop raises `WrongEventLoop`, because the
        # connections of the client belong to the event loop of the first call.
        self._loop: EventLoopToken | None = None
        self._asyncio_loop: object = None
        # Each call or wait in progress, with its cancel scope if it has one, and its evidence. The evidence
        # says whether the request was passed to the transport.
        self._in_progress: dict[object, tuple[anyio.CancelScope | None, Evidence]] = {}
        self._all_ended: anyio.Event | None = None
        self.is_closed = False
        self.is_over = False

    def check_open(self) -> None:
        """Check that the client is not closed.

        Raises:
            ClientClosed: if the client is closed.
        """
        if self.is_closed:
            raise ClientClosed

    def check_usable(self) -> None:
        """Check that the client is not closed, and that this is its event loop.

        Raises:
            ClientClosed: if the client is closed.
            WrongEventLoop: if the first call of the client was made in another event loop.
        """
        self.check_open()
        # The comparison of two asyncio loops takes a tenth of the time of the comparison of two tokens.
        if self._asyncio_loop is not None and running_asyncio_loop() is self._asyncio_loop:
            return
        self.check_loop()
        if self._loop is None:
            self._loop = current_token()
            self._asyncio_loop = running_asyncio_loop()

    def check_loop(self) -> None:
        """Check that this is the event loop of the client.

        Raises:
            WrongEventLoop: if the first call of the client was made in another event loop.
        """
        if self._loop is not None and self._loop != current_token():
            raise WrongEventLoop

    def enter(self, call: object, scope: anyio.CancelScope | None, evidence: Evidence) -> None:
        """Register a call or a wait, so that `end` waits for it or ends it.

        Args:
            call: identifies the call or the wait.
            scope: the cancel scope that `end` cancels; None if the call ends when the connections are closed.
            evidence: the trace events of the current attempt of the call.
        """
        self._in_progress[call] = scope, evidence

    def leave(self, call: object) -> None:
        """Remove a call or a wait that has ended."""
        del self._in_progress[call]
        if self._all_ended is not None and not self._in_progress:
            self._all_ended.set()

    @property
    def in_flight(self) -> int:
        """The number of requests that were passed to the transport and have not ended."""
        return sum(evidence.begun for _, evidence in self._in_progress.copy().values())

    def close(self) -> None:
        """Let no request start any more, and end the calls whose request was not passed to the transport."""
        self.is_closed = True
        for scope, evidence in self._in_progress.values():
            if scope is not None and not evidence.begun:
                scope.cancel()

    async def end(self, grace: float) -> None:
        """End the calls that are still in progress after `close`.

        If `end` is cancelled, or is called a second time without a grace, these calls end at once.

        Args:
            grace: the seconds for which the requests in flight may continue.
        """
        try:
            if grace > 0 and self._in_progress:
                with anyio.move_on_after(grace):
                    self._all_ended = self._all_ended or anyio.Event()
                    await self._all_ended.wait()
        finally:
            self.is_over = True
            for scope, _ in self._in_progress.values():
                if scope is not None:
                    scope.cancel()
            await self._let_calls_end()

    async def _let_calls_end(self) -> None:
        # The cancelled calls must run before the connections are closed: on trio, AnyIO replaces a
        # cancellation by an error if the connection is closed meanwhile. The number of turns is limited,
        # because a call may itself wait for the end, for example if a session store closes the client.
        with anyio.CancelScope(shield=True):
            for _ in range(_TURNS):
                if all(scope is None for scope, _ in self._in_progress.values()):
                    return
                await checkpoint()


class EndingClock:
    """The clock for the waits of streams. A wait raises `ClientClosed` when the client is closed.

    Args:
        clock: the clock of the client.
        lifetime: the life of the client.
    """

    def __init__(self, clock: Clock, lifetime: Lifetime) -> None:
        self._clock = clock
        self._lifetime = lifetime

    def now(self) -> datetime:
        """Return the current time of the client's clock."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Return the seconds on the client's clock, to measure durations."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for a number of seconds.

        Raises:
            ClientClosed: if the client is closed before the end of the wait.
        """
        self._lifetime.check_open()
        with anyio.CancelScope() as scope:
            self._lifetime.enter(scope, scope, Evidence())
            try:
                return await self._clock.sleep(seconds)
            finally:
                self._lifetime.leave(scope)
        raise ClientClosed


def warn_if_unclosed(client: object, exchanger: Exchanger) -> None:
    """Issue a `ResourceWarning` if a client is deleted without a close after its first request.

    Args:
        client: the client.
        exchanger: makes the requests of the client.
    """
    # The warning does not come from `__del__`: at the end of the interpreter, `__del__` would run when the
    # names of its module do not exist any more.
    weakref.finalize(client, _warn, exchanger, repr(client), os.getpid())


def _warn(exchanger: Exchanger, shown: str, process: int) -> None:
    # A forked child process shares the connections with its parent process, and does not close them.
    if exchanger.is_unclosed and os.getpid() == process:
        hint = "use `async with AsyncSmsClient(...)`, or call `await sms.aclose()` in its event loop"
        warnings.warn(f"unclosed {shown}; {hint}", ResourceWarning, stacklevel=2)


def error_at_the_end(request: Request, evidence: Evidence) -> SmsApiError:
    """Return the error of a call that ends because the client is closed.

    Args:
        request: the request of the call.
        evidence: the trace events of the current attempt of the call.
    """
    if not request.resource.sends:
        return ClientClosed()
    if evidence.proves_not_sent():
        return NotSent("the client was closed before the request was written")
    return OutcomeUnknown("the client was closed before the response arrived")
