"""Helper functions for the tests of the ledger.

The functions create messages, answers and ledgers, lock the ledger file, and start child processes.
"""

import asyncio
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

import anyio
import attrs
from anyio.lowlevel import checkpoint

from smsapi_async.ledger import Ledger, RequestAnswer
from smsapi_async.ledger.sqlite.all_records import Records
from smsapi_async.ledger.sqlite.sqlite_ledger import SqliteLedger
from smsapi_async.models import Message, Receipt
from smsapi_async.outcomes import Outcome
from smsapi_async.tracking import Delivery
from tests.postgres.server import shared_server, skip_without_server

ACCEPTED_AT = datetime(2024, 3, 1, 12, 30, tzinfo=UTC)
NUMBER = "79031234567"
TEXT = "The code is 4711"
ACCOUNT = "postgres-account"


class Place(Protocol):
    """A function that returns a `Ledger` object for one place. Each call returns a new object."""

    def __call__(self, *, redact: bool = False, read_only: bool = False) -> Ledger: ...


def _new_account(directory: Path) -> Place:
    """Return the place of a new account in the PostgreSQL server of this process."""
    skip_without_server()
    account = secrets.token_hex(8)
    # `bytes_of` reads what the account contains.
    (directory / ACCOUNT).write_text(account)
    return partial(Ledger.postgres, shared_server().dsn(), account=account)


PLACES: dict[str, Callable[[Path], Place]] = {
    "sqlite": lambda directory: partial(Ledger.sqlite, directory / "run.db"),
    "postgres": _new_account,
}
"""For each implementation of `Ledger`, a function that returns the place in a new directory.

The tests that use only the interface of a ledger run once for each implementation.
"""


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


def accepted(*segment_ids: str) -> RequestAnswer:
    """Return the answer of a gateway that accepted a request.

    Args:
        segment_ids: all segment ids of the request. Without this argument, the request has one segment id.
    """
    return RequestAnswer(state="accepted", at=ACCEPTED_AT, segment_ids=segment_ids or ("id",))


def rejected() -> RequestAnswer:
    """Return the answer of a gateway that refused a request."""
    return RequestAnswer(state="rejected", at=ACCEPTED_AT, reason="Invalid argument", code=2)


def unknown() -> RequestAnswer:
    """Return the answer of a request whose outcome is unknown."""
    return RequestAnswer(state="unknown", at=ACCEPTED_AT, reason="the connection was lost", code=9)


async def recorded(ledger: Ledger) -> dict[str | None, Outcome]:
    """Return a dictionary with the key and the outcome of each message that has an outcome."""
    return {outcome.key: outcome async for outcome in ledger.outcomes()}


async def claim_many(ledger: Ledger, count: int, first: int = 0, *, token: str = "many") -> list[str]:  # noqa: S107 - no secret
    """Claim new messages in one request, and return their keys.

    Args:
        ledger: the ledger that claims the messages.
        count: the number of messages.
        first: the index of the first recipient (see `message`).
        token: the token of the claim.
    """
    given = keyed(ledger, count, first)
    assert await ledger.claim(token, given) == [None] * count
    return [key for key, _ in given]


async def claim_each(ledger: Ledger, count: int, first: int = 0) -> list[str]:
    """Claim each new message in a request of its own, and return the keys. Each key is also the token."""
    given = keyed(ledger, count, first)
    position = await ledger.first_position(*given[0])

    async def claim(place: int) -> None:
        key, each = given[place]
        # The event loop of trio starts tasks in random order, so the position must be passed.
        assert await ledger.claim(key, [(key, each)], positions=[position + place]) == [None]

    async with anyio.create_task_group() as group:
        for place in range(count):
            group.start_soon(claim, place)
    return [key for key, _ in given]


async def settle_each(ledger: Ledger, answers: dict[str, RequestAnswer]) -> None:
    """Settle several claims.

    Args:
        ledger: the ledger that records the answers.
        answers: the answer for each token.
    """
    async with anyio.create_task_group() as group:
        for token, answer in answers.items():
            group.start_soon(ledger.settle, token, answer)


async def accepted_receipts(
    ledger: Ledger, count: int, segments: int = 1, accepted_at: datetime = ACCEPTED_AT
) -> list[Receipt]:
    """Claim new messages, settle these messages as accepted, and return the receipts of these messages.

    Args:
        ledger: the ledger that claims the messages.
        count: the number of messages, at most 4,096.
        segments: the number of segment ids of each message.
        accepted_at: the time at which the gateway accepted the messages.
    """
    given, token = keyed(ledger, count), secrets.token_hex(4)
    assert await ledger.claim(token, given) == [None] * count
    receipts = [
        Receipt(attrs.evolve(each, key=key), tuple(f"{n}-{part}" for part in range(segments)), accepted_at)
        for n, (key, each) in enumerate(given)
    ]
    ids = [id_ for each in receipts for id_ in each.segment_ids]
    await ledger.settle(token, attrs.evolve(accepted(*ids), at=accepted_at))
    return receipts


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


def bytes_of(directory: Path) -> bytes:
    """Return the joined contents of all files in a directory, and of the account that belongs to it."""
    account = directory / ACCOUNT
    stored = shared_server().content_of(account.read_text()).encode() if account.exists() else b""
    return stored + b"".join(each.read_bytes() for each in directory.iterdir())


def put(path: Path, content: bytes = b"", mode: int = 0o600) -> None:
    """Create a file with the given content and the given permissions."""
    path.write_bytes(content)
    path.chmod(mode)


async def execute(ledger: Ledger, statement: str) -> object:
    """Run an SQL statement on the connection of the ledger, and return the first value of the first row.

    The tests cannot use a second connection, because a PRAGMA statement of SQLite changes only the connection
    that runs the statement.
    """

    def work(records: Records) -> object:
        row = records.database.connection.execute(statement).fetchone()
        return row and row[0]

    assert isinstance(ledger, SqliteLedger)
    return await ledger._run(work)


def at_work(ledger: Ledger) -> bool:
    """Return whether the thread of a ledger runs a job, or opens or closes the file."""
    assert isinstance(ledger, SqliteLedger)
    thread = ledger._thread
    frame = None if thread is None else sys._current_frames().get(thread._thread.ident or 0)
    while frame is not None:
        if frame.f_code.co_name in {"_run_group", "_close", "open"}:
            return True
        frame = frame.f_back
    return False


async def until_at_work(ledger: Ledger) -> None:
    """Wait until the thread of a ledger runs a job. Other tasks run during this wait."""
    while not at_work(ledger):
        await checkpoint()


def states(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the name of the class of each outcome."""
    return [type(outcome).__name__ for outcome in outcomes]


async def cancelled(
    work: Awaitable[object], gaps: Sequence[int], lock: AbstractContextManager[object]
) -> bool:
    """Start a call in a task of asyncio, cancel the task several times, and wait for its end.

    Args:
        work: the call.
        gaps: for each cancellation, the number of steps of the event loop before it.
        lock: held until the last cancellation, for example a lock on the file of the ledger.

    Returns:
        Whether the call was cancelled, and had not ended before.
    """
    with lock:
        task = asyncio.ensure_future(work)
        for gap in gaps:
            for _ in range(gap):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([task])
    if not task.cancelled():
        assert task.exception() is None
    return task.cancelled()
