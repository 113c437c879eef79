"""The states of a segment have the documented names and phases (contract, "States")."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async import Phase, State
from smsapi_async.protocol.decoding import decode_state
from smsapi_async.states import describe

# Each row of `TABLE` contains the number of a state, its phase, whether the state is final, and the beginning
# of its English description.
TABLE = [
    (-1, "enroute", False, "sent"),
    (-2, "enroute", False, "queued"),
    (-98, "enroute", False, "stopped"),
    (0, "delivered", True, "delivered"),
    (10, "failed", True, "wrong source"),
    (11, "failed", True, "wrong destination"),
    (41, "failed", True, "destination address not allowed"),
    (42, "failed", True, "rejected by the SMS centre"),
    (46, "failed", True, "expired"),
    (47, "failed", True, "deleted"),
    (-97, "failed", True, "deleted"),
    (48, "failed", True, "rejected by the platform"),
    (69, "failed", True, "rejected"),
    (99, "unknown", False, "unknown"),
    (255, "enroute", False, "not yet in the database"),
    (-20, "enroute", False, "sent to the recipient"),
    (-30, "enroute", False, "sent to the gateway"),
    (-40, "enroute", False, "waiting"),
    (-100, "enroute", False, "charged"),
    (-3, "failed", True, "date misread"),
    (8, "failed", True, "system error"),
    (-200, "failed", True, "error"),
]
CODES = {row[0] for row in TABLE}


@pytest.mark.parametrize(("code", "phase", "is_final", "words"), TABLE)
def test_a_state_of_the_table(code: int, phase: str, is_final: object, words: str) -> None:
    """Each state of the contract is a member of `State` and has the documented phase and description."""
    state = decode_state(f'{{"State":{code}}}'.encode(), "1")
    assert isinstance(state.state, State)
    assert state.state == code
    assert state.phase is Phase(phase)
    assert state.is_final is is_final
    assert describe(code).meaning.startswith(words)


def test_no_name_outside_the_table() -> None:
    """`State` has one member for each state of the contract and no other member."""
    assert {int(state) for state in State} == CODES


@given(code=st.integers())
def test_a_state_outside_the_table(code: int) -> None:
    """A state that is not in the contract is decoded as its number, and is not final."""
    state = decode_state(f'{{"State":{code}}}'.encode(), "1")
    assert state.state == code
    if code not in CODES:
        assert type(state.state) is int
        assert not state.is_final
        assert state.phase is Phase.ENROUTE
        assert str(code) in describe(code).meaning


@pytest.mark.parametrize(("code", "_phase", "is_final", "_words"), TABLE)
def test_final_is_delivered_or_failed(code: int, _phase: str, is_final: object, _words: str) -> None:
    """A state is final exactly if its phase is delivered or failed."""
    assert (describe(code).phase in {Phase.DELIVERED, Phase.FAILED}) is is_final
