"""Tests of the decisions of `Tracker`.

The tracker decides which state to request, when to request the state, and which delivery to return.
"""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import attrs
import pytest

from smsapi_async import Message, Receipt, State, ValidationError
from smsapi_async.settings import checked_seconds
from smsapi_async.states import Phase
from smsapi_async.tracking import Delivery, Schedule, StateRequest, Tracker
from tests.odd_dates import NAT
from tests.tracking.support import START, receipt, segment_state

NOW = START.timestamp()
HOUR = 3600.0
DAY = 24 * HOUR
EVEN = Schedule(jitter=0.0)


def _tracker(deadline: float = 48 * HOUR + 600, timeout: float | None = None) -> Tracker:
    return Tracker(EVEN, deadline, timeout=timeout, chance=random.Random(1))


def _ask(tracker: Tracker, at: float) -> StateRequest:
    """Return a request that is due at the time `at`. The test fails if no request is due."""
    ask = tracker.due(at)
    assert ask is not None
    return ask


def _times(tracker: Tracker, until: float, code: int = -1) -> list[float]:
    """Give every request the state `code`. Return the times of the requests, in seconds after the acceptance.

    Args:
        tracker: the tracker with one message.
        until: the function makes only requests that are due within this number of seconds after the
            acceptance.
        code: the state in each response.
    """
    times: list[float] = []
    while (moment := tracker.next_time()) is not None and moment <= NOW + until:
        if (ask := tracker.due(moment)) is None:
            break
        times.append(round(moment - NOW, 3))
        tracker.responded(ask, segment_state(ask.segment_id, code), moment)
    return times


def test_dense_at_first_then_stretching() -> None:
    """The first wait is `Schedule.first`.

    The waits grow with the age of the message, up to `Schedule.maximum`.
    """
    tracker = _tracker()
    tracker.add(receipt(), NOW)
    times = _times(tracker, 8 * HOUR)
    assert times[:5] == [5.0, 10.0, 17.0, 28.9, 49.13]
    assert times[-1] - times[-2] == 1800.0
    assert len(times) < 30


def test_a_batch_does_not_come_in_waves() -> None:
    """If 1,000 messages are accepted at the same time, the first requests have different times."""
    tracker = Tracker(Schedule(), DAY)
    for number in range(1000):
        tracker.add(receipt(number), NOW)
    moments = set()
    while (moment := tracker.next_time()) is not None and tracker.due(moment) is not None:
        moments.add(moment)
    assert len(moments) > 990
    assert max(moments) - min(moments) > 0.9


def test_a_scheduled_message_is_left_alone_until_it_is_due() -> None:
    """If the send date is later than the acceptance, the age of the message counts from the send date."""
    tracker = _tracker()
    tracker.add(receipt(send_date=START + timedelta(hours=3)), NOW)
    assert _times(tracker, 4 * HOUR)[:2] == [3 * HOUR + 5, 3 * HOUR + 10]


def test_a_send_date_that_is_past_means_at_once() -> None:
    """If the send date is earlier than the acceptance, the age of the message counts from the acceptance."""
    tracker = _tracker()
    tracker.add(receipt(send_date=START - timedelta(days=1)), NOW)
    assert _times(tracker, 6) == [5.0]


def test_a_recipients_own_time_zone() -> None:
    """With `by_time_zone`, the first state request follows the send date in UTC+14, the first time zone.

    The deadline counts from the send date in UTC-12, the last time zone.
    """
    tracker = _tracker()
    wall_clock = datetime(2026, 3, 3, 12, 0)  # noqa: DTZ001
    tracker.add(receipt(send_date=wall_clock, by_time_zone=True), NOW)
    assert _times(tracker, 2 * DAY - 14 * HOUR + 6) == [2 * DAY - 14 * HOUR + 5]
    ask = _ask(tracker, NOW + 4 * DAY)
    assert tracker.responded(ask, segment_state("1-0", 255), NOW + 4 * DAY + 11 * HOUR) is None
    ask = _ask(tracker, NOW + 4 * DAY + 12 * HOUR)
    last = tracker.responded(ask, segment_state("1-0", 255), NOW + 4 * DAY + 12 * HOUR)
    assert last is not None
    assert last.phase is Phase.UNKNOWN


@pytest.mark.parametrize("validity", [10, timedelta(minutes=10)])
def test_the_end_of_validity_is_not_stepped_over(validity: int | timedelta) -> None:
    """The tracker requests the state of a message 3 seconds after the end of the validity."""
    tracker = _tracker()
    tracker.add(receipt(validity=validity), NOW)
    assert 603.0 in _times(tracker, HOUR)


def test_the_last_looks() -> None:
    """The tracker requests a state 60 seconds before and 60 seconds after the message is 48 hours old.

    The gateway keeps a state for 48 hours. The last request of the tracker is 5 seconds before the deadline.
    """
    tracker = _tracker()
    tracker.add(receipt(), NOW)
    times = _times(tracker, 3 * DAY)
    assert times[-3:] == [2 * DAY - 60, 2 * DAY + 60, 2 * DAY + 595]
    last = tracker.expired(NOW + 2 * DAY + 600)
    assert last is not None
    assert last.phase is Phase.ENROUTE
    assert last.is_final
    assert not tracker


def test_only_the_first_segment_is_asked_about() -> None:
    """While a message is enroute, the tracker requests the state of one segment only.

    An enroute message with five segments needs as many requests as a message with one segment.
    """
    one, five = _tracker(), _tracker()
    one.add(receipt(segments=1), NOW)
    five.add(receipt(segments=5), NOW)
    assert _times(one, DAY) == _times(five, DAY)


def test_when_the_first_is_final_the_others_are_asked_once() -> None:
    """When the first segment becomes final, the tracker at once requests the state of each other segment.

    If the other segments are also final, the tracker makes no further request.
    """
    tracker = _tracker()
    tracker.add(receipt(segments=3), NOW)
    asked: list[str] = []
    deliveries: list[Delivery | None] = []
    while (ask := tracker.due(NOW + 5)) is not None:
        asked.append(ask.segment_id)
        deliveries.append(
            tracker.responded(ask, segment_state(ask.segment_id, 0, "1.5", reported_date=START), NOW + 5)
        )
    assert asked == ["1-0", "1-1", "1-2"]
    assert [delivery.phase if delivery else None for delivery in deliveries] == [
        Phase.ENROUTE,
        Phase.ENROUTE,
        Phase.DELIVERED,
    ]
    last = deliveries[-1]
    assert last is not None
    assert last.price == Decimal("4.5")
    assert last.delivered_at == START
    assert last.updated_at == START + timedelta(seconds=5)


def test_segments_that_lag_go_on_alone() -> None:
    """After the first segment has become final, the tracker requests only the other segments again."""
    tracker = _tracker()
    tracker.add(receipt(segments=3), NOW)
    late = NOW + HOUR
    while (ask := tracker.due(late)) is not None:
        tracker.responded(ask, segment_state(ask.segment_id, 0 if ask.index == 0 else -1), late)
    assert tracker.next_time() == late + 5
    assert {_ask(tracker, late + 5).segment_id, _ask(tracker, late + 5).segment_id} == {"1-1", "1-2"}
    assert tracker.due(late + 5) is None


def test_a_failed_segment_ends_it() -> None:
    """If one segment fails, the tracker at once returns the last delivery of the message, with a reason.

    After the last delivery, the tracker makes no more requests for this message.
    """
    tracker = _tracker()
    tracker.add(receipt(segments=3), NOW)
    first = _ask(tracker, NOW + 5)
    tracker.responded(first, segment_state("1-0", 0, "1.5"), NOW + 5)
    second, third = _ask(tracker, NOW + 5), _ask(tracker, NOW + 5)
    last = tracker.responded(second, segment_state("1-1", 46, "1.5"), NOW + 5)
    assert last is not None
    assert (last.phase, last.is_final) == (Phase.FAILED, True)
    assert last.failed_segment is not None
    assert last.failed_segment.segment_id == "1-1"
    assert last.failed_segment.state is State.EXPIRED
    assert last.reason == "expired: validity ran out"
    assert last.price == Decimal(3)
    assert last.delivered_at is None
    assert tracker.responded(third, segment_state("1-2", 0), NOW + 5) is None
    tracker.failed(third, NOW + 5)
    tracker.refused(third, NOW + 5)
    assert tracker.next_time() is None
    assert tracker.due(NOW + DAY) is None
    assert tracker.expired(NOW + 3 * DAY) is None


def test_nothing_is_said_when_nothing_changed() -> None:
    """A response causes a delivery only if the state or the price of the segment has changed."""
    tracker = _tracker()
    tracker.add(receipt(), NOW)
    answers = [(255, None), (-1, None), (-1, None), (255, None), (-1, "1.5"), (-1, "1.5")]
    changed = []
    for code, price in answers:
        moment = tracker.next_time()
        assert moment is not None
        ask = _ask(tracker, moment)
        changed.append(tracker.responded(ask, segment_state("1-0", code, price), moment) is not None)
    assert changed == [False, True, False, False, True, False]


@pytest.mark.parametrize("known", [None, -1])
def test_not_in_the_database_after_48_hours(known: int | None) -> None:
    """If the gateway returns state 255 after 48 hours, the message gets the phase unknown.

    The last delivery contains the last known state of the segment.
    """
    tracker = _tracker()
    tracker.add(receipt(), NOW)
    if known is not None:
        tracker.responded(_ask(tracker, NOW + 5), segment_state("1-0", known), NOW + 5)
    ask = _ask(tracker, NOW + 2 * DAY)
    last = tracker.responded(ask, segment_state("1-0", 255), NOW + 2 * DAY)
    assert last is not None
    assert (last.phase, last.is_final) == (Phase.UNKNOWN, True)
    assert last.states[0] is not None
    assert last.states[0].state == (255 if known is None else known)
    assert last.price is None
    assert last.reason is None


@pytest.mark.parametrize(
    ("codes", "phase"),
    [
        ([99], Phase.UNKNOWN),
        ([-1], Phase.ENROUTE),
        ([1234], Phase.ENROUTE),
        ([-98], Phase.ENROUTE),
        ([255], Phase.ENROUTE),
        ([0, 99], Phase.UNKNOWN),
        ([0, -2], Phase.ENROUTE),
    ],
)
def test_as_it_stands_at_the_deadline(codes: list[int], phase: Phase) -> None:
    """At the deadline, a message with a segment in state 99 gets the phase unknown.

    A message with segments in other states that are not final keeps the phase enroute.
    """
    tracker = _tracker(deadline=HOUR)
    tracker.add(receipt(segments=len(codes)), NOW)
    deliveries: list[Delivery] = []
    while tracker:
        moment = tracker.next_time()
        assert moment is not None
        if (expired := tracker.expired(moment)) is not None:
            deliveries.append(expired)
        elif (ask := tracker.due(moment)) is not None:
            answer = segment_state(ask.segment_id, codes[ask.index])
            deliveries.extend(filter(None, [tracker.responded(ask, answer, moment)]))
    assert {delivery.phase for delivery in deliveries[:-1]} <= {Phase.ENROUTE}
    assert (deliveries[-1].phase, deliveries[-1].is_final) == (phase, True)
    assert deliveries[-1].updated_at == START + timedelta(hours=1)


def test_one_segment_forgotten_and_one_pending() -> None:
    """If the gateway has deleted one of two segments, the message gets the phase unknown at the deadline."""
    tracker = _tracker()
    tracker.add(receipt(segments=2), NOW)
    late = NOW + 2 * DAY
    while (ask := tracker.due(late)) is not None:
        tracker.responded(ask, segment_state(ask.segment_id, 255 if ask.index == 0 else -1), late)
    last = tracker.expired(late + 600)
    assert last is not None
    assert last.phase is Phase.UNKNOWN


def test_segments_that_disagree_are_seen_before_the_end() -> None:
    """Shortly before the deadline, the tracker requests the states of all segments.

    With requests for all segments, the tracker finds a failed second segment even if the first segment is not
    final.
    """
    tracker = _tracker(deadline=HOUR)
    tracker.add(receipt(segments=2), NOW)
    last = None
    while last is None or not last.is_final:
        moment = tracker.next_time()
        assert moment is not None
        ask = _ask(tracker, moment)
        state = segment_state(ask.segment_id, [-1, 42][ask.index])
        last = tracker.responded(ask, state, moment) or last
    assert last.phase is Phase.FAILED
    assert last.updated_at == START + timedelta(hours=1, seconds=-5)


def test_a_failure_pauses_everything_for_a_moment() -> None:
    """After a failed request, all requests pause.

    The pause doubles after each further failure, up to one minute.

    After a response, the next failure causes a pause of one second again.
    """
    tracker = _tracker()
    for number in range(20):
        tracker.add(receipt(number), NOW)
    now, pauses = NOW + 5, []
    for _ in range(9):
        tracker.failed(_ask(tracker, now), now)
        moment = tracker.next_time()
        assert moment is not None
        pauses.append(round(moment - now))
        assert tracker.due(moment - 0.1) is None
        now = moment
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    ask = _ask(tracker, now)
    tracker.responded(ask, segment_state(ask.segment_id, -1), now)
    tracker.failed(_ask(tracker, now), now)
    assert tracker.due(now + 1.1) is not None


def test_failures_of_requests_in_flight_together_count_once() -> None:
    """If ten requests in flight fail together, the pause grows only once.

    The longest wait in a ``Retry-After`` header determines the length of the pause.
    """
    tracker = _tracker()
    for number in range(10):
        tracker.add(receipt(number), NOW)
    asks = [_ask(tracker, NOW + 5) for _ in range(10)]
    for ask in asks[:8]:
        tracker.failed(ask, NOW + 5)
    assert tracker.next_time() == pytest.approx(NOW + 10)
    tracker.failed(asks[8], NOW + 5, retry_after=20.0)
    tracker.failed(asks[9], NOW + 5, retry_after=7.0)
    assert tracker.next_time() == pytest.approx(NOW + 25)


def test_a_failed_request_is_made_again_soon() -> None:
    """A failed request is made again within 30 seconds, even if the schedule has a longer wait."""
    tracker = _tracker()
    tracker.add(receipt(), NOW)
    tracker.failed(_ask(tracker, NOW + DAY), NOW + DAY)
    assert tracker.due(NOW + DAY + 30) is not None


def test_a_failure_just_before_the_deadline() -> None:
    """If the last planned request before the deadline fails, the tracker repeats the request a few times."""
    tracker = _tracker(deadline=HOUR)
    tracker.add(receipt(), NOW)
    _times(tracker, HOUR - 6)
    requests = 0
    while (last := tracker.expired(NOW + HOUR if tracker.next_time() == NOW + HOUR else NOW)) is None:
        moment = tracker.next_time()
        assert moment is not None
        tracker.failed(_ask(tracker, moment), moment)
        requests += 1
    assert 1 < requests < 10
    assert last.phase is Phase.ENROUTE


def test_a_refused_segment_pauses_nobody() -> None:
    """If the gateway refuses the request for one segment, the requests for other segments do not pause."""
    tracker = _tracker()
    for number in range(2):
        tracker.add(receipt(number), NOW)
    tracker.refused(_ask(tracker, NOW + 5), NOW + 5)
    assert tracker.due(NOW + 5) is not None
    assert tracker.next_time() == NOW + 10


def test_taken_up_after_a_restart() -> None:
    """After a restart, the tracker at once requests the states of the segments that are not final.

    The tracker does not request the states of final segments.
    """
    tracker = _tracker()
    states = (segment_state("1-0", 0), None, segment_state("1-2", -1))
    tracker.add(receipt(segments=3), NOW + HOUR, states)
    asked = [_ask(tracker, NOW + HOUR).segment_id, _ask(tracker, NOW + HOUR).segment_id]
    assert asked == ["1-1", "1-2"]
    assert tracker.due(NOW + HOUR) is None


@pytest.mark.parametrize(
    ("codes", "phase"), [([0, 0], Phase.DELIVERED), ([0, 69], Phase.FAILED), ([41, -1], Phase.FAILED)]
)
def test_nothing_to_ask_about(codes: list[int], phase: Phase) -> None:
    """If the states from an earlier run determine the final phase, `add` returns the last delivery.

    The tracker makes no request for a message with a known final phase.
    """
    tracker = _tracker()
    states = tuple(segment_state(f"1-{index}", code) for index, code in enumerate(codes))
    last = tracker.add(receipt(segments=2), NOW, states)
    assert last is not None
    assert (last.phase, last.is_final) == (phase, True)
    assert tracker.next_time() is None
    assert len(tracker) == 0


def test_no_segments() -> None:
    """For a receipt without segment ids, `add` returns a delivery with the phase unknown."""
    last = _tracker().add(Receipt(receipt().message, (), START), NOW)
    assert last is not None
    assert last.phase is Phase.UNKNOWN


@pytest.mark.parametrize("deadline", [7 * DAY - 1, 2 * DAY, 10.0])
def test_a_message_whose_deadline_is_past_is_looked_at_twice(deadline: float) -> None:
    """If the deadline has already passed, each segment is still requested before the last delivery.

    State 255 of a message without a known state counts only when a second response confirms the state.
    """
    tracker = _tracker(deadline=deadline)
    later = NOW + 7 * DAY
    tracker.add(receipt(segments=2), later)
    last, asked = None, []
    while last is None and (moment := tracker.next_time()) is not None:
        while (ask := tracker.due(moment)) is not None:
            asked.append((ask.segment_id, moment < later + 1))
            last = tracker.responded(ask, segment_state(ask.segment_id, 255), moment)
    assert last is not None
    assert (last.phase, last.is_final) == (Phase.UNKNOWN, True)
    assert sorted(asked) == [("1-0", False), ("1-0", True), ("1-1", False), ("1-1", True)]


def test_a_receipt_from_the_future() -> None:
    """If our clock was ahead at the acceptance, the message counts as accepted now and is not left alone."""
    tracker = _tracker()
    tracker.add(receipt(), NOW - 10 * DAY)
    assert tracker.next_time() == NOW - 10 * DAY + 5
    assert tracker.next_deadline() == NOW - 8 * DAY + 600


def test_a_clock_that_was_behind_at_the_acceptance() -> None:
    """If the gateway created a message days after its receipt, the tracking lasts 48 hours from then on."""
    tracker, later = _tracker(), NOW + 3 * DAY
    created = START + timedelta(days=3)
    tracker.add(receipt(), later)
    state = segment_state("1-0", -1, creation_date=created)
    assert tracker.responded(_ask(tracker, later), state, later + 1) is not None
    assert tracker.next_deadline() == later + 2 * DAY + 600
    assert tracker.expired(later + 600) is None
    times = [moment - 3 * DAY for moment in _times(tracker, 3 * DAY + 50)]
    assert len(times) > 3
    # After a restart, the creation date in the last delivery corrects the receipt again.
    tracker = _tracker()
    tracker.add(receipt(), later + HOUR, (state,))
    assert tracker.next_deadline() == later + 2 * DAY + 600


def test_a_corrected_message_still_ends() -> None:
    """The corrected deadline of a message ends its tracking once, and the number of messages becomes 0."""
    tracker, later = _tracker(), NOW + 3 * DAY
    tracker.add(receipt(), later)
    state = segment_state("1-0", -1, creation_date=START + timedelta(days=30))
    tracker.responded(_ask(tracker, later), state, later)
    assert tracker.expired(later + 2 * DAY + 599) is None
    last = tracker.expired(later + 2 * DAY + 600)
    assert last is not None
    assert (last.phase, last.is_final, len(tracker)) == (Phase.ENROUTE, True, 0)
    assert tracker.expired(later + 9 * DAY) is None
    assert tracker.next_time() is None


@pytest.mark.parametrize("field", ["accepted_at", "send_date", "by_time_zone"])
@pytest.mark.parametrize("wrong", ["naive", "nat"])
def test_a_receipt_with_an_invalid_date(field: str, wrong: str) -> None:
    """A date of a receipt that is no valid date raises a `ValidationError` that names the parameter."""
    dates = {"naive": START.replace(tzinfo=None if field != "by_time_zone" else UTC), "nat": NAT}
    by_time_zone = field == "by_time_zone"
    sent = receipt(by_time_zone=by_time_zone, send_date=None if field == "accepted_at" else dates[wrong])
    if field == "accepted_at":
        sent = attrs.evolve(sent, accepted_at=dates[wrong])
    with pytest.raises(ValidationError) as caught:
        _tracker().add(sent, NOW)
    assert caught.value.parameter == ("Receipt.accepted_at" if field == "accepted_at" else "send_date")


def test_a_timeout_is_not_final() -> None:
    """The delivery at a timeout is not final, so another call can continue to track the message."""
    tracker = _tracker(timeout=3.0)
    tracker.add(receipt(), NOW)
    assert tracker.next_time() == NOW + 2.7
    tracker.responded(_ask(tracker, NOW + 2.7), segment_state("1-0", -1), NOW + 2.7)
    assert tracker.next_time() == NOW + 3
    last = tracker.expired(NOW + 3)
    assert last is not None
    assert (last.phase, last.is_final) == (Phase.ENROUTE, False)
    assert not tracker


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"first": 0}, "Schedule.first"),
        ({"first": "5"}, "Schedule.first"),
        ({"factor": -1}, "Schedule.factor"),
        ({"maximum": 1}, "Schedule.maximum"),
        ({"maximum": float("inf")}, "Schedule.maximum"),
        ({"jitter": 1}, "Schedule.jitter"),
        ({"jitter": True}, "Schedule.jitter"),
    ],
)
def test_a_bad_schedule(options: dict[str, float], parameter: str) -> None:
    """An invalid value in a `Schedule` raises a `ValidationError` that names the field."""
    with pytest.raises(ValidationError) as caught:
        Schedule(**options)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize("value", [0, -1, None, "5", True, float("nan"), timedelta(0)])
def test_a_bad_duration(value: object) -> None:
    """A deadline that is not a positive duration raises a `ValidationError` that names the parameter."""
    with pytest.raises(ValidationError, match=r"^deadline: "):
        checked_seconds("deadline", value)


def test_a_good_duration() -> None:
    """`checked_seconds` converts a `timedelta` or a number of seconds to a number of seconds."""
    assert checked_seconds("deadline", timedelta(minutes=2)) == checked_seconds("deadline", 120) == 120.0


@pytest.mark.parametrize("days", [-30, -3, -1, 1, 3, 30])
def test_the_clock_of_the_gateway_decides_the_48_hours(days: int) -> None:
    """If our clock jumped after the acceptance, state 255 ends a message neither too early nor never.

    `days` is the jump of our clock. The responses have the right time.
    """
    tracker, jump = _tracker(), days * DAY
    tracker.add(receipt(), NOW + jump + 1)
    age, last = 1.0, None
    while last is None or not last.is_final:
        moment = tracker.next_time()
        assert moment is not None
        age = moment - NOW - jump
        last = tracker.expired(moment)
        if last is None and (ask := tracker.due(moment)) is not None:
            tracker.learn(NOW + age, moment)
            last = tracker.responded(ask, segment_state("1-0", 255), moment)
    assert last.phase is Phase.UNKNOWN
    assert 2 * DAY <= age <= 2 * DAY + 601


def test_a_sleeping_message_is_found_when_the_clock_is_known() -> None:
    """A date far in the future on our wrong clock is near on the clock of the gateway."""
    tracker = _tracker()
    tracker.add(receipt(1), NOW - 10 * DAY)
    tracker.add(receipt(2, send_date=START + timedelta(hours=1)), NOW - 10 * DAY)
    ask = _ask(tracker, NOW - 10 * DAY + 5)
    tracker.learn(NOW, NOW - 10 * DAY + 5)
    assert tracker.responded(ask, segment_state("1-0", 0), NOW - 10 * DAY + 5) is not None
    assert tracker.next_time() == NOW - 10 * DAY + HOUR + 5 + 5


def test_clocks_that_contradict_each_other() -> None:
    """Servers with different clocks cause at most one correction per minute."""
    tracker = _tracker()
    tracker.add(receipt(), NOW)
    tracker.learn(NOW - DAY, NOW)
    deadline = tracker.next_deadline()
    tracker.learn(NOW + DAY, NOW + 1)
    assert tracker.next_deadline() == deadline
    for second in range(60, 6000, 60):
        tracker.learn(NOW + second + (DAY if second % 120 else -DAY), NOW + second)
    assert tracker.expired(NOW + 3 * DAY + 600) is not None
    assert (len(tracker), tracker.next_time()) == (0, None)


@pytest.mark.parametrize("by_time_zone", [False, True])
@pytest.mark.parametrize("years", [-20, 30])
def test_an_absurd_date_delays_no_scheduled_message(years: int, by_time_zone: bool) -> None:
    """A response with the date of a proxy with a dead clock neither delays nor cuts off the tracking."""
    sent = datetime.fromtimestamp(NOW + 3600, UTC)
    message = Message(
        "79031234567",
        "text",
        send_date=sent.replace(tzinfo=None) if by_time_zone else sent,
        by_time_zone=by_time_zone,
    )
    scheduled = Receipt(message, ("1",), datetime.fromtimestamp(NOW, UTC))
    tracker = Tracker(Schedule(), 50 * 3600.0)
    tracker.learn(NOW + years * 365 * DAY, NOW)
    tracker.add(scheduled, NOW)
    first, deadline = tracker.next_time(), tracker.next_deadline()
    assert first is not None
    assert deadline is not None
    # The first request is at most a minute after the send, and the last one 48 hours after the send or later.
    assert first < NOW + 3660
    assert deadline >= NOW + 3600 + 48 * 3600
