"""Work that waits for the ledger's thread, and is committed together. Synchronous, for worker threads."""

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
    """One call on the account.

    Attributes:
        work: what to do. It may be done a second time, after all that it did was undone.
        joins: whether it may share a transaction with others.
        withdrawn: whether nobody waits for it, so that it need not be begun.
        done: whether it failed, or what it wrote is durable.
        values: what it returned; empty where it did not.
        error: why it failed.
    """

    work: Callable[[MessageRecords], _Value]
    joins: bool = False
    withdrawn: bool = False
    done: bool = False
    values: list[_Value] = attrs.field(factory=list)
    error: BaseException | None = None

    def result(self) -> _Value:
        """What it returned; raises what it raised."""
        if self.error is not None:
            raise self.error
        (value,) = self.values
        return value

    def run(self, account: MessageRecords, path: str) -> None:
        """Do it, and keep how it ended for the caller."""
        from smsapi_async.ledger.sqlite.failures import guarded  # noqa: PLC0415 - it imports SQLAlchemy

        self.values, self.error = [], None
        try:
            self.values = [guarded(path, lambda: self.work(account))]
        except BaseException as error:  # noqa: BLE001 - it is raised where the caller waits
            self.error = error


def next_group(waiting: deque[Job[object]]) -> list[Job[object]]:
    """Take the first job from the queue, and those after it that may share its transaction."""
    group: list[Job[object]] = []
    while waiting and (not group or (group[0].joins and waiting[0].joins)):
        job = waiting.popleft()
        if not job.withdrawn:
            group.append(job)
    return group


def run_group(account: MessageRecords, path: str, group: list[Job[object]]) -> None:
    """Do jobs in one transaction, or, where that fails as a whole, each in its own."""
    if len(group) == 1 or not _done_together(account, path, group):
        for job in group:
            if not job.done:
                job.run(account, path)
    for job in group:
        job.done = True


def _done_together(account: MessageRecords, path: str, group: list[Job[object]]) -> bool:
    def work(account: MessageRecords) -> None:
        with account.together():
            for job in group:
                job.run(account, path)

    whole = Job(work)
    whole.run(account, path)
    if isinstance(whole.error, LedgerInUse):
        # Each of them would wait for the file as long again.
        for job in group:
            job.values, job.error, job.done = [], copy.copy(whole.error), True
    return whole.error is None
