"""Jobs for the thread of a ledger. Claims, answers and releases that wait together share one transaction.

One commit, with one fsync, is then enough for several jobs. All functions of this module are synchronous.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Generic, TypeVar

import attrs

from smsapi_async.errors import LedgerError, LedgerInUse
from smsapi_async.eventloop import Event
from smsapi_async.ledger.requests import Claimed, RequestAnswer
from smsapi_async.ledger.sqlite.all_records import Records
from smsapi_async.ledger.sqlite.request_records import ClaimOrder

_Value = TypeVar("_Value")


@attrs.define(eq=False, repr=False)
class Job(Generic[_Value]):
    """One piece of work on the records of a ledger.

    Attributes:
        work: the function that reads or changes the records; None for a job of a group.
        ended: an event that is set in the event loop when the job has ended; None if nobody waits.
        values: a list with the return value. The list is empty if the job failed.
        error: the error of the job, or None.
    """

    work: Callable[[Records], _Value] | None = None
    ended: Event | None = None
    values: list[_Value] = attrs.field(factory=list)
    error: BaseException | None = None

    def result(self) -> _Value:
        """Return the return value of the job, or raise its error."""
        if self.error is not None:
            raise self.error
        (value,) = self.values
        return value

    def run(self, records: Records) -> None:
        """Run the function of the job, and store its return value or its error in the job."""
        work = self.work
        assert work is not None  # noqa: S101 - the type checker needs this line
        try:
            self.values = [records.guarded(lambda: work(records))]
        except BaseException as error:  # noqa: BLE001 - `result` raises the error
            self.error = error


@attrs.define(eq=False, repr=False)
class ClaimJob(Job[list[Claimed]]):
    """A call of `Ledger.claim`."""

    order: ClaimOrder = attrs.field(kw_only=True)


@attrs.define(eq=False, repr=False)
class SettleJob(Job[None]):
    """A call of `Ledger.settle`."""

    token: str = attrs.field(kw_only=True)
    answer: RequestAnswer = attrs.field(kw_only=True)


@attrs.define(eq=False, repr=False)
class ReleaseJob(Job[None]):
    """A call of `Ledger.release`."""

    token: str = attrs.field(kw_only=True)


GroupJob = ClaimJob | SettleJob | ReleaseJob
"""The jobs that share one transaction."""


def run_group(records: Records, group: list[GroupJob]) -> None:
    """Run jobs in one transaction. If the transaction fails, run each job in a transaction of its own.

    Args:
        records: the records of the ledger.
        group: the jobs, in the order of the queue. Answers and releases come before claims, so that a claim
            of a message that was released meanwhile gets the message.
    """
    try:
        _run_together(records, group)
    except LedgerInUse as error:
        # Another program locks the file. All jobs fail now, because each job would wait for the lock again if
        # we ran the jobs one by one. Each caller gets its own copy of the error.
        for job in group:
            _fail(records, job, copy.copy(error))
    except BaseException as error:  # noqa: BLE001 - `result` raises the error
        if len(group) == 1:
            _fail(records, group[0], error)
        else:
            for job in group:
                run_group(records, [job])


def _run_together(records: Records, group: list[GroupJob]) -> None:
    answers = [(job.token, job.answer) for job in group if isinstance(job, SettleJob)]
    releases = [job.token for job in group if isinstance(job, ReleaseJob)]
    claims = [job for job in group if isinstance(job, ClaimJob)]
    orders = [job.order for job in claims]
    results = records.guarded(lambda: records.requests.run_together(answers, releases, orders))
    for claim, result in zip(claims, results, strict=True):
        claim.values = [result]
    for job in group:
        if not isinstance(job, ClaimJob):
            job.values = [None]


def _fail(records: Records, job: GroupJob, error: BaseException) -> None:
    job.error = error
    if not isinstance(job, ClaimJob):
        records.requests.forget([job.token], is_recorded=False)


def refuse(job: Job[object], path: str) -> None:
    """Let a job fail because the ledger is not open."""
    job.error = LedgerError(f"{path} is not open; use `async with`")
