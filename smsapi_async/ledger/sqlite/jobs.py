"""Jobs for the worker thread of a ledger. Jobs that wait at the same time share one transaction.

So one commit, with one fsync, is enough for several jobs. All functions are synchronous and run in a worker
thread.
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
    """One piece of work on the records of a ledger.

    Attributes:
        work: the function to run. The function may run a second time after its changes were rolled back.
        joins: whether the job may share a transaction with other jobs.
        withdrawn: True if the caller no longer waits for the job. A withdrawn job does not start.
        done: whether the job has ended: the job has failed, or its changes are durable.
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
        """Return the return value of the function, or raise the error of the function."""
        if self.error is not None:
            raise self.error
        (value,) = self.values
        return value

    def run(self, records: MessageRecords, path: str) -> None:
        """Run the function and store its return value or its error.

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
        The removed jobs without the withdrawn jobs. The list is empty if no job is left.
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
        group: the jobs.
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
        # Another program locks the file. If we ran the jobs one by one, each job would wait for the lock
        # again. So all jobs fail now. Each caller gets its own copy of the error.
        for job in group:
            job.values, job.error, job.done = [], copy.copy(whole.error), True
    return whole.error is None
