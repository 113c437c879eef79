"""How many requests three strategies need to track messages, and how soon they notice the final states.

The clock is simulated, so the program opens no socket and does not wait. A message has 1 to 5 segments. 85 %
of the messages reach the phone after a log-normal time (median 6 s, 95th percentile 90 s). 10 % of the
messages reach the phone after hours, and 5 % of the messages never reach the phone. The mean time between two
segments of a message is half a second. Three strategies track the same messages:

- ours: `smsapi_async.tracking.Tracker` with its default schedule;
- fixed: every 5 seconds, one request for each segment that is not final;
- backoff: one request for each segment that is not final, after waits of 1, 2, 4, ... seconds, but at most
  10 minutes.

Each strategy requests the state of a segment until the segment is final. For a segment that never becomes
final, the strategy stops about 48 hours after the acceptance, when the gateway has forgotten the message.

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

# The median and the 95th percentile of the seconds until a message reaches the phone.
MEDIAN, WITHIN_95 = 6.0, 90.0
# The standard deviation of the logarithm of the seconds until a message reaches the phone.
SPREAD = math.log(WITHIN_95 / MEDIAN) / statistics.NormalDist().inv_cdf(0.95)
# TAIL is the share of the messages that arrive only after hours. NEVER is the share that never arrives.
TAIL, NEVER = 0.10, 0.05
TAIL_HOURS = (0.5, 24.0)
# The mean time between two segments of a message, in seconds.
LAG = 0.5
SOON = 600.0
END = DEADLINE.total_seconds()
# The gateway forgets a message after this number of seconds: 48 hours (contract, "States").
MEMORY = 48 * 3600.0
INTERVAL = 5.0
GOAL_REQUESTS, GOAL_DELAY, GOAL_ALL = 0.35, 2.0, 1 / 50


@attrs.frozen
class Course:
    """The times of the acceptance and of the delivery of one message.

    Attributes:
        accepted: the time when the gateway accepted the message, in seconds of the simulated clock.
        segments: the delivery time of each segment, in seconds after the acceptance of the message; infinity
            for a segment that is never delivered.
    """

    accepted: float
    segments: tuple[float, ...]

    @property
    def final_after(self) -> float:
        """The seconds from the acceptance of the message until the delivery of its last segment."""
        return max(self.segments)


@attrs.frozen
class Tracked:
    """The number of requests and the delay that a strategy needed to track one message.

    Attributes:
        requests: the number of state requests that the strategy made for the message.
        noticed_after: the seconds from the acceptance of the message until the strategy noticed its final
            state. For a message that never becomes final, the value is infinity (strategy `ours`) or the time
            of the last request (strategies `fixed` and `backoff`).
    """

    requests: int
    noticed_after: float


def courses(count: int, chance: random.Random) -> list[Course]:
    """Return `count` random messages, with times of acceptance that are spread over one hour."""
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


def at_times(times: list[float]) -> Callable[[Course], Tracked]:
    """Return a strategy that requests the states of all segments at fixed times after the acceptance.

    Args:
        times: the times of the requests, in seconds after the acceptance of the message. The strategy stops
            when the segment is final, or at the last of these times.
    """

    def track(course: Course) -> Tracked:
        last = [min(bisect_left(times, arrives), len(times) - 1) for arrives in course.segments]
        return Tracked(sum(last) + len(last), max(times[index] for index in last))

    return track


def fixed_times() -> list[float]:
    """Return one request time every 5 seconds, until the gateway has forgotten the message."""
    return [INTERVAL * step for step in range(1, int(MEMORY / INTERVAL) + 1)]


def backoff_times() -> list[float]:
    """Return request times with waits between them that double from 1 second to at most 10 minutes."""
    waits = chain(takewhile(lambda wait: wait < SOON, (2.0**step for step in range(20))), repeat(SOON))
    return list(takewhile(lambda moment: moment < MEMORY + SOON, accumulate(waits)))


def ours(every: list[Course], schedule: Schedule, chance: random.Random) -> list[Tracked]:
    """Run the tracker of this package on a simulated clock, which jumps to the time of the next event.

    Args:
        every: the messages to track, with their times of acceptance and delivery.
        schedule: the schedule that determines when the tracker requests a state.
        chance: the random generator for the jitter (random variation) of the waits in the schedule.
    """
    tracker = Tracker(schedule, END, chance=chance)
    requests = [0] * len(every)
    noticed = [math.inf] * len(every)
    coming = sorted(((course.accepted, number) for number, course in enumerate(every)), reverse=True)
    now = 0.0
    while coming or len(tracker):
        moment = tracker.next_time()
        now = max(now, min(math.inf if moment is None else moment, coming[-1][0] if coming else math.inf))
        while coming and coming[-1][0] <= now:
            number = coming.pop()[1]
            ids = tuple(f"{number}-{index}" for index in range(len(every[number].segments)))
            tracker.add(Receipt(Message("", ""), ids, datetime.fromtimestamp(now, UTC)), now)
        while tracker.expired(now) is not None:
            pass
        while (ask := tracker.due(now)) is not None:
            number = int(ask.segment_id.partition("-")[0])
            requests[number] += 1
            delivery = tracker.responded(ask, _state(every[number], ask.segment_id, ask.index, now), now)
            if delivery is not None and delivery.phase is Phase.DELIVERED:
                noticed[number] = now - every[number].accepted
    return list(map(Tracked, requests, noticed))


def _state(course: Course, segment_id: str, index: int, now: float) -> SegmentState:
    """Return the state that the gateway reports for a segment at the time `now`.

    The gateway reports `NOT_IN_DATABASE` in the first second after the acceptance and after 48 hours.
    """
    age = now - course.accepted
    if age >= course.segments[index] and age < MEMORY:
        return SegmentState(segment_id, State.DELIVERED)
    return SegmentState(segment_id, State.SENT if 1 <= age < MEMORY else State.NOT_IN_DATABASE)


def summary(every: list[Course], tracked: list[Tracked]) -> dict[str, float]:
    """Compute the requests per message, and the delay until a strategy notices a final state.

    If a message never becomes final, its requests are counted, but the message has no delay.
    """
    delays = sorted(
        result.noticed_after - course.final_after
        for course, result in zip(every, tracked, strict=True)
        if course.final_after < MEMORY and result.noticed_after < math.inf
    )
    return {
        "messages": len(every),
        "noticed": len(delays),
        "requests_per_message": statistics.fmean(result.requests for result in tracked),
        "delay_median": statistics.median(delays),
        "delay_95": delays[int(0.95 * len(delays))],
    }


def compare(count: int, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Compare the three strategies for messages that are final within 10 minutes, and for all messages."""
    every = courses(count, random.Random(seed))
    results = {
        "ours": ours(every, Schedule(), random.Random(seed + 1)),
        "fixed": list(map(at_times(fixed_times()), every)),
        "backoff": list(map(at_times(backoff_times()), every)),
    }
    soon = [number for number, course in enumerate(every) if course.final_after <= SOON]
    return {
        "soon": {
            name: summary([every[number] for number in soon], [tracked[number] for number in soon])
            for name, tracked in results.items()
        },
        "all": {name: summary(every, tracked) for name, tracked in results.items()},
    }


def ratios(compared: dict[str, dict[str, dict[str, float]]]) -> dict[str, float]:
    """Divide each figure of the strategy `ours` by the same figure of the strategy `fixed`."""
    soon, over_all = compared["soon"], compared["all"]
    return {
        "requests_soon": soon["ours"]["requests_per_message"] / soon["fixed"]["requests_per_message"],
        "delay_soon": soon["ours"]["delay_median"] / soon["fixed"]["delay_median"],
        "requests_all": over_all["ours"]["requests_per_message"] / over_all["fixed"]["requests_per_message"],
    }


def show(compared: dict[str, dict[str, dict[str, float]]], compared_ratios: dict[str, float]) -> None:
    """Print the tables with the figures of the three strategies, and the goals."""
    for part, title in (("soon", "Messages final within 10 minutes"), ("all", "All messages")):
        print(f"\n{title} ({compared[part]['ours']['messages']:.0f})")
        print(f"{'':10}{'requests/message':>18}{'delay median s':>16}{'delay 95 % s':>14}{'noticed':>9}")
        for name, row in compared[part].items():
            print(
                f"{name:10}{row['requests_per_message']:18.2f}{row['delay_median']:16.1f}"
                f"{row['delay_95']:14.1f}{row['noticed']:9.0f}"
            )
    goals = {"requests_soon": GOAL_REQUESTS, "delay_soon": GOAL_DELAY, "requests_all": GOAL_ALL}
    print("\nThe figures of `ours` divided by the figures of `fixed`")
    for name, goal in goals.items():
        verdict = "met" if compared_ratios[name] <= goal else "MISSED"
        print(f"{name:16}{compared_ratios[name]:9.4f}   goal: at most {goal:.3g}   {verdict}")


def main() -> None:
    """Run the simulation, print its figures, and write them as JSON to the file of the option ``--json``."""
    parser = argparse.ArgumentParser(
        description="Compare strategies to track messages, on a simulated clock."
    )
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
