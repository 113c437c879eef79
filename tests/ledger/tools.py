"""Helper functions for the tests of the ledger.

The functions create messages and outcomes, lock the ledger file, and start child processes.
"""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import attrs

from smsapi_async.ledger import Ledger
from smsapi_async.ledger.sqlite.message_records import MessageRecords
from smsapi_async.ledger.sqlite.sqlite_ledger import SqliteLedger
from smsapi_async.models import Message, Receipt
from smsapi_async.outcomes import Accepted, Outcome, Rejected, Unknown
from smsapi_async.tracking import Delivery

ACCEPTED_AT = datetime(2024, 3, 1, 12, 30, tzinfo=UTC)
NUMBER = "79031234567"
TEXT = "The code is 4711"


def message(number: int = 0, text: str = TEXT, *, key: str | None = None) -> Message:
    """Return a message.

    Args:
        number: the index of the recipient. The destination address is `NUMBER` plus this index.
        text: the text of the message.
        key: the key of the message. None means that the message has no key.
    """
    return Message(str(int(NUMBER) + number), text, source_address="Shop", key=key)


def keyed(ledger: Ledger, count: int, first: int = 0) -> list[tuple[str, Message]]:
    """Return pairs of a key and a message.

    Args:
        ledger: the ledger that derives the keys.
        count: the number of pairs to return.
        first: the index of the first recipient (see `message`). The recipients have successive indexes.
    """
    many = [message(number) for number in range(first, first + count)]
    return [(ledger.key_of(each), each) for each in many]


def accepted(key: str, *segment_ids: str, unattributed: bool = False) -> Outcome:
    """Return an `Accepted` outcome.

    Args:
        key: the key of the message.
        segment_ids: the segment ids of the message. Without this argument, the message has one segment id.
        unattributed: the value of `Accepted.unattributed`.
    """
    return Accepted(
        message=message(),
        segment_ids=segment_ids or (f"id of {key}",),
        accepted_at=ACCEPTED_AT,
        unattributed=unattributed,
        key=key,
    )


def rejected(key: str) -> Outcome:
    """Return a `Rejected` outcome of the message with the key `key`."""
    return Rejected(message=message(), reason="Invalid argument", code=2, key=key)


def unknown(key: str) -> Outcome:
    """Return an `Unknown` outcome of the message with the key `key`."""
    return Unknown(message=message(), reason="the connection was lost", code=9, key=key)


async def recorded(ledger: Ledger) -> dict[str | None, Outcome]:
    """Return a dictionary with the key and the outcome of each message that has an outcome."""
    return {outcome.key: outcome async for outcome in ledger.outcomes()}


async def claim_many(ledger: Ledger, count: int) -> list[str]:
    """Claim `count` new messages, and return the keys of these messages."""
    given = keyed(ledger, count)
    claimed = await ledger.claim(given)
    assert list(claimed.values()) == [None] * count
    return list(claimed)


async def accepted_receipts(
    ledger: Ledger, count: int, segments: int = 1, accepted_at: datetime = ACCEPTED_AT
) -> list[Receipt]:
    """Claim new messages, settle these messages as accepted, and return the receipts of these messages.

    Args:
        ledger: the ledger that claims the messages.
        count: the number of messages.
        segments: the number of segment ids of each message.
        accepted_at: the time at which the gateway accepted the messages.
    """
    given = keyed(ledger, count)
    assert set((await ledger.claim(given)).values()) == {None}
    receipts = [
        Receipt(attrs.evolve(each, key=key), tuple(f"{n}-{part}" for part in range(segments)), accepted_at)
        for n, (key, each) in enumerate(given)
    ]
    await ledger.settle([outcome_of(each) for each in receipts])
    return receipts


def outcome_of(receipt: Receipt) -> Outcome:
    """Return the `Accepted` outcome that belongs to a receipt."""
    return Accepted(
        message=receipt.message,
        segment_ids=receipt.segment_ids,
        accepted_at=receipt.accepted_at,
        key=receipt.message.key,
    )


async def open_messages(ledger: Ledger) -> list[Receipt | Delivery]:
    """Return a list of all items that `Ledger.to_track` returns."""
    return [each async for each in ledger.to_track()]


@contextmanager
def held_by_another_program(path: Path) -> Iterator[sqlite3.Connection]:
    """Lock the ledger file during the block, as another program with its own SQLite connection would."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
    finally:
        connection.close()


def start_child(program: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a Python process with open pipes `stdin` and `stdout`, and return the process.

    Args:
        program: the source code of the program.
        arguments: the command-line arguments of the program.
    """
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def content_of(path: Path) -> bytes:
    """Return the bytes in a file."""
    return path.read_bytes()


def put(path: Path, content: bytes = b"", mode: int = 0o600) -> None:
    """Create a file with the given content and the given permissions."""
    path.write_bytes(content)
    path.chmod(mode)


async def execute(ledger: Ledger, statement: str) -> object:
    """Run an SQL statement on the connection of the ledger, and return the first value of the first row.

    The tests cannot use a second connection, because a PRAGMA statement of SQLite changes only the connection
    that runs the statement.
    """

    def work(account: MessageRecords) -> object:
        connection = account._database._connection
        assert connection is not None
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        row = driver.execute(statement).fetchone()
        return row and row[0]

    assert isinstance(ledger, SqliteLedger)
    return await ledger._run(work)


def states(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the name of the class of each outcome."""
    return [type(outcome).__name__ for outcome in outcomes]
