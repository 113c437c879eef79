"""Tests of the form of the recipes in tests/examples, which users copy."""

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent / "examples"
RECIPES = [
    path for room in ("bots", "reports") for path in (EXAMPLES / room).glob("*.py") if path.stem != "__init__"
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_short_and_says_how_to_run_it(recipe: Path) -> None:
    """A user reads a recipe on one screen: it has fewer than 60 lines, and says how to run it."""
    lines = recipe.read_text().splitlines()
    assert len(lines) < 60
    assert f"`python {recipe.name}" in "\n".join(lines[:3])
