"""Tests of ledgers that nobody closes: the event loop stops, the program ends, or the object is forgotten."""

import gc
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from smsapi_async.ledger import Ledger, LedgerInUse, Summary
from tests.ledger.tools import accepted, claim_each, claim_many

pytestmark = pytest.mark.anyio

# The program claims 20 messages, passes the answers of 10 claims to the ledger without waiting, and ends
# without closing the ledger.
PROGRAM = """
import asyncio, sys, anyio
from smsapi_async.ledger import Ledger
from tests.ledger.tools import accepted, claim_each

kept, way = [], sys.argv[2]

async def begin():
    ledger = await Ledger.sqlite(sys.argv[1]).__aenter__()
    keys = await claim_each(ledger, 20)
    kept.extend([ledger, *(ledger.settle(key, accepted()) for key in keys[:10])])
    for settling in kept[1:]:
        try:
            settling.send(None)  # runs until the settle waits
        except StopIteration:
            pass

async def stop():
    await begin()
    asyncio.get_running_loop().stop()

async def crash():
    await begin()
    raise {"crash": RuntimeError, "interrupt": KeyboardInterrupt, "exit": SystemExit}[way]

if way in ("stop", "close"):
    loop = asyncio.new_event_loop()
    loop.create_task(stop())
    loop.run_forever()
    if way == "close":
        loop.close()
    print("stopped")
else:
    try:
        anyio.run(crash, backend=sys.argv[3])
    except BaseException as error:
        print("stopped")
"""


@pytest.mark.parametrize("way", ["stop", "close", "crash", "interrupt", "exit"])
async def test_a_program_whose_loop_stopped_ends(path: Path, way: str, anyio_backend: str) -> None:
    """A program whose event loop stops with an open ledger ends soon, and its last answers are recorded."""
    if way in {"stop", "close"} and anyio_backend == "trio":
        pytest.skip("only a loop of asyncio can be stopped")
    started = time.monotonic()
    ended = await anyio.to_thread.run_sync(
        lambda: subprocess.run(
            [sys.executable, "-c", PROGRAM, path, way, anyio_backend],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    )
    assert ended.stdout == "stopped\n", ended.stderr
    assert ended.returncode == 0
    assert time.monotonic() - started < 20
    async with Ledger.sqlite(path) as ledger:
        assert await ledger.summary() == Summary(accepted=10, unknown=10, segments=10)


async def test_a_ledger_that_nobody_closed_is_closed_with_its_object(path: Path) -> None:
    """If a program forgets an open `Ledger` object, its file can soon be opened again."""
    ledger = await Ledger.sqlite(path).__aenter__()
    await claim_each(ledger, 2)
    report = ledger.report()
    assert (await anext(report)).state == "sending"
    del ledger, report
    gc.collect()
    with anyio.fail_after(10):
        while True:
            try:
                async with Ledger.sqlite(path) as other:
                    assert await other.summary() == Summary(unknown=2)
                break
            except LedgerInUse:
                await anyio.sleep(0.01)


@pytest.mark.parametrize("name", ["report", "outcomes"])
async def test_an_iterator_keeps_its_ledger_open(path: Path, name: str) -> None:
    """An iterator of a ledger reads to its end, even if the program has no other reference to the ledger."""
    ledger = await Ledger.sqlite(path).__aenter__()
    await claim_many(ledger, 600)
    await ledger.settle("many", accepted())
    items = getattr(ledger, name)()
    del ledger
    gc.collect()
    assert len([each async for each in items]) == 600
