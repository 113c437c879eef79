"""Tests of the checkpoints that store the position of an inbox in a ledger."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async import IncomingMessage
from smsapi_async.inbox import GatewayTime, InboxSettings, Position, Progress
from smsapi_async.ledger import Ledger, LedgerError
from smsapi_async.sandbox import Sandbox
from tests.inbox.tools import SENDER, START, SharedClock, after, in_process, texts_until, watch
from tests.ledger.tools import PLACES, Place, claim_many, held_by_another_program, until_at_work

pytestmark = pytest.mark.anyio

_dates = st.datetimes(timezones=st.just(UTC))
_positions = st.builds(
    Position,
    until=_dates,
    ids=st.lists(st.tuples(st.text(st.characters(exclude_categories=())), _dates)).map(tuple),
    since=st.none() | _dates,
    confirmed=st.booleans(),
)


def position(year: int) -> Position:
    """Return a position with one id. `Position.until` is the start of the year `year` in UTC."""
    return Position(datetime(year, 1, 1, tzinfo=UTC), (("id", START),))


async def _kept(given: list[Position], place: Place) -> Position | None:
    """Save the positions `given` in a ledger, and return the position that the reopened ledger loads."""
    async with place() as ledger:
        for each in given:
            await ledger.checkpoint().save(each)
    async with place() as ledger:
        return await ledger.checkpoint().load()


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(given=st.lists(_positions, max_size=3))
def test_the_last_position_comes_back(
    backend: Literal["asyncio", "trio"], kind: str, given: list[Position]
) -> None:
    """After a restart, `load` returns the position that was saved last, or None if no position was saved."""
    with TemporaryDirectory() as directory:
        kept = anyio.run(_kept, given, PLACES[kind](Path(directory)), backend=backend)
    assert kept == (given[-1] if given else None)


async def test_each_name_has_a_position(place: Place) -> None:
    """Each checkpoint name has a separate position.

    Saving a position does not change the messages in the ledger.
    """
    async with place() as ledger:
        await claim_many(ledger, 2)
        await ledger.checkpoint().save(position(2001))
        await ledger.checkpoint("other").save(position(2002))
        assert await ledger.checkpoint("incoming").load() == position(2001)
        assert await ledger.checkpoint("other").load() == position(2002)
        assert await ledger.checkpoint("third").load() is None
        assert (await ledger.summary()).sending == 2


async def test_a_reader_loads_and_does_not_save(place: Place) -> None:
    """In a ledger with ``read_only=True``, a checkpoint can load a position, and `save` raises `LedgerError`.

    The checkpoint of a closed ledger raises `LedgerError`.
    """
    async with place() as ledger:
        checkpoint = ledger.checkpoint()
        await checkpoint.save(position(2001))
    async with place(read_only=True) as reader:
        assert await reader.checkpoint().load() == position(2001)
        with pytest.raises(LedgerError, match="for reading only"):
            await reader.checkpoint().save(position(2002))
        assert await reader.checkpoint().load() == position(2001)
    with pytest.raises(LedgerError, match="is not open"):
        await checkpoint.load()


async def test_a_cancelled_save_is_saved(path: Path) -> None:
    """`save` stores the position even if the task that calls `save` is cancelled."""
    async with Ledger.sqlite(path) as ledger:
        async with anyio.create_task_group() as group:
            with held_by_another_program(path):
                group.start_soon(ledger.checkpoint().save, position(2001))
                await until_at_work(ledger)
                group.cancel_scope.cancel()
        assert await ledger.checkpoint().load() == position(2001)


async def test_a_stream_goes_on_from_the_ledger(place: Place) -> None:
    """Over two runs with one ledger, the inbox returns each incoming message exactly once."""
    sandbox = Sandbox(start=START)
    clock = SharedClock(sandbox)
    sandbox.receive(SENDER, text="first")
    clock.file("late", created=-5, filed=30)
    texts = []
    for start in (0, 60):
        clock.move_to(after(start))
        async with (
            place() as ledger,
            in_process(sandbox, clock) as sms,
            watch(sms, since=after(-60), checkpoint=ledger.checkpoint()) as messages,
        ):
            texts.append(await texts_until(messages, clock, start + 10))
    assert texts == [["first"], ["late"]]


def execute(path: Path, statement: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
    """Run an SQL statement on the file of a ledger, and return the rows of its result."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, parameters).fetchall()


def progress_of(count: int) -> Progress:
    """Return the progress of an inbox that has received `count` messages of one overlap."""
    progress = Progress.begin(START, InboxSettings())
    receive(progress, 0, range(count))
    return progress


def receive(progress: Progress, minutes: int, numbers: Sequence[int]) -> None:
    """Process a response that arrives after `minutes` minutes with the messages `numbers`."""
    now = START + timedelta(minutes=minutes, seconds=30)
    window = progress.next_window(now, now)
    date = START + timedelta(minutes=minutes)
    rows = [IncomingMessage(str(number), "text", SENDER, SENDER, date) for number in numbers]
    progress.receive(window, rows, GatewayTime.of(now))


async def test_each_saved_position_comes_back(place: Place) -> None:
    """After each message of several responses, the ledger contains exactly the position of the inbox."""
    progress = progress_of(30)
    async with place() as ledger, place(read_only=True) as reader:
        for minutes in (0, 5, 11, 11, 40):
            if minutes:
                receive(progress, minutes, range(minutes * 10, minutes * 10 + 700))
            await ledger.checkpoint().save(progress.position)
            while progress.upcoming is not None:
                progress.mark_handled()
                await ledger.checkpoint().save(progress.position)
                if len(progress.position.ids) % 50 == 0:
                    assert await reader.checkpoint().load() == progress.position
            assert await reader.checkpoint().load() == progress.position


async def test_a_save_writes_only_new_ids(path: Path) -> None:
    """With 1,200 messages in one overlap, a message needs no more space in the ledger than with 300."""
    sizes = []
    for count in (300, 1200):
        progress = progress_of(count)
        async with Ledger.sqlite(path) as ledger:
            checkpoint = ledger.checkpoint(str(count))
            await checkpoint.save(progress.position)
            while progress.upcoming is not None:
                progress.mark_handled()
                await checkpoint.save(progress.position)
        statement = "SELECT sum(length(change)) FROM checkpoint_changes WHERE name = ?"
        ((size,),) = execute(path, statement, (str(count),))
        assert isinstance(size, int)
        sizes.append(size / count)
        assert sizes[-1] < 500
    assert sizes[1] < sizes[0] * 1.05


async def test_idle_rounds_do_not_fill_the_file(path: Path) -> None:
    """Two hundred rounds without a message do not make the ledger larger."""
    progress = progress_of(3)
    async with Ledger.sqlite(path) as ledger:
        for second in range(200):
            if progress.upcoming is not None:
                progress.mark_handled()
            else:
                receive(progress, second, [])
            await ledger.checkpoint().save(progress.position)
        assert await ledger.checkpoint().load() == progress.position
    assert execute(path, "SELECT count(*) < 10 FROM checkpoint_changes") == [(1,)]


async def test_a_failed_save_is_made_up_for(path: Path) -> None:
    """If a save fails because the disk is full, the next save also stores the missing ids."""
    progress = progress_of(5)
    async with Ledger.sqlite(path) as ledger:
        await ledger.checkpoint().save(progress.position)
        for _ in range(4):
            progress.mark_handled()
            execute(
                path,
                "CREATE TRIGGER full BEFORE INSERT ON checkpoint_changes BEGIN SELECT raise(FAIL, 'x'); END",
            )
            with pytest.raises(LedgerError):
                await ledger.checkpoint().save(progress.position)
            execute(path, "DROP TRIGGER full")
        await ledger.checkpoint().save(progress.position)
        loaded = await ledger.checkpoint().load()
    assert loaded == progress.position
    assert len(progress.position.ids) == 4
