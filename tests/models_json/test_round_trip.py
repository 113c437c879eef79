"""What `to_json` writes, `from_json` reads as an equal object."""

import inspect
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Union
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given
from typing_extensions import TypeAliasType

import smsapi_async
import smsapi_async.ledger
from smsapi_async import (
    Accepted,
    AsyncSmsClient,
    BatchHalted,
    Delivery,
    Encoding,
    IncomingMessage,
    Message,
    NotEnoughCredits,
    NotSent,
    Outcome,
    OutcomeUnknown,
    Phase,
    Position,
    PushedMessage,
    Receipt,
    Rejected,
    SegmentState,
    SmsApiError,
    State,
    Unknown,
    ValidationError,
    errors,
    from_json,
    to_json,
)
from smsapi_async.sandbox import run_sandbox
from tests.client.tools import client_for
from tests.models_json.values import (
    ACCEPTED,
    ANY_MODEL,
    AT,
    EXAMPLES,
    LOCAL,
    MESSAGE,
    MORNING,
    MOSCOW,
    RECEIPT,
    UNKNOWN,
)
from tests.public.test_surface import ERRORS, _example

# Objects with a secret, and settings, which no call returns.
WITHOUT_JSON = {"RetryPolicy", "Schedule", "Session", "Timeouts"}


@given(ANY_MODEL)
def test_any_values(value: Any) -> None:
    """Any model is equal after JSON: each microsecond, UTC offset, digit and character is kept."""
    text = to_json(value)
    again = from_json(text, type(value))
    assert again == value
    assert to_json(again) == text
    text.encode()


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name: str) -> None:
    """The example of each class is equal after JSON, from a text, from bytes and from parsed JSON."""
    value = EXAMPLES[name]
    text = to_json(value)
    assert "\n" not in text
    assert json.loads(text)["type"] == type(value).__name__
    for given_text in (text, text.encode(), bytearray(text, "utf-16"), json.loads(text)):
        again = from_json(given_text, type(value))
        assert (again, type(again), repr(again)) == (value, type(value), repr(value))


def test_each_public_model_has_an_example() -> None:
    """A new public class of attrs gets a JSON form, or is listed as a class without one."""
    public = {
        name: value
        for module in (smsapi_async, smsapi_async.ledger)
        for name, value in ((name, getattr(module, name)) for name in module.__all__)
        if inspect.isclass(value) and attrs.has(value)
    }
    shown = {type(value).__name__ for value in EXAMPLES.values()}
    assert {*public} == shown | WITHOUT_JSON | {"Position"}


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (State.DELIVERED, State, "0"),
        (Phase.DELIVERED, Phase, '"delivered"'),
        (Encoding.UCS_2, Encoding, '"UCS-2"'),
        (Decimal("12.50"), Decimal, '"12.50"'),
        (Decimal("-1E+3"), Decimal, '"-1E+3"'),
        (AT, datetime, '"2026-03-01T12:00:05.123456+00:00"'),
        (MORNING, datetime, '"2026-03-01T09:00:00"'),
        (timedelta(hours=1), timedelta, '"PT60M"'),
        (timedelta(seconds=-1.5), timedelta, '"-PT1.500000S"'),
        (timedelta(0), timedelta, '"PT0M"'),
        (None, Receipt | None, "null"),
        (State.EXPIRED, State | int, "46"),
        (7, State | int, "7"),
        ([Phase.FAILED], list[Phase], '["failed"]'),
        (("a", "b"), tuple[str, ...], '["a", "b"]'),
        ({"a": 1.5}, dict[str, float], '{"a": 1.5}'),
    ],
    ids=str,
)
def test_values_without_a_class_of_their_own(value: Any, kind: Any, text: str) -> None:
    """The result of `sms.balance()`, a state or a list has the JSON form that the documentation names."""
    assert to_json(value) == text
    again = from_json(text, kind)
    assert (again, type(again)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T09:00", MORNING),
        ("2026-03-01T12:00:00.5-03:30", datetime(2026, 3, 1, 15, 30, 0, 500000, tzinfo=UTC)),
        ("P1DT2H3M4.5S", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
        ("PT600S", timedelta(minutes=10)),
    ],
)
def test_forms_of_other_programs(text: str, value: Any) -> None:
    """JavaScript and pydantic write dates and durations differently, and these forms can be read."""
    assert from_json(json.dumps(text), type(value)) == value


OUTCOMES: list[Outcome] = [ACCEPTED, EXAMPLES["Rejected"], UNKNOWN]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (OUTCOMES, list[Outcome]),
        (tuple(OUTCOMES), tuple[Outcome, ...]),
        (OUTCOMES, Sequence[Accepted | Rejected | Unknown]),
        (OUTCOMES, TypeAliasType("Outcomes", list[Outcome])),
        ([RECEIPT, EXAMPLES["Delivery"]], list[Receipt | Delivery]),
        ([EXAMPLES["IncomingMessage"], EXAMPLES["PushedMessage"]], list[IncomingMessage]),
        ([None, RECEIPT], list[Receipt | None]),
        ({"a": ACCEPTED, "b": None}, dict[str, Outcome | None]),
    ],
    ids=lambda value: None if isinstance(value, list | tuple | dict) else str(value),
)
def test_unions(values: Any, kind: Any) -> None:
    """A list of outcomes, or of receipts and deliveries, is read with the class of each object."""
    again = from_json(to_json(values), kind)
    assert again == values
    if not isinstance(values, dict):
        assert [*map(type, again)] == [*map(type, values)]


def test_a_union_of_all_classes() -> None:
    """An archive with objects of all classes is read with the class of each object."""
    kind: Any = Union[tuple(map(type, EXAMPLES.values()))]  # noqa: UP007 - the members are computed
    again = from_json(to_json([*EXAMPLES.values()]), list[kind])
    assert again == [*EXAMPLES.values()]
    assert [*map(type, again)] == [*map(type, EXAMPLES.values())]


def test_a_date_of_a_time_zone_keeps_its_moment() -> None:
    """A scheduled message with a zone of `zoneinfo` is sent at the same moment, after JSON as before."""
    for fold in (0, 1):
        date = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=fold)
        message = attrs.evolve(MESSAGE, send_date=date)
        again = from_json(to_json(message), Message)
        assert again.content() == message.content()
        assert again.send_date is not None
        assert again.send_date.utcoffset() == date.utcoffset()


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: str(kind.__name__))
def test_errors(kind: type[SmsApiError]) -> None:
    """An error keeps its class, code, reason and text, and its JSON contains no private values."""
    error = _example(kind)
    text = to_json(error)
    for wanted in (SmsApiError, kind):
        again = from_json(text, wanted)
        assert (type(again), str(again), again.args) == (kind, str(error), error.args)
    assert MESSAGE.destination_address not in text


def test_an_error_of_another_class() -> None:
    """An error is read only as its own class or a base class, and the cause of a halted batch is kept."""
    text = to_json(BatchHalted(NotEnoughCredits(5, "", 403, 2.5), 3))
    again = from_json(text, BatchHalted)
    assert isinstance(again.cause, NotEnoughCredits)
    assert again.retry_after == 2.5
    with pytest.raises(ValidationError, match=r"^type: "):
        from_json(text, NotSent)
    union = from_json(to_json([NotSent("x"), OutcomeUnknown("y")]), list[NotSent | OutcomeUnknown])
    assert [*map(type, union)] == [NotSent, OutcomeUnknown]

    class Mine(errors.LedgerUnwritable):
        """An error of the caller."""

    assert type(from_json(to_json(Mine("x")), SmsApiError)) is errors.LedgerUnwritable


def test_a_position() -> None:
    """The position of an inbox can be a part of other JSON."""
    position = Position(AT, (("1", AT),), since=AT, confirmed=True)
    assert from_json(to_json([position]), list[Position]) == [position]
    assert Position.from_json(to_json(position)) == position


class Brand(StrEnum):
    """The names of a sender."""

    SHOP = "SHOP"


def test_a_subclass_becomes_its_class() -> None:
    """A message of a subclass, with values of subclasses, is read as a plain message."""

    @attrs.frozen
    class Mine(Message):
        order: int = 17

    mine = Mine("79031234567", "text", source_address=Brand.SHOP)
    again = from_json(to_json(mine), Message)
    assert type(again) is Message
    assert again == Message("79031234567", "text", source_address="SHOP")
    assert type(again.source_address) is str
    assert from_json(to_json(mine), Mine) == attrs.evolve(mine, source_address="SHOP")
    # The outcomes of a batch contain the message as the caller passed it.
    assert from_json(to_json(attrs.evolve(ACCEPTED, message=mine)), Outcome).message == again


@attrs.frozen
class Order:
    """A class of the caller with results of this package."""

    type: str
    receipt: Receipt
    at: datetime
    outcomes: dict[str, Outcome] = attrs.field(factory=dict)


def test_a_class_of_the_caller() -> None:
    """An attrs class of the caller can contain results, dates and a field of the name ``type``."""
    order = Order("web", RECEIPT, MORNING, {"a": UNKNOWN})
    assert from_json(to_json(order), Order) == order


WRONG_MESSAGES: list[Any] = [
    Message(79031234567, "text"),  # type: ignore[arg-type]
    Message("79031234567", float("nan")),  # type: ignore[arg-type]
    Message("79031234567", "text", validity=1.5),  # type: ignore[arg-type]
    Message("79031234567", "text", validity=10**5000),
    Message("79031234567", "text", send_date="tomorrow"),  # type: ignore[arg-type]
    Message("79031234567", b"\xff"),  # type: ignore[arg-type]
    Message("79031234567", "lone \ud800"),
    Message("", "", key=object()),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("message", WRONG_MESSAGES, ids=range(len(WRONG_MESSAGES)))
def test_a_rejected_message_may_have_any_values(message: Message) -> None:
    """A program that writes the outcomes of a batch does not stop at a message that the batch rejected."""
    rejected = Rejected(message=message, reason="text: <float> cannot be used", key="a")
    text = to_json([rejected])
    text.encode()
    (again,) = from_json(text, list[Outcome])
    assert attrs.evolve(again, message=MESSAGE) == attrs.evolve(rejected, message=MESSAGE)
    for field in attrs.fields(Message):
        value = getattr(again.message, field.name)
        assert value is None or value == getattr(message, field.name)


@pytest.mark.anyio
async def test_results_of_a_sandbox(anyio_backend: str) -> None:
    """What the client returns for real requests is equal after JSON, and can be used to continue."""
    async with run_sandbox(price=Decimal("2.50")) as sandbox, client_for(sandbox) as sms:
        receipt = await sms.send("79031234567", "Your code is 4711", validity=timedelta(hours=1))
        stored = from_json(to_json(receipt), Receipt)
        assert stored == receipt
        sandbox.receive("79031234567", text="СТОП", destination_address="4443")
        results: list[Any] = [
            await sms.balance(),
            await sms.state(receipt.segment_ids[0]),
            await sms.incoming(),
            await sms.statistics(receipt.accepted_at, receipt.accepted_at + timedelta(hours=1)),
            await sms.wait_delivered(stored, timeout=0.01),
        ]
        kinds: list[Any] = [Decimal, SegmentState, list[IncomingMessage], smsapi_async.Statistics, Delivery]
        for result, kind in zip(results, kinds, strict=True):
            assert from_json(to_json(result), kind) == result
        messages = [Message(f"7903123{index:04}", "text") for index in range(3)]
        async with sms.send_many([*messages, Message("1", "text")]) as outcomes:
            found = [outcome async for outcome in outcomes]
        assert from_json(to_json(found), list[Outcome]) == found
        assert Counter(map(type, found)) == {Accepted: 3, Rejected: 1}
        assert len(sandbox.account.messages) == 4


def test_the_client_itself_has_no_json_form() -> None:
    """A client contains a password, so a client cannot be written."""
    client = AsyncSmsClient("login", "secret password", source_address="ACME")
    with pytest.raises(ValidationError, match=r"^value: ") as caught:
        to_json(client)
    assert "secret" not in str(caught.value)


def test_a_client_does_not_import_the_json_forms() -> None:
    """A program that writes no JSON does not wait for the import of the JSON forms."""
    script = (
        "import sys; from smsapi_async import AsyncSmsClient; print('smsapi_async.json' in sys.modules);"
        "from smsapi_async import to_json; print('smsapi_async.json' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_forms_are_as_documented() -> None:
    """Programs in other languages read the names and forms that the documentation names."""
    assert json.loads(to_json(attrs.evolve(LOCAL, send_date=datetime(2026, 3, 1, 15, tzinfo=MOSCOW)))) == {
        "type": "Message",
        "destination_address": "+79031234567",
        "text": "",
        "source_address": None,
        "send_date": "2026-03-01T15:00:00+03:00",
        "validity": 60,
        "by_time_zone": True,
        "key": None,
    }
    assert json.loads(to_json(EXAMPLES["PushedMessage"]))["type"] == PushedMessage.__name__
    assert "Код" in to_json(MESSAGE)
