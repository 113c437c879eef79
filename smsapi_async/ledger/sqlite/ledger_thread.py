"""The thread of a ledger. Only this thread uses the file, so nothing blocks the event loop.

A job that was passed to the thread is done even if its caller is cancelled, or if the event loop stops. The
thread ends when the ledger is closed, when nobody refers to the ledger any more, or when the process ends.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from smsapi_async.errors import LedgerError
from smsapi_async.ledger.sqlite.jobs import ClaimJob, GroupJob, Job, ReleaseJob, SettleJob, refuse, run_group

if TYPE_CHECKING:
    from smsapi_async.ledger.sqlite.all_records import Records

# The longest time, in seconds, for which the end of the process waits for the jobs of a ledger.
_LAST_WAIT = 30.0
_GROUPED = (ClaimJob, SettleJob, ReleaseJob)
_running: weakref.WeakSet[LedgerThread] = weakref.WeakSet()
_INHERITED: list[LedgerThread] = []
"""The threads that a forked child process inherited from its parent.

The list keeps their SQLite connections alive. A child process must not close the connections of its parent
(SQLite, "How To Corrupt An SQLite Database File").
"""


class LedgerThread:
    """A thread that runs the jobs of one ledger in the order in which they were passed.

    Args:
        path: the path of the ledger, for the texts of errors.
        open_records: the function that opens the file.
        post: a function that calls another function soon in the event loop, from any thread.
    """

    def __init__(
        self,
        path: str,
        open_records: Callable[[], Records],
        post: Callable[[Callable[[], None]], object],
    ) -> None:
        self._path = path
        self._open_records = open_records
        self._post = post
        self._process = os.getpid()
        self._waiting: deque[Job[Any]] = deque()
        self._has_work = threading.Condition()
        self._is_ending = False
        self._is_over = False
        self._end: Job[None] = Job()
        self._records: Records | None = None
        # The thread is a daemon: a program whose event loop stopped without closing the ledger must end.
        # `_end_all` closes the ledger at the end of the program.
        self._thread = threading.Thread(target=self._run, name="smsapi-async ledger", daemon=True)

    @property
    def is_inherited(self) -> bool:
        """Whether the parent process opened this ledger before a fork."""
        return self._process != os.getpid()

    def start(self, opening: Job[None]) -> None:
        """Start the thread, which opens the file.

        Args:
            opening: the job that ends when the file is open, or cannot be opened.
        """
        self._opening = opening
        _running.add(self)
        self._thread.start()

    def add(self, *jobs: Job[Any]) -> None:
        """Pass jobs to the thread without waiting.

        Raises:
            LedgerError: if the parent process opened the file before a fork, or the ledger is closed.
        """
        if self.is_inherited:
            # Two processes that use the same SQLite connection would damage the file.
            raise LedgerError(f"{self._path} was opened by another process; open it again in this process")
        with self._has_work:
            if self._is_ending:
                raise LedgerError(f"{self._path} is not open; use `async with`")
            self._waiting.extend(jobs)
            self._has_work.notify()

    def take_back(self, claim: ClaimJob, release: ReleaseJob) -> None:
        """Remove a claim whose caller has gone. If the thread has begun the claim, its messages are released.

        This also works while the ledger is being closed.
        """
        if self.is_inherited:
            return
        with self._has_work:
            if claim in self._waiting:
                self._waiting.remove(claim)
            elif not self._is_over:
                self._waiting.append(release)
                self._has_work.notify()

    def end(self, ended: Job[None] | None = None) -> None:
        """Let the thread close the file after the jobs that were passed. A second call does nothing.

        Args:
            ended: the job that ends when the file is closed, if somebody waits.
        """
        if self.is_inherited:
            _INHERITED.append(self)
            return
        with self._has_work:
            if ended is not None and not self._is_ending:
                self._end = ended
            self._is_ending = True
            self._has_work.notify()

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._records = self._open_records()
            self._opening.values = [None]
        except BaseException as error:  # noqa: BLE001 - the caller of `start` gets the error
            self._opening.error = error
        self._tell([self._opening])
        try:
            while self._records is not None and (group := self._next_group()):
                self._run_group(self._records, group)
                self._tell(group)
                if self._records.database.checkpoint_wait() == 0:
                    self._records.database.checkpoint()
        finally:
            self._close()

    def _next_group(self) -> list[Job[Any]]:
        """Wait for jobs, and remove those that run together. No jobs mean the end."""
        assert self._records is not None  # noqa: S101 - the type checker needs this line
        database = self._records.database
        while True:
            with self._has_work:
                if self._waiting or self._is_ending:
                    self._is_over = not self._waiting
                    return self._take_group()
                wait = database.checkpoint_wait()
                if wait != 0:
                    self._has_work.wait(wait)
                    continue
            # `add` runs in the event loop and must not wait for a checkpoint, so the lock is free here.
            database.checkpoint()

    def _take_group(self) -> list[Job[Any]]:
        group: list[Job[Any]] = []
        while self._waiting and (not group or self._may_join(group[0], self._waiting[0])):
            group.append(self._waiting.popleft())
        return group

    @staticmethod
    def _may_join(first: Job[Any], job: Job[Any]) -> bool:
        return isinstance(first, _GROUPED) and isinstance(job, _GROUPED)

    @staticmethod
    def _run_group(records: Records, group: list[Job[Any]]) -> None:
        if isinstance(group[0], _GROUPED):
            run_group(records, cast("list[GroupJob]", group))
        else:
            group[0].run(records)

    def _close(self) -> None:
        try:
            if self._records is not None:
                self._records.close()
            self._end.values = [None]
        except BaseException as error:  # noqa: BLE001 - the caller of `end` gets the error
            self._end.error = error
        with self._has_work:
            self._is_ending = self._is_over = True
            left = list(self._waiting)
            self._waiting.clear()
        for job in left:
            refuse(job, self._path)
        self._tell([*left, self._end])

    def _tell(self, jobs: list[Job[Any]]) -> None:
        def set_events() -> None:
            for job in jobs:
                if job.ended is not None:
                    job.ended.set()

        # The event loop may have ended meanwhile.
        with suppress(RuntimeError):
            self._post(set_events)


def _end_all() -> None:
    """Finish the jobs of all ledgers, and close the ledgers, at the end of the process."""
    for thread in list(_running):
        if not thread.is_inherited:
            thread.end()
            thread.join(_LAST_WAIT)


atexit.register(_end_all)
