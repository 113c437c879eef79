"""Tests of `enqueue` with each library: a message is enqueued if and only if the caller commits."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest

from smsapi_async import LedgerError, ValidationError
from smsapi_async.postgres import enqueue
from tests.ledger.tools import Place, message
from tests.postgres.outbox.callers import CALLERS, Caller, django_connection, keys
from tests.postgres.server import Server

ONE, TWO, THREE = (message(number, key=f"key {number}") for number in range(3))
ANOTHER = message(7, key=ONE.key)


@pytest.fixture(params=CALLERS)
def caller(server: Server, request: pytest.FixtureRequest) -> Iterator[Caller]:
    """Return a connection of a library, with an open transaction."""
    with CALLERS[request.param](server.dsn()) as opened:
        yield opened


def test_a_commit_enqueues(caller: Caller, server: Server, account: str) -> None:
    """A message is visible to the workers after the commit, and not before."""
    caller.execute("SELECT 1")
    enqueue(caller.connection, ONE, account=account)
    enqueue(caller.connection, [THREE, TWO], account=account)
    assert keys(server, account) == []
    caller.commit()
    assert keys(server, account) == [ONE.key, THREE.key, TWO.key]
    due = server.rows(
        "SELECT DISTINCT state, not_before <= clock_timestamp(), priority, token FROM smsapi.requests r"
        " JOIN smsapi.accounts a ON a.id = account_id WHERE name = %s",
        account,
    )
    assert due == [("pending", True, 0, None)]


def test_a_rollback_enqueues_nothing(caller: Caller, server: Server, account: str) -> None:
    """A message of a transaction that is rolled back is not sent, and the next transaction can enqueue it."""
    enqueue(caller.connection, ONE, account=account)
    caller.rollback()
    assert keys(server, account) == []
    enqueue(caller.connection, ONE, account=account)
    caller.commit()
    assert keys(server, account) == [ONE.key]


def test_a_savepoint_enqueues_nothing(caller: Caller, server: Server, account: str) -> None:
    """A rollback to a savepoint removes only the messages that were enqueued after the savepoint."""
    enqueue(caller.connection, ONE, account=account)
    caller.execute("SAVEPOINT here")
    enqueue(caller.connection, TWO, account=account)
    caller.execute("ROLLBACK TO SAVEPOINT here")
    enqueue(caller.connection, THREE, account=account)
    caller.commit()
    assert keys(server, account) == [ONE.key, THREE.key]


def test_the_same_key_is_left_out(caller: Caller, server: Server, account: str) -> None:
    """A message that is enqueued twice is sent once: in a call, a transaction, or two transactions."""
    enqueue(caller.connection, [ONE, TWO, ONE], account=account)
    enqueue(caller.connection, ONE, account=account)
    caller.commit()
    enqueue(caller.connection, [THREE, TWO, ONE], account=account)
    caller.execute("SELECT 1")
    caller.commit()
    assert keys(server, account) == [ONE.key, TWO.key, THREE.key]


def test_another_message_under_the_key(caller: Caller, server: Server, account: str) -> None:
    """Another message with an equal key is an error. The call inserts nothing. The transaction goes on."""
    enqueue(caller.connection, ONE, account=account)
    for wrong in (ANOTHER, message(0, "Another text", key=ONE.key)):
        with pytest.raises(ValidationError, match=r"key: 'key 0' \(messages\[1\]\) cannot be used") as caught:
            enqueue(caller.connection, [TWO, wrong, THREE], account=account)
        assert caught.value.parameter == "key"
        assert caught.value.__context__ is None
    enqueue(caller.connection, THREE, account=account)
    caller.commit()
    assert keys(server, account) == [ONE.key, THREE.key]


def test_a_failed_transaction(caller: Caller, account: str) -> None:
    """In a transaction that has failed already, `enqueue` says so."""
    with pytest.raises(Exception, match=r'does_not_exist|column "nothing"'):
        caller.execute("SELECT nothing")
    with pytest.raises(LedgerError, match="an earlier statement of this transaction has failed") as caught:
        enqueue(caller.connection, ONE, account=account)
    assert caught.value.__context__ is None
    caller.rollback()
    enqueue(caller.connection, ONE, account=account)


@pytest.mark.anyio
async def test_the_ledger_shows_what_was_enqueued(place: Place, server: Server, account: str) -> None:
    """The ledger reports the messages as the caller has passed them, in the order of the calls."""
    many = [message(number, text) for text in ("B", "A") for number in (2, 1)]
    with CALLERS["psycopg"](server.dsn()) as caller:
        for each in (many[:3], many[3]):
            enqueue(caller.connection, each, account=account)
        caller.commit()
    async with place() as ledger:
        records = [record async for record in ledger.report()]
        assert [(each.state, each.message.destination_address, each.message.text) for each in records] == [
            ("pending", given.destination_address, given.text) for given in many
        ]
        assert (await ledger.states(many)) == ["pending"] * 4
        assert await ledger.claim("a", [(ledger.key_of(each), each) for each in many]) == [None] * 4


def test_the_blocks_of_django(server: Server, account: str) -> None:
    """A message of an ``atomic`` block is enqueued if and only if the block and its outer blocks commit."""
    from django.db import transaction  # noqa: PLC0415 - Django must be configured first

    connection = django_connection(server.dsn())
    atomic = partial(transaction.atomic, using=connection.alias)
    with atomic():
        enqueue(connection, ONE, account=account)
        with suppress(ZeroDivisionError), atomic():
            enqueue(connection, TWO, account=account)
            raise ZeroDivisionError
        with pytest.raises(ValidationError, match="another message"):
            enqueue(connection, ANOTHER, account=account)
        assert keys(server, account) == []
    with suppress(ZeroDivisionError), atomic():
        enqueue(connection, TWO, account=account)
        raise ZeroDivisionError
    enqueue(connection, THREE, account=account)
    connection.close()
    assert keys(server, account) == [ONE.key, THREE.key]
