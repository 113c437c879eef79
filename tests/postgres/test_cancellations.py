"""Tests of calls that are cancelled, and of ledgers that nobody closes. No message is claimed by nobody."""

import gc
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import anyio
import anyio.to_thread
import pytest

from smsapi_async.ledger import Ledger, Summary
from tests.ledger.test_cancellations import BEFORE, GAPS, WRITES, prepared
from tests.ledger.tools import Place, accepted, cancelled, claim_each, claim_many, keyed
from tests.postgres.server import Server

pytestmark = pytest.mark.anyio
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@on_asyncio
@pytest.mark.parametrize("is_busy", [False, True])
@pytest.mark.parametrize("gaps", [(0, 1), (1, 0), (1, 3), (2, 1), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("name", WRITES)
async def test_a_write_outlives_its_task(
    server: Server, place: Place, name: str, gaps: Sequence[int], is_busy: bool
) -> None:
    """A write is recorded, whenever and however often its task is cancelled after its first step."""
    work, expected = WRITES[name]
    async with place() as ledger:
        keys = await prepared(ledger)
        await cancelled(work(ledger, keys), gaps, server.held() if is_busy else nullcontext())
    # The ledger is closed when all that was passed to the threads is done. Its own claim is unknown then.
    expected = expected if gaps[0] else BEFORE
    async with place() as other:
        summary = await other.summary()
    assert summary.unknown == expected.unknown + expected.sending
    assert (summary.accepted, summary.pending) == (expected.accepted, expected.pending)


@on_asyncio
@pytest.mark.parametrize("is_busy", [False, True])
@pytest.mark.parametrize("gaps", GAPS, ids=str)
@pytest.mark.parametrize("settles", [False, True])
async def test_a_claim_whose_task_is_gone_is_given_back(
    server: Server, place: Place, gaps: Sequence[int], is_busy: bool, settles: bool
) -> None:
    """If a call of `claim` is cancelled, its messages can be claimed by the next sender.

    The answer of an earlier claim, which was passed with the claim, is recorded.
    """
    async with place() as ledger, place() as other:
        keys = await prepared(ledger)
        end = (keys[0], accepted()) if settles else None
        claim = ledger.claim("gone", keyed(ledger, 2, 5), settle=end)
        is_gone = await cancelled(claim, gaps, server.held() if is_busy else nullcontext())
        assert is_gone or not is_busy
        if is_gone:
            with anyio.fail_after(5):
                while await other.claim("next", keyed(ledger, 2, 5)) != [None, None]:
                    await other.wait("gone")
        await ledger.aclose()
        summary = await other.summary()
        assert summary.sending == (2 if is_gone else 0)
        assert summary.accepted == (2 if settles and gaps[0] else 1)


@pytest.mark.parametrize("moment", ["before", "in the middle"])
async def test_a_cancelled_claim_claims_nothing(server: Server, place: Place, moment: str) -> None:
    """If the scope of a call of `claim` is cancelled, its messages become pending or stay unknown to all."""
    async with place() as ledger:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                with server.held():
                    if moment == "before":
                        scope.cancel()
                    group.start_soon(ledger.claim, "gone", keyed(ledger, 2))
                    await anyio.to_thread.run_sync(time.sleep, 0.05)
                    scope.cancel()
        with anyio.fail_after(5):
            while await ledger.claim("next", keyed(ledger, 2)) != [None, None]:
                await ledger.wait("gone")
        await ledger.release("next")
    async with place() as ledger:
        assert await ledger.summary() == Summary(pending=2)


async def test_the_loop_goes_on_while_a_claim_waits(server: Server, place: Place) -> None:
    """While a claim waits for a lock, other tasks run, and other calls of the ledger end."""
    async with place() as ledger, anyio.create_task_group() as group:
        with server.held():
            group.start_soon(ledger.claim, "a", keyed(ledger, 1))
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
            with anyio.fail_after(3):
                assert await ledger.summary() == Summary()


@on_asyncio
@pytest.mark.parametrize("gaps", [*GAPS, (10, 1), (20, 2)], ids=str)
async def test_an_opening_whose_task_is_gone(place: Place, gaps: Sequence[int]) -> None:
    """If the task that opens a ledger is cancelled, the ledger can be opened again."""
    ledger = place()
    if not await cancelled(ledger.__aenter__(), gaps, nullcontext()):
        await ledger.aclose()
    async with ledger:
        assert await ledger.summary() == Summary()


async def test_a_ledger_that_nobody_closed_is_closed_with_its_object(
    server: Server, place: Place, account: str
) -> None:
    """If a program forgets an open `Ledger` object, its claims become unknown, and its connections end."""
    name = f"forgotten-{account}"
    ledger = Ledger.postgres(f"{server.dsn()}&application_name={name}", account=account)
    await ledger.__aenter__()
    await claim_each(ledger, 2)
    report = ledger.report()
    assert (await anext(report)).state == "sending"
    del ledger, report
    gc.collect()
    async with place() as other:
        with anyio.fail_after(10):
            while (await other.summary()).unknown < 2:  # noqa: ASYNC110 - no event tells it
                await anyio.sleep(0.01)
            while server.rows("SELECT 1 FROM pg_stat_activity WHERE application_name = %s", name):  # noqa: ASYNC110
                await anyio.sleep(0.01)


PROGRAM = """
import sys, anyio
from smsapi_async.ledger import Ledger
from tests.ledger.tools import accepted, claim_each

kept = []

async def crash():
    ledger = await Ledger.postgres(sys.argv[1], account=sys.argv[2]).__aenter__()
    keys = await claim_each(ledger, 20)
    kept.extend([ledger, *(ledger.settle(key, accepted()) for key in keys[:10])])
    for settling in kept[1:]:
        try:
            settling.send(None)  # runs until the settle waits
        except StopIteration:
            pass
    raise RuntimeError

try:
    anyio.run(crash, backend=sys.argv[3])
except RuntimeError:
    print("stopped")
"""


async def test_a_program_that_ends_without_closing(
    server: Server, place: Place, account: str, anyio_backend: str
) -> None:
    """A program that ends with an open ledger ends soon, and its last answers are recorded."""
    command: list[str] = [sys.executable, "-c", PROGRAM, server.dsn(), account, anyio_backend]
    run: Callable[[], subprocess.CompletedProcess[str]] = lambda: subprocess.run(  # noqa: E731
        command, capture_output=True, text=True, timeout=30, check=False
    )
    ended = await anyio.to_thread.run_sync(run)
    assert (ended.stdout, ended.returncode) == ("stopped\n", 0), ended.stderr
    async with place() as ledger:
        assert await ledger.summary() == Summary(accepted=10, unknown=10, segments=10)


async def test_an_iterator_keeps_its_ledger_open(place: Place) -> None:
    """An iterator of a ledger reads to its end, even if the program has no other reference to the ledger."""
    ledger: Ledger = await place().__aenter__()
    await claim_many(ledger, 600)
    items = ledger.report()
    del ledger
    gc.collect()
    assert len([each async for each in items]) == 600
