"""The programs in tests/examples are short, and a strict type checker accepts them."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECIPES = sorted(
    path
    for folder in (ROOT / "tests" / "examples").iterdir()
    if folder.is_dir()
    for path in (*folder.glob("*.py"), *folder.glob("*.ipynb"))
    if folder.name in {"bots", "jobs", "web"}
)


@pytest.mark.timeout(240)
def test_pyright_finds_nothing() -> None:
    """The strict mode of pyright accepts all programs. The strict mode of mypy checks all modules anyway."""
    if find_spec("pyright") is None and not os.environ.get("CI"):
        pytest.skip("install pyright")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.name))
def test_a_recipe_is_short(path: Path) -> None:
    """Each program has less than 60 lines."""
    assert len(path.read_text().splitlines()) < 60
