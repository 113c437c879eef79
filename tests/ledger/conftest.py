"""Fixtures with the place of a new ledger for each test."""

from pathlib import Path

import pytest

from tests.ledger.tools import PLACES, Place


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a ledger file in a new directory. The file does not exist yet."""
    return tmp_path / "run.db"


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return the place of a new ledger. Run each test once for each implementation of `Ledger`.

    The place of an SQLite ledger is the fixture `path`.
    """
    return PLACES[request.param](tmp_path)
