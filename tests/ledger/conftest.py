"""A fixture with the path of a new ledger file for each test."""

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a ledger file in a new directory. The file does not exist yet."""
    return tmp_path / "run.db"
