"""The order of asking, without I/O: any schedule of filings, any restarts, each message once."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async import IncomingMessage
from smsapi_async.inbox import InboxSettings, Position, Progress, Window
from smsapi_async.protocol.dates import ceiling, floor

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def message(id_: str, date: datetime | None) -> IncomingMessage:
    return IncomingMessage(id_, "text", "79031234567", "79160000000", date)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def settings(overlap: float = 60, window: float = 3600) -> InboxSettings:
    return InboxSettings(overlap=timedelta(seconds=overlap), window=timedelta(seconds=window))


def take_all(progress: Progress) -> list[str]:
    taken = []
    while progress.upcoming is not None:
        taken.append(progress.upcoming.id)
        progress.settle()
    return taken


@attrs.frozen
class Filing:
    """A message, when it was created, when it was filed, and whether answers show its date."""

    id: str
    created: datetime
    filed: datetime
    dated: bool

    def shown(self) -> IncomingMessage:
        return message(self.id, self.created if self.dated else None)


@attrs.frozen
class Step:
    """One round: how long after the last, whether it fails, how many messages are taken before a restart."""

    pause: float
    fails: bool
    taken_before_restart: int | None


@attrs.frozen
class Schedule:
    """What happens in one example."""

    overlaps: list[int]
    window: int
    skew: float
    filings: list[Filing]
    steps: list[Step]


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    overlaps = draw(st.lists(st.integers(2, 90), min_size=1, max_size=3))
    skew = draw(st.floats(-1, 1))
    latest = min(overlaps) - abs(skew)
    # Few different dates, so that many messages share one.
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
    steps = draw(st.lists(st.builds(Step, pause, st.booleans(), restart), max_size=25))
    return Schedule(overlaps, draw(st.integers(1, 300)), skew, filings, steps)


class Run:
    """Rounds against a gateway that files messages late and repeats itself."""

    def __init__(self, schedule: Schedule, repeats: int) -> None:
        self.schedule = schedule
        self.repeats = repeats
        self.now = START
        self.restarts = 0
        self.seen: Counter[str] = Counter()
        self.progress = Progress.begin(START, self.settings())
        self.saved = self.progress.position.to_json()

    def settings(self) -> InboxSettings:
        overlaps = self.schedule.overlaps
        return settings(overlaps[self.restarts % len(overlaps)], self.schedule.window)

    def answer(self, window: Window) -> list[IncomingMessage]:
        """The gateway's: both ends included and widened to whole seconds."""
        found = [
            filing.shown()
            for filing in self.schedule.filings
            if filing.filed <= self.now and floor(window.since) <= filing.created <= ceiling(window.until)
        ]
        return (found * self.repeats)[::-1]

    def ask(self) -> Window:
        window = self.progress.next_window(self.now + timedelta(seconds=self.schedule.skew))
        self.progress.receive(window, self.answer(window))
        return window

    def take(self, most: int | None) -> bool:
        """Take messages of a round, and tell whether all were taken."""
        last = datetime.min.replace(tzinfo=UTC)
        while (upcoming := self.progress.upcoming) is not None:
            assert (upcoming.creation_date or last) >= last, "out of order within a round"
            last = upcoming.creation_date or last
            if most is not None and sum(self.seen.values()) >= most:
                return False
            self.progress.settle()
            self.seen[upcoming.id] += 1
            self.save()
        self.save()
        return True

    def save(self) -> None:
        self.saved = self.progress.position.to_json()

    def restart(self) -> None:
        self.restarts += 1
        self.progress = Progress.resume(Position.from_json(self.saved), self.settings())

    def step(self, step: Step) -> None:
        self.now += timedelta(seconds=step.pause)
        if not step.fails:
            self.ask()
            most = step.taken_before_restart
            self.take(None if most is None else sum(self.seen.values()) + most)
        if step.fails and step.taken_before_restart is None:
            self.progress.next_window(self.now)
        elif step.taken_before_restart is not None:
            self.restart()

    def finish(self) -> None:
        """Go on until everything has been filed and asked for."""
        self.now += timedelta(seconds=1000)
        local = self.now + timedelta(seconds=self.schedule.skew)
        while self.ask().until < local:
            self.take(None)
        self.take(None)


@given(schedules(), st.integers(1, 2))
def test_each_message_is_seen_once_whatever_happens(schedule: Schedule, repeats: int) -> None:
    """Late filings, equal and missing dates, repetitions, failures, restarts: each message comes once."""
    run = Run(schedule, repeats)
    for step in schedule.steps:
        run.step(step)
    run.finish()
    assert run.seen == Counter(filing.id for filing in schedule.filings if filing.created >= START)


@given(schedules())
def test_only_the_overlap_is_remembered(schedule: Schedule) -> None:
    """Ids of messages older than the overlap are forgotten, those without a date a window later."""
    run = Run(schedule, 1)
    created = {filing.id: filing for filing in schedule.filings}
    for step in schedule.steps:
        run.step(step)
        position = run.progress.position
        assert position.since is not None
        assert position.since >= position.until - run.settings().overlap - SECOND
        for id_, _ in position.ids:
            slack = timedelta(0) if created[id_].dated else timedelta(seconds=schedule.window + 91)
            assert created[id_].created >= position.since - slack


@given(schedules())
def test_windows_leave_no_gap_and_are_no_longer_than_they_may(schedule: Schedule) -> None:
    """Each period begins before the last one ended and adds at most a window."""
    run = Run(schedule, 1)
    reached = START
    for step in schedule.steps:
        run.now += timedelta(seconds=step.pause)
        window = run.ask()
        run.take(None)
        assert window.since <= max(START, reached - run.settings().overlap)
        assert reached <= window.until <= reached + timedelta(seconds=schedule.window)
        reached = window.until


def test_a_long_gap_is_read_in_windows() -> None:
    """A start three hours back asks for three windows of an hour, each reaching back by the overlap."""
    progress = Progress.begin(after(-3 * 3600), settings())
    windows = []
    for _ in range(4):
        windows.append(progress.next_window(START))
        progress.receive(windows[-1], [])
    assert windows == [
        Window(after(-10800), after(-7200)),
        Window(after(-7260), after(-3600)),
        Window(after(-3660), START),
        Window(after(-60), START),
    ]


def test_a_window_is_asked_for_again_until_it_is_answered() -> None:
    """Without an answer the next period begins at the same moment and reaches to now."""
    progress = Progress.begin(START, settings())
    assert progress.next_window(after(5)) == Window(START, after(5))
    assert progress.next_window(after(9.5)) == Window(START, after(9.5))


def test_a_clock_that_is_set_back_takes_nothing_back() -> None:
    """The period never ends before one that was answered, and what was seen stays seen."""
    progress = Progress.begin(START, settings())
    progress.receive(progress.next_window(after(30)), [message("1", after(29))])
    assert take_all(progress) == ["1"]
    window = progress.next_window(after(20))
    assert window == Window(START, after(30))
    progress.receive(window, [message("1", after(29))])
    assert take_all(progress) == []


def test_the_ids_of_a_second_that_is_asked_for_again_are_kept() -> None:
    """Periods begin with a whole second, and a message of its first half is not given twice."""
    progress = Progress.begin(after(-100), settings(overlap=60))
    early = message("early", after(0.2))
    progress.receive(progress.next_window(after(60.5)), [early])
    assert take_all(progress) == ["early"]
    window = progress.next_window(after(61))
    assert window.since == START
    progress.receive(window, [early])
    assert take_all(progress) == []


def test_a_catch_up_remembers_the_overlap_and_not_the_window() -> None:
    """In the middle of a long window the position holds the ids of the last minute alone."""
    progress = Progress.begin(after(-3600), settings(overlap=60))
    progress.receive(
        progress.next_window(START), [message(str(number), after(number - 3600)) for number in range(3000)]
    )
    for _ in range(2000):
        progress.settle()
    position = progress.position
    assert position.until == after(1999 - 3600)
    assert [id_ for id_, _ in position.ids] == [str(number) for number in range(1939, 2000)]


def test_a_longer_overlap_after_a_restart_repeats_nothing() -> None:
    """A run with a longer overlap does not reach back behind the ids that the one before kept."""
    first = Progress.begin(after(-1000), settings(overlap=10))
    old = message("old", after(-500))
    first.receive(first.next_window(START), [old])
    assert take_all(first) == ["old"]
    second = Progress.resume(first.position, settings(overlap=900))
    assert second.next_window(after(1)).since == after(-10)


def test_a_position_without_a_beginning_reaches_back_by_the_overlap() -> None:
    """A position that a store kept as its end and its ids alone is enough to go on."""
    progress = Progress.resume(Position(START, (("1", after(-5)),)), settings())
    window = progress.next_window(after(5))
    assert window == Window(after(-60), after(5))
    progress.receive(window, [message("1", after(-5)), message("2", after(-5))])
    assert take_all(progress) == ["2"]


@pytest.mark.parametrize("date", [None, after(-9000), after(9000)], ids=["none", "past", "future"])
def test_an_id_is_kept_as_long_as_answers_name_it(date: datetime | None) -> None:
    """A message without a usable date, answered in every round, comes once and is then forgotten."""
    progress = Progress.begin(START, settings())
    taken = []
    for number in range(100):
        progress.receive(progress.next_window(after(10 * number)), [message("odd", date)])
        taken += take_all(progress)
    assert taken == ["odd"]
    for number in range(100, 120):
        progress.receive(progress.next_window(after(10 * number)), [])
    assert progress.position.ids == ()


def test_messages_without_a_date_come_first_and_those_of_one_date_as_answered() -> None:
    """Within a round the order is: no date, then by date, equal dates as the gateway has them."""
    progress = Progress.begin(START, settings())
    dates = {"b": after(2), "a": after(2), "none": None, "first": after(1)}
    progress.receive(progress.next_window(after(5)), [message(id_, date) for id_, date in dates.items()])
    assert take_all(progress) == ["none", "first", "b", "a"]


def test_the_beginning_of_time_is_no_obstacle() -> None:
    """An overlap that reaches behind the first year is cut there."""
    earliest = datetime.min.replace(tzinfo=UTC)
    progress = Progress.resume(Position(earliest + SECOND), settings(overlap=3600))
    assert progress.next_window(earliest + 2 * SECOND).since == earliest
