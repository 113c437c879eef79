"""Tests of `aenqueue` with each library: a message is enqueued if and only if the caller commits."""

from collections.abc import AsyncIterator

import pytest

from smsapi_async import Message, ValidationError
from smsapi_async.postgres import aenqueue
from tests.ledger.tools import message
from tests.postgres.outbox.callers import ASYNC_CALLERS, AsyncCaller, keys
from tests.postgres.server import Server

# The libraries need asyncio.
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]
ONE, TWO, THREE = (message(number, key=f"key {number}") for number in range(3))
ANOTHER = message(7, key=ONE.key)


@pytest.fixture(params=ASYNC_CALLERS)
async def async_caller(
    server: Server,
    request: pytest.FixtureRequest,
    anyio_backend: str,
) -> AsyncIterator[AsyncCaller]:
    """Return an async connection of a library, with an open transaction."""
    async with ASYNC_CALLERS[request.param](server.dsn()) as opened:
        yield opened


async def test_an_async_commit_enqueues(async_caller: AsyncCaller, server: Server, account: str) -> None:
    """With an async connection, a message is visible to the workers after the commit, and not before."""
    await async_caller.execute("SELECT 1")
    await aenqueue(async_caller.connection, ONE, account=account)

    async def others() -> AsyncIterator[Message]:
        yield THREE
        yield TWO

    await aenqueue(async_caller.connection, others(), account=account)
    assert keys(server, account) == []
    await async_caller.commit()
    assert keys(server, account) == [ONE.key, THREE.key, TWO.key]


async def test_an_async_rollback_enqueues_nothing(
    async_caller: AsyncCaller, server: Server, account: str
) -> None:
    """With an async connection, rollbacks also of savepoints remove what was enqueued."""
    await async_caller.execute("SELECT 1")
    await aenqueue(async_caller.connection, ONE, account=account)
    await async_caller.execute("SAVEPOINT here")
    await aenqueue(async_caller.connection, TWO, account=account)
    await async_caller.execute("ROLLBACK TO SAVEPOINT here")
    await aenqueue(async_caller.connection, [ONE, THREE], account=account)
    await async_caller.execute("SAVEPOINT here")
    await async_caller.commit()
    assert keys(server, account) == [ONE.key, THREE.key]


async def test_another_message_under_the_key_of_an_async_connection(
    async_caller: AsyncCaller, server: Server, account: str
) -> None:
    """Another message with an equal key is an error, and the transaction goes on."""
    await aenqueue(async_caller.connection, [ONE, ONE], account=account)
    with pytest.raises(ValidationError, match="another message already has this key") as caught:
        await aenqueue(async_caller.connection, ANOTHER, account=account)
    assert caught.value.parameter == "key"
    await aenqueue(async_caller.connection, TWO, account=account)
    await async_caller.commit()
    assert keys(server, account) == [ONE.key, TWO.key]
