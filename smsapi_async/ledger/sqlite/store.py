"""The open file of a ledger and the queue of its jobs. Only one worker thread at a time uses the file."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING, TypeVar, cast

from smsapi_async.errors import LedgerError
from smsapi_async.ledger.sqlite.jobs import Job, next_group, run_group

if TYPE_CHECKING:
    from smsapi_async.ledger.sqlite.database import Database
    from smsapi_async.ledger.sqlite.message_records import MessageRecords

_Value = TypeVar("_Value")
_INHERITED: list[Store] = []
"""The stores that a forked child process inherited from its parent.

The list `_INHERITED` keeps the stores alive, because the garbage collector would otherwise close their
SQLite connections. A child process must not close the connections of its parent (SQLite, "How To Corrupt An
SQLite Database File").
"""


class Store:
    """The open file of a ledger, the records in the file, and the queue of jobs.

    The module ``store`` does not import SQLAlchemy when it is imported.

    Args:
        path: the path of the SQLite file of the ledger.
        redact: whether a new file stores only hashes of destination addresses and texts.
        read_only: whether the file is opened only for reading.
    """

    def __init__(self, path: str, *, redact: bool, read_only: bool) -> None:
        self._path = path
        self._redact = redact
        self._read_only = read_only
        self._process: int | None = None
        self._database: Database | None = None
        self._records: MessageRecords | None = None
        self._waiting: deque[Job[object]] = deque()
        # asyncio's `Task.cancel` cancels even inside a shielded scope of AnyIO. If a call is
        # cancelled in this way while its thread works on the file, another call can start. `_one_at_a_time`
        # makes the other call wait for the thread.
        self._one_at_a_time = threading.Lock()

    def open(self) -> None:
        """Open the file, and set messages that an earlier process left in flight to the state unknown.

        Raises:
            LedgerError: if the file cannot be used as a ledger. The file is then closed again.
        """
        # The import of SQLAlchemy takes a few tenths of a second. `open` runs in the worker thread, so the
        # import does not block the event loop.
        from smsapi_async.ledger.sqlite.database import Database  # noqa: PLC0415
        from smsapi_async.ledger.sqlite.failures import guarded  # noqa: PLC0415
        from smsapi_async.ledger.sqlite.message_records import MessageRecords  # noqa: PLC0415

        self._process = os.getpid()

        def work() -> MessageRecords:
            path = os.path.realpath(self._path)
            self._database = Database(path, redact=self._redact, read_only=self._read_only)
            self._database.open()
            records = MessageRecords(self._database)
            if not self._read_only:
                records.recover()
            return records

        with self._one_at_a_time:
            try:
                self._records = guarded(self._path, work)
            except BaseException:
                self._close()
                raise

    @property
    def is_inherited(self) -> bool:
        """Whether the parent process opened this ledger before a fork."""
        return self._process not in {None, os.getpid()}

    def close(self) -> None:
        """Close the file.

        `close` may be called several times, and while `open` runs in another thread. In a forked child
        process, `close` does not close the file.
        """
        if self.is_inherited:
            # A child process must not close the SQLite connections of its parent. The child process must also
            # not wait for `_one_at_a_time`: if a thread of the parent held this lock during the fork, the
            # lock is never released in the child process.
            _INHERITED.append(self)
            return
        with self._one_at_a_time:
            self._close()

    def _close(self) -> None:
        self._records = None
        database, self._database = self._database, None
        if database is not None:
            from smsapi_async.ledger.sqlite.failures import guarded  # noqa: PLC0415

            guarded(self._path, database.close)

    def check_process(self) -> None:
        """Check that this process, and not its parent, has opened the file.

        Two processes that use the same SQLite connection would damage the file.

        Raises:
            LedgerError: if the parent process opened the file before a fork.
        """
        if self.is_inherited:
            raise LedgerError(f"{self._path} was opened by another process; open it again in this process")

    def add(self, job: Job[_Value]) -> None:
        """Add a job to the queue without waiting.

        Raises:
            LedgerError: if the parent process opened the file before a fork.
        """
        self.check_process()
        # The jobs in the queue have return values of different types, so the queue contains `Job[object]`.
        self._waiting.append(cast("Job[object]", job))

    def finish(self, job: Job[_Value]) -> None:
        """Run the jobs in the queue until the given job has succeeded or failed."""
        with self._one_at_a_time:
            while not job.done and (group := next_group(self._waiting)):
                if self._records is None:
                    for each in group:
                        each.error, each.done = LedgerError(f"{self._path} is not open"), True
                else:
                    run_group(self._records, self._path, group)
