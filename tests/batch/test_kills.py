"""A test of a batch that is killed several times: no message is sent twice, and no message is lost."""

import random
from pathlib import Path

import pytest

from tests.batch.child import CONCURRENCY
from tests.batch.kills import kill_and_resume

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


@pytest.mark.parametrize("seed", range(5))
async def test_killed_and_taken_up_again(anyio_backend: str, seed: int, tmp_path: Path) -> None:
    """If a batch is killed five times, no message is sent twice, and each message has a correct outcome."""
    tally = await kill_and_resume(tmp_path / "run.db", 5, random.Random(f"{anyio_backend} {seed}"))
    assert tally.duplicates == 0
    assert tally.unaccounted == 0
    assert tally.unknown_requests <= CONCURRENCY * tally.kills
    assert tally.kills == 5
