"""A plan at work: which fault the next request gets."""

import hashlib
from collections import Counter
from itertools import accumulate

import attrs

from smsapi_async.sandbox.faults.kinds import Fault
from smsapi_async.sandbox.faults.plan import FaultPlan, Rule


@attrs.frozen
class Decision:
    """A fault and, for 429, the seconds of its `Retry-After`."""

    fault: Fault
    retry_after: float = 0.0


@attrs.define
class _Tally:
    seen: int = 0
    struck: int = 0


@attrs.define
class Decider:
    """Counts requests and decides by `plan`; for one thread."""

    plan: FaultPlan
    _scripted: int = attrs.field(default=0, init=False)
    _requests: Counter[str] = attrs.field(factory=Counter, init=False)
    _tallies: list[_Tally] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._tallies = [_Tally() for _ in self.plan.rules]

    def peek(self, resource: str) -> Fault:
        """The fault `take` would give now."""
        return self._choose(resource)[0].fault

    def peek_connection(self) -> Fault:
        """The fault a new connection gets whatever it will ask for; `PASS` if that cannot be told yet."""
        if self._scripted < len(self.plan.faults):
            return self.plan.faults[self._scripted] if self.plan.resource is None else Fault.PASS
        for rule, tally in zip(self.plan.rules, self._tallies, strict=True):
            if _is_active(rule, tally):
                is_certain = rule.resource is None and rule.probability == 1.0
                return rule.fault if is_certain else Fault.PASS
        return Fault.PASS

    def take(self, resource: str | None) -> Decision:
        """Decide for the next request of `resource` and count it; `None` is a connection without one yet."""
        decision, rule = self._choose(resource)
        if self.plan.matches(resource):
            self._scripted += 1
        self._requests[_key(resource)] += 1
        for index, tally in enumerate(self._tallies):
            tally.seen += self.plan.rules[index].matches(resource)
            tally.struck += index == rule
        return decision

    def _choose(self, resource: str | None) -> tuple[Decision, int | None]:
        plan = self.plan
        if plan.matches(resource) and self._scripted < len(plan.faults):
            return Decision(plan.faults[self._scripted], plan.retry_after), None
        for index, (rule, tally) in enumerate(zip(plan.rules, self._tallies, strict=True)):
            if rule.matches(resource) and _is_active(rule, tally):  # noqa: SIM102 - the draw is the second question
                if self._draw(f"rule {index}", resource) < rule.probability:
                    return Decision(rule.fault, rule.retry_after), index
        if plan.weights and plan.matches(resource):
            return Decision(self._weighted(resource), plan.retry_after), None
        return Decision(Fault.PASS), None

    def _weighted(self, resource: str | None) -> Fault:
        limits = list(accumulate(self.plan.weights.values()))
        point = self._draw("weights", resource) * limits[-1]
        return next(fault for fault, limit in zip(self.plan.weights, limits, strict=True) if point < limit)

    # A digest rather than `random`: the same draw on every Python version, whatever was drawn before.
    def _draw(self, purpose: str, resource: str | None) -> float:
        key = _key(resource)
        text = f"{self.plan.seed}\n{purpose}\n{key}\n{self._requests[key]}"
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
        return (int.from_bytes(digest[:8]) >> 11) / (1 << 53)


def _key(resource: str | None) -> str:
    return "" if resource is None else resource.lower()


def _is_active(rule: Rule, tally: _Tally) -> bool:
    return tally.seen >= rule.after and (rule.times is None or tally.struck < rule.times)
