"""An open file behind one lock: one worker thread at a time. Synchronous."""

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
"""What a forked child let go of, kept from being collected, and so closed."""


class Store:
    """A ledger's file, and the account in it. Importing this module does not import SQLAlchemy.

    Args:
        path: the file.
        redact: whether to create it for hashes only.
        read_only: whether to leave it as it is.
    """

    def __init__(self, path: str, *, redact: bool, read_only: bool) -> None:
        self._path = path
        self._redact = redact
        self._read_only = read_only
        self._process: int | None = None
        self._database: Database | None = None
        self._account: MessageRecords | None = None
        self._waiting: deque[Job[object]] = deque()
        # asyncio's own `Task.cancel` goes through a shield: the next call may then come while a
        # thread is still at work.
        self._one_at_a_time = threading.Lock()

    def open(self) -> None:
        """Open the file and recover what an earlier process left.

        Raises:
            LedgerError: it cannot be used; nothing is left open.
        """
        # It takes a few tenths of a second, which an event loop must not lose.
        from smsapi_async.ledger.sqlite.database import Database  # noqa: PLC0415
        from smsapi_async.ledger.sqlite.failures import guarded  # noqa: PLC0415
        from smsapi_async.ledger.sqlite.message_records import MessageRecords  # noqa: PLC0415

        self._process = os.getpid()

        def work() -> MessageRecords:
            path = os.path.realpath(self._path)
            self._database = Database(path, redact=self._redact, read_only=self._read_only)
            self._database.open()
            account = MessageRecords(self._database)
            if not self._read_only:
                account.recover()
            return account

        with self._one_at_a_time:
            try:
                self._account = guarded(self._path, work)
            except BaseException:
                self._close()
                raise

    @property
    def is_inherited(self) -> bool:
        """Whether this is a forked child's copy of what its parent opened."""
        return self._process not in {None, os.getpid()}

    def close(self) -> None:
        """Close the file. May be called more than once, and while `open` is at work elsewhere.

        In a forked child it does nothing.
        """
        if self.is_inherited:
            # SQLite's connections must not even be closed there; nor may the lock be waited for, which a
            # thread of the parent may have held.
            _INHERITED.append(self)
            return
        with self._one_at_a_time:
            self._close()

    def _close(self) -> None:
        self._account = None
        database, self._database = self._database, None
        if database is not None:
            from smsapi_async.ledger.sqlite.failures import guarded  # noqa: PLC0415

            guarded(self._path, database.close)

    def check_process(self) -> None:
        """See that this is the process that opened the file: two would write over each other.

        Raises:
            LedgerError: it is not.
        """
        if self.is_inherited:
            raise LedgerError(f"{self._path} was opened by another process; open it anew")

    def add(self, job: Job[_Value]) -> None:
        """Put a job in the queue. Does not wait.

        Raises:
            LedgerError: this is a forked child.
        """
        self.check_process()
        # The queue holds jobs of any value.
        self._waiting.append(cast("Job[object]", job))

    def finish(self, job: Job[_Value]) -> None:
        """Do what is in the queue until that job is done; a job that failed is done, too."""
        with self._one_at_a_time:
            while not job.done and (group := next_group(self._waiting)):
                if self._account is None:
                    for each in group:
                        each.error, each.done = LedgerError(f"{self._path} is not open"), True
                else:
                    run_group(self._account, self._path, group)
