"""Jobs for the worker thread of a ledger. Jobs that wait at the same time share one transaction.

Jobs share a transaction because one commit, with one fsync, is then enough for several jobs. All functions of
this module are synchronous and run in a worker thread.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from smsapi_async.errors import LedgerInUse

if TYPE_CHECKING:
    from smsapi_async.ledger.sqlite.message_records import MessageRecords

_Value = TypeVar("_Value")


@attrs.define(eq=False, repr=False)
class Job(Generic[_Value]):
    """One piece of work on the records of a ledger, such as one call of `Ledger.claim`.

    Attributes:
        work: the function that reads or changes the records. After a rollback of its changes, the function
            may run again.
        joins: whether the job may share a transaction with other jobs.
        withdrawn: True if the caller was cancelled while the job was in the queue. A queued job with
            ``withdrawn`` set never starts.
        done: whether the job has failed, or its changes are stored on disk.
        values: a list with the return value of the function. The list is empty if the function did not
            return.
        error: the error that the function raised, or None.
    """

    work: Callable[[MessageRecords], _Value]
    joins: bool = False
    withdrawn: bool = False
    done: bool = False
    values: list[_Value] = attrs.field(factory=list)
    error: BaseException | None = None

    def result(self) -> _Value:
        """Return the return value of the job's function, or raise the error of the function."""
        if self.error is not None:
            raise self.error
        (value,) = self.values
        return value

    def run(self, records: MessageRecords, path: str) -> None:
        """Run the function of the job, and store its return value or its error in the job.

        Args:
            records: the records of the ledger.
            path: the path of the ledger, for the text of an error.
        """
        from smsapi_async.ledger.sqlite.failures import guarded  # noqa: PLC0415 - the import of SQLAlchemy is slow

        self.values, self.error = [], None
        try:
            self.values = [guarded(path, lambda: self.work(records))]
        except BaseException as error:  # noqa: BLE001 - `result` raises the error
            self.error = error


def next_group(waiting: deque[Job[object]]) -> list[Job[object]]:
    """Remove the first job from the queue, and the next jobs that may share a transaction with the first job.

    Returns:
        The removed jobs, except the jobs with ``withdrawn`` set. The list is empty if no other job is in the
        queue.
    """
    group: list[Job[object]] = []
    while waiting and (not group or (group[0].joins and waiting[0].joins)):
        job = waiting.popleft()
        if not job.withdrawn:
            group.append(job)
    return group


def run_group(records: MessageRecords, path: str, group: list[Job[object]]) -> None:
    """Run jobs in one transaction. If the whole transaction fails, run each job in its own transaction.

    Args:
        records: the records of the ledger.
        path: the path of the ledger, for the text of an error.
        group: the jobs to run, in the order of the queue.
    """
    if len(group) == 1 or not _done_together(records, path, group):
        for job in group:
            if not job.done:
                job.run(records, path)
    for job in group:
        job.done = True


def _done_together(records: MessageRecords, path: str, group: list[Job[object]]) -> bool:
    def work(records: MessageRecords) -> None:
        with records.together():
            for job in group:
                job.run(records, path)

    whole = Job(work)
    whole.run(records, path)
    if isinstance(whole.error, LedgerInUse):
        # Another program locks the file. All jobs fail now, because each job would wait for the lock again if
        # we ran the jobs one by one. Each caller gets its own copy of the error.
        for job in group:
            job.values, job.error, job.done = [], copy.copy(whole.error), True
    return whole.error is None
