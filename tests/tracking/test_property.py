"""Whatever the gateway says, and however often it fails to say it: the tracker ends, and is right."""

import math
import random

import attrs
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async.models import SegmentState
from smsapi_async.states import Phase, describe
from smsapi_async.tracking import DEADLINE, Delivery, Schedule, StateRequest, Tracker
from tests.tracking.support import START, receipt, segment_state

HOUR = 3600.0
MEMORY = 48 * HOUR
BEGUN = START.timestamp()
PENDING = [-1, -2, -98, 99, 255, 1234, -5]
FINAL = [0, 0, 0, 0, 10, 11, 41, 42, 46, 47, -97, 48, 69]
FAULTS = ["failed", "slow down", "refused", "not yet", "stale", "repeated"]


@attrs.frozen
class Life:
    """One segment: its states in order, and when, if ever, it becomes final."""

    pending: list[int]
    final: int
    final_after: float

    def code(self, age: float) -> int:
        """What a gateway that works says at an age."""
        if age >= MEMORY:
            return 255
        if age >= self.final_after:
            return self.final
        step = int(age / min(self.final_after, MEMORY) * len(self.pending))
        return self.pending[step]

    def visible(self) -> int | None:
        """The final state, if the gateway ever shows it."""
        return self.final if self.final_after < MEMORY else None


# The last minutes before the gateway forgets are left out: what becomes final there may be missed.
MOMENTS = st.one_of(
    st.floats(0, 120),
    st.floats(0, 47.9 * HOUR),
    st.just(math.inf),
)
LIVES = st.builds(
    Life, st.lists(st.sampled_from(PENDING), min_size=1, max_size=6), st.sampled_from(FINAL), MOMENTS
)
MESSAGES = st.lists(LIVES, min_size=1, max_size=5)


class Gateway:
    """Plays the lives of a message's segments, with faults in the first answers; checks what it is asked."""

    def __init__(self, lives: list[Life], faults: list[str]) -> None:
        self.lives = lives
        self.faults = list(faults)
        self.requests = 0
        self.known_final: set[str] = set()

    def handle(self, tracker: Tracker, ask: StateRequest, now: float) -> Delivery | None:
        """One request and its answer."""
        assert ask.segment_id not in self.known_final
        self.requests += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault == "failed":
            tracker.failed(ask, now)
        elif fault == "slow down":
            tracker.failed(ask, now, retry_after=7.0)
        elif fault == "refused":
            tracker.refused(ask, now)
        else:
            return self._answer(tracker, ask, now, fault)
        return None

    def _answer(self, tracker: Tracker, ask: StateRequest, now: float, fault: str | None) -> Delivery | None:
        life = self.lives[ask.index]
        code = life.code(now - BEGUN)
        if fault == "not yet":
            code = 255
        elif fault == "stale":
            code = life.pending[0]
        state = segment_state(ask.segment_id, code)
        if describe(code).is_final:
            self.known_final.add(ask.segment_id)
        delivery = tracker.answered(ask, state, now)
        if fault == "repeated":
            delivery = tracker.answered(ask, state, now) or delivery if describe(code).is_final else delivery
        return delivery


def follow(
    tracker: Tracker, gateway: Gateway, states: tuple[SegmentState | None, ...] = ()
) -> list[Delivery]:
    """Until the message is finished; the time jumps."""
    given_out = []
    now = BEGUN
    last = tracker.add(receipt(segments=len(gateway.lives)), now, states)
    if last is not None:
        return [last]
    while tracker:
        moment = tracker.next_time()
        assert moment is not None, "a message under way that nobody will look at"
        now = max(now, moment)
        if (delivery := tracker.expired(now)) is not None:
            given_out.append(delivery)
        while (ask := tracker.due(now)) is not None:
            if (delivery := gateway.handle(tracker, ask, now)) is not None:
                given_out.append(delivery)
    assert tracker.next_time() is None or not tracker
    return given_out


def check_sound(lives: list[Life], delivery: Delivery) -> None:
    """A delivery says nothing that did not happen."""
    age = delivery.updated_at.timestamp() - BEGUN
    finals = [life.final if life.final_after <= age else None for life in lives]
    if delivery.phase is Phase.DELIVERED:
        assert finals == [0] * len(lives)
    elif delivery.phase is Phase.FAILED:
        assert any(code not in {None, 0} for code in finals)
        assert delivery.failed_segment is not None
        assert int(delivery.failed_segment.state) in finals


def true_phase(lives: list[Life]) -> Phase:
    """What a message comes to in the end."""
    visible = [life.visible() for life in lives]
    if any(code not in {None, 0} for code in visible):
        return Phase.FAILED
    return Phase.UNKNOWN if None in visible else Phase.DELIVERED


@given(MESSAGES, st.lists(st.sampled_from(FAULTS), max_size=12), st.integers(0, 2**32))
def test_the_last_word_is_right(lives: list[Life], faults: list[str], seed: int) -> None:
    """Any journey of any segments, with faults in between, ends in the right word, at a bounded cost."""
    gateway = Gateway(lives, faults)
    tracker = Tracker(Schedule(), DEADLINE.total_seconds(), chance=random.Random(seed))
    deliveries = follow(tracker, gateway)
    for delivery in deliveries:
        check_sound(lives, delivery)
    assert [delivery.is_final for delivery in deliveries] == [False] * (len(deliveries) - 1) + [True]
    assert deliveries[-1].phase is true_phase(lives)
    assert all(delivery.phase is Phase.ENROUTE for delivery in deliveries[:-1])
    assert gateway.requests <= 150 * len(lives) + len(faults)


@given(
    MESSAGES,
    st.lists(st.sampled_from(FAULTS), max_size=12),
    st.floats(0.5, 50 * HOUR),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_any_deadline(lives: list[Life], faults: list[str], deadline: float, timed: bool, seed: int) -> None:
    """Whenever the deadline or the timeout is, the message is reported by then, and nothing is made up."""
    gateway = Gateway(lives, faults)
    timeout = deadline if timed else None
    length = DEADLINE.total_seconds() if timed else deadline
    tracker = Tracker(Schedule(), length, timeout=timeout, chance=random.Random(seed))
    deliveries = follow(tracker, gateway)
    for delivery in deliveries:
        check_sound(lives, delivery)
    last = deliveries[-1]
    assert last.updated_at.timestamp() <= BEGUN + deadline + 0.001
    if last.phase is Phase.ENROUTE:
        assert last.updated_at.timestamp() >= BEGUN + deadline - 0.001
        assert last.is_final is not timed
    elif last.phase is not Phase.UNKNOWN:
        assert last.is_final


@given(MESSAGES, st.integers(0, 2**32), st.data())
def test_a_restart(lives: list[Life], seed: int, data: st.DataObject) -> None:
    """Taken up from any delivery, a message ends as it would have, and no final segment is asked again."""
    gateway = Gateway(lives, [])
    length = DEADLINE.total_seconds()
    deliveries = follow(Tracker(Schedule(), length, chance=random.Random(seed)), gateway)
    recorded = data.draw(st.sampled_from(deliveries))
    gateway.known_final = {
        state.segment_id for state in recorded.states if state is not None and state.is_final
    }
    again = follow(Tracker(Schedule(), length, chance=random.Random(seed)), gateway, recorded.states)
    assert again[-1].phase is deliveries[-1].phase
    assert again[-1].is_final
