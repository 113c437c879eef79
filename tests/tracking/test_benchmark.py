"""The benchmark's goals hold, so that a change of the schedule is noticed here."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "polling.py"


@pytest.fixture(scope="module")
def polling() -> ModuleType:
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("polling", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_goals(
    polling: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fewer than 0.35 of the requests at less than twice the delay, and a fiftieth over all messages."""
    file = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["polling.py", "--messages", "3000", "--json", str(file)])
    polling.main()
    figures = json.loads(file.read_text())
    assert figures["ratios"]["requests_soon"] <= polling.GOAL_REQUESTS
    assert figures["ratios"]["delay_soon"] <= polling.GOAL_DELAY
    assert figures["ratios"]["requests_all"] <= polling.GOAL_ALL
    assert figures["all"]["ours"]["noticed"] == figures["all"]["fixed"]["noticed"]
    assert "MISSED" not in capsys.readouterr().out
