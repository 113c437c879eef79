"""Chooses the tests whose lines coverage measures.

A measured test needs twice the time of an unmeasured test. Most cases of a parametrized test run the
same lines of the package, so coverage measures only some cases of each test. If a test has cases on asyncio,
coverage measures no case on trio.
"""

from collections import defaultdict
from collections.abc import Iterable

import pytest

_MOST_CASES = 4


def mark_measured(items: Iterable[pytest.Item]) -> None:
    """Give the mark `measured` to some cases of each test, which are spread over the list of its cases."""
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        cases[item.nodeid.partition("[")[0]].append(item)
    for every in cases.values():
        others = [item for item in every if "trio" not in item.nodeid.partition("[")[2]] or every
        step = max(1, len(others) // _MOST_CASES)
        for item in others[::step][:_MOST_CASES]:
            item.add_marker("measured")
