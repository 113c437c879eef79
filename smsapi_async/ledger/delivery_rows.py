"""Conversion of deliveries to table rows, and of table rows to deliveries."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from smsapi_async.errors import ValidationError
from smsapi_async.ledger.stored_answers import NamedColumns, date_of
from smsapi_async.models import Receipt, SegmentState
from smsapi_async.states import Phase, known_state
from smsapi_async.tracking import Delivery

DeliveryRow = tuple[str, int, int | None, str, str]

PHASES = {phase.value: phase for phase in Phase}
"""The phase for each text in the column ``phase``."""

# The gateway sends state descriptions in Russian. With ASCII escapes, a Russian description would need three
# times as much space in JSON.
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_encode_in_ascii = json.JSONEncoder(separators=(",", ":")).encode


def delivery_row(delivery: Delivery) -> DeliveryRow:
    """Return the columns of the table ``deliveries`` for a delivery, without the id of its message.

    Raises:
        ValidationError: if the number of states differs from the number of segment ids.
    """
    if len(delivery.states) != len(delivery.receipt.segment_ids):
        raise ValidationError(
            "Delivery.states", f"<{len(delivery.states)} states>", "pass one state for each segment id"
        )
    failed = delivery.failed_segment
    return (
        delivery.phase.value,
        int(delivery.is_final),
        None if failed is None else int(failed.state),
        delivery.updated_at.isoformat(),
        _states_column(delivery.states),
    )


def delivery_in(receipt: Receipt, row: NamedColumns, updated_at: datetime) -> Delivery:
    """Return a delivery from a row.

    Args:
        receipt: the receipt of the message that the delivery belongs to.
        row: the row of the table ``deliveries`` that contains the delivery.
        updated_at: the time of the delivery.
    """
    states = json.loads(row["states"])
    return Delivery(
        receipt,
        PHASES[row["phase"]],
        tuple(_state_of(id_, state) for id_, state in zip(receipt.segment_ids, states, strict=True)),
        is_final=bool(row["is_final"]),
        updated_at=updated_at,
    )


def _states_column(states: tuple[SegmentState | None, ...]) -> str:
    parts = [None if state is None else _parts(state) for state in states]
    column = _encode(parts)
    try:
        column.encode()
    except UnicodeEncodeError:
        # A state description contains a lone surrogate. A database cannot store a lone surrogate, so the
        # JSON must contain an ASCII escape.
        return _encode_in_ascii(parts)
    return column


def _parts(state: SegmentState) -> list[object]:
    dates = (state.creation_date, state.submitted_date, state.reported_date, state.time_stamp)
    return [
        int(state.state),
        *(None if date is None else date.isoformat() for date in dates),
        state.state_description,
        None if state.price is None else str(state.price),
    ]


def _state_of(segment_id: str, parts: list[Any] | None) -> SegmentState | None:
    if parts is None:
        return None
    code, *dates, description, price = parts
    creation, submitted, reported, time_stamp = map(date_of, dates)
    return SegmentState(
        segment_id,
        known_state(code),
        creation_date=creation,
        submitted_date=submitted,
        reported_date=reported,
        time_stamp=time_stamp,
        state_description=description,
        price=None if price is None else Decimal(price),
    )
