"""When a segment is asked about: dense at first, then stretching with the message's age."""

import random
from datetime import timedelta
from typing import Any

import attrs

from smsapi_async.errors import ValidationError

DEADLINE = timedelta(hours=48, minutes=10)
"""The gateway remembers a message for 48 hours (contract, state 255); a little more meets the end of that."""


def _number(instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        hint = "pass a number that is not negative"
        raise ValidationError(f"{type(instance).__name__}.{attribute.name}", repr(value), hint)


@attrs.frozen(kw_only=True)
class Schedule:
    """How long to wait before a segment is asked about again.

    The wait is `factor` times the message's age, never below `first` nor above `maximum`, so the number of
    requests grows with the logarithm of the age. The age counts from ``accepted_at``, from ``send_date``
    where that is later, and anew for segments that lag behind the first final one of their message.

    A subclass may replace `wait`.

    Attributes:
        first: seconds before the first request, and the shortest wait.
        factor: the wait as a part of the age.
        maximum: the longest wait, in seconds.
        jitter: by which part a wait is shortened or lengthened at random, below 1.

    Raises:
        ValidationError: a value is negative, no number, or out of order.
    """

    first: float = attrs.field(default=5.0, validator=_number)
    factor: float = attrs.field(default=0.7, validator=_number)
    maximum: float = attrs.field(default=1800.0, validator=_number)
    jitter: float = attrs.field(default=0.1, validator=_number)

    def __attrs_post_init__(self) -> None:
        if not self.first:
            raise ValidationError("Schedule.first", repr(self.first), "pass a positive number of seconds")
        if self.maximum < self.first:
            raise ValidationError("Schedule.maximum", repr(self.maximum), "pass at least `first`")
        if self.jitter >= 1:
            raise ValidationError("Schedule.jitter", repr(self.jitter), "pass a number below 1")

    def wait(self, age: float, chance: random.Random) -> float:
        """Seconds before the next request about a segment, at an age in seconds."""
        wait = min(max(self.first, age * self.factor), self.maximum)
        return wait * chance.uniform(1 - self.jitter, 1 + self.jitter)
