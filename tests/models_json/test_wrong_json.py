"""Wrong JSON text and wrong values: the error names the field, and shows no value."""

import json
import traceback
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async import (
    Accepted,
    Delivery,
    IncomingMessage,
    Message,
    NotSent,
    Outcome,
    Phase,
    Position,
    Receipt,
    Rejected,
    Secret,
    SegmentState,
    Session,
    SmsApiError,
    State,
    Statistics,
    Unknown,
    ValidationError,
    from_json,
    to_json,
)
from smsapi_async.ledger import DeliverySummary, Record, Resolution
from tests.models_json.values import ACCEPTED, AT, EXAMPLES, MESSAGE, RECEIPT, UNKNOWN
from tests.odd_dates import NAT

NUMBER = "79031234567"
PRIVATE = (NUMBER, "4821", "579700854169272358")

Change = Callable[[dict[str, Any]], object]


def _set(name: str, value: object) -> Change:
    """Return a function that changes a field of JSON data. The name of the field is a path with dots."""

    def change(data: Any) -> None:
        *steps, last = [int(step) if step.isdigit() else step for step in name.split(".")]
        for step in steps:
            data = data[step]
        data[last] = value

    return change


def _without(*names: str) -> Change:
    return lambda data: [data.pop(name) for name in names]


WRONG: list[tuple[Any, Any, Change, str]] = [
    # (value, kind, change, parameter of the error)
    (RECEIPT, Receipt, _set("segment_ids.1", 7), "segment_ids[1]"),
    (RECEIPT, Receipt, _set("segment_ids", NUMBER), "segment_ids"),
    (RECEIPT, Receipt, _set("segment_ids", None), "segment_ids"),
    (RECEIPT, Receipt, _set("message.text", 4821), "message.text"),
    (RECEIPT, Receipt, _set("message.by_time_zone", 1), "message.by_time_zone"),
    (RECEIPT, Receipt, _set("message.validity", True), "message.validity"),
    (RECEIPT, Receipt, _set("message.validity", 1.5), "message.validity"),
    (RECEIPT, Receipt, _set("message.validity", "ten minutes"), "message.validity"),
    (RECEIPT, Receipt, _set("message.validity", "P1M"), "message.validity"),
    (RECEIPT, Receipt, _set("message.validity", "PT"), "message.validity"),
    (RECEIPT, Receipt, _set("message.validity", "P999999999DT999999H"), "message.validity"),
    (RECEIPT, Receipt, _set("message.send_date", "2026-02-30T12:00:00+03:00"), "message.send_date"),
    (RECEIPT, Receipt, _set("message.send_date", "2026-03-01T12:00:00+24:00"), "message.send_date"),
    (RECEIPT, Receipt, _set("message.send_date", "2026-03-01T12:00:00+00:60"), "message.send_date"),
    (RECEIPT, Receipt, _set("message.send_date", "2026-03-01"), "message.send_date"),
    (RECEIPT, Receipt, _set("message.send_date", 1772366400), "message.send_date"),
    (RECEIPT, Receipt, _set("message", NUMBER), "message"),
    (RECEIPT, Receipt, _set("message", [NUMBER]), "message"),
    (RECEIPT, Receipt, _set("accepted_at", "2026-03-01T12:00:00"), "accepted_at"),
    (RECEIPT, Receipt, _set("accepted_at", "2026-03-01T12:00:00.1234567Z"), "accepted_at"),
    (RECEIPT, Receipt, _set("accepted_at", "２026-03-01T12:00:00Z"), "accepted_at"),
    (RECEIPT, Receipt, _set("accepted_at", None), "accepted_at"),
    (RECEIPT, Receipt, _without("accepted_at"), "accepted_at"),
    (RECEIPT, Receipt, _set("type", "Delivery"), "type"),
    (RECEIPT, Receipt, _set("type", NUMBER), "type"),
    (RECEIPT, Receipt, _set("type", None), "type"),
    (RECEIPT, Receipt, _set("message.type", "Receipt"), "message.type"),
    (RECEIPT, Delivery, _set("type", "Receipt"), "type"),
    (RECEIPT, Receipt | Delivery, _without("type"), "type"),
    (RECEIPT, Receipt | Delivery, _set("message.text", 4821), "message.text"),
    (MESSAGE, Message, _set("send_dat", None), "send_dat"),
    (MESSAGE, Message, _set(NUMBER, None), "<name>"),
    (MESSAGE, Message, _set(f"number {NUMBER}", None), "<name>"),
    (MESSAGE, Message, _without("text"), "text"),
    (MESSAGE, Message, _set("key", 5), "key"),
    (ACCEPTED, Rejected, _set("recorded", False), "type"),
    (ACCEPTED, Outcome, _set("type", "Lost"), "type"),
    (ACCEPTED, Outcome, _set("recorded", "no"), "recorded"),
    (ACCEPTED, Outcome, _without("type"), "type"),
    (UNKNOWN, Unknown, _without("type"), "type"),
    (UNKNOWN, Rejected, _without("type"), "type"),
    (UNKNOWN, Unknown, _set("code", "9"), "code"),
    (EXAMPLES["Delivery"], Delivery, _set("phase", "lost"), "phase"),
    (EXAMPLES["Delivery"], Delivery, _set("phase", ["failed"]), "phase"),
    (EXAMPLES["Delivery"], Delivery, _set("states.0.state", 0.0), "states[0].state"),
    (EXAMPLES["Delivery"], Delivery, _set("states.0.state", False), "states[0].state"),
    (EXAMPLES["Delivery"], Delivery, _set("states.1.price", 2.5), "states[1].price"),
    (EXAMPLES["Delivery"], Delivery, _set("states.1.price", "NaN"), "states[1].price"),
    (EXAMPLES["Delivery"], Delivery, _set("states.1.price", "1e99999999999999999999"), "states[1].price"),
    (EXAMPLES["Delivery"], Delivery, _set("states.1.price", "2,50"), "states[1].price"),
    (EXAMPLES["Statistics"], Statistics, _set("sent", 1.0), "sent"),
    (EXAMPLES["Record"], Record, _set("state", "lost"), "state"),
    (EXAMPLES["Record"], Record, _set("outcome.message.text", 4821), "outcome.message.text"),
    (EXAMPLES["Record"], Record, _set("outcome", {}), "outcome.type"),
    (EXAMPLES["Resolution"], Resolution, _set("sent", False), "segment_ids"),
    (
        EXAMPLES["DeliverySummary"],
        DeliverySummary,
        _set("failed_by_state", {NUMBER + "x": 1}),
        "failed_by_state",
    ),
    (NotSent("no connection"), SmsApiError, _set("type", "Exception"), "type"),
    (NotSent("no connection"), SmsApiError, _set("args", {}), "args"),
    (NotSent("no connection"), SmsApiError, _set("args", [1, 2, 3, 4]), "args"),
    (Position(AT), Position, _set("until", NUMBER), "text"),
]


@pytest.mark.parametrize(
    ("value", "kind", "change", "parameter"),
    WRONG,
    ids=[f"{index} {row[3]}" for index, row in enumerate(WRONG)],
)
def test_a_wrong_field_is_named(value: Any, kind: Any, change: Change, parameter: str) -> None:
    """The error names the wrong field, and neither the error nor its traceback shows a value."""
    data = json.loads(to_json(value))
    change(data)
    for text in (json.dumps(data), data):
        with pytest.raises(ValidationError) as caught:
            from_json(text, kind)
        error = caught.value
        assert error.parameter == parameter
        assert error.__cause__ is error.__context__ is None
        frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
        shown = str([frame.locals for frame in frames if "smsapi_async/" in frame.filename]) + str(error)
        assert not [private for private in PRIVATE if private in shown]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        f'{{"a": "{NUMBER}",}}',
        "NaN",
        "[Infinity]",
        "[" * 100_000,
        "9" * 5000,
        b"\xff\xfe\xff",
        "\ufeff{}",
        None,
        5,
        RECEIPT,
        "null",
        "5",
        '"text"',
        "[]",
        (),
    ],
    ids=lambda text: repr(text)[:20],
)
def test_what_is_no_object(text: Any) -> None:
    """A text that is not JSON, or JSON of another type, is refused with the name of the parameter."""
    with pytest.raises(ValidationError) as caught:
        from_json(text, Receipt)
    assert caught.value.parameter == "text"
    assert NUMBER not in str(caught.value)
    assert caught.value.__context__ is None


class Pairs(Enum):
    """An enum whose values are not JSON."""

    ONE = (1, 2)


@pytest.mark.parametrize(
    "kind", [object, Any, [], "Receipt", bytes, Session, Pairs, tuple[int, str], set[str], list]
)
def test_unsupported_kinds(kind: Any) -> None:
    """A class without a JSON form is refused, and the error names the parameter `kind`."""
    with pytest.raises(ValidationError) as caught:
        from_json("{}", kind)
    assert caught.value.parameter == "kind"


CIRCLE: list[object] = []
CIRCLE.append([MESSAGE, CIRCLE])


@pytest.mark.parametrize(
    ("value", "parameter"),
    [
        (object(), "value"),
        (b"text", "value"),
        ({5: "text"}, "value"),
        ([MESSAGE, {NUMBER: {1}}], "[1][0]"),
        (float("nan"), "value"),
        (Decimal("NaN"), "value"),
        (10**5000, "value"),
        (CIRCLE, "value"),
        (Pairs.ONE, "value"),
        (Message(int(NUMBER), "text"), "destination_address"),  # type: ignore[arg-type]
        (Message(NUMBER, b"4821"), "text"),  # type: ignore[arg-type]
        (Message(NUMBER, "text", validity=True), "validity"),
        (Message(NUMBER, "text", by_time_zone=1), "by_time_zone"),  # type: ignore[arg-type]
        (Receipt(MESSAGE, ("1",), AT.replace(tzinfo=None)), "accepted_at"),
        (Receipt(MESSAGE, (5, NUMBER), AT), "segment_ids[0]"),  # type: ignore[arg-type]
        (Receipt(MESSAGE, NUMBER, AT), "segment_ids"),  # type: ignore[arg-type]
        (attrs.evolve(ACCEPTED, message=Message(NUMBER, 4821)), "message.text"),  # type: ignore[arg-type]
        ([Session(Secret("4821"), AT)], "[0].session_id"),
        (SegmentState("1", "0"), "state"),  # type: ignore[arg-type]
        (SegmentState("1", State.SENT, price=2.5), "price"),  # type: ignore[arg-type]
        (Delivery(NUMBER, Phase.FAILED, (), True, AT), "receipt"),  # type: ignore[arg-type]
        (Delivery(RECEIPT, "failed", (), True, AT), "phase"),  # type: ignore[arg-type]
        (IncomingMessage("1", None, NUMBER, "4443", AT), "text"),  # type: ignore[arg-type]
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_wrong_values_are_not_written(value: Any, parameter: str) -> None:
    """A value of a wrong type is an error where it is written, and not where another program reads it."""
    with pytest.raises(ValidationError) as caught:
        to_json(value)
    assert caught.value.parameter == parameter
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert not [private for private in PRIVATE if private in str(caught.value)]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("1" + "0" * 400, float),
        ("1" + "0" * 400, int),
        ({"until": object()}, Position),
        ({"until": 10**5000}, Position),
        ({"until": CIRCLE}, Position),
    ],
    ids=["large float", "large int", "object", "large field", "circle"],
)
def test_data_that_no_json_has(data: Any, kind: type) -> None:
    """Numbers that are too large, and objects in a dictionary of the caller, are refused as wrong values."""
    with pytest.raises(ValidationError) as caught:
        from_json(data, kind)
    assert caught.value.parameter == "text"
    assert caught.value.__context__ is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=8), parts, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([*EXAMPLES.values()]), st.data())
def test_any_json_is_read_or_refused(value: Any, data: st.DataObject) -> None:
    """JSON with any other value in any field gives an object or a `ValidationError`, and no other error."""
    changed: dict[str, Any] = json.loads(to_json(value))
    name = data.draw(st.sampled_from([*changed, "more"]))
    changed[name] = data.draw(JSON)
    try:
        again = from_json(changed, type(value))
    except ValidationError as error:
        assert error.parameter.partition(".")[0].partition("[")[0] in {name, "segment_ids"}
    else:
        assert from_json(to_json(again), type(value)) == again


def test_a_date_that_no_send_accepts_is_not_written() -> None:
    """``pandas.NaT`` and a date in local mean time are refused: JSON would hide that the offset is wrong."""
    date = datetime(2026, 3, 1, tzinfo=ZoneInfo("Europe/Moscow"))
    for wrong in (NAT, date.replace(year=1800)):
        with pytest.raises(ValidationError, match=r"^send_date: "):
            to_json(attrs.evolve(MESSAGE, send_date=wrong))


def test_a_rejected_message_is_not_read_as_an_unknown_one() -> None:
    """A rejected message may be sent again and an unknown message may not, so their class is required."""
    rejected = Rejected(message=MESSAGE, reason="code 6", code=6)
    data = json.loads(to_json(rejected))
    del data["type"]
    for kind in (Rejected, Unknown, Outcome, Accepted):
        with pytest.raises(ValidationError, match=r"^type: a missing field"):
            from_json(data, kind)  # type: ignore[arg-type]
    assert from_json(json.dumps({**data, "type": "Rejected"}), Outcome) == rejected
    assert from_json({"destination_address": NUMBER, "text": "x"}, Message) == Message(NUMBER, "x")
