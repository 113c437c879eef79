"""Tests of several batches, and of batches and single sends, that use one ledger at the same time."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import anyio
import attrs
import pytest

from smsapi_async import (
    Accepted,
    AsyncSmsClient,
    BatchHalted,
    Message,
    NotEnoughCredits,
    Outcome,
    OutcomeUnknown,
    Receipt,
    Unknown,
)
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Sandbox
from tests.batch.test_send_many import number
from tests.client.tools import client_for, until
from tests.ledger.tools import Place

pytestmark = pytest.mark.anyio


@pytest.fixture
async def ledger(place: Place, anyio_backend: str) -> AsyncIterator[Ledger]:
    """Open a new ledger during the test."""
    async with place() as opened:
        yield opened


@pytest.fixture
async def sms(sandbox: Sandbox) -> AsyncIterator[AsyncSmsClient]:
    """Open a client during the test. It is logged in, so that the first request of a test is a send."""
    async with client_for(sandbox) as client:
        await client.balance()
        yield client


def batch_of(count: int, *, texts: int = 1, is_reversed: bool = False) -> list[Message]:
    """Return messages with their own numbers and keys.

    Args:
        count: the number of messages.
        texts: the number of different texts.
        is_reversed: whether the last message comes first.
    """
    batch = [
        Message(number(index), f"text {index % texts}", source_address="ACME", key=str(index))
        for index in range(count)
    ]
    return batch[::-1] if is_reversed else batch


@attrs.define
class Run:
    """One run of a batch.

    Attributes:
        outcomes: the outcomes that the batch has returned.
        halted: the error that halted the batch, or None.
    """

    outcomes: list[Outcome] = attrs.field(factory=list)
    halted: BatchHalted | None = None

    async def send(
        self, sms: AsyncSmsClient, batch: Sequence[Message], ledger: Ledger, **options: Any
    ) -> None:
        """Send a batch, and note its outcomes."""
        options.setdefault("linger", 0.001)
        try:
            async with sms.send_many(batch, ledger=ledger, **options) as outcomes:
                async for outcome in outcomes:
                    self.outcomes.append(outcome)
        except BatchHalted as halted:
            self.halted = halted


def ids_by_key(run: Run) -> dict[str | None, tuple[str, ...]]:
    """Return the segment ids of each accepted message of a run."""
    return {each.key: each.segment_ids for each in run.outcomes if isinstance(each, Accepted)}


async def somebody_waits(ledger: Ledger, count: int = 1) -> None:
    """Wait until calls wait for the ends of a number of claims of other senders."""
    await until(lambda: len(ledger._ends) >= count)  # type: ignore[attr-defined]


@pytest.mark.parametrize("texts", [1, 3, 20])
async def test_three_batches_with_the_same_keys(
    sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger, texts: int
) -> None:
    """Three batches with the same messages at the same time send each message once, and all complete.

    All of them return the same segment ids. The outcomes that another batch has sent have `recorded` set.
    """
    batch, runs = batch_of(60, texts=texts), [Run() for _ in range(3)]
    async with anyio.create_task_group() as group:
        for run in runs:
            group.start_soon(run.send, sms, batch, ledger)
    assert Counter(message.destination_address for message in sandbox.account.messages) == Counter(
        message.destination_address for message in batch
    )
    assert [run.halted for run in runs] == [None] * 3
    assert [len(run.outcomes) for run in runs] == [60] * 3
    assert ids_by_key(runs[0]) == ids_by_key(runs[1]) == ids_by_key(runs[2])
    assert sum(not outcome.recorded for run in runs for outcome in run.outcomes) == 60


async def test_a_batch_waits_for_the_first(sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger) -> None:
    """A message that another batch is sending is not sent, and the outcome of the other batch is returned."""
    first, second = Run(), Run()
    with sandbox.hold("Sms/Send") as gate:
        async with anyio.create_task_group() as group:
            group.start_soon(first.send, sms, batch_of(1), ledger)
            await gate.arrived()
            group.start_soon(second.send, sms, batch_of(1), ledger)
            await somebody_waits(ledger)
            assert second.outcomes == []
            gate.release()
    assert not first.outcomes[0].recorded
    assert second.outcomes == [attrs.evolve(first.outcomes[0], recorded=True)]
    assert len(sandbox.account.messages) == 1


@pytest.mark.parametrize("size", [1, 7, 500])
@pytest.mark.parametrize("max_in_flight", [1, 10, 1000])
async def test_overlapping_lists_in_opposite_orders(
    sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger, size: int, max_in_flight: int
) -> None:
    """Two batches with the same messages in opposite orders do not wait for each other for ever."""
    batch, runs = batch_of(80, texts=4), [Run(), Run()]
    options = {"recipients_per_request": size, "max_in_flight": max_in_flight}

    async def send(run: Run, messages: list[Message]) -> None:
        await run.send(sms, messages, ledger, **options)

    async with anyio.create_task_group() as group:
        group.start_soon(send, runs[0], batch[:60])
        group.start_soon(send, runs[1], batch[20:][::-1])
    assert [len(run.outcomes) for run in runs] == [60, 60]
    assert len(sandbox.account.messages) == 80
    assert len({message.destination_address for message in sandbox.account.messages}) == 80


async def _cancelled(sms: AsyncSmsClient, ledger: Ledger, scope: anyio.CancelScope, run: Run) -> None:
    with scope:
        await run.send(sms, batch_of(1), ledger, grace=0.01)


async def _left(sms: AsyncSmsClient, ledger: Ledger, scope: anyio.CancelScope, run: Run) -> None:
    async with sms.send_many(batch_of(1), ledger=ledger, grace=0.01, linger=0.001):
        with scope:
            await anyio.sleep_forever()


END: dict[str, Callable[..., Any]] = {"cancelled": _cancelled, "left": _left}


@pytest.mark.parametrize("way", END)
@pytest.mark.parametrize("other", ["batch", "send"])
async def test_the_first_batch_ends_during_its_request(
    sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger, way: str, other: str
) -> None:
    """If the first batch ends before its response, the outcome of the waiting batch or send is unknown."""
    scope, waiting = anyio.CancelScope(), Run()
    errors: list[OutcomeUnknown] = []

    async def send() -> None:
        with pytest.raises(OutcomeUnknown) as caught:
            await sms.send(number(0), "text 0", key="0", ledger=ledger)
        errors.append(caught.value)

    with sandbox.hold("Sms/Send") as gate:
        async with anyio.create_task_group() as group:
            group.start_soon(END[way], sms, ledger, scope, Run())
            await gate.arrived()
            if other == "send":
                group.start_soon(send)
            else:
                group.start_soon(waiting.send, sms, batch_of(1), ledger)
            await somebody_waits(ledger)
            scope.cancel()
            await until(lambda: errors or waiting.outcomes)
    assert [type(each) for each in [*errors, *waiting.outcomes]] == [
        OutcomeUnknown if other == "send" else Unknown
    ]
    assert len(sandbox.account.messages) == 1


@pytest.mark.parametrize("way", END)
async def test_a_waiting_batch_ends(sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger, way: str) -> None:
    """If a batch ends while it waits for another batch, it ends at once, and the other batch is complete."""
    scope, first, second = anyio.CancelScope(), Run(), Run()
    is_over = anyio.Event()

    async def waiting() -> None:
        await END[way](sms, ledger, scope, second)
        is_over.set()

    with sandbox.hold("Sms/Send") as gate:
        async with anyio.create_task_group() as group:
            group.start_soon(first.send, sms, batch_of(1), ledger)
            await gate.arrived()
            group.start_soon(waiting)
            await somebody_waits(ledger)
            scope.cancel()
            await is_over.wait()
            gate.release()
    assert [type(outcome) for outcome in first.outcomes] == [Accepted]
    assert second.outcomes == []
    assert len(sandbox.account.messages) == 1


async def test_the_first_batch_has_no_credits(sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger) -> None:
    """If the first batch runs out of credits, the waiting batch sends the messages that were not sent."""
    sandbox.refuse_next("Sms/SendBulk", 5)
    first, second = Run(), Run()
    with sandbox.hold("Sms/SendBulk") as gate:
        async with anyio.create_task_group() as group:
            group.start_soon(first.send, sms, batch_of(10), ledger)
            await gate.arrived()
            group.start_soon(second.send, sms, batch_of(10), ledger)
            await somebody_waits(ledger)
            gate.release()
    assert first.halted is not None
    assert isinstance(first.halted.cause, NotEnoughCredits)
    assert Counter(map(type, second.outcomes)) == {Accepted: 10}
    assert len(sandbox.account.messages) == 10


@pytest.mark.parametrize("culprits", [1, 3])
async def test_the_first_batch_divides_a_bulk(
    sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger, culprits: int
) -> None:
    """If the gateway refuses one message of a bulk, two batches send the others once between them."""
    batch = batch_of(16)
    for index in range(culprits):
        batch[index * 5] = attrs.evolve(batch[index * 5], destination_address=f"7903{index:05}806")
    runs = [Run(), Run()]
    async with anyio.create_task_group() as group:
        for run in runs:
            group.start_soon(run.send, sms, batch, ledger)
    assert len(sandbox.account.messages) == 16 - culprits
    for run in runs:
        assert Counter(type(outcome).__name__ for outcome in run.outcomes) == {
            "Accepted": 16 - culprits,
            "Rejected": culprits,
        }


async def test_sends_and_batches_of_the_same_keys(
    sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger
) -> None:
    """Single sends during a batch with the same keys get receipts, and no message is sent twice."""
    batch, run, receipts = batch_of(30, texts=30), Run(), list[Receipt]()

    async def send(message: Message) -> None:
        receipts.append(
            await sms.send(message.destination_address, message.text, key=message.key, ledger=ledger)
        )

    async with anyio.create_task_group() as group:
        for message in batch[::3]:
            group.start_soon(send, message)
        group.start_soon(run.send, sms, batch, ledger)
        for message in batch[::2]:
            group.start_soon(send, message)
    ids = ids_by_key(run)
    assert len(ids) == len(sandbox.account.messages) == 30
    assert {receipt.segment_ids for receipt in receipts} <= set(ids.values())
    assert len(receipts) == 25


async def _one_message_and_a_wait() -> AsyncIterator[Message]:
    yield batch_of(1)[0]
    await anyio.sleep_forever()


async def test_a_batch_that_waits_for_messages_has_recorded_its_outcomes(
    sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger
) -> None:
    """While a batch waits for more messages, its outcomes are returned and recorded."""
    async with sms.send_many(_one_message_and_a_wait(), ledger=ledger, linger=0.001) as outcomes:
        outcome = await anext(outcomes)
        assert (await ledger.summary()).accepted == 1
        receipt = await sms.send(number(0), "text 0", key="0", ledger=ledger)
    assert isinstance(outcome, Accepted)
    assert receipt.segment_ids == outcome.segment_ids
    assert len(sandbox.account.messages) == 1


@pytest.mark.parametrize("texts", [1, 100])
async def test_a_batch_whose_outcomes_nobody_reads(
    sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger, texts: int
) -> None:
    """A slow reader of a batch does not delay single sends of messages that the batch has sent already."""
    batch = batch_of(100, texts=texts)
    async with sms.send_many(batch, ledger=ledger, linger=0.001, recipients_per_request=1) as outcomes:
        await until(lambda: len(sandbox.account.messages) >= 10)
        for message in batch[:5]:
            receipt = await sms.send(
                message.destination_address, message.text, key=message.key, ledger=ledger
            )
            assert receipt.segment_ids
        rest = [outcome async for outcome in outcomes]
    assert len(rest) == len(sandbox.account.messages) == 100
