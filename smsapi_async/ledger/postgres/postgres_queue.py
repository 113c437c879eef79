"""The queue of a PostgreSQL ledger, from which workers on many machines send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from smsapi_async.clock import time_since_boot
from smsapi_async.errors import SmsApiError
from smsapi_async.ledger.postgres import claims, queue_claims
from smsapi_async.ledger.postgres.ledger_connection import (
    SETTLE_PATIENCE,
    LedgerConnection,
    OpenedLedger,
    account_of,
)
from smsapi_async.ledger.queue import DueClaim, DuePart, Pause, RequestQueue
from smsapi_async.ledger.requests import RequestAnswer
from smsapi_async.postgres.connection_threads import DatabaseJob
from smsapi_async.postgres.transactions import Transaction
from smsapi_async.privacy import sealed_async


class PostgresQueue(LedgerConnection, RequestQueue):
    """The part of a PostgreSQL ledger that workers use."""

    @property
    def is_redacted(self) -> bool:
        """See `RequestQueue.is_redacted`."""
        return account_of(self._opened()).redacted

    @sealed_async
    async def claim_due(self, part: DuePart) -> DueClaim:
        """See `RequestQueue.claim_due`."""
        opened = self._opened()
        self._check_writable()
        job: DatabaseJob[DueClaim] = DatabaseJob.of_part(
            opened.run_parts, part, ended=self._event(), patience=0.0, may_be_committed=part.may_be_committed
        )
        # The server reads its clock later, so the claims are valid for longer than this process thinks.
        opened.live.update(dict.fromkeys(part.tokens, time_since_boot() + claims.CLAIM_SECONDS))
        claimed: set[str] = set()
        try:
            opened.threads.add(job)
            await opened.end_of(job)
            part.may_be_committed = job.error is not None and job.may_be_committed
            result = job.result()
            claimed = {request.token for request in result.requests}
        except SmsApiError:
            raise
        except BaseException:
            # The cancelled caller will not send the messages.
            opened.threads.take_back(job, self._release_due_job(opened, part.tokens), None)
            raise
        finally:
            for token in part.tokens:
                if token not in claimed:
                    opened.live.pop(token, None)
        return result

    @sealed_async
    async def settle_due(
        self, token: str, answer: RequestAnswer, *, unknown_limit: int | None, patience: float | None = None
    ) -> Pause | None:
        """See `RequestQueue.settle_due`."""
        opened = self._opened()
        self._check_writable()
        part = claims.SettlePart(token, answer, unknown_limit)
        job: DatabaseJob[Pause | None] = self._end_job(opened, part, patience)
        opened.threads.add(job)
        await opened.end_of(job)
        pause = job.result()
        opened.live.pop(token, None)
        self._wake(token)
        return pause

    @sealed_async
    async def release_due(
        self, tokens: Sequence[str], *, delay: float = 0.0, patience: float | None = None
    ) -> None:
        """See `RequestQueue.release_due`."""
        opened = self._opened()
        self._check_writable()
        for token in tokens:
            opened.live.pop(token, None)
        job = self._release_due_job(opened, tokens, delay, patience)
        opened.threads.add(job)
        await opened.end_of(job)
        job.result()
        for token in tokens:
            self._wake(token)

    @sealed_async
    async def pause(self, reason: str, code: int | None = None) -> Pause:
        """See `RequestQueue.pause`."""
        return await self._write(
            lambda given, account: queue_claims.pause(given, account, reason, code), is_repeatable=True
        )

    async def paused(self) -> Pause | None:
        """See `RequestQueue.paused`."""
        return await self._read(queue_claims.paused)

    async def resume(self) -> Pause | None:
        """See `RequestQueue.resume`."""
        return await self._write(queue_claims.resume, is_repeatable=True)

    async def fence(self) -> int:
        """See `RequestQueue.fence`."""
        return await self._write(queue_claims.fence)

    async def queued(self) -> tuple[int, bool]:
        """See `RequestQueue.queued`."""
        return await self._read(queue_claims.queued)

    def _release_due_job(
        self, opened: OpenedLedger, tokens: Sequence[str], delay: float = 0.0, patience: float | None = None
    ) -> DatabaseJob[Any]:
        parts = [claims.ReleasePart(token, is_quiet=True, delay=delay) for token in tokens]

        def work(transaction: Transaction) -> None:
            queue_claims.wait_for_claim(transaction, tokens)
            opened.run_parts(transaction, parts)

        return DatabaseJob(
            work,
            ended=self._event(),
            is_repeatable=True,
            patience=SETTLE_PATIENCE if patience is None else patience,
        )
