"""Every field of a message counts: in groups, in keys, in a ledger, and on the wire."""

import inspect
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qsl

import attrs
import pytest

from smsapi_async import Accepted, AsyncSmsClient, Message, Rejected
from smsapi_async.batch.chunks import BatchSettings, Grouper
from smsapi_async.ledger import Ledger
from smsapi_async.ledger.keys import key_of
from smsapi_async.models import CONTENT_FIELDS
from smsapi_async.protocol.encoding import prepared
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.client.tools import client_for

DATE = datetime(2030, 5, 1, 12, tzinfo=UTC)
BASE = Message("79031230012", "hello", source_address="SHOP")
# Only a date without a time zone can be the recipient's own.
BASES = {"by_time_zone": attrs.evolve(BASE, send_date=DATE.replace(tzinfo=None))}
VALUES: dict[type, Any] = {bool: True, str: "79031230013", datetime: DATE, int: 61}
SENT = [field.name for field in attrs.fields(Message) if field.name != "key"]


def _pair(name: str) -> tuple[Message, Message]:
    """Two messages that differ in one field alone."""
    base = BASES.get(name, BASE)
    kinds = get_args(attrs.fields_dict(Message)[name].type) or (attrs.fields_dict(Message)[name].type,)
    value = next(VALUES[kind] for kind in VALUES if kind in kinds)
    other = attrs.evolve(base, **{name: value})
    assert getattr(base, name) != getattr(other, name)
    return base, other


def test_what_is_sent_is_the_content_and_the_number() -> None:
    """The content has every field but the destination address and the caller's key."""
    assert {field.name for field in CONTENT_FIELDS} == {*SENT} - {"destination_address"}


@pytest.mark.parametrize("name", [field.name for field in CONTENT_FIELDS])
def test_messages_that_differ_are_not_grouped(name: str) -> None:
    """Two messages that differ in one field never share a request."""
    grouper = Grouper(BatchSettings(), None)
    # A message by time zone is a full chunk at once, and one without its date cannot be sent.
    chunks = []
    for message in _pair(name):
        if name != "by_time_zone" or message.by_time_zone:
            chunks.append(grouper.add(message, None, lambda: 0.0))
    sizes = [len(chunk) for chunk in [*chunks, *grouper.rest()] if chunk is not None]
    assert sizes == ([1] if name == "by_time_zone" else [1, 1])


@pytest.mark.parametrize("name", SENT)
def test_messages_that_differ_have_two_keys(name: str) -> None:
    """Two messages that differ in one field have two derived keys."""
    one, other = _pair(name)
    assert key_of(one) != key_of(other)


@pytest.mark.parametrize("name", SENT)
def test_defaults_change_nothing_else(name: str) -> None:
    """Filling in the default source address leaves each field as it was given."""
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
    """A key that names a message in a ledger is refused with a message that differs in one field."""
    one, other = (attrs.evolve(message, key="order 1") for message in _pair(name))
    async with Ledger.sqlite(tmp_path / "run.db", redact=redact) as ledger:
        assert await ledger.claim([("order 1", one)]) == {"order 1": None}
        await ledger.release(["order 1"])
        assert isinstance((await ledger.claim([("order 1", other)]))["order 1"], Rejected)
        assert await ledger.claim([("order 1", one)]) == {"order 1": None}


@pytest.mark.anyio
@pytest.mark.parametrize("name", SENT)
async def test_a_key_names_one_message_of_a_batch(name: str, tmp_path: Path, anyio_backend: str) -> None:
    """In one batch, a key is refused with a message that differs in one field; the first one is sent."""
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
    """What each request to send asked for, without its session."""
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
    """Two messages that differ in one field are two different requests, whether sent alone or in a batch."""
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
    """Each field of a message is a parameter of `send`; the time zone of the recipient has its own method."""
    parameters = {*inspect.signature(AsyncSmsClient.send).parameters}
    assert {field.name for field in CONTENT_FIELDS} - {"by_time_zone"} <= parameters
    assert {"text", "source_address", "send_date", "validity"} <= parameters


SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"validity": 60}, {"validity": timedelta(hours=1)}),
    ({"send_date": DATE}, {"send_date": DATE.astimezone()}),
]
UNLIKE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"validity": 1}, {"validity": True}),
    ({"validity": 1}, {"validity": 1.0}),
    ({"validity": 1}, {"validity": timedelta(seconds=61)}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_ways_to_write_a_value_are_the_same_content(one: dict[str, Any], other: dict[str, Any]) -> None:
    """An hour is 60 minutes, and a moment is the same in every time zone."""
    assert attrs.evolve(BASE, **one).content() == attrs.evolve(BASE, **other).content()


@pytest.mark.parametrize(("one", "other"), UNLIKE)
def test_what_cannot_be_sent_is_not_grouped_with_what_can(one: dict[str, Any], other: dict[str, Any]) -> None:
    """A value of a wrong type does not pass as the valid value that Python calls equal to it."""
    assert attrs.evolve(BASE, **one).content() != attrs.evolve(BASE, **other).content()
