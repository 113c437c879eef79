"""Tests of what `enqueue` checks and stores: messages, keys, requests, accounts, the order of the queue."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import psycopg
import pytest
import sqlalchemy
from sqlalchemy.orm import Session

from smsapi_async import Message, ValidationError
from smsapi_async.ledger import Ledger, LedgerError
from smsapi_async.ledger.keys import key_of
from smsapi_async.postgres import aenqueue, enqueue
from smsapi_async.sandbox import run_sandbox
from tests.client.tools import client_for
from tests.ledger.tools import NUMBER, TEXT, Place, message
from tests.postgres.outbox.callers import keys
from tests.postgres.server import Server

pytestmark = pytest.mark.anyio
SOON = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def connection(server: Server) -> Iterator["psycopg.Connection[tuple[Any, ...]]"]:
    """Return a connection of psycopg that commits each statement."""
    with psycopg.connect(server.dsn(), autocommit=True) as opened:
        yield opened


def requests(server: Server, account: str) -> list[int]:
    """Return the sizes of the account's requests, in the order of the queue.

    A message without a request counts as a request.
    """
    rows = server.rows(
        "SELECT coalesce(r.size, 1), array_agg(m.place ORDER BY m.place) FROM smsapi.messages m"
        " LEFT JOIN smsapi.requests r ON r.id = m.request_id JOIN smsapi.accounts a ON a.id = m.account_id"
        " WHERE a.name = %s GROUP BY r.id, coalesce(m.request_id, -m.id)"
        " ORDER BY max(coalesce(r.priority, m.priority)) DESC, min(coalesce(r.not_before, m.not_before)),"
        " min(m.id)",
        account,
    )
    assert all(places == list(range(size)) for size, places in rows)
    return [size for size, _ in rows]


@pytest.mark.parametrize(
    ("change", "parameter", "words"),
    [
        ({"destination_address": "8903"}, "destination_address", r"'\*\*\*' \(4 characters\)"),
        ({"destination_address": 79031234567}, "destination_address", "<int>"),
        ({"text": ""}, "text", "an empty text"),
        ({"text": "a" * 2001}, "text", "2001 UTF-16 units"),
        ({"text": "\ud800"}, "text", "without lone surrogates"),
        ({"text": None}, "text", "pass a"),
        ({"source_address": "Магазин"}, "source_address", "Latin"),
        ({"send_date": datetime(2030, 1, 1)}, "send_date", "aware"),  # noqa: DTZ001
        ({"send_date": SOON, "by_time_zone": True}, "send_date", "naive"),
        ({"send_date": "tomorrow"}, "send_date", "datetime"),
        ({"by_time_zone": True}, "send_date", "naive"),
        ({"by_time_zone": "no"}, "by_time_zone", "True or False"),
        ({"validity": -1}, "validity", "whole minutes"),
        ({"validity": []}, "validity", "whole minutes"),
        ({"key": ""}, "key", "not empty"),
        ({"key": "a\0"}, "key", "NUL"),
        ({"key": "я" * 1400}, "key", "at most 2600 bytes"),
        ({"key": f"sha256:{'a' * 22}:79031234567"}, "key", "derived key of another message"),
    ],
)
def test_wrong_messages(
    change: dict[str, Any], parameter: str, words: str, connection: object, server: Server, account: str
) -> None:
    """A wrong message is refused before the statement. The error names the field, and the index in a list."""
    wrong = attrs.evolve(message(), **change)
    with pytest.raises(ValidationError, match=words) as caught:
        enqueue(connection, wrong, account=account)
    assert caught.value.parameter == parameter
    with pytest.raises(ValidationError, match=r"\(messages\[2\]\) cannot be used") as caught:
        enqueue(connection, iter([message(1), message(2), wrong]), account=account)
    assert caught.value.parameter == parameter
    assert caught.value.__context__ is None
    assert keys(server, account) == []


@pytest.mark.parametrize("messages", [None, "text", b"text", 5, [None], ["text"], [[message()]]])
async def test_what_is_no_message(messages: Any, connection: object) -> None:
    """A value that is no message is refused, also inside of a list."""
    with pytest.raises(ValidationError, match=r"pass (a Message|smsapi_async\.Message)"):
        enqueue(connection, messages)


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"account": ""}, "account"),
        ({"account": None}, "account"),
        ({"account": "x" * 1001}, "account"),
        ({"not_before": datetime(2030, 1, 1)}, "not_before"),  # noqa: DTZ001
        ({"not_before": 5}, "not_before"),
        ({"priority": 40_000}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"priority": True}, "priority"),
        ({"priority": 1.0}, "priority"),
    ],
)
def test_wrong_parameters(options: dict[str, Any], parameter: str, connection: object) -> None:
    """A wrong parameter is refused before the statement, also without messages."""
    both: tuple[Any, ...] = (message(), [])
    for messages in both:
        with pytest.raises(ValidationError) as caught:
            enqueue(connection, messages, **options)
        assert caught.value.parameter == parameter


@pytest.mark.parametrize("wrong", [None, "postgresql://host/shop", object(), 5])
async def test_what_is_no_connection(wrong: object) -> None:
    """An object that is no connection is refused, and the error names the supported connections."""
    with pytest.raises(ValidationError, match="pass a connection or cursor of psycopg, a Session") as caught:
        enqueue(wrong, message())
    assert caught.value.parameter == "connection"
    with pytest.raises(ValidationError, match="pass an AsyncConnection of psycopg") as caught:
        await aenqueue(wrong, message())
    assert caught.value.parameter == "connection"


async def test_other_databases_are_refused(server: Server) -> None:
    """A connection to another database, and an engine without a transaction, are refused."""
    with closing(sqlite3.connect(":memory:")) as other, pytest.raises(ValidationError, match="sqlite3"):
        enqueue(other, message())
    engine = sqlalchemy.create_engine("sqlite://")
    for given in (Session(engine), engine.connect()):
        with given, pytest.raises(ValidationError, match="to sqlite cannot be used; pass a connection to Po"):
            enqueue(given, message())
    with pytest.raises(ValidationError, match="Engine"):
        enqueue(engine, message())
    engine.dispose()


async def test_the_other_function_is_named(connection: object) -> None:
    """If a program confuses the two functions, the error names the right one."""
    with pytest.raises(ValidationError, match="use `enqueue"):
        await aenqueue(connection, message())
    opened = psycopg.AsyncConnection.__new__(psycopg.AsyncConnection)
    with pytest.raises(ValidationError, match="use `await aenqueue"):
        enqueue(opened, message())


@pytest.mark.parametrize(
    ("messages", "sizes"),
    [
        ([message(number) for number in range(1201)], [500, 500, 201]),
        ([message(number, f"Text {number}") for number in range(3)], [1, 1, 1]),
        ([message(number, f"Text {number % 2}") for number in range(6)], [3, 3]),
        (
            [
                Message(NUMBER[:-1] + str(digit), TEXT, by_time_zone=True, send_date=datetime(2030, 1, 1))  # noqa: DTZ001
                for digit in range(3)
            ],
            [1, 1, 1],
        ),
        ([Message(NUMBER, TEXT, key=key) for key in "ab"], [2]),
        ([message(0), message(0)], [1]),
        ([], []),
    ],
    ids=["one text", "different texts", "two texts", "local times", "own keys", "repetition", "nothing"],
)
def test_requests(
    messages: list[Message], sizes: list[int], connection: object, server: Server, account: str
) -> None:
    """Messages of equal content share requests of up to 500 messages. Other messages are alone."""
    enqueue(connection, messages, account=account)
    assert requests(server, account) == sizes
    enqueue(connection, messages, account=account)
    assert requests(server, account) == sizes


def test_a_request_without_the_known_messages(connection: object, server: Server, account: str) -> None:
    """If some messages of a call are enqueued already, the others share a request."""
    enqueue(connection, [message(number) for number in (1, 3, 4)], account=account)
    enqueue(connection, [message(number) for number in range(6)], account=account)
    assert requests(server, account) == [3, 3]


def test_the_order_of_the_queue(connection: object, server: Server, account: str) -> None:
    """Workers find messages by priority and `not_before`. A later time keeps a message back."""
    calls: list[tuple[dict[str, Any], int]] = [
        ({}, 1),
        ({"not_before": SOON}, 2),
        ({"priority": 5}, 3),
        ({"priority": -5}, 4),
    ]
    for number, (options, count) in enumerate(calls):
        many = [message(number * 10 + index) for index in range(count)]
        enqueue(connection, many, account=account, **options)
    assert requests(server, account) == [3, 1, 2, 4]
    assert server.rows("SELECT count(*) FROM smsapi.requests WHERE not_before = %s", SOON) == [(1,)]
    enqueue(connection, message(99), account=account, not_before=SOON, priority=7)
    due = server.rows("SELECT key, priority FROM smsapi.messages WHERE not_before = %s", SOON)
    assert due == [(key_of(message(99)), 7)]


ALL_FIELDS = Message(
    "+79031234567",
    'Текст "\\\0 \u2028🙂',
    source_address="Shop",
    send_date=SOON.replace(microsecond=0),
    validity=timedelta(hours=1),
    key="ключ \u2028🙂\\\"'",
)


@pytest.mark.parametrize("encoding", ["UTF8", "LATIN1", "SQL_ASCII"])
async def test_all_fields(encoding: str, server: Server, account: str, place: Place) -> None:
    """All fields of a message reach the ledger, whatever the encoding of the connection is."""
    with psycopg.connect(server.dsn(), client_encoding=encoding) as opened:
        enqueue(opened, ALL_FIELDS, account=account)
    async with place() as ledger:
        record = (await ledger.records([ALL_FIELDS]))[0]
        assert record is not None
        assert record.state == "pending"
        assert record.key == ALL_FIELDS.key
        assert record.message.content() == ALL_FIELDS.content()


@pytest.mark.parametrize(
    "change", [{}, {"key": None}, {"source_address": None}, {"send_date": None, "validity": 0}]
)
async def test_a_batch_sends_what_was_enqueued(
    change: dict[str, Any], connection: object, place: Place, account: str
) -> None:
    """A batch with the same messages sends what was enqueued, once. Afterwards `enqueue` sends nothing."""
    many = [attrs.evolve(ALL_FIELDS, **change), message(5)]
    async with run_sandbox() as sandbox, client_for(sandbox) as sms, place() as ledger:
        enqueue(connection, many, account=account)
        for _ in range(2):
            async with sms.send_many(many, ledger=ledger) as outcomes:
                assert [type(each).__name__ async for each in outcomes] == ["Accepted"] * 2
        enqueue(connection, many, account=account)
        assert (await ledger.summary()).accepted == 2
        assert (await ledger.summary()).pending == 0
        assert len(sandbox.account.messages) == 2


async def test_a_redacted_account_refuses(connection: object, server: Server, account: str) -> None:
    """An account without numbers and texts accepts no messages, and the transaction goes on."""
    async with Ledger.postgres(server.dsn(), account=account, redact=True):
        pass
    with pytest.raises(ValidationError, match="no worker could send the message") as caught:
        enqueue(connection, message(), account=account)
    assert caught.value.parameter == "account"
    assert keys(server, account) == []


@pytest.mark.parametrize("is_used", [False, True])
async def test_the_first_ledger_decides_whether_the_account_is_redacted(
    is_used: bool, connection: object, server: Server, account: str
) -> None:
    """The account of `postgres init` can become redacted until it contains messages."""
    server.rows("INSERT INTO smsapi.accounts (name) VALUES (%s)", account)
    if is_used:
        enqueue(connection, message(), account=account)
        with pytest.raises(LedgerError, match="created without `redact`"):
            await Ledger.postgres(server.dsn(), account=account, redact=True).__aenter__()
        return
    async with Ledger.postgres(server.dsn(), account=account, redact=True):
        pass
    with pytest.raises(ValidationError, match="redact=True"):
        enqueue(connection, message(), account=account)


def test_the_default_account(connection: object, server: Server) -> None:
    """Without a ledger, messages can be enqueued for the account "main"."""
    with connection.transaction(force_rollback=True):  # type: ignore[attr-defined]
        enqueue(connection, message())
    assert keys(server, "main") == []
    assert server.rows("SELECT count(*) FROM smsapi.accounts WHERE name = 'main'") == [(1,)]
