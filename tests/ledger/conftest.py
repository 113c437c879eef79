"""A file for each test."""

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger of the test's own goes."""
    return tmp_path / "run.db"
