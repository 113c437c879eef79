"""Counts the attempts of one call, and waits between the attempts."""

import random
from typing import Any

from smsapi_async.calls.verdicts import Again, Done, Verdict
from smsapi_async.clock import Clock
from smsapi_async.settings import RetryPolicy


class Attempts:
    """Counts the attempts of one call, and waits between the attempts.

    Attributes:
        made: the number of attempts that have ended without success.
        replacements: the number of sessions that the call got in place of refused sessions.
    """

    def __init__(self, retry: RetryPolicy, clock: Clock, chance: random.Random) -> None:
        self._retry = retry
        self._clock = clock
        self._chance = chance
        self._started = clock.monotonic()
        self.made = 0
        self.replacements = 0

    async def wait_or_raise(self, verdict: Verdict[Any]) -> None:
        """Wait before the next attempt, or raise the error of the last attempt.

        Args:
            verdict: the verdict on the last attempt, which did not succeed: any verdict except `Done`.

        Raises:
            SmsApiError: if the verdict or the retry policy does not allow another attempt.
        """
        assert not isinstance(verdict, Done)  # noqa: S101 - for the type checker
        self.made += 1
        if not isinstance(verdict, Again):
            raise verdict.error
        elapsed = self._clock.monotonic() - self._started
        wait = self._retry.wait(self.made, elapsed, verdict.retry_after, self._chance)
        if wait is None:
            raise verdict.error
        await self._clock.sleep(wait)
