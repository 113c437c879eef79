"""Property tests: for any states and any faults, the tracker ends with the correct phase."""

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
    """The states of one segment over time.

    Attributes:
        pending: the states before the final state, in order.
        final: the final state.
        final_after: the seconds from the acceptance to the final state. Infinity means that the segment never
            becomes final.
    """

    pending: list[int]
    final: int
    final_after: float

    def code(self, age: float) -> int:
        """Return the state that a gateway without faults returns when the segment is `age` seconds old."""
        if age >= MEMORY:
            return 255
        if age >= self.final_after:
            return self.final
        step = int(age / min(self.final_after, MEMORY) * len(self.pending))
        return self.pending[step]

    def visible(self) -> int | None:
        """Return the final state.

        Return None if the segment does not become final within the 48 hours for which the gateway keeps
        states.
        """
        return self.final if self.final_after < MEMORY else None


# No segment becomes final in the last six minutes of the 48 hours for which the gateway keeps states, because
# the gateway could delete the final state before the tracker requests it.
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
    """A gateway for one message, with faults in the first responses.

    The test fails if the tracker requests the state of a segment again after the final state of the segment.

    Args:
        lives: the segments of the message.
        faults: the faults of the first requests in order. The later requests have no faults.
    """

    def __init__(self, lives: list[Life], faults: list[str]) -> None:
        self.lives = lives
        self.faults = list(faults)
        self.requests = 0
        self.known_final: set[str] = set()

    def handle(self, tracker: Tracker, ask: StateRequest, now: float) -> Delivery | None:
        """Process one state request, and pass the response or the failure to the tracker.

        Args:
            tracker: the tracker.
            ask: the request of the tracker for the state of a segment.
            now: the current time.

        Returns:
            The delivery that the tracker returns, or None.
        """
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
        delivery = tracker.responded(ask, state, now)
        if fault == "repeated":
            delivery = tracker.responded(ask, state, now) or delivery if describe(code).is_final else delivery
        return delivery


def follow(
    tracker: Tracker, gateway: Gateway, states: tuple[SegmentState | None, ...] = ()
) -> list[Delivery]:
    """Track one message until its tracking ends, and return all deliveries of the message.

    The time jumps from one request to the next request.

    Args:
        tracker: the tracker.
        gateway: the gateway, which contains the segments of the message.
        states: the states of the segments from an earlier run.
    """
    given_out = []
    now = BEGUN
    last = tracker.add(receipt(segments=len(gateway.lives)), now, states)
    if last is not None:
        return [last]
    while tracker:
        moment = tracker.next_time()
        assert moment is not None, "the tracker has a message, but has planned no request and no deadline"
        now = max(now, moment)
        if (delivery := tracker.expired(now)) is not None:
            given_out.append(delivery)
        while (ask := tracker.due(now)) is not None:
            if (delivery := gateway.handle(tracker, ask, now)) is not None:
                given_out.append(delivery)
    assert tracker.next_time() is None or not tracker
    return given_out


def check_sound(lives: list[Life], delivery: Delivery) -> None:
    """Check that the phase of a delivery agrees with the final states that the segments have reached."""
    age = delivery.updated_at.timestamp() - BEGUN
    finals = [life.final if life.final_after <= age else None for life in lives]
    if delivery.phase is Phase.DELIVERED:
        assert finals == [0] * len(lives)
    elif delivery.phase is Phase.FAILED:
        assert any(code not in {None, 0} for code in finals)
        assert delivery.failed_segment is not None
        assert int(delivery.failed_segment.state) in finals


def true_phase(lives: list[Life]) -> Phase:
    """Return the correct phase for the last delivery of a message with these segments."""
    visible = [life.visible() for life in lives]
    if any(code not in {None, 0} for code in visible):
        return Phase.FAILED
    return Phase.UNKNOWN if None in visible else Phase.DELIVERED


@given(MESSAGES, st.lists(st.sampled_from(FAULTS), max_size=12), st.integers(0, 2**32))
def test_the_last_word_is_right(lives: list[Life], faults: list[str], seed: int) -> None:
    """For any states and faults, tracking ends with the correct phase after a limited number of requests."""
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
    """The last delivery of a message is not later than the deadline or the timeout of the message.

    The phase of each delivery agrees with the final states that the segments have reached.
    """
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
    """If tracking continues from a recorded delivery, tracking ends in the same phase as without a restart.

    No segment with a final state in the recorded delivery is requested again.
    """
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
