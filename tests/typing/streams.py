# mypy: disallow-any-expr
"""The streams: their types, the types of their items, and the types of the arguments that create a stream."""

import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import assert_type

from smsapi_async import (
    Accepted,
    AsyncSmsClient,
    Batch,
    CallbackCheckpoint,
    Checkpoint,
    Delivery,
    DeliverySink,
    Inbox,
    IncomingMessage,
    IncomingReceiver,
    MemoryCheckpoint,
    Message,
    Outcome,
    Position,
    PushedMessage,
    Receipt,
    Rejected,
    Schedule,
    Secret,
    SmsApiError,
    Tracking,
    Unknown,
)
from smsapi_async.ledger import Ledger, Summary


class VipMessage(Message):
    """A subclass of a message, which an application may define."""


class EagerSchedule(Schedule):
    """A schedule that overrides `wait`. The documentation of `Schedule` allows this override."""

    def wait(self, age: float, chance: random.Random) -> float:
        return min(super().wait(age, chance), 60.0)


class Sink:
    """A delivery sink that inherits from no class of the package."""

    async def record(self, deliveries: Sequence[Delivery]) -> None: ...


class FileCheckpoint:
    """A checkpoint that inherits from no class of the package."""

    async def load(self) -> Position | None:
        return None

    async def save(self, position: Position) -> None: ...


async def outcomes_of_a_batch(sms: AsyncSmsClient, messages: list[Message]) -> None:
    batch = sms.send_many(messages)
    assert_type(batch, Batch)
    async with batch as outcomes:
        assert_type(outcomes, Batch)
        async for outcome in outcomes:
            assert_type(outcome, Accepted | Rejected | Unknown)
            assert_type(outcome, Outcome)
    async with sms.send_many(messages) as outcomes:
        assert_type(await anext(outcomes), Outcome)
        assert_type([outcome async for outcome in outcomes], list[Outcome])
    assert_type(batch.pending, int)
    assert_type(batch.unread, list[Outcome])


async def messages_of_a_batch(
    sms: AsyncSmsClient, lazily: AsyncIterator[Message], table: Iterator[VipMessage], ledger: Ledger
) -> None:
    sms.send_many([VipMessage("79031234567", "text")])
    sms.send_many(Message(number, "text") for number in ("79031234567",))
    sms.send_many(message async for message in lazily)
    sms.send_many({Message("79031234567", "text")}, ledger=ledger)
    sms.send_many(lazily, ledger=None, recipients_per_request=100, lookahead=100)
    sms.send_many(table, linger=0.5, unknown_limit=1, grace=0)
    assert_type(await sms.send_pending(ledger), Summary)
    await sms.send_pending(ledger, once=True, unknown_limit=3, on_poll=print)
    await sms.send_pending(table)  # type: ignore[arg-type]


async def wrong_batches(sms: AsyncSmsClient, message: Message, file: str) -> None:
    sms.send_many(message)  # type: ignore[arg-type]
    sms.send_many(["79031234567"])  # type: ignore[list-item]
    sms.send_many([("79031234567", "text")])  # type: ignore[list-item]
    sms.send_many(number for number in ["79031234567"])  # type: ignore[misc]
    sms.send_many([message], file)  # type: ignore[call-arg, arg-type]
    sms.send_many([message], ledger=file)  # type: ignore[arg-type]
    sms.send_many([message], linger=timedelta(seconds=1))  # type: ignore[arg-type]
    with sms.send_many([message]):  # type: ignore[attr-defined]
        pass
    for _ in sms.send_many([message]):  # type: ignore[attr-defined, misc]
        pass


async def deliveries(
    sms: AsyncSmsClient, receipts: list[Receipt], lazily: AsyncIterator[Receipt], ledger: Ledger
) -> None:
    async with sms.track(receipts) as tracking:
        assert_type(tracking, Tracking)
        async for delivery in tracking:
            assert_type(delivery, Delivery)
        assert_type(tracking.requests, int)
    assert_type(await sms.track(receipts).last(), Delivery)
    sms.track(lazily)
    sms.track(ledger)
    sms.track(ledger.to_track(), ledger=ledger)
    mixed: list[Receipt | Delivery] = [*receipts, await sms.wait_delivered(receipts[0])]
    sms.track(mixed, schedule=Schedule(first=1, factor=0.5), deadline=timedelta(hours=1), ledger=Sink())
    sms.track(iter(receipts), schedule=EagerSchedule(), deadline=60, ledger=None)


async def receipts_of_accepted(sms: AsyncSmsClient, accepted: list[Accepted]) -> None:
    sms.track(outcome.receipt for outcome in accepted)
    sms.track(accepted)  # type: ignore[arg-type]


async def wrong_tracking(sms: AsyncSmsClient, receipt: Receipt, file: str) -> None:
    sms.track(receipt)  # type: ignore[arg-type]
    sms.track(receipt.segment_ids)  # type: ignore[arg-type]
    sms.track(file)  # type: ignore[arg-type]
    sms.track([receipt], Schedule())  # type: ignore[call-arg]
    sms.track([receipt], schedule=5)  # type: ignore[arg-type]
    sms.track([receipt], deadline=None)  # type: ignore[arg-type]
    sms.track([receipt], ledger=file)  # type: ignore[arg-type]


async def incoming(sms: AsyncSmsClient, moment: datetime) -> None:
    inbox = sms.watch_incoming()
    async with inbox as messages:
        assert_type(messages, Inbox)
        async for message in messages:
            assert_type(message, IncomingMessage)
    assert_type(inbox.last_error, SmsApiError | None)
    assert_type(inbox.skipped, int)
    day = timedelta(days=1)
    sms.watch_incoming(since=moment, every=5, overlap=timedelta(minutes=5), window=day, checkpoint=None)
    sms.watch_incoming(since=None, every=timedelta(seconds=5))


async def checkpoints(sms: AsyncSmsClient, ledger: Ledger, checkpoint: Checkpoint) -> None:
    async def save(position: Position) -> None:
        assert_type(position.to_json(), str)

    async def save_elsewhere(position: str) -> None: ...

    def save_now(position: Position) -> None: ...

    sms.watch_incoming(checkpoint=checkpoint)
    sms.watch_incoming(checkpoint=ledger.checkpoint())
    sms.watch_incoming(checkpoint=FileCheckpoint())
    sms.watch_incoming(checkpoint=MemoryCheckpoint())
    sms.watch_incoming(checkpoint=CallbackCheckpoint(save, position=None))
    sms.watch_incoming(checkpoint=save)
    sms.watch_incoming(checkpoint=save_elsewhere)  # type: ignore[arg-type]
    sms.watch_incoming(checkpoint=save_now)  # type: ignore[arg-type]
    sms.watch_incoming(checkpoint=FileCheckpoint)  # type: ignore[arg-type]
    sms.watch_incoming(checkpoint="run.db")  # type: ignore[arg-type]


async def receivers(sms: AsyncSmsClient, ledger: Ledger) -> None:
    async def reply(message: PushedMessage) -> str | None:
        assert_type(message.prefix, str)
        return None

    async def handle(message: IncomingMessage) -> None: ...

    async def claim(message_id: str) -> bool:
        return bool(message_id)

    @asynccontextmanager
    async def transaction(message_id: str) -> AsyncIterator[bool]:
        yield bool(message_id)

    def handle_now(message: PushedMessage) -> None: ...

    receiver = IncomingReceiver(reply, token="x", checkpoint=ledger.checkpoint("pushes"))
    IncomingReceiver(handle, path=Secret("/sms"), claim=claim, release=claim, timeout=timedelta(seconds=9))
    IncomingReceiver(handle, protected_elsewhere=True, claim=transaction, memory=timedelta(days=1))
    IncomingReceiver(handle, token="x", checkpoint=MemoryCheckpoint(), timeout=5, body_limit=1000)
    IncomingReceiver(handle_now, token="x")  # type: ignore[arg-type]
    IncomingReceiver(reply, "x")  # type: ignore[call-arg]
    IncomingReceiver(reply, token=5)  # type: ignore[arg-type]
    IncomingReceiver(reply, token="x", claim=handle)  # type: ignore[arg-type]
    assert_type(sms.watch_incoming(receiver=receiver), Inbox)
    sms.watch_incoming(receiver=reply)  # type: ignore[arg-type]


async def wrong_incoming(sms: AsyncSmsClient, moment: datetime) -> None:
    sms.watch_incoming(moment)  # type: ignore[call-arg]
    sms.watch_incoming(since="2026-01-28")  # type: ignore[arg-type]
    sms.watch_incoming(overlap=600)  # type: ignore[arg-type]
    sms.watch_incoming(window=1)  # type: ignore[arg-type]
    sms.watch_incoming(ledger=None)  # type: ignore[call-arg]


async def positions(checkpoint: Checkpoint, moment: datetime) -> None:
    position = await checkpoint.load()
    assert_type(position, Position | None)
    await checkpoint.save(Position(moment))
    kept = Position.from_json(Position(moment, (("id", moment),), moment).to_json())
    assert_type(kept, Position)
    assert_type(kept.until, datetime)
    assert_type(kept.ids, tuple[tuple[str, datetime], ...])
    assert_type(kept.since, datetime | None)
    assert_type(kept.confirmed, bool)
    Position(moment, (), None, confirmed=True)
    assert_type(MemoryCheckpoint(kept).position, Position | None)
    assert_type(await MemoryCheckpoint().load(), Position | None)


def protocols(ledger: Ledger, sink: Sink, checkpoint: FileCheckpoint) -> tuple[DeliverySink, ...]:
    kept: Checkpoint = checkpoint
    assert_type(kept, Checkpoint)
    return ledger, sink


def schedules(schedule: Schedule) -> None:
    for seconds in (schedule.first, schedule.factor, schedule.maximum, schedule.jitter):
        assert_type(seconds, float)
    assert_type(EagerSchedule().wait(60.0, random.Random(1)), float)
    Schedule(5)  # type: ignore[call-arg]
    schedule.first = 1  # type: ignore[misc]
