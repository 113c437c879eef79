"""A property test of the states of the messages in a ledger.

The rule: a claimed message can be claimed again only after `release`, `resolve` or `retry_rejected`.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import anyio
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async.ledger import Ledger, LedgerError
from smsapi_async.outcomes import Outcome
from tests.ledger.tools import accepted, message, rejected, unknown

Step = tuple[str, frozenset[str]]

KEYS = ["a", "b", "c"]
OUTCOMES: dict[str, Callable[[str], Outcome]] = {
    "accepted": accepted,
    "rejected": rejected,
    "unknown": unknown,
}
# The action "claim" occurs twice in `ACTIONS`, so that Hypothesis chooses "claim" more often than any other
# action.
ACTIONS = ["claim", "claim", "release", "record", "reopen", "retry", "sent", "not sent", *OUTCOMES]
_steps = st.lists(st.tuples(st.sampled_from(ACTIONS), st.frozensets(st.sampled_from(KEYS), min_size=1)))


@attrs.define
class Model:
    """A simple model of a ledger. The model computes the expected state of each key.

    Attributes:
        states: a dictionary from each key to its expected state.
    """

    states: dict[str, str] = attrs.field(factory=dict)

    def claim(self, keys: frozenset[str]) -> set[str] | None:
        """Set the new keys and the pending keys to the state ``sending``, and return these keys.

        If one of the keys is already in flight, change no key and return None.
        """
        if any(self.states.get(key) == "sending" for key in keys):
            return None
        free = {key for key in keys if self.states.get(key, "pending") == "pending"}
        self.states.update(dict.fromkeys(free, "sending"))
        return free

    def move(self, keys: frozenset[str], before: set[str], after: str) -> bool:
        """Change the state of each key that has one of the states in `before` to the state `after`.

        Return whether the state of every key has changed.
        """
        fitting = {key for key in keys if self.states.get(key) in before}
        self.states.update(dict.fromkeys(fitting, after))
        return fitting == keys

    def record(self, keys: frozenset[str]) -> None:
        """Set the new keys to the state ``pending``.

        Keys that the model already contains keep their states.
        """
        self.states = dict.fromkeys(keys, "pending") | self.states

    def reopen(self) -> None:
        """Set the keys in flight to the state ``unknown``.

        A ledger also sets messages in flight to unknown when the ledger is opened.
        """
        self.move(frozenset(self.states), {"sending"}, "unknown")


async def _succeeds(ledger: Ledger, action: str, keys: frozenset[str]) -> bool:
    try:
        if action == "release":
            await ledger.release(sorted(keys))
        else:
            await ledger.settle([OUTCOMES[action](key) for key in sorted(keys)])
    except LedgerError:
        return False
    return True


async def _resolves(ledger: Ledger, key: str, *, sent: bool) -> bool:
    try:
        await ledger.resolve(key, sent=sent)
    except LedgerError:
        return False
    return True


async def _step(ledger: Ledger, model: Model, action: str, keys: frozenset[str]) -> None:
    if action == "claim":
        expected = model.claim(keys)
        try:
            claimed = await ledger.claim([(key, message(key=key)) for key in sorted(keys)])
        except LedgerError:
            assert expected is None
        else:
            assert {key for key, outcome in claimed.items() if outcome is None} == expected
    elif action == "record":
        model.record(keys)
        await ledger.record_pending([(key, message(key=key)) for key in sorted(keys)])
    elif action == "retry":
        assert await ledger.retry_rejected() == list(model.states.values()).count("rejected")
        model.move(frozenset(model.states), {"rejected"}, "pending")
    elif action in {"sent", "not sent"}:
        key, sent = min(keys), action == "sent"
        possible = model.move(frozenset({key}), {"unknown"}, "accepted" if sent else "pending")
        assert await _resolves(ledger, key, sent=sent) == possible
    else:
        before = {"sending"} if action == "release" else {"sending", "unknown"}
        possible = model.move(keys, before, "pending" if action == "release" else action)
        assert await _succeeds(ledger, action, keys) == possible


async def _run(steps: list[Step], path: Path) -> None:
    model = Model()
    remaining = list(steps)
    while True:
        async with Ledger.sqlite(path) as ledger:
            while remaining:
                action, keys = remaining.pop(0)
                if action == "reopen":
                    break
                await _step(ledger, model, action, keys)
            summary = attrs.asdict(await ledger.summary())
            states = list(model.states.values())
            assert {name: summary[name] for name in summary if name != "segments"} == {
                name: states.count(name) for name in summary if name != "segments"
            }
            if not remaining:
                return
        model.reopen()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(steps=_steps)
def test_the_rule_holds(backend: Literal["asyncio", "trio"], steps: list[Step]) -> None:
    """After any sequence of calls and restarts, the ledger and the model have the same states.

    The test compares the number of messages in each state, and the result of each call.
    """
    with TemporaryDirectory() as directory:
        anyio.run(_run, steps, Path(directory) / "run.db", backend=backend)
