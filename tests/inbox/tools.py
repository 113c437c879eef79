"""A gateway whose clock is the client's too, and which files messages when their time comes."""

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
    return START + timedelta(seconds=seconds)


class Killed(Exception):
    """The process is ended while it waits."""


class SharedClock:
    """The sandbox's clock as the client's; it moves when somebody waits, and never in between.

    Args:
        sandbox: whose time it is.
        skew: how far the client's clock is ahead of the gateway's.

    Attributes:
        end: a wait beyond this moment ends in `Killed`.
        waits: seconds of each wait.
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
        """A message that is created and filed so many seconds after START."""
        self._filings.append((after(filed), after(created), text))
        self._filings.sort()

    def move_to(self, target: datetime) -> None:
        """Let the time pass, and file what is to be filed in it."""
        while self._filings and self._filings[0][0] <= target:
            filed, created, text = self._filings.pop(0)
            self.sandbox.advance(max(filed - self.sandbox.now(), timedelta(0)))
            self.sandbox.receive(SENDER, text, at=created)
        self.sandbox.advance(target - self.sandbox.now())


def in_process(sandbox: Sandbox, clock: SharedClock, **options: Any) -> AsyncSmsClient:
    """A client without a socket that makes one attempt a request."""
    options.setdefault("retry", ONE_ATTEMPT)
    return client_for(sandbox, transport=httpx.ASGITransport(sandbox.app), clock=clock, **options)


def watch(
    sms: AsyncSmsClient, *, since: datetime | None = None, checkpoint: object = None, **options: Any
) -> Inbox:
    """What `AsyncSmsClient.watch_incoming` does."""
    return sms.watch_incoming(since=since, checkpoint=checkpoint, **options)  # type: ignore[arg-type]


async def texts_until(inbox: Inbox, clock: SharedClock, seconds: float) -> list[str]:
    """The texts that come until so many seconds after START."""
    clock.end = after(seconds)
    texts = []
    try:
        async for message in inbox:
            texts.append(message.text)
    except Killed:
        pass
    return texts


def periods(sandbox: Sandbox) -> list[tuple[datetime, datetime]]:
    """What each request asked for."""
    asked = []
    for arrival in sandbox.account.arrivals:
        if arrival.resource == "Sms/In":
            since, until = (arrival.parameters.date(name) for name in ("minDateUTC", "maxDateUTC"))
            assert since is not None
            assert until is not None
            asked.append((since.replace(tzinfo=UTC), until.replace(tzinfo=UTC)))
    return asked
