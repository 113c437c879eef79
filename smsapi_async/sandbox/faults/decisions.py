"""Chooses the fault of each request as the fault plan defines."""

import hashlib
from collections import Counter
from itertools import accumulate

import attrs

from smsapi_async.sandbox.faults.kinds import Fault
from smsapi_async.sandbox.faults.plan import FaultPlan, Rule


@attrs.frozen
class Decision:
    """The fault for one request.

    Attributes:
        fault: the kind of fault that the request gets.
        retry_after: the seconds in the `Retry-After` header field of a response with HTTP status 429.
    """

    fault: Fault
    retry_after: float = 0.0


# The counts of one rule: `seen` requests matched the rule, and `struck` requests got the fault of the rule.
@attrs.define
class _Tally:
    seen: int = 0
    struck: int = 0


@attrs.define
class Decider:
    """Counts the requests, and chooses the fault of each request as `plan` defines.

    A decider is not thread-safe.

    Attributes:
        plan: the fault plan that determines the faults.
    """

    plan: FaultPlan
    _scripted: int = attrs.field(default=0, init=False)
    _requests: Counter[str] = attrs.field(factory=Counter, init=False)
    _tallies: list[_Tally] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._tallies = [_Tally() for _ in self.plan.rules]

    def peek(self, resource: str) -> Fault:
        """Return the fault that `take` would choose now. `peek` does not count a request."""
        return self._choose(resource)[0].fault

    def peek_connection(self) -> Fault:
        """Return the fault of the next request if every resource gets the same fault.

        If the fault depends on the resource or on a random draw, return `Fault.PASS`. `peek_connection` does
        not count a request.
        """
        if self._scripted < len(self.plan.faults):
            return self.plan.faults[self._scripted] if self.plan.resource is None else Fault.PASS
        for rule, tally in zip(self.plan.rules, self._tallies, strict=True):
            if _is_active(rule, tally):
                is_certain = rule.resource is None and rule.probability == 1.0
                return rule.fault if is_certain else Fault.PASS
        return Fault.PASS

    def take(self, resource: str | None) -> Decision:
        """Choose the fault for a request of `resource` and count the request.

        Args:
            resource: the resource of the request; None means a new connection without a request.
        """
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
            if rule.matches(resource) and _is_active(rule, tally):  # noqa: SIM102 - the draw is a separate condition
                if self._draw(f"rule {index}", resource) < rule.probability:
                    return Decision(rule.fault, rule.retry_after), index
        if plan.weights and plan.matches(resource):
            return Decision(self._weighted(resource), plan.retry_after), None
        return Decision(Fault.PASS), None

    def _weighted(self, resource: str | None) -> Fault:
        limits = list(accumulate(self.plan.weights.values()))
        point = self._draw("weights", resource) * limits[-1]
        # The draw never chooses a kind of fault with weight 0, because its limit is the same as the limit of
        # the previous kind.
        return next(fault for fault, limit in zip(self.plan.weights, limits, strict=True) if point < limit)

    # Return a random number from 0 up to but not including 1. The number comes from a digest and not from
    # `random`, because the digest is the same on every Python version and does not depend on earlier draws.
    def _draw(self, purpose: str, resource: str | None) -> float:
        key = _key(resource)
        text = f"{self.plan.seed}\n{purpose}\n{key}\n{self._requests[key]}"
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
        # Use 53 bits of the digest, because a float has a precision of 53 bits.
        return (int.from_bytes(digest[:8]) >> 11) / (1 << 53)


def _key(resource: str | None) -> str:
    return "" if resource is None else resource.lower()


def _is_active(rule: Rule, tally: _Tally) -> bool:
    return tally.seen >= rule.after and (rule.times is None or tally.struck < rule.times)
