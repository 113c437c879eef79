"""Tests of calls of a ledger that `asyncio.Task.cancel` cancels several times, a few steps apart.

`asyncio.Task.cancel` cancels even inside a shielded cancel scope of AnyIO. Whatever the steps are, no message
is claimed without a sender, all that was passed to the ledger is recorded, and the file can be opened again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import anyio
import attrs
import pytest

from smsapi_async.ledger import Ledger, LedgerInUse, Resolution, Summary
from smsapi_async.models import Receipt
from smsapi_async.states import Phase
from smsapi_async.tracking import Delivery
from tests.ledger.tools import (
    ACCEPTED_AT,
    accepted,
    cancelled,
    claim_each,
    held_by_another_program,
    keyed,
    message,
    open_messages,
    settle_each,
    unknown,
    until_at_work,
)

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

GAPS = [(0, 1), (1, 0), (1, 1), (1, 2), (1, 3), (2, 1), (3, 1), (1, 0, 0), (1, 1, 1), (1, 2, 2), (2, 2, 2)]
"""For each cancellation, the number of steps of the event loop before it."""

Work = Callable[[Ledger, list[str]], Awaitable[object]]
BEFORE = Summary(sending=1, unknown=1, accepted=1, segments=1)


def _changed(**counts: int) -> Summary:
    return attrs.evolve(BEFORE, **counts)


WRITES: dict[str, tuple[Work, Summary]] = {
    "settle": (
        lambda ledger, keys: ledger.settle(keys[0], accepted()),
        _changed(sending=0, accepted=2, segments=2),
    ),
    "release": (lambda ledger, keys: ledger.release(keys[0]), _changed(sending=0, pending=1)),
    "record_pending": (lambda ledger, _: ledger.record_pending(keyed(ledger, 1, 5)), _changed(pending=1)),
    "resolve_many": (
        lambda ledger, keys: ledger.resolve_many([Resolution(keys[1], sent=True)]),
        _changed(unknown=0, accepted=2),
    ),
    "record": (
        lambda ledger, keys: ledger.record(
            [
                Delivery(
                    Receipt(message(2, key=keys[2]), ("id",), ACCEPTED_AT),
                    Phase.ENROUTE,
                    (None,),
                    False,
                    ACCEPTED_AT,
                )
            ]
        ),
        BEFORE,
    ),
}


def _lock(path: Path, *, is_busy: bool) -> AbstractContextManager[object]:
    """Return a lock that another program holds on the ledger file, or no lock."""
    return held_by_another_program(path) if is_busy else nullcontext()


async def opened_soon(path: Path) -> Ledger:
    """Open a ledger that another object may be closing now."""
    with anyio.fail_after(5):
        while True:
            try:
                return await Ledger.sqlite(path).__aenter__()
            except LedgerInUse:
                await anyio.sleep(0.01)


async def prepared(ledger: Ledger) -> list[str]:
    """Claim one message, make one unknown and one accepted, and return their keys."""
    keys = await claim_each(ledger, 3)
    await settle_each(ledger, {keys[1]: unknown(), keys[2]: accepted()})
    assert await ledger.summary() == BEFORE
    return keys


@pytest.mark.parametrize("is_busy", [False, True])
@pytest.mark.parametrize("gaps", GAPS, ids=str)
@pytest.mark.parametrize("name", WRITES)
async def test_a_write_outlives_its_task(path: Path, name: str, gaps: Sequence[int], is_busy: bool) -> None:
    """A write is recorded, whenever and however often its task is cancelled after its first step."""
    work, expected = WRITES[name]
    async with Ledger.sqlite(path) as ledger:
        keys = await prepared(ledger)
        await cancelled(work(ledger, keys), gaps, _lock(path, is_busy=is_busy))
        assert await ledger.summary() == (expected if gaps[0] else BEFORE)
        if name == "record" and gaps[0]:
            (tracked,) = await open_messages(ledger)
            assert isinstance(tracked, Delivery)
    async with Ledger.sqlite(path) as ledger:
        assert (await ledger.summary()).sending == 0


@pytest.mark.parametrize("is_busy", [False, True])
@pytest.mark.parametrize("gaps", GAPS, ids=str)
@pytest.mark.parametrize("settles", [False, True])
async def test_a_claim_whose_task_is_gone_is_given_back(
    path: Path, gaps: Sequence[int], is_busy: bool, settles: bool
) -> None:
    """If a call of `claim` is cancelled, its messages can be claimed by the next sender, who is woken.

    The answer of an earlier claim, which was passed with the claim, is recorded.
    """
    async with Ledger.sqlite(path) as ledger:
        keys = await prepared(ledger)
        end = (keys[0], accepted()) if settles else None
        claim = ledger.claim("gone", keyed(ledger, 2, 5), settle=end)
        is_gone = await cancelled(claim, gaps, _lock(path, is_busy=is_busy))
        assert is_gone or not is_busy
        with anyio.fail_after(5):
            await ledger.wait("gone") if is_gone else None
        expected = [None, None] if is_gone else await ledger.claim("next", keyed(ledger, 2, 5))
        assert await ledger.claim("next", keyed(ledger, 2, 5)) == expected
        summary = await ledger.summary()
        assert summary.unknown == 1
        assert summary.sending == (2 if settles and gaps[0] else 3)
        assert summary.accepted == (2 if settles and gaps[0] else 1)


async def test_a_claim_that_is_gone_while_the_ledger_closes_is_given_back(path: Path) -> None:
    """If a call of `claim` is cancelled while the ledger closes, its messages become pending."""
    ledger = await Ledger.sqlite(path).__aenter__()
    with held_by_another_program(path):
        claiming = asyncio.ensure_future(ledger.claim("gone", keyed(ledger, 2)))
        await until_at_work(ledger)
        closing = asyncio.ensure_future(ledger.aclose())
        await asyncio.sleep(0)
        claiming.cancel()
        await asyncio.sleep(0)
    await closing
    with pytest.raises(asyncio.CancelledError):
        await claiming
    async with Ledger.sqlite(path) as other:
        assert await other.summary() == Summary(pending=2)


@pytest.mark.parametrize("gaps", GAPS, ids=str)
async def test_those_who_wait_for_a_claim_that_is_gone_are_woken(path: Path, gaps: Sequence[int]) -> None:
    """If a call of `claim` is cancelled while others wait for its end, the others get the messages."""
    async with Ledger.sqlite(path) as ledger:

        async def claim_after(token: str) -> None:
            (claimed,) = await ledger.claim(token, keyed(ledger, 1))
            while claimed is not None:
                await ledger.wait(claimed.token)  # type: ignore[union-attr]
                (claimed,) = await ledger.claim(token, keyed(ledger, 1))
            await ledger.release(token)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                task = cancelled(ledger.claim("gone", keyed(ledger, 1)), (1, *gaps), nullcontext())
                group.start_soon(lambda: task)
                for number in range(5):
                    group.start_soon(claim_after, f"next {number}")
                    await asyncio.sleep(0)


@pytest.mark.parametrize("is_busy", [False, True])
@pytest.mark.parametrize("gaps", [*GAPS, (10, 1), (20, 2)], ids=str)
async def test_an_opening_whose_task_is_gone_leaves_no_lock(
    path: Path, gaps: Sequence[int], is_busy: bool
) -> None:
    """If the task that opens a ledger is cancelled, the file can be opened again soon."""
    async with Ledger.sqlite(path) as ledger:
        keys = await prepared(ledger)
        await ledger.settle(keys[0], unknown())
    ledger = Ledger.sqlite(path)
    if not await cancelled(ledger.__aenter__(), gaps, _lock(path, is_busy=is_busy)):
        await ledger.aclose()
    other = await opened_soon(path)
    assert await other.summary() == _changed(sending=0, unknown=2)
    await other.aclose()


@pytest.mark.parametrize("is_busy", [False, True])
@pytest.mark.parametrize("gaps", GAPS, ids=str)
async def test_a_closing_whose_task_is_gone_goes_on(path: Path, gaps: Sequence[int], is_busy: bool) -> None:
    """If the task that closes a ledger is cancelled, the file is closed, and what was passed is recorded."""
    ledger = await Ledger.sqlite(path).__aenter__()
    keys = await prepared(ledger)
    settling = asyncio.ensure_future(ledger.settle(keys[0], accepted()))
    await asyncio.sleep(0)
    await cancelled(ledger.aclose(), gaps, _lock(path, is_busy=is_busy))
    await ledger.aclose()
    await settling
    other = await opened_soon(path)
    assert await other.summary() == _changed(sending=0, accepted=2, segments=2)
    await other.aclose()
