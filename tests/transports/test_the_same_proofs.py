"""What the client's tests prove over the transport that runs by default, over each transport there is."""

import inspect
from types import ModuleType

import pytest

from tests.client import test_lifecycle, test_proof, test_session, test_timeout

pytestmark = pytest.mark.anyio

NOT_OVER_A_SOCKET = {"test_constructed_before_any_loop_and_used_in_one", "test_a_second_loop_is_told_so"}


def _tests_of(module: ModuleType) -> dict[str, object]:
    """The asynchronous tests that make a client of their own over a socket."""
    return {
        name: test
        for name, test in vars(module).items()
        if name.startswith("test_")
        and inspect.iscoroutinefunction(test)
        and "sandbox" in inspect.signature(test).parameters
        and name not in NOT_OVER_A_SOCKET
    }


for module in (test_lifecycle, test_proof, test_session, test_timeout):
    globals().update(_tests_of(module))


def test_the_proofs_are_here() -> None:
    """The faults with their arrivals are among what runs here."""
    assert "test_a_send_that_was_written_is_unknown_and_arrives_at_most_once" in globals()
    assert "test_an_answer_nobody_asked_for_is_never_taken" in globals()
