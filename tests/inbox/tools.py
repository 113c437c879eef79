"""A clock that the client and the sandbox share, and helper functions for the tests of the inbox."""

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio.lowlevel
import httpx

from smsapi_async import AsyncSmsClient, RetryPolicy
from smsapi_async.inbox import Inbox
from smsapi_async.sandbox import Sandbox
from tests.client.tools import client_for

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SENDER = "79031234567"
ONE_ATTEMPT = RetryPolicy(attempts=1)


def after(seconds: float) -> datetime:
    """Return the time that is `seconds` seconds after `START`."""
    return START + timedelta(seconds=seconds)


class Killed(Exception):
    """The exception that simulates the end of the process during a wait."""


class SharedClock:
    """A clock for the client that shows the time of the sandbox. A sleep of the client adds to the time.

    Args:
        sandbox: the sandbox whose time the clock shows.
        skew: the time by which the clock of the client is ahead of the clock of the sandbox. A negative value
            means that the clock of the client is behind.

    Attributes:
        end: the time at which the process is killed. A wait that would last beyond this time raises `Killed`.
        waits: the length of each wait in seconds.
    """

    def __init__(self, sandbox: Sandbox, skew: timedelta = timedelta(0)) -> None:
        self.sandbox = sandbox
        self._skew = skew
        self.end = after(10_000_000)
        self.waits: list[float] = []
        self._filings: list[tuple[datetime, datetime, str]] = []

    def now(self) -> datetime:
        return self.sandbox.now() + self._skew

    def monotonic(self) -> float:
        return self.sandbox.now().timestamp()

    async def sleep(self, seconds: float) -> None:
        await anyio.lowlevel.checkpoint()
        target = self.sandbox.now() + timedelta(seconds=seconds)
        if target > self.end:
            raise Killed
        self.waits.append(seconds)
        self.move_to(target)

    def file(self, text: str, *, created: float, filed: float) -> None:
        """Plan an incoming message.

        Args:
            text: the text of the incoming message.
            created: the creation date of the message, in seconds after `START`.
            filed: the time from which the gateway returns the message, in seconds after `START`.
        """
        self._filings.append((after(filed), after(created), text))
        self._filings.sort()

    def move_to(self, target: datetime) -> None:
        """Move the time of the sandbox to `target`.

        Each planned message is filed when the time of the sandbox reaches the planned time of filing.
        """
        while self._filings and self._filings[0][0] <= target:
            filed, created, text = self._filings.pop(0)
            self.sandbox.advance(max(filed - self.sandbox.now(), timedelta(0)))
            self.sandbox.receive(SENDER, text=text, at=created)
        self.sandbox.advance(target - self.sandbox.now())


def in_process(sandbox: Sandbox, clock: SharedClock, **options: Any) -> AsyncSmsClient:
    """Return a client that calls the sandbox without a socket.

    Args:
        sandbox: the sandbox that the client calls.
        clock: the clock of the client.
        options: more parameters of `AsyncSmsClient`. Without `retry`, the client makes one attempt per
            request.
    """
    options.setdefault("retry", ONE_ATTEMPT)
    return client_for(sandbox, transport=httpx.ASGITransport(sandbox.app), clock=clock, **options)


def watch(
    sms: AsyncSmsClient, *, since: datetime | None = None, checkpoint: object = None, **options: Any
) -> Inbox:
    """Call `AsyncSmsClient.watch_incoming`, and return the inbox.

    The type of `checkpoint` is `object`, so that a test can also pass an invalid checkpoint.
    """
    return sms.watch_incoming(since=since, checkpoint=checkpoint, **options)  # type: ignore[arg-type]


async def texts_until(inbox: Inbox, clock: SharedClock, seconds: float) -> list[str]:
    """Iterate over the inbox until `seconds` seconds after `START`, and return the texts of the messages."""
    clock.end = after(seconds)
    texts = []
    try:
        async for message in inbox:
            texts.append(message.text)
    except Killed:
        pass
    return texts


def periods(sandbox: Sandbox) -> list[tuple[datetime, datetime]]:
    """Return the start and the end of the period of each request for incoming messages."""
    asked = []
    for arrival in sandbox.account.arrivals:
        if arrival.resource == "Sms/In":
            since, until = (arrival.parameters.date(name) for name in ("minDateUTC", "maxDateUTC"))
            assert since is not None
            assert until is not None
            asked.append((since.replace(tzinfo=UTC), until.replace(tzinfo=UTC)))
    return asked
