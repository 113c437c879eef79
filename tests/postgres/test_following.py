"""Tests of tracking by pages: a PostgreSQL ledger keeps the time of the next request of each message."""

import gc
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

import anyio
import pytest

from smsapi_async.calls.verdicts import Dated
from smsapi_async.clock import SystemClock
from smsapi_async.errors import LedgerError, ReadFailed
from smsapi_async.ledger import DeliverySummary, Ledger, RequestAnswer
from smsapi_async.models import Message, Receipt, SegmentState
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.states import Phase
from smsapi_async.tracking import DEADLINE, Delivery, Schedule, Tracking, paged_stream
from smsapi_async.tracking.paged_stream import MESSAGES_HELD, PagedTracking
from smsapi_async.tracking.visits import DuePage, Visit, VisitStore, VisitTracker
from tests.client.tools import client_for
from tests.ledger.tools import Place, accepted_receipts, claim_many, open_messages
from tests.postgres.server import Server
from tests.tracking.support import START, FakeGateway, JumpingClock, collect, segment_state, undated

pytestmark = pytest.mark.anyio
MANY = 50_000


class WatchedStore:
    """Passes calls to a store. During a call, the clock does not jump."""

    def __init__(self, store: VisitStore, clock: JumpingClock) -> None:
        self._store = store
        self._clock = clock

    async def due_messages(self, now: datetime, **options: Any) -> DuePage:
        async def work(_: str) -> DuePage:
            return await self._store.due_messages(now, **options)

        return await self._clock.watching(work)("")

    async def record_visits(self, visits: Sequence[Visit]) -> None:
        async def work(_: str) -> None:
            await self._store.record_visits(visits)

        await self._clock.watching(work)("")


def visits_of(ledger: Ledger) -> VisitStore:
    """Return what `sms.track(ledger)` asks for due messages."""
    visits: VisitStore = getattr(ledger.to_track(), "visits")  # noqa: B009
    return visits


def paged(
    ledger: Ledger,
    gateway: FakeGateway,
    *,
    read: Callable[[str], Awaitable[SegmentState]] | None = None,
    deadline: timedelta = DEADLINE,
) -> Tracking:
    """Return the stream of `sms.track(ledger)` with the clock and the responses of a gateway."""
    clock = gateway.clock
    store = WatchedStore(visits_of(ledger), clock)
    asked = undated(clock.watching(read or gateway.read))
    tracker = VisitTracker(Schedule(), deadline.total_seconds())
    return PagedTracking(store, tracker, asked, clock=clock, workers=10)


@pytest.fixture(autouse=True)
def few_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the stream look for new messages rarely, because the clock of the tests jumps over days."""
    monkeypatch.setattr(paged_stream, "_LONGEST_PAUSE", 3600.0)


async def accept(ledger: Ledger, count: int, first: int = 0, *, at: datetime = START) -> None:
    """Record one accepted request with new messages, each with one segment."""
    token = secrets.token_hex(4)
    await claim_many(ledger, count, first, token=token)
    ids = tuple(f"{number}-0" for number in range(first, first + count))
    await ledger.settle(token, RequestAnswer(state="accepted", at=at, segment_ids=ids))


def alive() -> int:
    """Return the number of receipts in memory."""
    return sum(type(each) is Receipt for each in gc.get_objects())


async def test_tens_of_thousands_take_the_memory_of_a_page(place: Place) -> None:
    """While 50,000 messages are followed, at most some 2,000 are in memory, and each costs one request."""
    asked: Counter[str] = Counter()
    most = finals = 0

    async def read(segment_id: str) -> Dated[SegmentState]:
        asked[segment_id] += 1
        return Dated(segment_state(segment_id, 0), None)

    async with place() as ledger:
        for first in range(0, MANY, 1000):
            await accept(ledger, 1000, first, at=datetime.now(UTC) - timedelta(seconds=10))
        before = alive()
        tracker = VisitTracker(Schedule(), DEADLINE.total_seconds())
        stream = PagedTracking(visits_of(ledger), tracker, read, clock=SystemClock(), workers=20)
        async with stream as deliveries:
            async for delivery in deliveries:
                finals += delivery.is_final
                if finals % 9_999 == 0:
                    most = max(most, alive() - before)
        assert await ledger.deliveries_summary() == DeliverySummary(delivered=MANY)
    assert finals == len(asked) == stream.requests == MANY
    assert 0 < most <= 3 * MESSAGES_HELD


async def test_a_restart_continues(place: Place) -> None:
    """After a restart, the stream follows the rest, and asks for no segment whose final state is known."""
    gateway = FakeGateway(lambda segment_id: float(crc32(segment_id.encode()) % 100))
    async with place() as ledger:
        receipts = await accepted_receipts(ledger, 300, segments=2, accepted_at=START)
        finals = 0
        async with paged(ledger, gateway) as deliveries:
            async for delivery in deliveries:
                finals += delivery.is_final
                if finals == 150:
                    break
    async with place() as ledger:
        left = await open_messages(ledger)
        assert 0 < len(left) <= 150
        assert any(isinstance(each, Delivery) and any(each.states) for each in left)
        again = await collect(paged(ledger, gateway))
        last = {each.receipt: each for each in again if each.is_final}
        assert set(last) == {each.receipt if isinstance(each, Delivery) else each for each in left}
        assert all(each.phase is Phase.DELIVERED for each in last.values())
        assert await open_messages(ledger) == []
        assert await ledger.deliveries_summary() == DeliverySummary(delivered=len(receipts))
    assert gateway.asked_when_known == []


@pytest.mark.parametrize("state", [0, 46, -1, 255])
@pytest.mark.parametrize("segments", [1, 3])
async def test_the_same_as_in_memory(place: Place, state: int, segments: int) -> None:
    """By pages or in memory, a message gets the same last delivery, with about the same requests."""

    def final_after(segment_id: str) -> float:
        return 2.0 ** (crc32(segment_id.encode()) % 14)

    by_pages, in_memory = FakeGateway(final_after, state), FakeGateway(final_after, state)
    async with place() as ledger:
        receipts = await accepted_receipts(ledger, 20, segments=segments, accepted_at=START)
        paged_deliveries = await collect(paged(ledger, by_pages))
        assert await open_messages(ledger) == []
    others = await collect(in_memory.track(receipts))
    assert lasts(paged_deliveries) == lasts(others)
    few, many = sorted([by_pages.asked.total(), in_memory.asked.total()])
    assert many <= 1.2 * few + 20


def lasts(deliveries: list[Delivery]) -> dict[tuple[str, ...], tuple[Phase, bool, tuple[int | None, ...]]]:
    """Return the last phase and the last states of each message."""
    return {
        each.receipt.segment_ids: (
            each.phase,
            each.is_final,
            tuple(None if state is None else int(state.state) for state in each.states),
        )
        for each in deliveries
    }


async def test_a_long_downtime(place: Place) -> None:
    """If no follower ran until after the deadline, each segment is asked for once more, even after errors."""
    gateway = FakeGateway(lambda _: 40.0)
    failures = 0

    async def read(segment_id: str) -> SegmentState:
        nonlocal failures
        failures += 1
        if failures <= 5:
            raise ReadFailed("the gateway is away")
        return await gateway.read(segment_id)

    async with place() as ledger:
        await accepted_receipts(ledger, 10, segments=2, accepted_at=START)
        gateway.time.advance(timedelta(seconds=10))
        async with paged(ledger, gateway) as deliveries:
            await anext(deliveries)
        gateway.time.advance(timedelta(days=5))
        again = await collect(paged(ledger, gateway, read=read))
        assert failures > 5
        assert {each.phase for each in again if each.is_final} == {Phase.DELIVERED}
        assert await ledger.deliveries_summary() == DeliverySummary(delivered=10)


async def test_a_message_of_tomorrow(place: Place) -> None:
    """A message with a send date is first asked for after its date."""
    date = START + timedelta(days=1)
    first: list[datetime] = []
    gateway = FakeGateway(lambda _: 86_400.0 + 30)

    async def read(segment_id: str) -> SegmentState:
        first.append(gateway.time.now())
        return await gateway.read(segment_id)

    async with place() as ledger:
        message = Message("79031234567", "text", source_address="Shop", send_date=date, key="a")
        await ledger.claim("token", [("a", message)])
        await ledger.settle("token", RequestAnswer(state="accepted", at=START, segment_ids=("1",)))
        (*_, last) = await collect(paged(ledger, gateway, read=read))
    assert last.phase is Phase.DELIVERED
    assert last.is_final
    assert first[0] >= date
    assert len(first) < 10


async def test_recorded_receipts_are_followed(place: Place) -> None:
    """Messages that a program tracked by their receipts are followed afterwards, too."""
    gateway = FakeGateway(lambda _: 1000.0)
    async with place() as ledger:
        receipts = await accepted_receipts(ledger, 3, accepted_at=START)
        states = [(segment_state(each.segment_ids[0], -1),) for each in receipts]
        await ledger.record(
            [
                Delivery(each, Phase.ENROUTE, known, is_final=False, updated_at=START)
                for each, known in zip(receipts, states, strict=True)
            ]
        )
        again = await collect(paged(ledger, gateway))
        assert {each.receipt for each in again if each.is_final} == set(receipts)


async def test_ids_that_a_redacted_ledger_lacks(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """A redacted ledger leaves out messages whose ids contain their number, and warns once."""
    gateway = FakeGateway(lambda _: 10.0)
    async with place(redact=True) as ledger:
        await accept(ledger, 2)
        message = Message("79031239999", "text", source_address="Shop")
        await ledger.claim("token", [(ledger.key_of(message), message)])
        await ledger.settle(
            "token", RequestAnswer(state="accepted", at=START, segment_ids=("id-79031239999",))
        )
        with caplog.at_level(logging.WARNING, "smsapi_async"):
            again = await collect(paged(ledger, gateway))
            assert await collect(paged(ledger, gateway)) == []
        assert sum(each.is_final for each in again) == 2
    assert [each.getMessage()[:29] for each in caplog.records] == ["ledger: 1 accepted messages c"]


async def test_messages_without_ids(place: Place) -> None:
    """A message whose segment ids are not known does not keep the stream from its end."""
    gateway = FakeGateway(lambda _: 10.0)
    async with place() as ledger:
        await claim_many(ledger, 2)
        await ledger.settle("many", RequestAnswer(state="accepted", at=START, segment_ids=("1",)))
        assert await collect(paged(ledger, gateway)) == []


async def test_two_followers(place: Place) -> None:
    """Two followers without a role cost twice the requests, and record the same states without an error."""
    gateway = FakeGateway(lambda segment_id: float(crc32(segment_id.encode()) % 30))
    async with place() as one, place() as other:
        for first in range(0, 400, 100):
            await accept(one, 100, first)
        async with anyio.create_task_group() as group:
            for ledger in (one, other):
                group.start_soon(collect, paged(ledger, gateway))
        assert await one.deliveries_summary() == DeliverySummary(delivered=400)


async def test_an_error_of_the_ledger(place: Place) -> None:
    """If the ledger is closed during the tracking, the stream ends with the error of the ledger."""
    gateway = FakeGateway(lambda _: 10.0)
    async with place() as ledger:
        await accept(ledger, 5)
        stream = paged(ledger, gateway)
        await ledger.aclose()
        with pytest.raises(LedgerError, match="not open"):
            await collect(stream)


async def test_the_client(place: Place, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """`track` with the ledger follows the messages by pages, also those that another process sends."""
    monkeypatch.setattr(paged_stream, "_LONGEST_PAUSE", 0.2)
    sandbox = Sandbox(journey=lambda *_: [(timedelta(0), 0)])
    quick = Schedule(first=0.1, maximum=1.0)
    async with run_sandbox(sandbox), client_for(sandbox) as sms, place() as ledger, place() as other:
        await sms.send("79031234567", "first", ledger=ledger, key="1")
        found: list[str | None] = []
        async with ledger.role("follow"), sms.track(ledger, schedule=quick) as deliveries:
            assert isinstance(deliveries, PagedTracking)
            async for delivery in deliveries:
                found.append(delivery.receipt.message.key)
                if len(found) == 1:
                    await sms.send("79031234567", "second", ledger=other, key="2")
        if found == ["1"]:
            # The stream had noticed its end before the second message was sent.
            found += [each.receipt.message.key for each in await collect(sms.track(ledger, schedule=quick))]
        assert found == ["1", "2"]
        # With an object of the caller that records the deliveries, the stream iterates over the ledger.
        assert type(sms.track(ledger, ledger=other)) is Tracking


async def test_an_index_finds_the_messages(place: Place, server: Server) -> None:
    """PostgreSQL finds due messages and new requests by an index, however many messages are final."""
    import psycopg  # noqa: PLC0415 - the package may be missing

    async with place() as ledger:
        await accept(ledger, 10)
        await visits_of(ledger).due_messages(START, limit=1, without=[], first_wait=5.0)
    indexes = {
        name for (name,) in server.rows("SELECT indexname FROM pg_indexes WHERE schemaname = 'smsapi'")
    }
    assert {"deliveries_next", "requests_new", "messages_request"} <= indexes
    with psycopg.connect(server.dsn()) as connection:
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET enable_bitmapscan = off")
        for table, column, condition in (
            ("deliveries", "next_ask_at", "NOT is_final AND next_ask_at <= now()"),
            ("requests", "id", "state = 'accepted' AND NOT is_followed"),
        ):
            plan = connection.execute(
                f"EXPLAIN SELECT * FROM smsapi.{table} WHERE account_id = 1 AND {condition}"  # noqa: S608
                f" ORDER BY {column} LIMIT 5"
            )
            text = str(plan.fetchall())
            assert "deliveries_next" in text or "requests_new" in text
            assert "Sort" not in text
