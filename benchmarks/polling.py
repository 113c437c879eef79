"""How many requests it takes to follow messages, and how soon their final states are noticed.

On a simulated clock, in pure Python: no sockets, no waiting. Messages have 1 to 5 segments. A message
reaches the phone after a log-normal time (median 6 s, 95 % within 90 s), in 10 % of cases after a tail of
hours, and in 5 % never; its segments arrive one after another, half a second apart in the mean. Three
ways to ask are compared over the same messages:

- ours: `smsapi_async.tracking.Tracker` with its default schedule;
- fixed: every segment, every 5 seconds;
- backoff: every segment, after 1, 2, 4, ... seconds, at most 10 minutes apart.

All three go on until the gateway has forgotten the message, after 48 hours.

Run: python benchmarks/polling.py [--messages N] [--json FILE]
"""

import argparse
import json
import math
import random
import statistics
from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import accumulate, chain, repeat, takewhile
from pathlib import Path
from time import perf_counter

import attrs

from smsapi_async.models import Message, Receipt, SegmentState
from smsapi_async.states import Phase, State
from smsapi_async.tracking import DEADLINE, Schedule, Tracker

MEDIAN, WITHIN_95 = 6.0, 90.0
SPREAD = math.log(WITHIN_95 / MEDIAN) / statistics.NormalDist().inv_cdf(0.95)
TAIL, NEVER = 0.10, 0.05
TAIL_HOURS = (0.5, 24.0)
LAG = 0.5
SOON = 600.0
END = DEADLINE.total_seconds()
MEMORY = 48 * 3600.0
INTERVAL = 5.0
GOAL_REQUESTS, GOAL_DELAY, GOAL_ALL = 0.35, 2.0, 1 / 50


@attrs.frozen
class Course:
    """When each segment of a message is delivered, in seconds after its acceptance; infinity for never."""

    accepted: float
    segments: tuple[float, ...]

    @property
    def final_after(self) -> float:
        """When the whole message is final."""
        return max(self.segments)


@attrs.frozen
class Followed:
    """What following one message cost."""

    requests: int
    noticed_after: float


def courses(count: int, chance: random.Random) -> list[Course]:
    """Messages accepted over an hour."""
    made = []
    for _ in range(count):
        kind = chance.random()
        if kind < NEVER:
            arrives = math.inf
        elif kind < NEVER + TAIL:
            arrives = 3600 * math.exp(chance.uniform(*map(math.log, TAIL_HOURS)))
        else:
            arrives = chance.lognormvariate(math.log(MEDIAN), SPREAD)
        lags = list(accumulate(chance.expovariate(1 / LAG) for _ in range(chance.randint(0, 4))))
        segments = [arrives, *(arrives + lag for lag in lags)]
        chance.shuffle(segments)
        made.append(Course(chance.uniform(0, 3600), tuple(segments)))
    return made


def at_times(times: list[float]) -> Callable[[Course], Followed]:
    """Every segment is asked about at the same times until it is final, or forgotten after 48 hours."""

    def follow(course: Course) -> Followed:
        last = [min(bisect_left(times, arrives), len(times) - 1) for arrives in course.segments]
        return Followed(sum(last) + len(last), max(times[index] for index in last))

    return follow


def fixed_times() -> list[float]:
    """Every 5 seconds until the gateway has forgotten the message."""
    return [INTERVAL * step for step in range(1, int(MEMORY / INTERVAL) + 1)]


def backoff_times() -> list[float]:
    """Waits that double from 1 second to 10 minutes."""
    waits = chain(takewhile(lambda wait: wait < SOON, (2.0**step for step in range(20))), repeat(SOON))
    return list(takewhile(lambda moment: moment < MEMORY + SOON, accumulate(waits)))


def ours(every: list[Course], schedule: Schedule, chance: random.Random) -> list[Followed]:
    """The tracker itself, driven by a simulated clock: the time jumps to its next moment."""
    tracker = Tracker(schedule, END, chance=chance)
    requests = [0] * len(every)
    noticed = [math.inf] * len(every)
    numbers: dict[str, int] = {}
    coming = sorted(((course.accepted, number) for number, course in enumerate(every)), reverse=True)
    now = 0.0
    while coming or len(tracker):
        moment = tracker.next_time()
        now = max(now, min(math.inf if moment is None else moment, coming[-1][0] if coming else math.inf))
        while coming and coming[-1][0] <= now:
            number = coming.pop()[1]
            ids = tuple(f"{number}-{index}" for index in range(len(every[number].segments)))
            numbers[ids[0]] = number
            tracker.add(Receipt(Message("", ""), ids, datetime.fromtimestamp(now, UTC)), now)
        while tracker.expired(now) is not None:
            pass
        while (ask := tracker.due(now)) is not None:
            number = int(ask.segment_id.partition("-")[0])
            requests[number] += 1
            delivery = tracker.answered(ask, _state(every[number], ask.segment_id, ask.index, now), now)
            if delivery is not None and delivery.phase is Phase.DELIVERED:
                noticed[number] = now - every[number].accepted
    return list(map(Followed, requests, noticed))


def _state(course: Course, segment_id: str, index: int, now: float) -> SegmentState:
    age = now - course.accepted
    if age >= course.segments[index] and age < MEMORY:
        return SegmentState(segment_id, State.DELIVERED)
    return SegmentState(segment_id, State.SENT if 1 <= age < MEMORY else State.NOT_IN_DATABASE)


def summary(every: list[Course], followed: list[Followed]) -> dict[str, float]:
    """Requests a message, and the delay until the final state is noticed, over those that became final."""
    delays = sorted(
        result.noticed_after - course.final_after
        for course, result in zip(every, followed, strict=True)
        if course.final_after < MEMORY and result.noticed_after < math.inf
    )
    return {
        "messages": len(every),
        "noticed": len(delays),
        "requests_per_message": statistics.fmean(result.requests for result in followed),
        "delay_median": statistics.median(delays),
        "delay_95": delays[int(0.95 * len(delays))],
    }


def compare(count: int, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """The three ways over the messages final within 10 minutes, and over all."""
    every = courses(count, random.Random(seed))
    results = {
        "ours": ours(every, Schedule(), random.Random(seed + 1)),
        "fixed": list(map(at_times(fixed_times()), every)),
        "backoff": list(map(at_times(backoff_times()), every)),
    }
    soon = [number for number, course in enumerate(every) if course.final_after <= SOON]
    return {
        "soon": {
            name: summary([every[number] for number in soon], [followed[number] for number in soon])
            for name, followed in results.items()
        },
        "all": {name: summary(every, followed) for name, followed in results.items()},
    }


def ratios(compared: dict[str, dict[str, dict[str, float]]]) -> dict[str, float]:
    """Ours as a part of the fixed interval."""
    soon, over_all = compared["soon"], compared["all"]
    return {
        "requests_soon": soon["ours"]["requests_per_message"] / soon["fixed"]["requests_per_message"],
        "delay_soon": soon["ours"]["delay_median"] / soon["fixed"]["delay_median"],
        "requests_all": over_all["ours"]["requests_per_message"] / over_all["fixed"]["requests_per_message"],
    }


def show(compared: dict[str, dict[str, dict[str, float]]], compared_ratios: dict[str, float]) -> None:
    """Print the tables and the goals."""
    for part, title in (("soon", "Messages final within 10 minutes"), ("all", "All messages")):
        print(f"\n{title} ({compared[part]['ours']['messages']:.0f})")
        print(f"{'':10}{'requests/message':>18}{'delay median s':>16}{'delay 95 % s':>14}{'noticed':>9}")
        for name, row in compared[part].items():
            print(
                f"{name:10}{row['requests_per_message']:18.2f}{row['delay_median']:16.1f}"
                f"{row['delay_95']:14.1f}{row['noticed']:9.0f}"
            )
    goals = {"requests_soon": GOAL_REQUESTS, "delay_soon": GOAL_DELAY, "requests_all": GOAL_ALL}
    print("\nOurs as a part of the fixed interval")
    for name, goal in goals.items():
        verdict = "met" if compared_ratios[name] <= goal else "MISSED"
        print(f"{name:16}{compared_ratios[name]:9.4f}   goal: at most {goal:.3g}   {verdict}")


def main() -> None:
    """Run, print, and write the figures where asked."""
    parser = argparse.ArgumentParser(description="Compare ways of asking for states, on a simulated clock.")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    started = perf_counter()
    compared = compare(options.messages, options.seed)
    figures = ratios(compared)
    show(compared, figures)
    print(f"\n{options.messages} messages in {perf_counter() - started:.1f} s")
    if options.json is not None:
        options.json.write_text(json.dumps({**compared, "ratios": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
