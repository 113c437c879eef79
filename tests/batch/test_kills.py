"""Tests of batches that are killed, and whose ledgers are copied, moved, linked or deleted meanwhile."""

import random
from pathlib import Path

import pytest

from smsapi_async.sandbox import Dialect
from tests.batch.kills import delete_in_mid_run, kill_and_resume

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("seed", "dialect"), [*((seed, Dialect.CONTRACT) for seed in range(5)), (5, Dialect.LATEST)]
)
async def test_killed_and_taken_up_again(
    anyio_backend: str, seed: int, dialect: Dialect, tmp_path: Path
) -> None:
    """Whatever happens to a killed batch and its ledger, no message is sent twice or lost.

    A run with a copy of the ledger, or with a part of its files, is refused and sends nothing.
    """
    tally = await kill_and_resume(tmp_path, 10, random.Random(f"{anyio_backend} {seed}"), dialect)
    assert tally.is_right, tally
    assert tally.kills >= 10


async def test_deleted_in_mid_run(anyio_backend: str, tmp_path: Path) -> None:
    """If all files of a ledger are deleted during a run, the run stops after the requests in flight."""
    tally = await delete_in_mid_run(tmp_path, random.Random(anyio_backend))
    assert not tally.mistakes
    assert tally.operations == {"delete_all_during": 1}
