"""An observer that collects events, for the tests of the observers."""

from collections.abc import Iterator
from typing import TypeVar

import attrs

from smsapi_async.observers import Event, RequestBegun, RequestEnded

_Event = TypeVar("_Event")


class Collected:
    """An observer that collects all events.

    Attributes:
        events: the events, in the order of the calls.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[_Event], **fields: object) -> list[_Event]:
        """Return the events of a class whose fields have the given values."""
        return [
            event
            for event in self.events
            if isinstance(event, kind)
            and all(getattr(event, name) == value for name, value in fields.items())
        ]

    def ended(self, resource: str = "Sms/Send") -> list[tuple[int, str]]:
        """Return the attempt and the outcome of each request to a resource that has ended."""
        return [(each.attempt, each.outcome) for each in self.of(RequestEnded, resource=resource)]

    def pairs(self) -> Iterator[tuple[RequestBegun, RequestEnded]]:
        """Yield each request that has begun with its end. Fail if a request has not ended exactly once."""
        begun = {event.request: event for event in self.of(RequestBegun)}
        ended = {event.request: event for event in self.of(RequestEnded)}
        assert len(begun) == len(self.of(RequestBegun))
        assert len(ended) == len(self.of(RequestEnded))
        assert [*begun] == sorted(begun)
        assert {*begun} == {*ended}
        for request, first in begun.items():
            last = ended[request]
            assert self.events.index(first) < self.events.index(last)
            shared = attrs.asdict(first) | {"segments": last.segments}
            assert {name: getattr(last, name) for name in shared} == shared
            yield first, last
