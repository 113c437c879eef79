"""The simulation of `benchmarks.polling`, which is a command of its own, as tables beside the others."""

from benchmarks import polling
from benchmarks.measure import Goal, Options, Table

MESSAGES, SEED = 20_000, 1
NAMES = {
    "ours": "smsapi-async",
    "fixed": "every segment, every 5 s",
    "backoff": "every segment, doubling waits",
}
PARTS = {"soon": "final soon", "all": "all"}


def run(_: str, options: Options) -> list[Table]:
    """Requests to follow a message to its end, and the delay until the end is noticed."""
    compared = polling.compare(MESSAGES // options.scale, SEED)
    reference = NAMES["fixed"]
    requests = Table("Requests a message, to follow it (simulated)", "requests", reference, False)
    delays = Table("Delay until a final state is noticed (simulated)", "s", reference, False)
    for part, title in PARTS.items():
        for name, figures in compared[part].items():
            requests.add(NAMES[name], title, [figures["requests_per_message"]])
            delays.add(NAMES[name], f"{title}, 50 %", [figures["delay_median"]])
            delays.add(NAMES[name], f"{title}, 95 %", [figures["delay_95"]])
    ratios = polling.ratios(compared)
    of = f"as a part of {reference!r}"
    wanted = (
        ("requests, final soon", "requests_soon", polling.GOAL_REQUESTS, requests),
        ("requests, all", "requests_all", polling.GOAL_ALL, requests),
        ("median delay, final soon", "delay_soon", polling.GOAL_DELAY, delays),
    )
    for what, ratio, goal, table in wanted:
        table.goals.append(Goal(f"{what}, {of}", ratios[ratio], goal, "x", at_least=False))
    requests.notes.append("Final soon: within 10 minutes. All: with a tail of hours, and 5 % that never are.")
    return [requests, delays]
