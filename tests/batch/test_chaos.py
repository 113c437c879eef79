"""Property tests: for any faults, the outcomes of a batch agree with what the sandbox has accepted."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smsapi_async.ledger import Ledger
from smsapi_async.sandbox.faults import Fault, FaultPlan
from tests.batch.chaos import FAULTS, Report, batch_of, random_script, run_script
from tests.ledger.tools import PLACES
from tests.variants import VARIANTS

FAULT_LISTS = st.lists(st.sampled_from([Fault.PASS, *FAULTS]), max_size=8)
TEXTS = st.lists(st.sampled_from(["one", "two", "three"]), min_size=1, max_size=12)
RESOURCES = st.sampled_from([None, "Sms/Send", "Sms/SendBulk", "user/sessionid"])


@pytest.mark.timeout(300)
@settings(max_examples=80)
@given(TEXTS, st.sets(st.integers(0, 11), max_size=2), FAULT_LISTS, RESOURCES, st.sampled_from([1, 1000]))
def test_any_script_of_faults(
    anyio_backend: str, texts: list[str], bad: set[int], faults: list[Fault], resource: str | None, limit: int
) -> None:
    """For any faults of the proxy, the sandbox accepts each message at most once.

    A message that the sandbox has accepted has the outcome `Accepted` or `Unknown`.
    """
    plan = FaultPlan.script(faults, resource=resource)
    anyio.run(run_script, batch_of(texts, sorted(bad)), plan, Report(), None, limit, backend=anyio_backend)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("block", range(4))
@pytest.mark.parametrize("kind", PLACES)
def test_any_script_of_faults_with_a_ledger(anyio_backend: str, kind: str, block: int) -> None:
    """If a batch with a ledger is repeated until it is complete, each message has a correct outcome."""
    report = Report()
    with TemporaryDirectory() as directory:
        for seed in range(block * 20, block * 20 + 20):
            batch, plan, limit = random_script(seed)
            folder = Path(directory) / str(seed)
            folder.mkdir()
            anyio.run(run_script, batch, plan, report, PLACES[kind](folder), limit, backend=anyio_backend)
    assert report.scripts == 20
    assert report.duplicates == report.lost == 0
    assert report.accepted + report.rejected + report.unknown == report.messages


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "version 1"])
def test_any_script_of_faults_over_a_variant(anyio_backend: str, name: str) -> None:
    """Over each variant of the interface, each message has a correct outcome, and none is sent twice."""
    report, variant = Report(), VARIANTS[name]
    with TemporaryDirectory() as directory:
        for seed in range(1000, 1006):
            batch, plan, limit = random_script(seed, variant)
            place = partial(Ledger.sqlite, Path(directory) / f"{seed}.db") if seed % 2 else None
            anyio.run(run_script, batch, plan, report, place, limit, None, variant, backend=anyio_backend)
    assert report.scripts == 6
    assert report.duplicates == report.lost == 0
