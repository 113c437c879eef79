"""Tests of tracking with a ledger: a restart, failed messages, and the memory for 20,000 messages."""

import gc
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from zlib import crc32

import pytest

from smsapi_async.ledger import DeliverySummary, Ledger, Record
from smsapi_async.models import Receipt
from smsapi_async.states import Phase
from smsapi_async.tracking import Delivery, DeliverySink
from tests.ledger.tools import accepted_receipts, execute, open_messages
from tests.tracking.support import START, FakeGateway, JumpingClock, collect

pytestmark = pytest.mark.anyio

MANY = 20_000
# With `synchronous = OFF`, the tests are faster, because SQLite does not wait until the data is on the disk.
# No test in this file needs the data after a power failure.
QUICK = "PRAGMA synchronous = OFF"
# The SQL statement `FILL` copies the first request with its message 19,999 times, because the methods of the
# ledger would need much longer to claim and settle 20,000 messages.
_NUMBERS = "WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000)"
FILL = (
    f"""{_NUMBERS} INSERT INTO requests (id, state, size, sent_at, answered_at, segment_count, segment_ids)
    SELECT n, state, size, sent_at, answered_at, segment_count, json_array('a' || n, 'b' || n)
    FROM numbers, requests WHERE requests.id = 1""",  # noqa: S608
    f"""{_NUMBERS} INSERT INTO messages (id, number, content_id, position)
    SELECT n << 12, 79030000000 + n, content_id, 20001 - n FROM numbers, messages m WHERE m.id = 1 << 12""",  # noqa: S608
)


class Watched:
    """Passes deliveries to a ledger. While the ledger records deliveries, the clock does not jump.

    Args:
        ledger: the ledger that records the deliveries.
        clock: the clock of the client.
    """

    def __init__(self, ledger: DeliverySink, clock: JumpingClock) -> None:
        self._record = clock.watching(ledger.record)  # type: ignore[arg-type]

    async def record(self, deliveries: Sequence[Delivery]) -> None:
        await self._record(deliveries)  # type: ignore[arg-type]


async def test_a_restart_in_the_middle_of_hundreds(path: Path) -> None:
    """After a restart, tracking continues with all messages that are not final.

    The client does not request the state of a segment again after a response with the final state.
    """
    gateway = FakeGateway(lambda segment_id: float(crc32(segment_id.encode()) % 100))
    async with Ledger.sqlite(path) as ledger:
        await execute(ledger, QUICK)
        receipts = await accepted_receipts(ledger, 300, segments=2, accepted_at=START)
        finals = 0
        async with gateway.track(ledger.to_track(), ledger=Watched(ledger, gateway.clock)) as deliveries:
            async for delivery in deliveries:
                finals += delivery.is_final
                if finals == 150:
                    break
    async with Ledger.sqlite(path) as ledger:
        await execute(ledger, QUICK)
        left = await open_messages(ledger)
        assert 0 < len(left) <= 150
        assert any(isinstance(each, Delivery) and any(each.states) for each in left)
        again = await collect(gateway.track(ledger.to_track(), ledger=Watched(ledger, gateway.clock)))
        last = {each.receipt: each for each in again if each.is_final}
        assert set(last) == {each.receipt if isinstance(each, Delivery) else each for each in left}
        assert all(each.phase is Phase.DELIVERED for each in last.values())
        assert await open_messages(ledger) == []
        assert await ledger.deliveries_summary() == DeliverySummary(delivered=len(receipts))
    assert gateway.asked_when_known == []
    assert set(gateway.asked) == {id_ for each in receipts for id_ in each.segment_ids}


async def test_messages_that_failed_are_counted(path: Path) -> None:
    """If messages fail during tracking, `deliveries_summary` counts the failed messages of each state."""
    gateway = FakeGateway(lambda _: 12.0, state=46)
    async with Ledger.sqlite(path) as ledger:
        await execute(ledger, QUICK)
        await accepted_receipts(ledger, 300, accepted_at=START)
        await collect(gateway.track(ledger.to_track(), ledger=Watched(ledger, gateway.clock)))
        expected = DeliverySummary(failed=300, failed_by_state={46: 300})
        assert await ledger.deliveries_summary() == expected


async def test_thousands_take_the_memory_of_a_page(path: Path) -> None:
    """While `to_track` and `report` return 20,000 messages, the memory holds fewer than 1,000 of them.

    `to_track` returns the messages in the order of their requests, and `report` in the order in which they
    were given.
    """
    async with Ledger.sqlite(path) as ledger:
        await accepted_receipts(ledger, 1, segments=2)
        for statement in FILL:
            await execute(ledger, statement)
        expected = [("0-0", "0-1"), *((f"a{number}", f"b{number}") for number in range(2, MANY + 1))]
        assert await ids_in(ledger.to_track(), Receipt) == expected
        in_report = await ids_in(ledger.report(), Record)
    assert in_report == expected[:1] + expected[:0:-1]


async def ids_in(
    items: AsyncIterator[Receipt | Delivery] | AsyncIterator[Record], kind: type[Receipt | Record]
) -> list[tuple[str, ...]]:
    """Return the segment ids of all items. During the iteration, few items are alive at the same time."""
    found: list[tuple[str, ...]] = []
    async for each in items:
        assert isinstance(each, kind)
        found.append(each.segment_ids)
        if len(found) % 4_999 == 0:
            assert 0 < sum(isinstance(thing, kind) for thing in gc.get_objects()) < 1000
    return found
