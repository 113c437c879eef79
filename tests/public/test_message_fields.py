"""Two messages that differ in any field have different requests, derived keys and ledger entries.

Messages with different content never share a bulk.
"""

import inspect
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta, tzinfo
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qsl

import attrs
import pytest

from smsapi_async import Accepted, AsyncSmsClient, Message, Rejected, ValidationError
from smsapi_async.batch.chunks import BatchSettings, Grouper, LocalBulks
from smsapi_async.ledger import Ledger
from smsapi_async.ledger.keys import _of_other_values, key_of
from smsapi_async.models import CONTENT_FIELDS
from smsapi_async.protocol.encoding import prepared
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.client.tools import client_for

DATE = datetime(2030, 5, 1, 12, tzinfo=UTC)
BASE = Message("79031230012", "hello", source_address="SHOP")
# A message with `by_time_zone=True` needs a naive date, which is the local time of the recipient.
BASES = {"by_time_zone": attrs.evolve(BASE, send_date=DATE.replace(tzinfo=None))}
VALUES: dict[type, Any] = {bool: True, str: "79031230013", datetime: DATE, int: 61}
SENT = [field.name for field in attrs.fields(Message) if field.name != "key"]


def _pair(name: str) -> tuple[Message, Message]:
    """Return two messages that differ only in the field `name`."""
    base = BASES.get(name, BASE)
    kinds = get_args(attrs.fields_dict(Message)[name].type) or (attrs.fields_dict(Message)[name].type,)
    value = next(VALUES[kind] for kind in VALUES if kind in kinds)
    other = attrs.evolve(base, **{name: value})
    assert getattr(base, name) != getattr(other, name)
    return base, other


def test_what_is_sent_is_the_content_and_the_number() -> None:
    """The content of a message consists of all fields except the destination address and the key."""
    assert {field.name for field in CONTENT_FIELDS} == {*SENT} - {"destination_address"}


@pytest.mark.parametrize("name", [field.name for field in CONTENT_FIELDS])
def test_messages_that_differ_are_not_grouped(name: str) -> None:
    """Two messages with different content never share a request."""
    grouper = Grouper(BatchSettings(), None, UTC, LocalBulks(are_used=False))
    # A message with `by_time_zone=True` is alone in its chunk (the messages of one request). For the field
    # `by_time_zone`, the test skips the first message of the pair, because a naive date with
    # `by_time_zone=False` is invalid.
    chunks = []
    for message in _pair(name):
        if name != "by_time_zone" or message.by_time_zone:
            chunks.append(grouper.add(message, grouper.look_up(message), lambda: 0.0))
    sizes = [len(chunk) for chunk in [*chunks, *iter(grouper.take_oldest, None)] if chunk is not None]
    assert sizes == ([1] if name == "by_time_zone" else [1, 1])


@pytest.mark.parametrize("name", SENT)
def test_messages_that_differ_have_two_keys(name: str) -> None:
    """Two messages that differ in one field have different derived keys."""
    one, other = _pair(name)
    assert key_of(one) != key_of(other)


@pytest.mark.parametrize("name", SENT)
def test_defaults_change_nothing_else(name: str) -> None:
    """The default source address of the client changes no other field of a message."""
    _, other = _pair(name)
    filled = prepared(
        attrs.evolve(other, source_address=None), "SHOP" if name != "source_address" else "MINE"
    )
    assert filled.source_address == ("SHOP" if name != "source_address" else "MINE")
    assert attrs.evolve(filled, source_address=other.source_address) == other


@pytest.mark.anyio
@pytest.mark.parametrize("redact", [False, True])
@pytest.mark.parametrize("name", SENT)
async def test_a_key_names_one_message(name: str, redact: bool, tmp_path: Path, anyio_backend: str) -> None:
    """A ledger refuses a message if its key already belongs to a different message."""
    one, other = (attrs.evolve(message, key="order 1") for message in _pair(name))
    async with Ledger.sqlite(tmp_path / "run.db", redact=redact) as ledger:
        assert await ledger.claim("a", [("order 1", one)]) == [None]
        await ledger.release("a")
        (refused,) = await ledger.claim("b", [("order 1", other)])
        assert isinstance(refused, Rejected)
        assert not refused.recorded
        assert await ledger.claim("c", [("order 1", one)]) == [None]


@pytest.mark.anyio
@pytest.mark.parametrize("name", SENT)
async def test_a_key_names_one_message_of_a_batch(name: str, tmp_path: Path, anyio_backend: str) -> None:
    """If two different messages of a batch have the same key, only the first message is sent.

    The second message is rejected.
    """
    other, one = (attrs.evolve(message, key="order 1") for message in _pair(name))
    async with (
        run_sandbox() as sandbox,
        client_for(sandbox) as sms,
        Ledger.sqlite(tmp_path / "run.db") as ledger,
        sms.send_many([one, other], ledger=ledger) as outcomes,
    ):
        assert {type(outcome): outcome.message async for outcome in outcomes} == {
            Accepted: one,
            Rejected: other,
        }
        assert len(sandbox.account.messages) == 1


def _sent(sandbox: Sandbox) -> list[tuple[object, ...]]:
    """Return the resource and the parameters of each send request, without the session id."""
    return [
        (
            arrival.resource,
            *(pair for pair in sorted(parse_qsl(arrival.body.decode())) if pair[0] != "SessionID"),
        )
        for arrival in sandbox.account.arrivals
        if arrival.method == "POST"
    ]


@pytest.mark.anyio
@pytest.mark.parametrize("name", SENT)
async def test_each_reaches_the_wire_as_it_is(name: str, anyio_backend: str) -> None:
    """Two different messages become two different requests, in single sends and in a batch."""
    pair = [message for message in _pair(name) if name != "by_time_zone" or message.by_time_zone]
    async with run_sandbox() as sandbox, client_for(sandbox) as sms:
        for message in pair:
            await sms._sender.send(message, None)
        alone = _sent(sandbox)
        async with sms.send_many(pair, recipients_per_request=1) as outcomes:
            assert [type(outcome) async for outcome in outcomes] == [Accepted] * len(pair)
        assert sorted(_sent(sandbox)[len(pair) :]) == sorted(alone)
        assert len(set(alone)) == len(pair)


def test_send_takes_every_field() -> None:
    """`send` has a parameter for each content field except `by_time_zone`.

    The method `send_by_time_zone` sets the field `by_time_zone`.
    """
    parameters = {*inspect.signature(AsyncSmsClient.send).parameters}
    assert {field.name for field in CONTENT_FIELDS} - {"by_time_zone"} <= parameters
    assert {"text", "source_address", "send_date", "validity"} <= parameters


SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"validity": 60}, {"validity": timedelta(hours=1)}),
    ({"send_date": DATE}, {"send_date": DATE.astimezone()}),
]
# In Python, `1`, `True` and `1.0` are equal, but only `1` is a valid value of `validity`.
UNLIKE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"validity": 1}, {"validity": True}),
    ({"validity": 1}, {"validity": 1.0}),
    ({"validity": 1}, {"validity": timedelta(seconds=61)}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_ways_to_write_a_value_are_the_same_content(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Equal values in different forms are the same content.

    A validity of 60 is equal to one hour, and a date is equal to the same moment in another time zone.
    """
    assert attrs.evolve(BASE, **one).content() == attrs.evolve(BASE, **other).content()


@pytest.mark.parametrize(("one", "other"), UNLIKE)
def test_what_cannot_be_sent_is_not_grouped_with_what_can(one: dict[str, Any], other: dict[str, Any]) -> None:
    """A message with an invalid validity never shares a request with a valid message."""
    assert attrs.evolve(BASE, **one).content() != attrs.evolve(BASE, **other).content()


class Brand(StrEnum):
    """An enum of source addresses, which an application may define."""

    INFO = "INFO"


class Minutes(IntEnum):
    """An enum of validities, which an application may define."""

    HOUR = 60


class NoOffset(tzinfo):
    """A time zone without an offset. A datetime with this time zone is not aware."""

    def utcoffset(self, _: datetime | None) -> None:
        return None

    def dst(self, _: datetime | None) -> None:
        return None

    def tzname(self, _: datetime | None) -> None:
        return None


def test_a_key_does_not_depend_on_earlier_keys() -> None:
    """The derived key of a message does not depend on the keys that were derived before."""
    message = attrs.evolve(BASE, source_address=Brand.INFO)
    first = key_of(message)
    _of_other_values.cache_clear()
    key_of(attrs.evolve(BASE, source_address="INFO"))
    assert key_of(message) == first


def test_a_true_text_is_spelled_as_true() -> None:
    """A message with a text in `by_time_zone` has the same derived key as the message with True."""
    odd: Any = "1"
    assert key_of(attrs.evolve(BASE, by_time_zone=odd)) == key_of(attrs.evolve(BASE, by_time_zone=True))


def test_a_date_without_an_offset_is_not_a_valid_date() -> None:
    """A datetime whose time zone returns no offset is never equal to a valid date, and is refused."""
    odd = attrs.evolve(BASE, send_date=DATE.replace(tzinfo=NoOffset()))
    for zone in (None, UTC, DATE.astimezone().tzinfo):
        assert odd.content() != attrs.evolve(BASE, send_date=DATE.replace(tzinfo=zone)).content()
    with pytest.raises(ValidationError, match="send_date"):
        key_of(odd)


@pytest.mark.anyio
async def test_enums_are_sent_by_their_values(anyio_backend: str) -> None:
    """If a field of a message is a member of an enum, the request contains the value of the member."""
    message = attrs.evolve(BASE, source_address=Brand.INFO, validity=Minutes.HOUR)
    async with run_sandbox() as sandbox, client_for(sandbox) as sms:
        async with sms.send_many([message]) as outcomes:
            assert [type(outcome) async for outcome in outcomes] == [Accepted]
        assert ("SourceAddress", "INFO") in _sent(sandbox)[0]
        assert ("Validity", "60") in _sent(sandbox)[0]


ODD: list[dict[str, Any]] = [
    {"by_time_zone": []},
    {"by_time_zone": "yes"},
    {"destination_address": 79031230012, "key": "order 0"},
    {"validity": [1]},
    {"source_address": ["SHOP"]},
    {"send_date": DATE.replace(tzinfo=NoOffset())},
]


@pytest.mark.anyio
@pytest.mark.parametrize("with_ledger", [False, True])
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: next(iter(odd)))
async def test_an_odd_message_costs_only_itself(
    odd: dict[str, Any], with_ledger: bool, tmp_path: Path, anyio_backend: str
) -> None:
    """A message with a value of a wrong type is rejected, and all other messages of the batch are sent."""
    good = [attrs.evolve(BASE, text=f"text {index}", key=f"order {index}") for index in range(3)]
    messages = [good[0], attrs.evolve(BASE, **odd), *good[1:]]
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(run_sandbox())
        sms = await stack.enter_async_context(client_for(sandbox))
        ledger = await stack.enter_async_context(Ledger.sqlite(tmp_path / "run.db")) if with_ledger else None
        outcomes = await stack.enter_async_context(sms.send_many(messages, ledger=ledger))
        found = Counter([type(outcome) async for outcome in outcomes])
        assert found == {Accepted: 3, Rejected: 1}
        assert len(sandbox.account.messages) == 3
