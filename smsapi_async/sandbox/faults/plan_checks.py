"""Finds what is wrong in the JSON document of a fault plan, and says what is allowed."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from smsapi_async.sandbox.faults.kinds import Fault, is_resource_path

# A check gets a value and the place of the value in the document, and returns what is wrong.
_Check: TypeAlias = Callable[[Any, str], list[str]]

_GREATEST = sys.float_info.max
_LONGEST_SHOWN = 60


def plan_problems(document: object) -> list[str]:
    """Return what is wrong in the JSON document of a fault plan, one sentence for each invalid value."""
    return _check_object(document, "plan", _PLAN_CHECKS)


def _check_object(value: object, place: str, checks: Mapping[str, _Check]) -> list[str]:
    if not isinstance(value, Mapping):
        return [f"{place} must be an object with the keys {', '.join(checks)}"]
    problems = []
    for key, each in value.items():
        check = checks.get(key)
        if check is None:
            problems.append(f"{place} has the unknown key {_shown(key)}; the keys are: {', '.join(checks)}")
        else:
            problems += check(each, f"{place}.{key}")
    return problems


def _check_rule(value: object, place: str) -> list[str]:
    if isinstance(value, Mapping) and "fault" not in value:
        return [f"{place}.fault is missing; {_kinds()}", *_check_object(value, place, _RULE_CHECKS)]
    return _check_object(value, place, _RULE_CHECKS)


def _check_fault(value: object, place: str) -> list[str]:
    is_kind = isinstance(value, str) and value in set(Fault)
    return [] if is_kind else [f"{place} is {_shown(value)}, which is no kind of fault; {_kinds()}"]


def _list_of(check: _Check) -> _Check:
    def check_list(value: object, place: str) -> list[str]:
        if isinstance(value, str) or not isinstance(value, Sequence):
            return [f"{place} must be a list"]
        return [problem for index, each in enumerate(value) for problem in check(each, f"{place}[{index}]")]

    return check_list


def _check_weights(value: object, place: str) -> list[str]:
    if not isinstance(value, Mapping):
        return [f"{place} must be an object that maps kinds of fault to numbers; {_kinds()}"]
    problems = [problem for kind in value for problem in _check_fault(kind, f"a key of {place}")]
    for kind, weight in value.items():
        problems += _number(0, math.inf)(weight, f"{place}[{_shown(kind)}]")
    if value and not problems and not 0 < sum(map(float, value.values())) < math.inf:
        problems.append(f"the sum of {place} must be finite and greater than 0")
    return problems


def _check_resource(value: object, place: str) -> list[str]:
    if value is None or (isinstance(value, str) and is_resource_path(value)):
        return []
    return [f"{place} must be a path like 'Sms/Send', in printable ASCII and without a query, or null"]


def _number(least: float, most: float, *, whole: bool = False, nullable: bool = False) -> _Check:
    def check_number(value: object, place: str) -> list[str]:
        if value is None and nullable:
            return []
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            is_whole = isinstance(value, int) or (math.isfinite(value) and value % 1 == 0)
            is_finite = whole if isinstance(value, int) and abs(value) > _GREATEST else math.isfinite(value)
            if is_finite and least <= value <= most and (is_whole or not whole):
                return []
        sort = "an integer" if whole else "a finite number"
        limits = f" from {least} to {most}" if math.isfinite(most) else ""
        limits = limits or (f" of at least {least}" if math.isfinite(least) else "")
        return [f"{place} must be {sort}{limits}{' or null' if nullable else ''}"]

    return check_number


def _kinds() -> str:
    return f"the kinds are: {', '.join(Fault)}"


def _shown(value: object) -> str:
    text = ascii(value.value if isinstance(value, Fault) else value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


_RULE_CHECKS: Mapping[str, _Check] = {
    "fault": _check_fault,
    "resource": _check_resource,
    "times": _number(0, math.inf, whole=True, nullable=True),
    "probability": _number(0, 1),
    "after": _number(0, math.inf, whole=True),
    "retry_after": _number(0, math.inf),
}
_PLAN_CHECKS: Mapping[str, _Check] = {
    "faults": _list_of(_check_fault),
    "rules": _list_of(_check_rule),
    "weights": _check_weights,
    "resource": _check_resource,
    "seed": _number(-math.inf, math.inf, whole=True),
    "retry_after": _number(0, math.inf),
}
