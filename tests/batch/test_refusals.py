"""Tests of batches of which the gateway forbids recipients, or that the gateway asks to wait."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from smsapi_async import (
    Accepted,
    BatchHalted,
    Forbidden,
    Message,
    NotEnoughCredits,
    Rejected,
    StreamLeftElsewhere,
    Unknown,
    ValidationError,
)
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan
from tests.client.tools import ManualClock, client_for, until
from tests.ledger.tools import Place

pytestmark = pytest.mark.anyio

# The sandbox forbids a number with this end (code 7).
FORBIDDEN = "79031230807"


def batch(count: int, *forbidden: int) -> list[Message]:
    """Return messages of one text, of which the gateway forbids those at some positions."""
    return [
        Message(f"7903{index:04}807" if index in forbidden else f"7903{index:05}11", "text", key=str(index))
        for index in range(count)
    ]


@pytest.mark.parametrize("position", [0, 499, 500, 777, 999])
async def test_one_forbidden_number_stops_nothing(sandbox: Sandbox, position: int) -> None:
    """Of 1,000 recipients, one of whom the gateway forbids, 999 are accepted and one is rejected."""
    async with client_for(sandbox) as sms, sms.send_many(batch(1000, position)) as outcomes:
        ends = [outcome async for outcome in outcomes]
    rejected = [end for end in ends if isinstance(end, Rejected)]
    assert [(end.message.key, end.code) for end in rejected] == [(str(position), 7)]
    assert sum(isinstance(end, Accepted) for end in ends) == len(sandbox.account.messages) == 999


async def test_forbidden_numbers_among_others_stop_nothing(sandbox: Sandbox) -> None:
    """Forbidden recipients stop nothing, however many there are, if the gateway accepts others meanwhile."""
    forbidden = range(0, 200, 2)
    async with (
        client_for(sandbox, concurrency=1) as sms,
        sms.send_many(batch(200, *forbidden), recipients_per_request=2) as outcomes,
    ):
        ends = [outcome async for outcome in outcomes]
    assert sum(isinstance(end, Rejected) for end in ends) == 100
    assert len(sandbox.account.messages) == 100


@pytest.mark.parametrize("limit", [1, 5, 20])
async def test_a_forbidden_account_halts_the_batch(sandbox: Sandbox, place: Place, limit: int) -> None:
    """If the gateway forbids each recipient, the batch halts after `forbidden_limit` recipients."""
    messages = batch(1000, *range(1000))
    async with client_for(sandbox, concurrency=1) as sms, place() as ledger:
        with pytest.raises(BatchHalted) as caught:
            async with sms.send_many(messages, ledger=ledger, forbidden_limit=limit) as outcomes:
                assert [type(outcome) async for outcome in outcomes] == [Rejected] * limit
        summary = await ledger.summary()
    assert isinstance(caught.value.cause, Forbidden)
    assert (summary.rejected, caught.value.pending) == (limit, 1000 - limit)
    assert sandbox.account.messages == []
    # A bulk of 500 is divided about 9 times until one recipient is alone.
    assert sandbox.account.count("Sms/SendBulk") + sandbox.account.count("Sms/Send") <= 12 + 2 * limit


async def test_the_same_number_again_is_no_other_recipient(sandbox: Sandbox) -> None:
    """Many texts to one forbidden number do not halt the batch, because they are one recipient."""
    messages = [Message(FORBIDDEN, f"text {index}") for index in range(50)]
    async with client_for(sandbox) as sms, sms.send_many(messages) as outcomes:
        ends = [outcome async for outcome in outcomes]
    assert [type(end) for end in ends] == [Rejected] * 50


@pytest.mark.parametrize("limit", [0, -1, True, "5", 1.5e9, float("nan")])
async def test_a_wrong_limit(sandbox: Sandbox, limit: Any) -> None:
    """A `forbidden_limit` that is not a number from 1 to 1,000,000,000 is refused before any request."""
    async with client_for(sandbox) as sms:
        with pytest.raises(ValidationError, match="forbidden_limit: "):
            sms.send_many([], forbidden_limit=limit)
    assert sandbox.account.arrivals == []


class _Pause(ManualClock):
    """A clock whose waits last until the test ends them."""

    def __init__(self) -> None:
        super().__init__()
        self.over = anyio.Event()
        self.sleepers = 0

    async def sleep(self, seconds: float) -> None:
        self.sleepers += 1
        await self.over.wait()
        await super().sleep(seconds)


@pytest.mark.parametrize("is_divided", [False, True])
async def test_a_wait_after_429_keeps_no_claims(sandbox: Sandbox, place: Place, is_divided: bool) -> None:
    """While a batch waits after HTTP status 429, its messages are pending; afterwards they are accepted.

    If the wait is for one half of a refused bulk, the messages of the other half are pending too.
    """
    clock = _Pause()
    if is_divided:
        sandbox.answer_next("Sms/SendBulk", status=403, body='{"Code":7,"Desc":"forbidden"}')
    sandbox.answer_next("Sms/SendBulk", status=429, headers={"Retry-After": "200"})
    async with (
        client_for(sandbox, clock=clock) as sms,
        place() as ledger,
        sms.send_many(batch(10), ledger=ledger) as outcomes,
    ):
        with anyio.fail_after(30):
            await until(lambda: clock.sleepers)
        summary = await ledger.summary()
        assert (summary.pending, summary.sending) == (10, 0)
        clock.over.set()
        ends = [outcome async for outcome in outcomes]
    assert [type(end) for end in ends] == [Accepted] * 10
    assert [message.destination_address for message in sandbox.account.messages] == [
        message.destination_address for message in batch(10)
    ]


async def test_a_batch_left_during_a_wait_after_429(sandbox: Sandbox, place: Place) -> None:
    """A batch that is left while it waits after HTTP status 429 has sent nothing, and all is pending."""
    clock = _Pause()
    sandbox.answer_next("Sms/SendBulk", status=429, headers={"Retry-After": "200"})
    async with client_for(sandbox, clock=clock) as sms, place() as ledger:
        async with sms.send_many(batch(10), ledger=ledger) as outcomes:
            with anyio.fail_after(30):
                await until(lambda: clock.sleepers)
        assert (outcomes.unread, outcomes.pending) == ([], 10)
        assert (await ledger.summary()).pending == 10
    assert sandbox.account.messages == []


async def test_a_batch_left_between_two_halves(place: Place) -> None:
    """If a batch is left while it sends a half of a refused bulk, a later batch sends the other half."""
    messages = batch(4, 3)
    plan = FaultPlan(faults=(Fault.PASS, Fault.HANG_AFTER_READ), resource="Sms/SendBulk")
    async with (
        run_sandbox(faults=plan) as sandbox,
        client_for(sandbox) as sms,
        place() as ledger,
    ):
        proxy = sandbox.proxy
        assert proxy is not None
        async with sms.send_many(messages, ledger=ledger, grace=0) as outcomes:
            with anyio.fail_after(30):
                await until(lambda: Fault.HANG_AFTER_READ in [entry.fault for entry in proxy.history])
        assert outcomes.pending == 2
        assert (await ledger.summary()).sending == 0
        async with sms.send_many(messages, ledger=ledger) as outcomes:
            ends = {outcome.key: type(outcome) async for outcome in outcomes}
    assert ends == {"0": Unknown, "1": Unknown, "2": Accepted, "3": Rejected}


async def test_a_halt_has_no_other_exception_in_its_traceback(sandbox: Sandbox) -> None:
    """The traceback of `BatchHalted` begins with `BatchHalted`, and shows no exception of the package."""
    sandbox.refuse_next("Sms/SendBulk", 5)
    async with client_for(sandbox) as sms:
        with pytest.raises(BatchHalted) as caught:
            async with sms.send_many(batch(10)) as outcomes:
                async for _ in outcomes:
                    pass
    assert isinstance(caught.value.cause, NotEnoughCredits)
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_a_source_that_ends_in_a_cancellation_of_its_own(sandbox: Sandbox) -> None:
    """If a task of the source is cancelled, the messages read before are sent, and the error is raised."""

    async def source() -> AsyncIterator[Message]:
        for message in batch(7):
            yield message
        task = asyncio.ensure_future(anyio.sleep_forever())
        task.cancel()
        await task

    ends = []
    async with client_for(sandbox) as sms:
        with pytest.raises(asyncio.CancelledError):
            async with sms.send_many(source()) as outcomes:
                async for outcome in outcomes:
                    ends.append(outcome)
        assert isinstance(ends[0], Accepted)
        sent = ends[0].receipt
        # The same holds for `track`.
        with pytest.raises(asyncio.CancelledError):
            async with sms.track(_cancelled_after(sent)) as deliveries:
                async for _ in deliveries:
                    pass
    assert [type(end) for end in ends] == [Accepted] * 7
    assert len(sandbox.account.messages) == 7


async def _cancelled_after(item: Any) -> AsyncIterator[Any]:
    yield item
    raise asyncio.CancelledError


async def test_a_cancellation_of_the_reader_stays_one(sandbox: Sandbox) -> None:
    """If the block of a batch is cancelled while the source waits, the block ends as cancelled."""

    async def source() -> AsyncIterator[Message]:
        yield batch(1)[0]
        await anyio.sleep_forever()

    async with client_for(sandbox) as sms:
        with anyio.CancelScope() as scope:
            async with sms.send_many(source(), linger=0.001) as outcomes:
                await anext(outcomes)
                scope.cancel()
                await anext(outcomes)
    assert scope.cancelled_caught


@pytest.mark.parametrize("stream", ["send_many", "track"])
async def test_a_stream_left_in_another_task(sandbox: Sandbox, stream: str) -> None:
    """A stream that another task leaves ends all its tasks, and raises an error that says what to do."""
    async with client_for(sandbox) as sms:
        receipt = await sms.send("79031234567", "text")
        if stream == "send_many":
            opened: Any = sms.send_many(batch(3), linger=0.001)
        else:
            opened = sms.track([receipt])
        entered, left = anyio.Event(), anyio.Event()

        async def enter() -> None:
            # The task stays alive, because trio forbids the end of a task with an open task group.
            with anyio.CancelScope() as scope:
                await opened.__aenter__()
                entered.set()
                await left.wait()
                scope.cancel()
                await opened._tasks._group.__aexit__(None, None, None)

        async with anyio.create_task_group() as group:
            group.start_soon(enter)
            await entered.wait()
            with pytest.raises(StreamLeftElsewhere, match="keep the block in one task"):
                await opened.__aexit__(None, None, None)
            assert opened._tasks._running == 0
            left.set()
    # A batch that was left early finishes the requests in flight.
    assert len(sandbox.account.messages) in {1, 4}


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_a_stream_in_a_generator_that_tasks_advance(sandbox: Sandbox) -> None:
    """`wait_for(anext(...))` on a generator around a stream ends in `StreamLeftElsewhere`."""
    async with client_for(sandbox) as sms:

        async def generator() -> AsyncIterator[Any]:
            async with sms.send_many(batch(5)) as outcomes:
                async for outcome in outcomes:
                    yield outcome

        ends: list[Any] = []
        steps = generator()
        with pytest.raises(StreamLeftElsewhere):
            while True:
                ends.append(await asyncio.create_task(anext(steps)))  # type: ignore[arg-type]
    assert len(ends) == len(sandbox.account.messages) == 5
