"""Tests of the stream of deliveries, with a sandbox on a socket and a clock that jumps."""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from smsapi_async import (
    ClientClosed,
    Forbidden,
    InvalidCredentials,
    Receipt,
    SegmentState,
    State,
    StreamNotEntered,
)
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.states import Phase
from smsapi_async.tracking import Delivery, Tracking
from tests.tracking.support import (
    FIVE_SEGMENTS,
    NUMBER,
    START,
    FakeGateway,
    JumpingClock,
    asked_ids,
    client,
    collect,
    journey,
    journeys,
    receipt,
    running,
    tracking,
    undated,
)

pytestmark = pytest.mark.anyio
DELIVERED = journey((0, 255), (1, -2), (2, -1), (12, 0))


async def _follow(
    sandbox: Sandbox, text: str = "text", number: str = NUMBER, validity: int | None = None, **options: Any
) -> list[Delivery]:
    """Send one message to the sandbox, track the message until it is final, and return all deliveries.

    Args:
        sandbox: the sandbox that accepts the message.
        text: the text of the message.
        number: the destination address of the message.
        validity: the validity of the message in minutes, or None.
        options: more parameters of `tracking`.
    """
    async with running(sandbox) as (sms, clock):
        sent = await sms.send(number, text, validity=validity)
        return await collect(tracking([sent], sms.state, clock, **options))


def _sandbox(*each: Any, **options: Any) -> Sandbox:
    return Sandbox(start=START, journey=journeys(*each), **options)


async def test_delivered() -> None:
    """The stream returns one delivery with the phase enroute, and then one delivery with the phase delivered.

    The last delivery contains the price and the delivery date.
    """
    sandbox = _sandbox(DELIVERED)
    deliveries = await _follow(sandbox)
    assert [(delivery.phase, delivery.is_final) for delivery in deliveries] == [
        (Phase.ENROUTE, False),
        (Phase.DELIVERED, True),
    ]
    last = deliveries[-1]
    assert last.price == Decimal("1.50")
    assert last.delivered_at == START + timedelta(seconds=12)
    assert START + timedelta(seconds=12) <= last.updated_at <= START + timedelta(seconds=25)
    assert sandbox.account.count("Sms/State") <= 4


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        ("910", State.WRONG_SOURCE_ADDRESS),
        ("911", State.WRONG_DESTINATION_ADDRESS),
        ("941", State.DESTINATION_ADDRESS_NOT_ALLOWED),
        ("942", State.REJECTED_BY_SMS_CENTRE),
        ("946", State.EXPIRED),
        ("947", State.DELETED),
        ("997", State.DELETED_BY_OLDER_CLIENT),
        ("948", State.REJECTED_BY_PLATFORM),
        ("969", State.REJECTED),
    ],
)
async def test_failed(ending: str, state: State) -> None:
    """For each failed state in the contract, the last delivery contains the failed segment and a reason."""
    last = (await _follow(Sandbox(start=START), number="79031234" + ending))[-1]
    assert (last.phase, last.is_final) == (Phase.FAILED, True)
    assert last.failed_segment is not None
    assert last.failed_segment.state is state
    assert last.reason


@pytest.mark.parametrize(
    ("ending", "state"), [("901", -1), ("902", -2), ("955", 255), ("998", -98), ("999", 99)]
)
async def test_never_final(ending: str, state: int) -> None:
    """If a message never becomes final, the message gets the phase unknown after 48 hours.

    The stream makes fewer than 150 requests for this message.
    """
    sandbox = Sandbox(start=START)
    last = (await _follow(sandbox, number="79031234" + ending))[-1]
    assert (last.phase, last.is_final) == (Phase.UNKNOWN, True)
    assert last.states[0] is not None
    assert last.states[0].state == state
    assert last.updated_at - START < timedelta(hours=48, minutes=2)
    assert sandbox.account.count("Sms/State") < 150


@pytest.mark.parametrize(
    ("ending", "phase"), [("901", Phase.ENROUTE), ("955", Phase.ENROUTE), ("999", Phase.UNKNOWN)]
)
async def test_the_deadline(ending: str, phase: Phase) -> None:
    """At the deadline, the stream returns the last delivery of a message that is not final in the gateway."""
    number = "79031234" + ending
    last = (await _follow(Sandbox(start=START), number=number, deadline=timedelta(hours=1)))[-1]
    assert (last.phase, last.is_final) == (phase, True)
    assert last.updated_at - START == pytest.approx(timedelta(hours=1), abs=timedelta(seconds=1))


async def test_the_validity_runs_out() -> None:
    """The stream reports an expired message a few seconds after the end of the validity of the message."""
    last = (await _follow(Sandbox(start=START), number="79031234901", validity=10))[-1]
    assert last.failed_segment is not None
    assert last.failed_segment.state is State.EXPIRED
    assert last.updated_at - START < timedelta(minutes=10, seconds=5)


async def test_five_segments_cost_little_more_than_one() -> None:
    """A message with five segments needs about four more requests than a message with one segment."""
    one, five = _sandbox(journey((1, -1), (3000, 0))), _sandbox(journey((1, -1), (3000, 0)))
    await _follow(one)
    last = (await _follow(five, FIVE_SEGMENTS))[-1]
    assert last.phase is Phase.DELIVERED
    assert last.price == Decimal("7.50")
    asked = asked_ids(five)
    assert len(set(asked[:-4])) == 1
    assert sorted(set(asked)) == sorted(asked[-5:])
    assert abs(len(asked) - 4 - len(asked_ids(one))) <= 2


async def test_a_segment_that_lags() -> None:
    """If only one of three segments is not final, the stream requests only this segment again."""
    sandbox = _sandbox(DELIVERED, journey((1, -1), (60, 0)), DELIVERED)
    last = (await _follow(sandbox, "a" * 400))[-1]
    assert last.phase is Phase.DELIVERED
    asked = asked_ids(sandbox)
    first, lagging, third = last.receipt.segment_ids
    assert asked.count(third) == 1
    assert set(asked[asked.index(first) + asked.count(first) + 2 :]) == {lagging}


async def test_segments_that_disagree() -> None:
    """If one segment fails, the message has failed. The last delivery names the failed segment."""
    last = (await _follow(_sandbox(DELIVERED, journey((1, -1), (5, 42)), DELIVERED), FIVE_SEGMENTS))[-1]
    assert last.phase is Phase.FAILED
    assert last.failed_segment is not None
    assert last.failed_segment.segment_id == last.receipt.segment_ids[1]


@pytest.mark.parametrize("status", [500, 502, 429, 404])
async def test_failed_requests_do_not_end_the_stream(status: int) -> None:
    """After failed or refused requests, the stream still tracks the message until the message is final."""
    sandbox = _sandbox(DELIVERED)
    sandbox.answer_next("Sms/State", status, b"<html>", {"Retry-After": "3"}, times=3)
    sandbox.refuse_next("Sms/State", 8)
    sandbox.refuse_next("Sms/State", 2)
    assert (await _follow(sandbox))[-1].phase is Phase.DELIVERED


@pytest.mark.parametrize("status", [429, 503])
async def test_a_wait_for_years_is_a_wait_for_minutes(status: int) -> None:
    """If the gateway asks for a wait of 31 years, the stream asks again after at most five minutes."""
    sandbox = _sandbox(DELIVERED)
    sandbox.answer_next("Sms/State", status, b"<html>", {"Retry-After": "999999999"}, times=2)
    assert (await _follow(sandbox))[-1].phase is Phase.DELIVERED
    assert sandbox.now() - START < timedelta(minutes=12)


async def test_an_expired_session_does_not_end_the_stream() -> None:
    """If the session expires during the tracking, the client logs in again, and the stream continues."""
    sandbox = _sandbox(journey((1, -1), (40_000, 0)))
    assert (await _follow(sandbox))[-1].phase is Phase.DELIVERED
    assert sandbox.account.logins > 3


async def test_refused_credentials_end_the_stream() -> None:
    """If the password is wrong, the stream raises `InvalidCredentials` after one login, and then ends."""
    sandbox = _sandbox(DELIVERED)
    async with run_sandbox(sandbox):
        clock = JumpingClock(sandbox)
        async with (
            client(sandbox, clock, password="wrong") as sms,
            tracking([receipt(), receipt(2)], sms.state, clock) as deliveries,
        ):
            with pytest.raises(InvalidCredentials):
                await anext(deliveries)
            with pytest.raises(StopAsyncIteration):
                await anext(deliveries)
    assert sandbox.account.logins == 1


async def test_a_forbidden_account_ends_the_stream_after_what_was_noticed() -> None:
    """If the gateway refuses the account, the stream raises `Forbidden` after the earlier deliveries."""
    sandbox = _sandbox(DELIVERED)
    async with running(sandbox) as (sms, clock):
        sent = await sms.send(NUMBER, "text")
        async with tracking([sent], sms.state, clock) as deliveries:
            sandbox.advance(seconds=8)
            assert (await anext(deliveries)).phase is Phase.ENROUTE
            sandbox.refuse_next("Sms/State", 7)
            with pytest.raises(Forbidden):
                await anext(deliveries)


async def test_a_client_that_is_closed_ends_the_stream() -> None:
    """If the client is closed, iterating over the stream raises `ClientClosed`."""
    sandbox = _sandbox(DELIVERED)
    async with run_sandbox(sandbox):
        clock = JumpingClock(sandbox)
        sms = client(sandbox, clock)
        await sms.aclose()
        with pytest.raises(ClientClosed):
            await collect(tracking([receipt()], sms.state, clock))


async def test_leaving_early_leaves_nothing_running() -> None:
    """After a `break`, all tasks of the stream end, and the stream makes no more requests."""
    sandbox = _sandbox(DELIVERED)
    async with running(sandbox) as (sms, clock):
        sent = [await sms.send(NUMBER, "text") for _ in range(5)]
        before = len(anyio.get_running_tasks())
        async with tracking(sent, sms.state, clock, workers=2) as deliveries:
            async for _ in deliveries:
                sandbox.hold("Sms/State")
                break
        assert len(anyio.get_running_tasks()) == before
        asked = sandbox.account.count("Sms/State")
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert sandbox.account.count("Sms/State") == asked


async def test_cancellation_leaves_nothing_running() -> None:
    """If the task that iterates over the stream is cancelled, all tasks of the stream end."""
    sandbox = _sandbox(DELIVERED)
    async with running(sandbox) as (sms, clock):
        sent = await sms.send(NUMBER, "text")
        gate = sandbox.hold("Sms/State")
        before = len(anyio.get_running_tasks())
        async with anyio.create_task_group() as group:
            group.start_soon(collect, tracking([sent], sms.state, clock))
            await gate.arrived()
            group.cancel_scope.cancel()
        assert group.cancel_scope.cancelled_caught
        assert len(anyio.get_running_tasks()) == before


async def test_the_deadline_does_not_wait_for_a_request() -> None:
    """A request without a response does not delay the last delivery at the deadline."""
    gateway = FakeGateway(lambda _: 60.0)

    async def hang(_: str) -> SegmentState:
        await anyio.sleep_forever()
        raise AssertionError

    stream = gateway.track([receipt()], deadline=timedelta(minutes=1), workers=1)
    # `JumpingClock.watching` does not wrap `hang`, so the clock jumps while the request of `hang` is in
    # flight.
    stream._read_state = undated(hang)
    last = (await collect(stream))[-1]
    assert (last.phase, last.is_final) == (Phase.ENROUTE, True)
    assert last.updated_at - START < timedelta(seconds=61)


async def test_an_async_source_is_read_as_it_gives() -> None:
    """The receipts can come from an async iterable. The stream tracks all messages of this iterable."""
    gateway = FakeGateway(lambda _: 12.0)

    async def source() -> AsyncIterator[Receipt]:
        for number in range(20):
            yield receipt(number)
            await anyio.lowlevel.checkpoint()

    deliveries = await collect(gateway.track(source()))
    assert sum(delivery.is_final for delivery in deliveries) == 20


async def test_a_receipt_that_comes_while_the_timer_waits() -> None:
    """If a new receipt arrives while the stream waits, the stream starts to track the new message."""
    gateway = FakeGateway(lambda _: 0.0)
    send, receive = anyio.create_memory_object_stream[Receipt](1)
    async with send, receive, gateway.track(receive) as deliveries:
        await send.send(receipt(1))
        assert (await anext(deliveries)).is_final
        await send.send(receipt(2))
        assert (await anext(deliveries)).receipt.segment_ids == ("2-0",)
        send.close()
        with pytest.raises(StopAsyncIteration):
            await anext(deliveries)


async def test_a_source_that_fails() -> None:
    """If the iterable of receipts raises an error, the stream raises this error unchanged."""
    gateway = FakeGateway(lambda _: 12.0)

    def source() -> Iterator[Receipt]:
        yield receipt()
        raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        await collect(gateway.track(source()))


async def test_a_slow_consumer_holds_the_reading_back() -> None:
    """If the consumer is slow, the stream does not read all receipts into memory."""
    gateway = FakeGateway(lambda _: 0.0)
    final = (await collect(gateway.track([receipt()])))[-1]
    given = 0

    def source() -> Iterator[Delivery]:
        nonlocal given
        for _ in range(10_000):
            given += 1
            yield final

    async with gateway.track(source()) as deliveries:
        for _ in range(2000):
            await anyio.lowlevel.checkpoint()
        assert given < 3000
        assert len([delivery async for delivery in deliveries]) == 10_000


async def test_outside_its_block() -> None:
    """Iterating outside the ``async with`` block, or entering a stream twice, raises `StreamNotEntered`."""
    stream = FakeGateway(lambda _: 0.0).track([])
    with pytest.raises(StreamNotEntered, match="async with"):
        await anext(stream)
    async with stream:
        with pytest.raises(StreamNotEntered):
            await stream.__aenter__()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_nothing_to_follow() -> None:
    """A stream without receipts ends at once."""
    assert await collect(FakeGateway(lambda _: 0.0).track([])) == []


async def test_wait_for_one() -> None:
    """`last` returns the last delivery of a stream with one message.

    If the timeout ends before the message is final, the returned delivery is not final.
    """
    gateway = FakeGateway(lambda _: 12.0)
    early = await gateway.track([receipt()], timeout=8.0).last()
    assert (early.phase, early.is_final) == (Phase.ENROUTE, False)
    assert gateway.time.now() - START < timedelta(seconds=8.1)
    late = await gateway.track([early], timeout=60.0).last()
    assert (late.phase, late.is_final) == (Phase.DELIVERED, True)


class Record:
    """A ledger that keeps deliveries in memory. A call of `record` takes some time.

    Args:
        broken: whether `record` raises an `OSError`.

    Attributes:
        deliveries: all recorded deliveries in order.
        batches: the number of deliveries in each call of `record`.
    """

    def __init__(self, broken: bool = False) -> None:
        self.deliveries: list[Delivery] = []
        self.batches: list[int] = []
        self._broken = broken

    async def record(self, deliveries: Sequence[Delivery]) -> None:
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        if self._broken:
            raise OSError("the disk is full")
        self.batches.append(len(deliveries))
        self.deliveries += deliveries

    def known(self, receipts: Sequence[Receipt]) -> list[Receipt | Delivery]:
        """Return the items that a second run must track.

        Each item is the latest recorded delivery of a message, or the receipt if no delivery was recorded.
        """
        latest: dict[str, Receipt | Delivery] = {each.segment_ids[0]: each for each in receipts}
        latest.update({each.receipt.segment_ids[0]: each for each in self.deliveries})
        return list(latest.values())


async def test_recorded_before_given_out() -> None:
    """The stream records each delivery before the stream returns this delivery."""
    gateway, record = FakeGateway(lambda _: 12.0), Record()
    async with gateway.track([receipt(number) for number in range(50)], ledger=record) as deliveries:
        seen = [delivery async for delivery in deliveries if delivery in record.deliveries]
    assert seen == record.deliveries
    assert len(seen) == 100
    assert max(record.batches) > 1


async def test_a_record_that_fails() -> None:
    """If the ledger cannot record a delivery, the stream raises the error of the ledger.

    The stream returns only deliveries that the ledger has recorded.
    """
    gateway = FakeGateway(lambda _: 12.0)
    with pytest.raises(OSError, match="the disk is full"):
        await collect(gateway.track([receipt()], ledger=Record(broken=True)))


async def test_what_was_noticed_is_recorded_on_the_way_out() -> None:
    """If the caller leaves the block early, the stream records the deliveries that it has not returned."""
    gateway, record = FakeGateway(lambda _: 0.0), Record()
    receipts = [receipt(number) for number in range(500)]
    async with gateway.track(receipts, ledger=record) as deliveries:
        await anext(deliveries)
        for _ in range(3000):
            await anyio.lowlevel.checkpoint()
    assert len(record.deliveries) == gateway.responded > 0


async def test_a_restart_in_the_middle_of_hundreds() -> None:
    """After a restart, the stream returns the last delivery of each message.

    The stream does not request the state of a segment again after its final state.
    """
    gateway, record = FakeGateway(lambda segment_id: float(hash(segment_id) % 100)), Record()
    receipts = [receipt(number, segments=1 + number % 3) for number in range(300)]
    async with gateway.track(receipts, ledger=record) as deliveries:
        finals = 0
        async for delivery in deliveries:
            finals += delivery.is_final
            if finals == 100:
                break
    known = record.known(receipts)
    final_before = sum(isinstance(each, Delivery) and each.is_final for each in known)
    assert 100 <= final_before < 300
    again = await collect(gateway.track(known, ledger=record))
    finished = [delivery.receipt.segment_ids[0] for delivery in again if delivery.is_final]
    assert sorted(finished) == sorted(each.segment_ids[0] for each in receipts)
    assert all(delivery.phase is Phase.DELIVERED for delivery in again if delivery.is_final)
    assert gateway.asked_when_known == []


def test_no_private_data_is_shown() -> None:
    """The repr of a delivery contains neither the full number nor the text of the message."""
    delivery = Delivery(receipt(), Phase.ENROUTE, (None,), is_final=False, updated_at=START)
    assert NUMBER not in repr(delivery)
    assert "'text'" not in repr(delivery)
    assert not isinstance(delivery, Tracking)
