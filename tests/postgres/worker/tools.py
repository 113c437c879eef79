"""Helper functions for the tests of workers."""

import secrets
from collections.abc import Iterable, Sequence

from smsapi_async import Message
from smsapi_async.ledger import Ledger
from smsapi_async.postgres import enqueue
from tests.postgres.server import Server


def messages(count: int, text: str = "text {}", first: int = 0) -> list[Message]:
    """Return messages to different numbers, with keys.

    Args:
        count: the number of messages.
        text: the text; the number of the message stands in place of the braces.
        first: the number of the first message.
    """
    return [
        Message(f"790{number:05}012", text.format(number), source_address="Shop", key=f"order {number}")
        for number in range(first, first + count)
    ]


async def fill(
    server: Server, account: str, ledger: Ledger, given: Sequence[Message], *, together: int = 1
) -> None:
    """Put messages into the queue of an account.

    Args:
        server: the server.
        account: the name of the account.
        ledger: an open ledger of the account.
        given: the messages, which have keys.
        together: the number of messages in each request.
    """
    token = secrets.token_hex(4)
    for first in range(0, len(given), together):
        part = [(each.key or "", each) for each in given[first : first + together]]
        assert await ledger.claim(f"{token}{first}", part) == [None] * len(part)
        await ledger.release(f"{token}{first}")
    make_due(server, account)


def make_due(server: Server, account: str) -> None:
    """Put all pending messages of an account into the queue."""
    server.rows(
        "UPDATE smsapi.requests r SET not_before = now() FROM smsapi.accounts a"
        " WHERE r.account_id = a.id AND a.name = %s AND r.state = 'pending'",
        account,
    )


def change_request(server: Server, account: str, key: str, change: str) -> None:
    """Change columns of the request of a message."""
    server.rows(
        f"UPDATE smsapi.requests r SET {change} FROM smsapi.accounts a, smsapi.messages m"  # noqa: S608
        " WHERE r.account_id = a.id AND a.name = %s AND m.request_id = r.id AND m.key = %s",
        account,
        key,
    )


def end_claims(server: Server, account: str) -> None:
    """End all claims of an account, as if five minutes had passed."""
    server.rows(
        "UPDATE smsapi.requests r SET claimed_until = clock_timestamp() - interval '1 s',"
        " sent_at = clock_timestamp() - interval '5 min' FROM smsapi.accounts a"
        " WHERE r.account_id = a.id AND a.name = %s AND r.state = 'sending'",
        account,
    )


def enqueue_each(server: Server, account: str, given: Iterable[Message], priority: int = 0) -> None:
    """Enqueue messages one by one, each in a transaction of its own, so that they have no requests.

    The function `smsapi.enqueue` makes a request for the first message of a new account.
    """
    import psycopg  # noqa: PLC0415 - the package may be missing

    server.rows("INSERT INTO smsapi.accounts (name) VALUES (%s) ON CONFLICT DO NOTHING", account)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        for each in given:
            enqueue(connection, each, account=account, priority=priority)
