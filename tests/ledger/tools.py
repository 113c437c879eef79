"""Messages and outcomes for the tests of the ledger, and a child process that uses one."""

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
    """The message to the given one of many recipients."""
    return Message(str(int(NUMBER) + number), text, source_address="Shop", key=key)


def keyed(ledger: Ledger, count: int, first: int = 0) -> list[tuple[str, Message]]:
    """Messages to as many recipients, with their keys."""
    many = [message(number) for number in range(first, first + count)]
    return [(ledger.key_of(each), each) for each in many]


def accepted(key: str, *segment_ids: str, unattributed: bool = False) -> Outcome:
    """An acceptance."""
    return Accepted(
        message=message(),
        segment_ids=segment_ids or (f"id of {key}",),
        accepted_at=ACCEPTED_AT,
        unattributed=unattributed,
        key=key,
    )


def rejected(key: str) -> Outcome:
    """A refusal."""
    return Rejected(message=message(), reason="Invalid argument", code=2, key=key)


def unknown(key: str) -> Outcome:
    """An outcome that nobody knows."""
    return Unknown(message=message(), reason="the connection was lost", code=9, key=key)


async def recorded(ledger: Ledger) -> dict[str | None, Outcome]:
    """All outcomes of a ledger by key."""
    return {outcome.key: outcome async for outcome in ledger.outcomes()}


async def claim_many(ledger: Ledger, count: int) -> list[str]:
    """Claim so many new messages; their keys."""
    given = keyed(ledger, count)
    claimed = await ledger.claim(given)
    assert list(claimed.values()) == [None] * count
    return list(claimed)


async def accepted_receipts(
    ledger: Ledger, count: int, segments: int = 1, accepted_at: datetime = ACCEPTED_AT
) -> list[Receipt]:
    """Claim and settle so many new messages; their receipts, as the ledger has them."""
    given = keyed(ledger, count)
    assert set((await ledger.claim(given)).values()) == {None}
    receipts = [
        Receipt(attrs.evolve(each, key=key), tuple(f"{n}-{part}" for part in range(segments)), accepted_at)
        for n, (key, each) in enumerate(given)
    ]
    await ledger.settle([outcome_of(each) for each in receipts])
    return receipts


def outcome_of(receipt: Receipt) -> Outcome:
    """The acceptance that a receipt tells of."""
    return Accepted(
        message=receipt.message,
        segment_ids=receipt.segment_ids,
        accepted_at=receipt.accepted_at,
        key=receipt.message.key,
    )


async def open_messages(ledger: Ledger) -> list[Receipt | Delivery]:
    """What is still to be followed."""
    return [each async for each in ledger.to_track()]


@contextmanager
def held_by_another_program(path: Path) -> Iterator[sqlite3.Connection]:
    """The file is locked for writing, as by a program that knows nothing of ledgers."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
    finally:
        connection.close()


def start_child(program: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """A Python process that runs the program; wait for a line of its output to know how far it is."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def content_of(path: Path) -> bytes:
    """All that is in a file."""
    return path.read_bytes()


def put(path: Path, content: bytes = b"", mode: int = 0o600) -> None:
    """Make a file that is no ledger."""
    path.write_bytes(content)
    path.chmod(mode)


async def execute(ledger: Ledger, statement: str) -> object:
    """Run a statement on the ledger's own connection: settings of SQLite; the first value."""

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
    """The kinds of outcomes."""
    return [type(outcome).__name__ for outcome in outcomes]
