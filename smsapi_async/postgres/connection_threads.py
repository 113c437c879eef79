"""Threads that run transactions, each with its own connection, so nothing blocks the event loop.

The threads work with asyncio and with trio. A job that was passed to the threads is done even if its caller
is cancelled, or if the event loop stops. The threads end when `end` is called, or when the process ends.
"""

from __future__ import annotations

import atexit
import copy
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from random import uniform
from time import monotonic, sleep
from typing import Any, Final, Generic, Self, TypeVar

import attrs

from smsapi_async.errors import LedgerError, LedgerUnwritable
from smsapi_async.eventloop import Event
from smsapi_async.postgres.address import Address
from smsapi_async.postgres.server_errors import ServerFailure
from smsapi_async.postgres.transactions import Outdated, ServerConnection, Transaction, TransactionFailed
from smsapi_async.privacy import clear_frames

_logger = logging.getLogger("smsapi_async")
_Value = TypeVar("_Value")
Together = Callable[[Transaction, Sequence[Any]], Sequence[Any]]

CONNECTIONS: Final = 4
"""The maximum number of connections of one object. PostgreSQL writes several commits with one fsync."""

PATIENCE: Final = 30.0
"""The longest time, in seconds, for which a job tries again while the server is away."""

# The longest time, in seconds, for which the end of the process waits for the jobs.
_LAST_WAIT = 30.0
# The maximum number of jobs in one transaction.
_MOST_TOGETHER = 64
# The number of attempts of a transaction that conflicts with other transactions.
_CONFLICTS = 20
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
# A worker calls jobs with a patience of at most these seconds again and again, and logs the failure itself.
_QUIET = 2.0
_running: weakref.WeakSet[ConnectionThreads] = weakref.WeakSet()
_INHERITED: list[ConnectionThreads] = []
"""The threads that a forked child process inherited from its parent.

The list keeps their connections alive. A child process must not close the connections of its parent.
"""


@attrs.define(eq=False, repr=False)
class DatabaseJob(Generic[_Value]):
    """One transaction.

    Attributes:
        work: the function that runs in the transaction.
        ended: an event that is set in the event loop when the job has ended; None if nobody waits.
        reads: whether the transaction only reads.
        is_repeatable: whether the work may run again after a commit whose result is not known.
        patience: for how many seconds the job tries again while the server is away.
        commits_each: whether the work begins and commits transactions itself.
        values: a list with the return value. The list is empty if the job failed.
        error: the error of the job, or None.
        together: a function that does the work of several jobs in one transaction, or None. It takes the
            parts of the jobs, and returns the return value of each.
        part: what `together` takes for this job.
        may_be_committed: whether a commit was begun, and its result is not known.
        is_lost: whether the job failed because the server is away.
        follow_up: the jobs of which one follows, because the caller of this job has gone; see
            `ConnectionThreads.take_back`.
        follower: the job that followed, or None.
        is_over: whether the job has ended.
    """

    work: Callable[[Transaction], _Value]
    ended: Event | None = None
    reads: bool = False
    is_repeatable: bool = False
    patience: float = attrs.field(factory=lambda: PATIENCE)
    commits_each: bool = False
    values: list[_Value] = attrs.field(factory=list)
    error: BaseException | None = None
    together: Together | None = None
    part: Any = None
    may_be_committed: bool = False
    is_lost: bool = False
    follow_up: tuple[DatabaseJob[Any], DatabaseJob[Any] | None] | None = None
    follower: DatabaseJob[Any] | None = None
    is_over: bool = False

    def result(self) -> _Value:
        """Return the return value of the job, or raise its error."""
        if self.error is not None:
            raise self.error
        (value,) = self.values
        return value

    @classmethod
    def of_part(cls, together: Together, part: Any, **options: Any) -> Self:  # noqa: ANN401
        """Return a job that can run together with other jobs that have the same `together`."""
        return cls(
            lambda given: together(given, [part])[0],
            together=together,
            part=part,
            is_repeatable=True,
            **options,
        )

    def execute(self, connection: ServerConnection, deadline: float | None = None) -> None:
        """Run the transaction, and store its return value or its error in the job.

        Args:
            connection: the connection.
            deadline: until when the job tries again while the server is away, on the clock of
                `time.monotonic`; None means that the patience of the job begins now.
        """
        try:
            self.values = [
                self._attempts(connection, monotonic() + self.patience if deadline is None else deadline)
            ]
        except BaseException as error:  # noqa: BLE001 - `result` raises the error
            # The local variables of these functions contain rows.
            clear_frames(error)
            self.error = error

    def _attempts(self, connection: ServerConnection, deadline: float) -> _Value:
        pauses = _Pauses(deadline)
        while True:
            failure: ServerFailure | None = None
            try:
                return connection.transaction(
                    self.work,
                    reads=self.reads,
                    is_repeat=self.may_be_committed,
                    commits_each=self.commits_each,
                )
            except Outdated:
                pass
            except TransactionFailed as failed:
                failure = failed.failure
                self.may_be_committed |= failed.may_be_committed
            # This line is outside the exception handlers, so that the error gets no context.
            self._pause_or_raise(failure, pauses)

    def _pause_or_raise(self, failure: ServerFailure | None, pauses: _Pauses) -> None:
        if failure is None or failure.kind in {"conflict", "pooled"}:
            if not pauses.after_conflict():
                raise LedgerError("too many conflicts with other transactions")
            return
        if self.may_be_committed and not self.is_repeatable:
            raise LedgerError(f"{failure.error.reason}; the change may or may not be recorded")
        has_caller = self.follow_up is None or self.may_be_committed
        if failure.kind == "other" or not has_caller or not pauses.while_away(failure.error):
            self.is_lost = failure.kind == "lost"
            # Nothing was to be written, so the error must not say that nothing is sent.
            is_read = self.reads and isinstance(failure.error, LedgerUnwritable)
            raise LedgerError(failure.error.reason) if is_read else failure.error


class _Pauses:
    """The pauses between the attempts of one job."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._is_first = True
        self._conflicts = 0
        self._pause = _FIRST_PAUSE

    def after_conflict(self) -> bool:
        """Wait after a conflict with another transaction. Return False if there were too many conflicts."""
        self._conflicts += 1
        sleep(uniform(0, 0.002 * self._conflicts))  # noqa: S311 - no secret
        return self._conflicts < _CONFLICTS

    def while_away(self, error: LedgerError) -> bool:
        """Wait while the server is away. Return False if the patience is over."""
        if self._is_first:
            # The server or a firewall may have closed a connection that was idle.
            self._is_first = False
            return True
        if monotonic() + self._pause > self._deadline:
            return False
        if self._pause == _FIRST_PAUSE and self._deadline - monotonic() > _QUIET:
            _logger.warning("ledger: %s; trying again for up to a few minutes", error.reason)
        sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return True


class ConnectionThreads:
    """Threads that run jobs. Up to `CONNECTIONS` jobs run at the same time.

    Args:
        address: the address of the database.
        post: a function that calls another function soon in the event loop, from any thread.
    """

    def __init__(
        self,
        address: Address,
        post: Callable[[Callable[[], None]], object],
    ) -> None:
        self._address = address
        self._post = post
        self._last_job: Callable[[], DatabaseJob[Any] | None] = lambda: None
        self._process = os.getpid()
        self._waiting: deque[DatabaseJob[Any]] = deque()
        self._has_work = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._is_ending = False
        self._is_over = False
        self._over = threading.Event()
        self._end: Event | None = None
        # The connections are kept here, so that a forked child process does not close them.
        self._connections: list[ServerConnection] = []
        _running.add(self)

    @property
    def is_inherited(self) -> bool:
        """Whether the parent process opened the connections before a fork."""
        return self._process != os.getpid()

    def set_last_job(self, last_job: Callable[[], DatabaseJob[Any] | None]) -> None:
        """Set a function that returns the job that runs after all others, or None."""
        self._last_job = last_job

    def add(self, job: DatabaseJob[Any]) -> None:
        """Pass a job to the threads without waiting.

        Raises:
            LedgerError: if the parent process opened the connections before a fork, or `end` was called.
        """
        if self.is_inherited:
            name = self._address.name
            raise LedgerError(f"{name} was opened by another process; open it again in this process")
        with self._has_work:
            if self._is_ending:
                raise LedgerError(f"{self._address.name} is not open; use `async with`")
            self._add(job)

    def take_back(
        self, job: DatabaseJob[Any], if_done: DatabaseJob[Any], if_not: DatabaseJob[Any] | None
    ) -> None:
        """Remove a job whose caller has gone. If a thread has begun the job, wait for its end.

        This also works while the connections are being closed.

        Args:
            job: the job to remove.
            if_done: the job to add if the changes of the removed job are or may be stored.
            if_not: the job to add if nothing was stored, or None.
        """
        if self.is_inherited:
            return
        with self._has_work:
            job.follow_up = (if_done, if_not)
            if job in self._waiting:
                self._waiting.remove(job)
                job.error = LedgerError("the caller has gone")
                job.is_over = True
                if job.ended is not None:
                    job.ended.set()
            if job.is_over and not self._is_over:
                self._follow(job)

    def end(self, ended: Event | None = None) -> None:
        """Let the threads end after the jobs that were passed. A second call does nothing.

        Args:
            ended: an event that is set in the event loop when all connections are closed.
        """
        if self.is_inherited:
            _INHERITED.append(self)
            return
        with self._has_work:
            if self._is_ending:
                return
            self._end = ended
            self._is_ending = True
            if not self._threads:
                self._start_thread()
            self._has_work.notify_all()

    def join(self, seconds: float) -> None:
        """Wait until all threads have ended."""
        self._over.wait(seconds)

    def _add(self, job: DatabaseJob[Any]) -> None:
        self._waiting.append(job)
        if self._idle < len(self._waiting) and self._threads < CONNECTIONS:
            self._start_thread()
        self._has_work.notify()

    def _follow(self, job: DatabaseJob[Any]) -> None:
        if_done, if_not = job.follow_up or (None, None)
        job.follower = if_done if job.error is None or job.may_be_committed else if_not
        if job.follower is not None:
            self._add(job.follower)

    def _start_thread(self) -> None:
        self._threads += 1
        # The thread is a daemon: a program whose event loop stopped without closing the ledger must end.
        # `_end_all` ends the threads at the end of the program.
        threading.Thread(target=self._run, name="smsapi-async postgres", daemon=True).start()

    def _run(self) -> None:
        connection = ServerConnection(self._address)
        with self._has_work:
            self._connections.append(connection)
        while jobs := self._next():
            _execute_together(jobs, connection)
            self._finish(jobs)
        self._leave(connection)

    def _finish(self, jobs: Sequence[DatabaseJob[Any]]) -> None:
        with self._has_work:
            for job in jobs:
                job.is_over = True
                self._follow(job)
        self._set([job.ended for job in jobs if job.ended is not None])

    def _next(self) -> list[DatabaseJob[Any]]:
        """Wait for jobs, and remove those that run together from the queue. No jobs mean the end."""
        with self._has_work:
            self._idle += 1
            while not self._waiting and not self._is_ending:
                self._has_work.wait()
            self._idle -= 1
            if self._waiting:
                return self._taken()
            if self._threads > 1:
                self._threads -= 1
                return []
        # This is the last thread, so that no job runs now. A caller that has gone may add a job meanwhile.
        return self._last()

    def _taken(self) -> list[DatabaseJob[Any]]:
        jobs = [self._waiting.popleft()]
        together = jobs[0].together
        while (
            together is not None
            and self._waiting
            and self._waiting[0].together == together
            and len(jobs) < _MOST_TOGETHER
        ):
            jobs.append(self._waiting.popleft())
        return jobs

    def _last(self) -> list[DatabaseJob[Any]]:
        last_job, self._last_job = self._last_job(), lambda: None
        if last_job is not None:
            return [last_job]
        with self._has_work:
            if self._waiting:
                return self._taken()
            self._is_over = True
            return []

    def _leave(self, connection: ServerConnection) -> None:
        connection.close()
        if self._is_over:
            self._over.set()
            if self._end is not None:
                self._set([self._end])

    def _set(self, events: Sequence[Event]) -> None:
        def set_all() -> None:
            for event in events:
                event.set()

        # The event loop may have ended meanwhile.
        with suppress(RuntimeError):
            self._post(set_all)


def _execute_together(jobs: Sequence[DatabaseJob[Any]], connection: ServerConnection) -> None:
    """Run jobs in one transaction. If the transaction fails, run each job in a transaction of its own."""
    started = monotonic()
    left = list(jobs)
    while len(left) > 1 and (together := left[0].together) is not None:
        parts, patience = [job.part for job in left], min(job.patience for job in left)
        lead: DatabaseJob[Any] = DatabaseJob(
            partial(_run_parts, together, parts),
            is_repeatable=True,
            may_be_committed=any(job.may_be_committed for job in left),
        )
        lead.execute(connection, started + patience)
        for job in left:
            job.may_be_committed |= lead.may_be_committed
        if lead.error is None:
            for job, value in zip(left, lead.result(), strict=True):
                job.values = [value]
            return
        if not lead.is_lost:
            break
        for job in left:
            # Each caller gets an error of its own.
            job.error = copy.copy(lead.error) if job.patience <= patience else None
        left = [job for job in left if job.error is None]
    for job in left:
        job.execute(connection, started + job.patience)


def _run_parts(together: Together, parts: Sequence[Any], transaction: Transaction) -> Sequence[Any]:
    return together(transaction, parts)


def _end_all() -> None:
    """Finish the jobs of all objects, and close the connections, at the end of the process."""
    for each in list(_running):
        if not each.is_inherited:
            each.end()
            each.join(_LAST_WAIT)


atexit.register(_end_all)
