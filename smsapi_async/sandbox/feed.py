"""The numbered events of a sandbox, for the page, the control API, and tests that wait for a message."""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Literal, TypeAlias

import anyio
import attrs

from smsapi_async.sandbox.gate import waker
from smsapi_async.sandbox.steady import steady_repr

FeedKind: TypeAlias = Literal[
    "message",
    "incoming",
    "request",
    "answer",
    "state",
    "clock",
    "account",
    "faults",
    "push",
    "cleared",
    "reset",
]
"""The kinds of event. The docstring of `FeedEvent` describes each kind."""

MOST_EVENTS = 10_000
"""The number of events that a feed stores by default."""


@steady_repr
@attrs.frozen(repr=False, eq=False)
class FeedEvent:
    """One change of a sandbox.

    Attributes:
        number: the number of the event: 1, 2 and so on. No number is used twice.
        kind: the kind of the event:

            - "message": the sandbox accepted a message. `data` is the `AcceptedMessage`.
            - "incoming": an incoming message was stored. `data` is the `Incoming`.
            - "request": a request to the gateway arrived. `data` is the `Arrival`.
            - "answer": a request got its response. `data` is the `Arrival`.
            - "state": a test changed the states of a message. `data` is the `AcceptedMessage`.
            - "clock": the clock was moved, paused, started, or got another speed. `data` is None.
            - "account": the balance, the price, the latency, the sessions, the source addresses, the prepared
              responses or the gates were changed by a test. `data` is None.
            - "faults": the faulty line got another fault plan, or chose a fault. `data` is None.
            - "push": an attempt to push a message began or ended. `data` is the `PushAttempt`.
            - "cleared": the messages and requests were removed. `data` is None.
            - "reset": the sandbox was reset. `data` is None.
        data: the object that changed, or None.
    """

    number: int
    kind: FeedKind
    data: object = None

    def __repr__(self) -> str:
        return f"<FeedEvent {self.number}: {self.kind}>"


@steady_repr
class Feed:
    """The latest events of a sandbox, in their order.

    Any thread may call any method. Tasks of any event loop (asyncio or trio) may wait for the next event.

    Args:
        limit: the number of events that the feed stores. The feed removes older events.
    """

    def __init__(self, limit: int = MOST_EVENTS) -> None:
        self._lock = threading.Lock()
        self._events: deque[FeedEvent] = deque(maxlen=limit)
        self._last = 0
        self._ended = False
        self._wakers: list[Callable[[], object]] = []

    def __repr__(self) -> str:
        return f"<Feed: last event {self._last}, {len(self._events)} stored>"

    @property
    def last(self) -> int:
        """The number of the latest event; 0 if there was no event."""
        return self._last

    @property
    def is_ended(self) -> bool:
        """Whether the server of the sandbox is stopping, so that nobody should wait any longer."""
        return self._ended

    def append(self, kind: FeedKind, data: object = None) -> int:
        """Add an event, wake all waiters, and return the number of the event."""
        with self._lock:
            self._last += 1
            self._events.append(FeedEvent(self._last, kind, data))
            number, wakers, self._wakers = self._last, self._wakers, []
        _call(wakers)
        return number

    def since(self, number: int) -> list[FeedEvent] | None:
        """Return the events after an event, in their order.

        Args:
            number: the number of the last event that the caller knows; 0 asks for all events.

        Returns:
            The events after `number`. None means a gap: the feed has already removed some of these events, or
            `number` comes from another sandbox. After a gap, the caller must read everything again.
        """
        with self._lock:
            known = number - (self._last - len(self._events))
            if known < 0 or number > self._last:
                return None
            return list(islice(self._events, known, None))

    async def wait(self, after: int) -> bool:
        """Wait until the latest event has another number than `after`.

        Args:
            after: the number of the last event that the caller knows, for example `last`.

        Returns:
            True if there are events that the caller does not know. False if the server of the sandbox is
            stopping.
        """
        event = anyio.Event()
        wake = waker(event)
        if self._add_waker(after, wake):
            try:
                await event.wait()
            finally:
                self._remove_waker(wake)
        return self._last != after

    def wait_in_thread(self, after: int, timeout: float | None = None) -> bool:
        """Wait as `wait` does, but block the calling thread.

        Args:
            after: the number of the last event that the caller knows.
            timeout: the longest time to wait, in seconds of real time; None means no limit.

        Returns:
            True if there are events that the caller does not know. False if the server of the sandbox is
            stopping, or if `timeout` has passed.
        """
        event = threading.Event()
        if self._add_waker(after, event.set):
            try:
                event.wait(timeout)
            finally:
                self._remove_waker(event.set)
        return self._last != after

    def end(self) -> None:
        """End all waits, and let later waits return at once, until `reopen`."""
        with self._lock:
            self._ended = True
            wakers, self._wakers = self._wakers, []
        _call(wakers)

    def reopen(self) -> None:
        """Let later calls wait for events again."""
        self._ended = False

    def _add_waker(self, after: int, wake: Callable[[], object]) -> bool:
        """Add a function that the next event or `end` calls. Return False if the caller must not wait."""
        with self._lock:
            if self._ended or self._last != after:
                return False
            self._wakers.append(wake)
            return True

    def _remove_waker(self, wake: Callable[[], object]) -> None:
        # Only a waiter that was cancelled, or whose time has passed, still has its waker in the list.
        with self._lock, suppress(ValueError):
            self._wakers.remove(wake)


def _call(wakers: list[Callable[[], object]]) -> None:
    for wake in wakers:
        with suppress(RuntimeError, OSError):  # the event loop of the waiting task may have ended
            wake()
