"""The outbox: messages that a caller inserts in a transaction of its own, and that a worker sends.

The messages become visible to the workers when the transaction of the caller is committed.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from datetime import datetime
from itertools import count
from typing import Any

from smsapi_async.models import Message
from smsapi_async.postgres.outbox_connections import async_run_of, run_of
from smsapi_async.postgres.outbox_failures import ledger_error_of
from smsapi_async.postgres.outbox_messages import EnqueueCall, each_of
from smsapi_async.privacy import sealed, sealed_async
from smsapi_async.streams import read_all


@sealed
def enqueue(
    connection: Any,  # noqa: ANN401 - the libraries of the connections may be missing
    messages: Message | Iterable[Message],
    *,
    account: str = "main",
    not_before: datetime | None = None,
    priority: int = 0,
) -> None:
    """Insert messages in the transaction of a connection. A worker sends them after the commit.

    If the transaction is rolled back, nothing is sent. `enqueue` runs one SQL statement and does not commit::

        with transaction.atomic():
            order.save()
            enqueue(connection, Message(phone, "Your order has shipped", key=f"shipped {order.pk}"))

    The function checks all messages before the statement. A message that is enqueued already is left out, so
    a program may repeat a transaction. A message that a stopped batch holds stays with the batch: no worker
    sends the message. Without `Message.key`, two messages with equal contents and equal destination addresses
    are the same message. Set a key to send both messages.

    Messages of equal content share requests of up to 500 messages. A message without ``source_address`` gets
    the source address of the worker's client.

    A caller waits only for an open transaction with an equal key. If two transactions enqueue equal keys in
    opposite orders, and in several calls, PostgreSQL ends one of them with an error (deadlock). Pass all
    messages in one call: the order within a call does not matter.

    Args:
        connection: a connection or cursor of psycopg, a `Session` or `Connection` of SQLAlchemy, the
            connection of Django, or a connection of psycopg2. The role of the connection needs only the right
            that ``smsapi-async postgres init --web-role ROLE`` grants.
        messages: a message, or an iterable of messages.
        account: the account of the workers that send the messages; see `Ledger.postgres`. A new account is
            created.
        not_before: the time from which a worker may send the messages, an aware datetime. None means as soon
            as possible.
        priority: the workers send messages with a higher priority first; from -32,768 to 32,767.

    Raises:
        ValidationError: if a parameter or a message is wrong, or another message has the same key. No message
            of the call is enqueued. The error names the index of the message. The transaction stays usable.
        LedgerInUse: if the transaction conflicts with another transaction. Repeat the whole transaction.
        LedgerError: if the database refuses the statement. The error replaces the error of the database
            library, whose text may contain numbers and texts.
    """
    run = run_of(connection)
    call = EnqueueCall(account, not_before, priority)
    for message, index in each_of(messages):
        call.add(message, index)
    if not call:
        return
    answer, failed = None, None
    try:
        answer = run(call.parameter())
    except Exception as error:
        failed = ledger_error_of(error)
        if failed is None:
            raise
    if failed is not None:
        # The error is raised here, so that the original error does not become its context.
        raise failed
    call.check(answer)


@sealed_async
async def aenqueue(
    connection: Any,  # noqa: ANN401 - the libraries of the connections may be missing
    messages: Message | Iterable[Message] | AsyncIterable[Message],
    *,
    account: str = "main",
    not_before: datetime | None = None,
    priority: int = 0,
) -> None:
    """Insert messages in the transaction of an async connection. See `enqueue`.

    ::

        async with AsyncSession(engine) as session, session.begin():
            session.add(order)
            await aenqueue(session, Message(phone, "Your order has shipped", key=f"shipped {order.id}"))

    Args:
        connection: an `AsyncConnection` or `AsyncCursor` of psycopg, a `Connection` of asyncpg, or an
            `AsyncSession` or `AsyncConnection` of SQLAlchemy.
        messages: a message, or an iterable or async iterable of messages.
        account: see `enqueue`.
        not_before: see `enqueue`.
        priority: see `enqueue`.

    Raises:
        ValidationError: see `enqueue`.
        LedgerError: see `enqueue`.
    """
    run = async_run_of(connection)
    call = EnqueueCall(account, not_before, priority)
    if isinstance(messages, AsyncIterable):
        indexes = count()

        async def add(message: Message) -> None:
            call.add(message, next(indexes))

        await read_all(messages, add)
    else:

        async def add_pair(pair: tuple[Message, int | None]) -> None:
            call.add(*pair)

        await read_all(each_of(messages), add_pair)
    if not call:
        return
    answer, failed = None, None
    try:
        answer = await run(call.parameter())
    except Exception as error:
        failed = ledger_error_of(error)
        if failed is None:
            raise
    if failed is not None:
        raise failed
    call.check(answer)
