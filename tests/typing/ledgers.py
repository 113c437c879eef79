# mypy: disallow-any-expr
"""The ledger: the types of its methods and of its summaries."""

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import assert_type

from smsapi_async import Accepted, Checkpoint, Delivery, Message, Outcome, Receipt, Rejected, Unknown
from smsapi_async.ledger import (
    Claimed,
    DeliverySummary,
    InFlight,
    Ledger,
    LedgerError,
    LedgerInUse,
    LedgerUnwritable,
    LedgerVersion,
    MessageState,
    OutcomeState,
    Record,
    RequestAnswer,
    Resolution,
    Summary,
    UnknownMessage,
)


async def life(path: Path) -> None:
    assert_type(Ledger.sqlite("run.db"), Ledger)
    assert_type(Ledger.sqlite(path, redact=True, read_only=True, accept_copy=True), Ledger)
    assert_type(Ledger.postgres("postgresql://host/shop"), Ledger)
    assert_type(Ledger.postgres("dbname=shop", account="main", redact=True, read_only=True), Ledger)
    async with Ledger.sqlite(path) as ledger:
        assert_type(ledger, Ledger)
        await ledger.aclose()
    Ledger()  # type: ignore[abstract]
    Ledger.sqlite(5)  # type: ignore[arg-type]
    Ledger.postgres(5)  # type: ignore[arg-type]
    Ledger.sqlite("run.db", True)  # type: ignore[call-arg]


async def a_send(ledger: Ledger, message: Message, answer: RequestAnswer) -> None:
    key = ledger.key_of(message)
    assert_type(key, str)
    claimed = await ledger.claim("token", [(key, message)], positions=[1])
    assert_type(claimed, list[Claimed])
    for each in claimed:
        assert_type(each, Accepted | Rejected | Unknown | InFlight | None)
        if isinstance(each, InFlight):
            await ledger.wait(each.token)
    await ledger.claim("token", [], settle=("earlier", answer))
    await ledger.claim("token", [], settle=answer)  # type: ignore[arg-type]
    await ledger.settle("token", answer)
    await ledger.release("token")
    await ledger.record_pending([(key, message)])
    assert_type(await ledger.first_position(key, message), int)
    await ledger.claim("token", [message])  # type: ignore[list-item]
    await ledger.settle("token", answer.state)  # type: ignore[arg-type]
    await ledger.release([key])  # type: ignore[arg-type]
    await ledger.release(key=key)  # type: ignore[call-arg]


def answers(at: datetime, message: Message) -> None:
    answer = RequestAnswer(state="accepted", at=at, segment_ids=("1",))
    assert_type(answer.outcomes([message], ["key"]), list[Outcome])
    assert_type(answer.code, int | None)
    RequestAnswer(state="pending", at=at)  # type: ignore[arg-type]
    RequestAnswer("accepted", at)  # type: ignore[call-arg]


async def outcomes(ledger: Ledger, state: OutcomeState) -> None:
    assert_type(ledger.outcomes(), AsyncIterator[Outcome])
    async for outcome in ledger.outcomes(state=state):
        assert_type(outcome, Accepted | Rejected | Unknown)
    ledger.outcomes(state="accepted")
    ledger.outcomes(state="rejected")
    ledger.outcomes(state="unknown")
    ledger.outcomes(state="pending")  # type: ignore[arg-type]
    ledger.outcomes("accepted")  # type: ignore[call-arg]


async def pending(ledger: Ledger) -> None:
    assert_type(await ledger.pending(), list[tuple[str, Message | None]])
    assert_type(await ledger.pending(limit=5), list[tuple[str, Message | None]])
    assert_type(await ledger.retry_rejected(), int)
    assert_type(await ledger.retry_rejected([6, 8]), int)
    await ledger.retry_rejected(["6"])  # type: ignore[list-item]
    await ledger.resolve("key", sent=True, segment_ids=["1"])
    await ledger.resolve("key", sent=False)
    await ledger.resolve("key")  # type: ignore[call-arg]
    await ledger.resolve("key", True)  # type: ignore[call-arg]
    await ledger.resolve_many(
        [Resolution("key", sent=True, segment_ids=["1"]), Resolution("other", sent=False)]
    )
    assert_type(await ledger.resolve_all(sent=True), int)
    await ledger.resolve_all()  # type: ignore[call-arg]


async def messages(ledger: Ledger, message: Message) -> None:
    assert_type(await ledger.states([message]), list[MessageState | None])
    assert_type(await ledger.records([message, "key"]), list[Record | None])
    assert_type(await ledger.other_texts([message]), list[Message])
    async for unknown in ledger.unknown():
        assert_type(unknown, UnknownMessage)
        assert_type(unknown.sent_at, datetime)
        assert_type(unknown.segment_ids, tuple[str, ...])
    async for record in ledger.report():
        assert_type(record, Record)
        assert_type(record.state, MessageState)
        assert_type(record.outcome, Outcome | None)
        assert_type(record.delivery, Delivery | None)
        assert_type(record.price, Decimal | None)
        assert_type(record.delivered_at, datetime | None)


async def deliveries(ledger: Ledger, delivery: Delivery) -> None:
    assert_type(ledger.to_track(), AsyncIterator[Receipt | Delivery])
    async for tracked in ledger.to_track():
        assert_type(tracked, Receipt | Delivery)
        if isinstance(tracked, Delivery):
            assert_type(tracked, Delivery)
        else:
            assert_type(tracked, Receipt)
    await ledger.record([delivery])
    assert_type(ledger.checkpoint(), Checkpoint)
    assert_type(ledger.checkpoint("replies"), Checkpoint)


async def summaries(ledger: Ledger) -> None:
    summary = await ledger.summary()
    assert_type(summary, Summary)
    sent = (summary.accepted, summary.rejected, summary.unknown, summary.segments)
    for count in (summary.pending, summary.sending, *sent):
        assert_type(count, int)
    delivered = await ledger.deliveries_summary()
    assert_type(delivered, DeliverySummary)
    tracked = (delivered.enroute, delivered.delivered, delivered.failed, delivered.unknown)
    for count in (*tracked, delivered.untracked, delivered.without_ids):
        assert_type(count, int)
    assert_type(delivered.failed_by_state, dict[int, int])
    summary.pending = 1  # type: ignore[misc]


async def caught(ledger: Ledger) -> None:
    try:
        await ledger.summary()
    except (LedgerInUse, LedgerUnwritable, LedgerVersion) as error:
        assert_type(error, LedgerInUse | LedgerUnwritable | LedgerVersion)
    except LedgerError as error:
        assert_type(error, LedgerError)
