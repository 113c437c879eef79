"""Tests of the class `Progress`, which does no I/O.

The inbox must return each message once, despite late messages, failed requests and restarts.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async import IncomingMessage
from smsapi_async.inbox import GatewayTime, InboxSettings, Position, Progress, Window
from smsapi_async.protocol.dates import ceil_to_second, floor_to_second

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def message(id_: str, date: datetime | None) -> IncomingMessage:
    """Return an incoming message with the id `id_` and the creation date `date`."""
    return IncomingMessage(id_, "text", "79031234567", "79160000000", date)


def after(seconds: float) -> datetime:
    """Return the time `seconds` after `START`."""
    return START + timedelta(seconds=seconds)


def settings(overlap: float = 60, window: float = 3600) -> InboxSettings:
    """Return inbox settings. `overlap` and `window` are numbers of seconds."""
    return InboxSettings(overlap=timedelta(seconds=overlap), window=timedelta(seconds=window))


def ask(progress: Progress, now: datetime, messages: Sequence[IncomingMessage] = ()) -> Window:
    """Make a request at the time `now` of both clocks, process its response, and return its period."""
    window = progress.next_window(now, now)
    progress.receive(window, messages, GatewayTime.of(floor_to_second(now)))
    return window


def take_all(progress: Progress) -> list[str]:
    """Mark all received messages as handled, and return the ids of these messages."""
    taken = []
    while progress.upcoming is not None:
        taken.append(progress.upcoming.id)
        progress.mark_handled()
    return taken


@attrs.frozen
class Filing:
    """A message that the gateway files at a given time.

    Attributes:
        id: the id of the incoming message.
        created: the creation date of the incoming message.
        filed: the time from which the gateway returns the message.
        dated: whether responses contain the creation date of the message.
    """

    id: str
    created: datetime
    filed: datetime
    dated: bool

    def shown(self) -> IncomingMessage:
        """Return the message that a response contains: without a creation date if `dated` is False."""
        return message(self.id, self.created if self.dated else None)


@attrs.frozen
class Step:
    """One step of a generated example: a pause, a request, and sometimes a restart.

    Attributes:
        pause: the length of the pause before the request, in seconds.
        fails: whether the request fails.
        taken_before_restart: the number of messages that are handled between the response and the restart.
            None means that all messages are handled and no restart follows.
        skew: the seconds by which the clock of the client is ahead of the clock of the gateway.
        told: whether the response tells the time of the gateway.
    """

    pause: float
    fails: bool
    taken_before_restart: int | None
    skew: float
    told: bool


@attrs.frozen
class Schedule:
    """The generated input of one Hypothesis example.

    Attributes:
        overlaps: the overlaps of successive periods, in seconds. After each restart, the inbox uses the next
            overlap in this list.
        window: the window in seconds.
        filings: the incoming messages, with the times at which the gateway stores them.
        steps: the steps in order.
    """

    overlaps: list[int]
    window: int
    filings: list[Filing]
    steps: list[Step]


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    overlaps = draw(st.lists(st.integers(2, 90), min_size=1, max_size=3))
    # The clock of the client is wrong by up to a day: always by the same time, or by another time each time.
    skew = draw(st.floats(-86400, 86400))
    skews = draw(st.sampled_from([st.floats(-1, 1), st.just(skew), st.floats(-86400, 86400)]))
    told = draw(st.sampled_from([st.just(True), st.just(False), st.booleans()]))
    # The overlap of two successive requested periods must be at least the delay of a filing.
    latest = min(overlaps)
    # Several messages of one example can have the same creation date, because the integer strategy has only
    # 421 values.
    created = st.one_of(st.integers(-20, 400).map(float), st.floats(-20, 400))
    filings = [
        Filing(str(number), after(date), after(date + late), dated)
        for number, (date, late, dated) in enumerate(
            draw(
                st.lists(
                    st.tuples(created, st.floats(0, latest), st.sampled_from([True, True, True, False])),
                    max_size=25,
                )
            )
        )
    ]
    pause = st.one_of(st.floats(0, 5), st.floats(0, 200))
    restart = st.one_of(st.none(), st.none(), st.integers(0, 4))
    steps = draw(st.lists(st.builds(Step, pause, st.booleans(), restart, skews, told), max_size=25))
    return Schedule(overlaps, draw(st.integers(1, 300)), filings, steps)


class Run:
    """Runs one example with a gateway that files messages late.

    Args:
        schedule: the generated input of the example.
        repeats: the number of times that a response contains each message.
    """

    def __init__(self, schedule: Schedule, repeats: int) -> None:
        self.schedule = schedule
        self.repeats = repeats
        self.now = START
        self.told: tuple[datetime, datetime] | None = None
        self.restarts = 0
        self.seen: Counter[str] = Counter()
        behind = bool(schedule.steps) and schedule.steps[0].skew < 0
        self.progress = Progress.begin(START, self.settings(), confirmed=behind)
        self.saved = self.progress.position.to_json()

    def settings(self) -> InboxSettings:
        overlaps = self.schedule.overlaps
        return settings(overlaps[self.restarts % len(overlaps)], self.schedule.window)

    def answer(self, window: Window) -> list[IncomingMessage]:
        """Return the messages in the response of the gateway to a request for the period `window`.

        The gateway rounds the start of the period down and the end of the period up to a whole second.
        """
        found = [
            filing.shown()
            for filing in self.schedule.filings
            if filing.filed <= self.now
            and floor_to_second(window.since) <= filing.created <= ceil_to_second(window.until)
        ]
        return (found * self.repeats)[::-1]

    def ask(self, skew: float = 0.0, *, told: bool = True) -> Window:
        """Make the next request, process its response, and return the requested period.

        Args:
            skew: the seconds by which the clock of the client is ahead.
            told: whether the response tells the time of the gateway.
        """
        window = self.progress.next_window(self.now + timedelta(seconds=skew), self.estimate())
        self.told = (floor_to_second(self.now), self.now) if told else None
        gateway = None if self.told is None else GatewayTime.of(self.told[0])
        self.progress.receive(window, self.answer(window), gateway)
        return window

    def estimate(self) -> datetime | None:
        """Return the time of the gateway, computed from the last response, if the response told its time."""
        return None if self.told is None else self.told[0] + (self.now - self.told[1])

    def take(self, most: int | None) -> bool:
        """Handle the received messages in order, and save the position after each message.

        Args:
            most: the number of messages that this run may handle in total, including the messages of earlier
                calls. None means that there is no limit.

        Returns:
            Whether all received messages are handled.
        """
        last = datetime.min.replace(tzinfo=UTC)
        while (upcoming := self.progress.upcoming) is not None:
            assert (upcoming.creation_date or last) >= last, (
                "the messages of one response are not in the order of their creation dates"
            )
            last = upcoming.creation_date or last
            if most is not None and sum(self.seen.values()) >= most:
                return False
            self.progress.mark_handled()
            self.seen[upcoming.id] += 1
            self.save()
        self.save()
        return True

    def save(self) -> None:
        position = self.progress.position
        self.saved = position.to_json()
        assert Position.from_json(self.saved) == position

    def restart(self) -> None:
        """Continue from the saved position, with the next overlap of the example in the settings."""
        self.restarts += 1
        self.told = None
        self.progress = Progress.resume(Position.from_json(self.saved), self.settings())

    def step(self, step: Step) -> None:
        """Run one step: make a request, handle the messages, and restart if `taken_before_restart` is set."""
        self.now += timedelta(seconds=step.pause)
        if not step.fails:
            self.ask(step.skew, told=step.told)
            most = step.taken_before_restart
            self.take(None if most is None else sum(self.seen.values()) + most)
        if step.fails and step.taken_before_restart is None:
            self.progress.next_window(self.now + timedelta(seconds=step.skew))
        elif step.taken_before_restart is not None:
            self.restart()

    def finish(self) -> None:
        """Move the time forward, and make requests with the right time until all messages are found."""
        self.now += timedelta(seconds=1000)
        while self.ask().until < self.now:
            self.take(None)
        self.take(None)


@given(schedules(), st.integers(1, 2))
def test_each_message_is_seen_once_whatever_happens(schedule: Schedule, repeats: int) -> None:
    """The inbox returns each message exactly once, even if the gateway files messages late.

    Missing dates, failed requests, restarts and wrong clocks also cause no loss and no repetition of a
    message. If the clock of the client is wrong, the inbox may also return messages from before its start.
    """
    run = Run(schedule, repeats)
    for step in schedule.steps:
        run.step(step)
    run.finish()
    due = {filing.id for filing in schedule.filings if filing.created >= START}
    assert set(run.seen.values()) <= {1}
    assert due <= set(run.seen)
    if all(abs(step.skew) <= 1 for step in schedule.steps):
        assert due == set(run.seen)


@given(schedules())
def test_only_the_overlap_is_remembered(schedule: Schedule) -> None:
    """A position contains only the ids of messages that were created within the last overlap.

    The id of a message without a creation date may stay in the position for a longer time.
    """
    run = Run(schedule, 1)
    created = {filing.id: filing for filing in schedule.filings}
    for step in schedule.steps:
        run.step(step)
        position = run.progress.position
        assert position.since is not None
        assert position.since >= position.until - run.settings().overlap - SECOND
        for id_, _ in position.ids:
            assert not created[id_].dated or created[id_].created >= position.since


@given(schedules())
def test_windows_leave_no_gap(schedule: Schedule) -> None:
    """There is no gap between the periods of two successive requests, and each period reaches both clocks.

    A period ends earlier only if the inbox divides a long time into periods of one window.
    """
    run = Run(schedule, 1)
    reached = START
    for step in schedule.steps:
        run.now += timedelta(seconds=step.pause)
        told = run.estimate() or datetime.min.replace(tzinfo=UTC)
        window = run.ask(step.skew, told=step.told)
        assert window.since <= max(START, reached - run.settings().overlap)
        limit = reached + timedelta(seconds=schedule.window)
        latest = max(told, run.now + timedelta(seconds=step.skew))
        assert window.until == limit < latest or window.until >= latest + run.settings().overlap
        run.take(None)
        assert run.progress.position.until <= max(START, window.until)
        reached = run.progress.position.until


@given(schedules())
def test_no_position_is_later_than_the_gateway(schedule: Schedule) -> None:
    """Whatever the clock of the client shows, the saved position is never in the future of the gateway."""
    run = Run(schedule, 1)
    for step in schedule.steps:
        run.step(step)
        assert Position.from_json(run.saved).until <= max(START, run.now)


def test_a_long_gap_is_read_in_windows() -> None:
    """If the inbox begins three hours in the past, three periods of one hour reach the current time.

    Each of the three periods overlaps the previous period. The last period ends after the current time, so
    that the inbox does not miss a message if the clock of the gateway is ahead.
    """
    progress = Progress.begin(after(-3 * 3600), settings())
    windows = [ask(progress, START) for _ in range(4)]
    assert windows == [
        Window(after(-10800), after(-7200)),
        Window(after(-7260), after(-3600)),
        Window(after(-3660), after(60)),
        Window(after(-60), after(60)),
    ]


def test_a_window_is_asked_for_again_until_it_is_answered() -> None:
    """After a failed request, the next request has the same start and ends after the current time."""
    progress = Progress.begin(START, settings())
    assert progress.next_window(after(5)) == Window(START, after(65))
    assert progress.next_window(after(9.5)) == Window(START, after(69.5))


def test_a_clock_that_is_set_back_takes_nothing_back() -> None:
    """If the clock is set back, the next period still ends after the time of the gateway.

    After the change of the clock, no message is returned a second time.
    """
    progress = Progress.begin(START, settings())
    ask(progress, after(30), [message("1", after(29))])
    assert take_all(progress) == ["1"]
    window = progress.next_window(after(-5000), after(40))
    assert window == Window(START, after(100))
    progress.receive(window, [message("1", after(29))])
    assert take_all(progress) == []


def test_the_ids_of_a_second_that_is_asked_for_again_are_kept() -> None:
    """A handled message is not returned again when the start of a period is rounded down to a second."""
    progress = Progress.begin(after(-100), settings(overlap=60))
    early = message("early", after(0.2))
    ask(progress, after(60.5), [early])
    assert take_all(progress) == ["early"]
    assert ask(progress, after(61), [early]).since == START
    assert take_all(progress) == []


def test_a_catch_up_remembers_the_overlap_and_not_the_window() -> None:
    """While the messages of a long period are handled, the position contains only the ids of one overlap."""
    progress = Progress.begin(after(-3600), settings(overlap=60))
    ask(progress, START, [message(str(number), after(number - 3600)) for number in range(3000)])
    for _ in range(2000):
        progress.mark_handled()
    position = progress.position
    assert position.until == after(1999 - 3600)
    assert [id_ for id_, _ in position.ids] == [str(number) for number in range(1939, 2000)]


def test_a_longer_overlap_after_a_restart_repeats_nothing() -> None:
    """If the second run has a longer overlap than the first run, no message of the first run is repeated."""
    first = Progress.begin(after(-1000), settings(overlap=10))
    old = message("old", after(-500))
    ask(first, START, [old])
    assert take_all(first) == ["old"]
    second = Progress.resume(first.position, settings(overlap=900))
    assert second.next_window(after(1)).since == after(-10)


def test_a_position_without_a_beginning_reaches_back_by_the_overlap() -> None:
    """If a saved position has no `since`, the next run begins at `until` minus the overlap."""
    progress = Progress.resume(Position(START, (("1", after(-5)),)), settings())
    window = progress.next_window(after(5))
    assert window == Window(after(-60), after(65))
    progress.receive(window, [message("1", after(-5)), message("2", after(-5))])
    assert take_all(progress) == ["2"]


@pytest.mark.parametrize("date", [None, after(-9000), after(9000)], ids=["none", "past", "future"])
def test_an_id_is_kept_as_long_as_answers_name_it(date: datetime | None) -> None:
    """A message without a valid creation date is returned once, even if every response contains this message.

    When the responses no longer contain the message, the position also drops the id of the message.
    """
    progress = Progress.begin(START, settings())
    taken = []
    for number in range(100):
        ask(progress, after(10 * number), [message("odd", date)])
        taken += take_all(progress)
    assert taken == ["odd"]
    for number in range(100, 120):
        ask(progress, after(10 * number))
    assert progress.position.ids == ()


def test_messages_without_a_date_come_first_and_those_of_one_date_as_answered() -> None:
    """Messages without a creation date are returned first.

    Messages with equal creation dates are returned in the order of the response.
    """
    progress = Progress.begin(START, settings())
    dates = {"b": after(2), "a": after(2), "none": None, "first": after(1)}
    ask(progress, after(5), [message(id_, date) for id_, date in dates.items()])
    assert take_all(progress) == ["none", "first", "b", "a"]


def test_the_beginning_of_time_is_no_obstacle() -> None:
    """If `until` minus the overlap is earlier than `datetime.min`, the period begins at `datetime.min`."""
    earliest = datetime.min.replace(tzinfo=UTC)
    progress = Progress.resume(Position(earliest + SECOND), settings(overlap=3600))
    assert progress.next_window(earliest + 2 * SECOND).since == earliest
