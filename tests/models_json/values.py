"""An example of each class that has a JSON form, and strategies of hypothesis for their fields."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, get_args, get_origin

import attrs
from hypothesis import strategies as st

from smsapi_async import (
    Accepted,
    Delivery,
    IncomingMessage,
    Message,
    Phase,
    PushedMessage,
    Receipt,
    Rejected,
    SegmentState,
    State,
    Statistics,
    Unknown,
    segment,
)
from smsapi_async.ledger import (
    DeliverySummary,
    InFlight,
    Record,
    RequestAnswer,
    Resolution,
    Summary,
    UnknownMessage,
)

MOSCOW = timezone(timedelta(hours=3))
AT = datetime(2026, 3, 1, 12, 0, 5, 123456, tzinfo=UTC)
MORNING = datetime(2026, 3, 1, 9)  # noqa: DTZ001 - the local time of a recipient
MESSAGE = Message(
    "79031234567",
    "Код 4821, “никому” \\ \u2028 😀",
    source_address="ACME",
    send_date=datetime(2026, 3, 1, 15, 0, tzinfo=MOSCOW),
    validity=timedelta(minutes=10),
    key="order 17",
)
LOCAL = Message("+79031234567", "", send_date=MORNING, validity=60, by_time_zone=True)
RECEIPT = Receipt(MESSAGE, ("579700854169272358", "SAR-1+79031234567-2"), AT)
STATES = (
    SegmentState("1", State.DELIVERED, AT, AT, AT, AT, "Доставлено", Decimal("2.50")),
    SegmentState("2", 12345, price=Decimal("1E-7")),
    None,
)
ACCEPTED = Accepted(message=MESSAGE, segment_ids=("1", "2"), accepted_at=AT, key="a", recorded=True)
UNKNOWN = Unknown(message=LOCAL, reason="the gateway did not answer", code=9, key="b")

EXAMPLES: dict[str, Any] = {
    "Accepted": ACCEPTED,
    "Accepted unattributed": Accepted(
        message=LOCAL, segment_ids=("1", "2", "3"), accepted_at=AT, unattributed=True
    ),
    "Delivery": Delivery(RECEIPT, Phase.FAILED, STATES, is_final=True, updated_at=AT),
    "Delivery without segments": Delivery(Receipt(LOCAL, (), AT), Phase.ENROUTE, (), False, AT),
    "DeliverySummary": DeliverySummary(delivered=3, failed=1, failed_by_state={46: 1, -98: 2}),
    "InFlight": InFlight("token"),
    "IncomingMessage": IncomingMessage("5", "СТОП", "79031234567", "4443", None),
    "Message": MESSAGE,
    "Message at local time": LOCAL,
    "PushedMessage": PushedMessage("5", "yes", "79031234567", "", None, "promo"),
    "Receipt": RECEIPT,
    "Record": Record(message=MESSAGE, key="a", state="accepted", sent_at=AT, outcome=ACCEPTED),
    "Record without outcome": Record(message=LOCAL, key="b", state="pending"),
    "Rejected": Rejected(message=LOCAL, reason="code 6", code=6, key="c", recorded=True),
    "RequestAnswer": RequestAnswer(state="rejected", at=AT, reason="no credits", code=5),
    "Resolution": Resolution("a", sent=True, segment_ids=("1",)),
    "SegmentState": STATES[0],
    "SegmentState of an unknown number": STATES[1],
    "Segmentation": segment("a[b]ю"),
    "Statistics": Statistics(1, 2, 3, 4, 5, 6, 7, 8, Decimal("0.10")),
    "Statistics without totals": Statistics(0, 0, 0, 0, 0, 0),
    "Summary": Summary(1, 2, 3, 4, 5, 6),
    "Unknown": UNKNOWN,
    "UnknownMessage": UnknownMessage(
        message=MESSAGE, key="a", request=3, sent_at=AT, reason="no answer", segment_ids=("1",)
    ),
}

OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
AWARE = st.datetimes(timezones=OFFSETS)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
MESSAGES = st.builds(
    Message,
    TEXTS,
    TEXTS,
    source_address=TEXTS | st.none(),
    send_date=AWARE | st.datetimes() | st.none(),
    validity=st.integers() | st.timedeltas() | st.none(),
    by_time_zone=st.booleans(),
    key=TEXTS | st.none(),
)
STRATEGIES: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: st.integers(),
    bool: st.booleans(),
    type(None): st.none(),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    datetime: AWARE,
    Message: MESSAGES,
}


def _strategy_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of a type, with any valid value in each field of a class."""
    if kind in STRATEGIES:
        return STRATEGIES[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(_strategy_of(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(*map(_strategy_of, arguments), max_size=3)
    if arguments or issubclass(kind, Enum):
        return st.one_of(*map(_strategy_of, arguments)) if arguments else st.sampled_from(kind)
    return st.builds(kind, **{field.alias: _strategy_of(field.type) for field in attrs.fields(kind)})


# A `Resolution` refuses segment ids of a message that was not sent.
KINDS = sorted({type(value) for value in EXAMPLES.values()} - {Resolution}, key=lambda kind: kind.__name__)
ANY_MODEL = st.sampled_from(KINDS).flatmap(_strategy_of)
