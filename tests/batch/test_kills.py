"""A batch that is killed again and again: nothing doubled, nothing lost."""

import random
from pathlib import Path

import pytest

from tests.batch.child import CONCURRENCY
from tests.batch.kills import kill_and_resume

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


@pytest.mark.parametrize("seed", range(5))
async def test_killed_and_taken_up_again(anyio_backend: str, seed: int, tmp_path: Path) -> None:
    """A batch of 2,000 killed five times sends no message twice and leaves none without an outcome."""
    tally = await kill_and_resume(tmp_path / "run.db", 5, random.Random(f"{anyio_backend} {seed}"))
    assert tally.duplicates == 0
    assert tally.unaccounted == 0
    assert tally.unknown_requests <= CONCURRENCY * tally.kills
    assert tally.kills == 5
