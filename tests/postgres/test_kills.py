"""Tests of processes that are killed with SIGKILL while they send with a PostgreSQL ledger."""

import random
from collections import Counter
from functools import partial

import anyio
import pytest

from smsapi_async import AsyncSmsClient, Message
from smsapi_async.ledger import Ledger, Summary
from smsapi_async.outcomes import Unknown
from smsapi_async.sandbox import run_sandbox
from tests.killable import Connection, Killable
from tests.ledger.tools import Place, recorded
from tests.postgres.server import Server

pytestmark = pytest.mark.anyio
CONCURRENCY, KILLS, PROCESSES = 4, 6, 2
BATCH = [Message(f"790{number:05}012", f"text {number}", source_address="Shop") for number in range(250)]


async def _send_all(report: Connection, dsn: str, account: str, base_url: str, seed: int) -> None:
    batch = random.Random(seed).sample(BATCH, len(BATCH))
    async with (
        Ledger.postgres(dsn, account=account) as ledger,
        AsyncSmsClient("login", "password", base_url=base_url, concurrency=CONCURRENCY) as sms,
        sms.send_many(batch, ledger=ledger, unknown_limit=1000) as outcomes,
    ):
        async for _ in outcomes:
            report.send("outcome")
    report.send("complete")


def run_process(report: Connection, backend: str, dsn: str, account: str, base_url: str, seed: int) -> None:
    """Run a process that sends the batch, and reports each outcome."""
    anyio.run(partial(_send_all, report, dsn, account, base_url, seed), backend=backend)


async def sent_by(process: Killable, count: int) -> bool:
    """Wait until a process has reported a number of outcomes. Return whether it has ended before."""
    for _ in range(count):
        if await process.received() != "outcome":
            return True
    return False


@pytest.mark.timeout(120)
async def test_killed_processes(server: Server, place: Place, account: str, anyio_backend: str) -> None:
    """After kills of processes that share a batch, no message is sent twice, and none is lost.

    The requests with an unknown outcome are at most those that were in flight at the kills.
    """
    chance = random.Random(anyio_backend)
    # The claims of the killed processes end, as if five minutes had passed.
    end_claims = (
        "UPDATE smsapi.requests SET claimed_until = clock_timestamp() WHERE state = 'sending'"
        " AND account_id = (SELECT id FROM smsapi.accounts WHERE name = %s)"
    )
    async with run_sandbox(login="login", password="password", latency=0.005) as sandbox, place() as ledger:
        arguments = (anyio_backend, server.dsn(), account, sandbox.base_url)
        kills = 0
        while kills < KILLS:
            with (
                Killable(run_process, *arguments, kills) as one,
                Killable(run_process, *arguments, -1) as two,
            ):
                assert not await sent_by(one, chance.randint(1, 20))
                assert not await sent_by(two, chance.randint(1, 5))
                one.kill()
                two.kill()
                kills += PROCESSES
            server.rows(end_claims, account)
        with Killable(run_process, *arguments, 0) as process:
            assert await sent_by(process, len(BATCH) + 1)
        outcomes = await recorded(ledger)
        arrived = Counter(each.text for each in sandbox.account.messages)
        assert set(arrived.values()) == {1}
        unknown = {each.message.text for each in outcomes.values() if isinstance(each, Unknown)}
        assert arrived.keys() | unknown == {each.text for each in BATCH}
        assert len(unknown) <= kills * CONCURRENCY
        assert await ledger.summary() == Summary(
            accepted=len(BATCH) - len(unknown), unknown=len(unknown), segments=len(BATCH) - len(unknown)
        )
