# mypy: disallow-any-expr
"""The values: the types of their attributes, and how a type checker narrows an outcome."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import assert_never, assert_type

from smsapi_async import (
    Accepted,
    Delivery,
    Encoding,
    IncomingMessage,
    Message,
    Outcome,
    Phase,
    Receipt,
    Rejected,
    Segmentation,
    SegmentState,
    State,
    Statistics,
    Unknown,
    from_json,
    segment,
    to_json,
)


def messages(message: Message, moment: datetime) -> None:
    assert_type(Message("79031234567", "text"), Message)
    Message("79031234567", "text", source_address="ACME", send_date=moment, validity=10, key="order 1")
    Message("79031234567", "text", validity=timedelta(hours=1), send_date=moment, by_time_zone=True)
    assert_type(message.destination_address, str)
    assert_type(message.text, str)
    assert_type(message.source_address, str | None)
    assert_type(message.send_date, datetime | None)
    assert_type(message.validity, int | timedelta | None)
    assert_type(message.by_time_zone, bool)
    assert_type(message.key, str | None)
    assert_type(message.content(), tuple[object, ...])


def wrong_messages(message: Message) -> None:
    Message("79031234567")  # type: ignore[call-arg]
    Message("79031234567", "text", "ACME")  # type: ignore[call-arg]
    Message(79031234567, "text")  # type: ignore[arg-type]
    Message("79031234567", "text", validity=1.5)  # type: ignore[arg-type]
    Message("79031234567", "text", key=1)  # type: ignore[arg-type]
    Message("79031234567", "text", sender="ACME")  # type: ignore[call-arg]
    message.text = "another text"  # type: ignore[misc]


def receipts(receipt: Receipt) -> None:
    assert_type(receipt.destination_address, str)
    assert_type(receipt.message, Message)
    assert_type(receipt.segment_ids, tuple[str, ...])
    assert_type(receipt.accepted_at, datetime)


def states(state: SegmentState) -> None:
    assert_type(state.segment_id, str)
    assert_type(state.state, State | int)
    for moment in (state.creation_date, state.submitted_date, state.reported_date, state.time_stamp):
        assert_type(moment, datetime | None)
    assert_type(state.state_description, str)
    assert_type(state.price, Decimal | None)
    assert_type(state.phase, Phase)
    assert_type(state.is_final, bool)
    if isinstance(state.state, State):
        assert_type(state.state, State)
        assert_type(state.state.name, str)
    assert_type(State(0), State)
    assert_type(Phase("enroute"), Phase)


def phases(phase: Phase) -> str:
    if phase is Phase.ENROUTE:
        return "enroute"
    if phase is Phase.DELIVERED:
        return "delivered"
    if phase is Phase.FAILED:
        return "failed"
    if phase is Phase.UNKNOWN:
        return "unknown"
    assert_never(phase)


def deliveries(delivery: Delivery) -> None:
    assert_type(delivery.receipt, Receipt)
    assert_type(delivery.phase, Phase)
    assert_type(delivery.states, tuple[SegmentState | None, ...])
    assert_type(delivery.is_final, bool)
    assert_type(delivery.updated_at, datetime)
    assert_type(delivery.price, Decimal | None)
    assert_type(delivery.failed_segment, SegmentState | None)
    assert_type(delivery.reason, str | None)
    assert_type(delivery.delivered_at, datetime | None)


def incoming(message: IncomingMessage) -> None:
    for text in (message.id, message.text, message.source_address, message.destination_address):
        assert_type(text, str)
    assert_type(message.creation_date, datetime | None)


def statistics(total: Statistics) -> None:
    for count in (total.sent, total.delivered, total.errors, total.in_process, total.expired, total.rejected):
        assert_type(count, int)
    for optional in (total.total, total.total_with_errors):
        assert_type(optional, int | None)
    assert_type(total.delivery_ratio, Decimal | None)
    assert_type(Statistics.sum([total]), Statistics)


def segmentations() -> None:
    segmentation = segment("text")
    assert_type(segmentation, Segmentation)
    assert_type(segmentation.encoding, Encoding)
    assert_type(segmentation.encoding.value, str)
    assert_type(segmentation.parts, tuple[str, ...])
    assert_type(segmentation.units, int)
    assert_type(segmentation.forcing_ucs2, tuple[str, ...])
    assert_type(segmentation.count, int)
    segment(b"text")  # type: ignore[arg-type]
    segment(None)  # type: ignore[arg-type]


def json_texts(receipt: Receipt, text: str) -> None:
    assert_type(to_json(receipt), str)
    assert_type(to_json([receipt, None]), str)
    assert_type(from_json(text, Receipt), Receipt)
    assert_type(from_json(text.encode(), list[Receipt]), list[Receipt])
    assert_type(from_json({"type": "Receipt"}, Receipt), Receipt)
    assert_type(from_json(text, Outcome), Accepted | Rejected | Unknown)
    assert_type(from_json(text, Receipt | None), Receipt | None)
    from_json(text)  # type: ignore[call-arg]
    from_json(5, Receipt)  # type: ignore[arg-type]


def outcomes(outcome: Outcome) -> str:
    assert_type(outcome.message, Message)
    assert_type(outcome.key, str | None)
    assert_type(outcome.recorded, bool)
    repr(outcome.segment_ids)  # type: ignore[union-attr, misc]
    repr(outcome.reason)  # type: ignore[union-attr, misc]
    if isinstance(outcome, Accepted):
        assert_type(outcome, Accepted)
        assert_type(outcome.segment_ids, tuple[str, ...])
        assert_type(outcome.accepted_at, datetime)
        assert_type(outcome.unattributed, bool)
        assert_type(outcome.receipt, Receipt)
        return "accepted"
    assert_type(outcome, Rejected | Unknown)
    assert_type(outcome.reason, str)
    assert_type(outcome.code, int | None)
    if isinstance(outcome, Rejected):
        assert_type(outcome, Rejected)
        return "rejected"
    assert_type(outcome, Unknown)
    return "unknown"


def matched_outcomes(outcome: Outcome) -> tuple[str, ...]:
    match outcome:
        case Accepted(segment_ids=segment_ids):
            assert_type(segment_ids, tuple[str, ...])
            return segment_ids
        case Rejected(reason=reason) | Unknown(reason=reason):
            assert_type(reason, str)
            return (reason,)
        case _:
            assert_never(outcome)
