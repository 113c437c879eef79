"""A test that the polling benchmark reaches its goals.

The test fails if a change of the default schedule makes the benchmark miss its goals.
"""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "polling.py"


@pytest.fixture(scope="module")
def polling() -> ModuleType:
    """Return the module ``benchmarks/polling.py``."""
    spec = importlib.util.spec_from_file_location("polling", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_goals(
    polling: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the default schedule, the benchmark reaches its goals.

    The goals limit the number of requests and the delay until the client sees a final state.
    """
    file = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["polling.py", "--messages", "3000", "--json", str(file)])
    polling.main()
    figures = json.loads(file.read_text())
    assert figures["ratios"]["requests_soon"] <= polling.GOAL_REQUESTS
    assert figures["ratios"]["delay_soon"] <= polling.GOAL_DELAY
    assert figures["ratios"]["requests_all"] <= polling.GOAL_ALL
    assert figures["all"]["ours"]["noticed"] == figures["all"]["fixed"]["noticed"]
    assert "MISSED" not in capsys.readouterr().out
