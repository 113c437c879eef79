"""The pace of all machines together: one row with the time from which the next request may begin.

The algorithm is the generic cell rate algorithm (GCRA). One ``UPDATE .. RETURNING`` moves the time in the row
forward, and so reserves the next time for a lot of requests. The clock of the server counts. A lot holds the
requests of a hundredth of a second, so that 1,000 requests per second cost 100 updates per second.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from time import monotonic
from typing import Final

import anyio
import attrs

from smsapi_async.errors import LedgerError, LedgerInUse, LedgerUnwritable, ValidationError
from smsapi_async.postgres.account_connections import SharedAccount
from smsapi_async.postgres.connection_threads import PATIENCE, DatabaseJob
from smsapi_async.postgres.transactions import Transaction
from smsapi_async.privacy import mask_misplaced

_logger = logging.getLogger("smsapi_async")
_SLOWEST, _FASTEST = 1 / 86_400, 1_000_000
_LOTS_PER_SECOND = 100

# A request may begin a little later than its time, because the event loop was busy. Later, the permission has
# expired. The intervals are 4 % longer than necessary: requests that are late here or on their way to the
# gateway, and the requests of the next second, are then together not more than the limit.
_LATENESS = 0.02
_MARGIN = 1.04
# After this number of permissions that expired one after another, the event loop is too slow for the limit.
# Then each further one doubles the limit, at most to a second. Else no request might ever begin.
_MISSES, _MOST_DOUBLINGS = 2, 6

# Nobody reserves a time that is further away than this number of seconds or two intervals. So a crash of the
# server, which may forget the last reservations, has no effect after that time.
_HORIZON = 0.25
# A time that is further away than this number of seconds comes from a clock that was wrong.
_WRONG_CLOCK = 60.0

# A commit that is lost in a crash of the server does no harm, because of `_HORIZON`. So the transaction does
# not wait for the disk. All statements are one message to the server.
_RESERVE: Final = """
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL synchronous_commit = off;
SET LOCAL lock_timeout = '5s';
UPDATE smsapi.rates SET tat = greatest(
        CASE WHEN tat < clock_timestamp() + interval '{wrong} s' THEN tat END,
        clock_timestamp(), pg_postmaster_start_time() + interval '{horizon} s'
    ) + interval '{span} s'
WHERE account_id = {account_id} AND name = 'requests' AND NOT (
        tat >= clock_timestamp() + interval '{horizon} s' AND tat < clock_timestamp() + interval '{wrong} s'
    )
RETURNING extract(epoch FROM tat - interval '{span} s' - clock_timestamp())::float8 AS seconds;
COMMIT
"""
_LOOK: Final = (
    "SELECT extract(epoch FROM tat - clock_timestamp())::float8 AS seconds"
    " FROM smsapi.rates WHERE account_id = %s AND name = 'requests'"
)
_ADD: Final = """
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
INSERT INTO smsapi.rates (account_id, name, tat) VALUES ({account_id}, 'requests', clock_timestamp())
    ON CONFLICT DO NOTHING;
COMMIT
"""


@attrs.define(eq=False)
class _Lot:
    """Requests that may begin.

    Attributes:
        begins: the time from which they may begin, on the clock of `time.monotonic`.
        ends: the time of the last of them.
        left: the number of requests that have not begun.
    """

    begins: float
    ends: float
    left: int


@attrs.frozen
class _Reply:
    """What the server replied.

    Attributes:
        at: the reserved time on the clock of `time.monotonic`. Without a reservation, the time of the next
            attempt.
        count: the number of requests in the reservation; 0 means that there is no reservation.
        seconds: how long the server needed for the reply.
    """

    at: float
    count: int
    seconds: float


class SharedPace:
    """The pace that `Shared.pace` returns. It implements `smsapi_async.Pace`.

    Args:
        account: the account, with connections while `Shared` is open.
        per_second: the number of requests of all machines in one second.

    Raises:
        ValidationError: if ``per_second`` is not a number between one request a day and a million a second.
    """

    def __init__(self, account: SharedAccount, per_second: float) -> None:
        self._account = account
        self._per_second = _checked(per_second)
        self._interval = _MARGIN / self._per_second
        self._most = math.ceil(self._per_second / _LOTS_PER_SECOND)
        self._turn = anyio.Lock(fast_acquire=True)
        self._waiting = 0
        self._lots: deque[_Lot] = deque()
        self._asking: DatabaseJob[_Reply] | None = None
        self._asked_at = -math.inf
        # How many requests began since the last question, and how long the last reply took.
        self._begun = 0
        self._reply_seconds = 0.0
        # The number of permissions that expired one after another before their caller ran.
        self._misses = 0

    def __repr__(self) -> str:
        name = self._account.name
        return f"<{type(self).__name__} per_second={self._per_second:g} of the account {name!r}>"

    async def wait(self) -> None:
        """Return when one request may begin. Callers get their turn in the order of their calls.

        While the database is away, the method waits for up to 30 seconds.

        Raises:
            LedgerError: if the database cannot be used, or `Shared` is not open.
        """
        self._waiting += 1
        try:
            async with self._turn:
                await self._take()
        finally:
            self._waiting -= 1

    async def _take(self) -> None:
        """Wait until a request of a lot may begin. Only one caller at a time is in this method."""
        patience, has_reserved = _Patience(self._account.name), False
        while True:
            lot = self._current()
            if lot is None:
                self._misses += has_reserved
                has_reserved = await self._ask(patience)
                continue
            if sum(each.left for each in self._lots) < self._waiting and self._asking is None:
                # The reply comes while the requests of this lot begin.
                self._asking = self._question()
            if (seconds := lot.begins - monotonic()) > 0:
                await anyio.sleep(seconds)
            if monotonic() <= lot.ends + self._lateness:
                break
            has_reserved = True
        lot.left -= 1
        self._begun += 1
        self._misses = max(self._misses - _MISSES, 0)

    @property
    def _lateness(self) -> float:
        """How much later than its time a request may begin, in seconds."""
        return _LATENESS * 2.0 ** min(max(self._misses - _MISSES, 0), _MOST_DOUBLINGS)

    def _current(self) -> _Lot | None:
        """Return the first lot that has not expired, and drop the lots before."""
        now = monotonic()
        while self._lots and (not self._lots[0].left or now > self._lots[0].ends + self._lateness):
            self._lots.popleft()
        return self._lots[0] if self._lots else None

    async def _ask(self, patience: _Patience) -> bool:
        """Wait for a reply of the server. If the caller is cancelled, the next caller gets the reply.

        Returns:
            Whether the server has reserved a time.
        """
        if self._asking is None:
            self._asking = self._question()
        job = self._asking
        assert job.ended is not None  # noqa: S101 - the type checker needs this line
        await job.ended.wait()
        self._asking = None
        if job.error is not None:
            await patience.pause_or_raise(job)
            return False
        reply = job.result()
        patience.end()
        self._reply_seconds = reply.seconds
        if not reply.count:
            # Other machines have reserved the time until then.
            await anyio.sleep(max(reply.at - monotonic(), 0))
            return False
        for first in range(0, reply.count, self._most):
            begins, left = reply.at + first * self._interval, min(self._most, reply.count - first)
            self._lots.append(_Lot(begins, begins + (left - 1) * self._interval, left))
        return True

    def _question(self) -> DatabaseJob[_Reply]:
        now, opened = monotonic(), self._account.opened
        lot_seconds = self._most * self._interval
        # A caller that makes one request after another never waits with others, but needs more than one.
        demand = 2 * self._begun if now - self._asked_at < 2 * lot_seconds else 1
        demand = max(demand, self._waiting - sum(each.left for each in self._lots), 1)
        lots = math.ceil(min(self._reply_seconds, _HORIZON) / lot_seconds)
        count = min(demand, self._most * max(lots, 1))
        self._asked_at, self._begun = now, 0
        account_id, interval = opened.account_id, self._interval
        return opened.start(
            lambda given: _reserve(given, account_id, count, interval), patience=0.0, commits_each=True
        )


def _reserve(transaction: Transaction, account_id: int, count: int, interval: float) -> _Reply:
    horizon = max(_HORIZON, 2 * interval)
    statements = _RESERVE.format(
        account_id=account_id,
        span=f"{count * interval:.6f}",
        horizon=f"{horizon:.6f}",
        wrong=f"{horizon + max(_WRONG_CLOCK, 4 * interval):.6f}",
    )
    for _ in range(2):
        started = monotonic()
        rows = transaction.rows_of_script(statements)
        now = monotonic()
        if rows:
            return _Reply(now + max(rows[0]["seconds"], 0.0), count, now - started)
        seconds = transaction.value(_LOOK, account_id)
        if seconds is not None:
            # At half of the horizon the next attempt succeeds, unless other machines were faster.
            return _Reply(now + max(seconds - horizon / 2, horizon / 4), 0, now - started)
        transaction.rows_of_script(_ADD.format(account_id=account_id))
    raise LedgerError("the pace could not be stored")


class _Patience:
    """The wait of one caller while the database is away."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._deadline = monotonic() + PATIENCE
        self._pause = 0.05
        self._has_warned = False

    async def pause_or_raise(self, job: DatabaseJob[_Reply]) -> None:
        """Wait before the next attempt, or raise the error of the last attempt."""
        error = job.error
        may_end = job.is_lost or isinstance(error, LedgerUnwritable | LedgerInUse)
        if not may_end or monotonic() + self._pause > self._deadline:
            job.result()
        if not self._has_warned:
            self._has_warned = True
            _logger.warning("pace of the account %r: no request begins: %s", self._name, _reason(error))
        await anyio.sleep(self._pause)
        self._pause = min(2 * self._pause, 1.0)

    def end(self) -> None:
        """Begin a new wait at the next failure."""
        self._deadline, self._pause = monotonic() + PATIENCE, 0.05


def _reason(error: BaseException | None) -> str:
    return error.reason if isinstance(error, LedgerError) else type(error).__name__


def _checked(per_second: object) -> float:
    is_number = isinstance(per_second, int | float) and not isinstance(per_second, bool)
    if not is_number or not _SLOWEST <= per_second <= _FASTEST:  # type: ignore[operator]
        hint = "pass a positive number of requests per second, at most 1000000"
        raise ValidationError("per_second", mask_misplaced(per_second), hint)
    return float(per_second)  # type: ignore[arg-type]
