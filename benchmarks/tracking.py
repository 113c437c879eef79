"""Runs the simulation of state requests in `benchmarks.polling`, and returns its figures as tables."""

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
    """Compute the state requests per message, and the delay until a strategy notices a final state."""
    compared = polling.compare(MESSAGES // options.scale, SEED)
    reference = NAMES["fixed"]
    requests = Table("Requests per tracked message (simulated)", "requests", reference, False)
    delays = Table("Delay until a final state is noticed (simulated)", "s", reference, False)
    for part, title in PARTS.items():
        for name, figures in compared[part].items():
            requests.add(NAMES[name], title, [figures["requests_per_message"]])
            delays.add(NAMES[name], f"{title}, 50 %", [figures["delay_median"]])
            delays.add(NAMES[name], f"{title}, 95 %", [figures["delay_95"]])
    ratios = polling.ratios(compared)
    divisor = f"divided by the requests of {reference!r}"
    wanted = (
        (f"requests, final soon, {divisor}", "requests_soon", polling.GOAL_REQUESTS, requests),
        (f"requests, all, {divisor}", "requests_all", polling.GOAL_ALL, requests),
        (
            f"median delay, final soon, divided by the median delay of {reference!r}",
            "delay_soon",
            polling.GOAL_DELAY,
            delays,
        ),
    )
    for what, ratio, goal, table in wanted:
        table.goals.append(Goal(what, ratios[ratio], goal, "x", at_least=False))
    requests.notes.append(
        "Final soon: messages that are final within 10 minutes. All: also the messages that take hours, and "
        "the 5 % of the messages that never become final."
    )
    return [requests, delays]
