"""Tests of the checkpoints that store the position of an inbox in a ledger."""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async.inbox import Position
from smsapi_async.ledger import Ledger, LedgerError
from smsapi_async.sandbox import Sandbox
from tests.inbox.tools import SENDER, START, SharedClock, after, in_process, texts_until, watch
from tests.ledger.test_threads import until_at_work
from tests.ledger.tools import claim_many, held_by_another_program

pytestmark = pytest.mark.anyio

_dates = st.datetimes(timezones=st.just(UTC))
_positions = st.builds(
    Position,
    until=_dates,
    ids=st.lists(st.tuples(st.text(st.characters(exclude_categories=())), _dates)).map(tuple),
    since=st.none() | _dates,
)


def position(year: int) -> Position:
    """Return a position with one id. `Position.until` is the start of the year `year` in UTC."""
    return Position(datetime(year, 1, 1, tzinfo=UTC), (("id", START),))


async def _kept(given: list[Position], path: Path) -> Position | None:
    """Save the positions `given` in a ledger, and return the position that the reopened ledger loads."""
    async with Ledger.sqlite(path) as ledger:
        for each in given:
            await ledger.checkpoint().save(each)
    async with Ledger.sqlite(path) as ledger:
        return await ledger.checkpoint().load()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(given=st.lists(_positions, max_size=3))
def test_the_last_position_comes_back(backend: Literal["asyncio", "trio"], given: list[Position]) -> None:
    """After a restart, `load` returns the position that was saved last, or None if no position was saved."""
    with TemporaryDirectory() as directory:
        kept = anyio.run(_kept, given, Path(directory) / "run.db", backend=backend)
    assert kept == (given[-1] if given else None)


async def test_each_name_has_a_position(path: Path) -> None:
    """Each checkpoint name has a separate position.

    Saving a position does not change the messages in the ledger.
    """
    async with Ledger.sqlite(path) as ledger:
        await claim_many(ledger, 2)
        await ledger.checkpoint().save(position(2001))
        await ledger.checkpoint("other").save(position(2002))
        assert await ledger.checkpoint("incoming").load() == position(2001)
        assert await ledger.checkpoint("other").load() == position(2002)
        assert await ledger.checkpoint("third").load() is None
        assert (await ledger.summary()).sending == 2


async def test_a_reader_loads_and_does_not_save(path: Path) -> None:
    """In a ledger with ``read_only=True``, a checkpoint can load a position, and `save` raises `LedgerError`.

    The checkpoint of a closed ledger raises `LedgerError`.
    """
    async with Ledger.sqlite(path) as ledger:
        checkpoint = ledger.checkpoint()
        await checkpoint.save(position(2001))
    async with Ledger.sqlite(path, read_only=True) as reader:
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


async def test_a_stream_goes_on_from_the_ledger(path: Path) -> None:
    """Over two runs with one ledger, the inbox returns each incoming message exactly once."""
    sandbox = Sandbox(start=START)
    clock = SharedClock(sandbox)
    sandbox.receive(SENDER, text="first")
    clock.file("late", created=-5, filed=30)
    texts = []
    for start in (0, 60):
        clock.move_to(after(start))
        async with (
            Ledger.sqlite(path) as ledger,
            in_process(sandbox, clock) as sms,
            watch(sms, since=after(-60), checkpoint=ledger.checkpoint()) as messages,
        ):
            texts.append(await texts_until(messages, clock, start + 10))
    assert texts == [["first"], ["late"]]
