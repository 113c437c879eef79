"""A test that makes a few pairs of requests with ``tests/transports/fuzz.py``.

``python -m tests.transports.fuzz`` makes many more pairs.
"""

import random

import pytest

from tests.transports.fuzz import LOOPS, run

PAIRS = 60


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("loop", LOOPS)
def test_no_request_gets_the_response_to_another_request(loop: str, tls: bool) -> None:
    """After a response with broken framing, the next request gets its own response or raises an error.

    Every exchange ends within its time limit.
    """
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    first = random.SystemRandom().randrange(1_000_000)
    report = run(loop, tls=tls, seeds=range(first, first + PAIRS))
    assert report.wrong == [], f"first seed: {first}"
    assert sum(report.ends.values()) == 2 * PAIRS
    assert report.ends["second response"] > PAIRS / 2
