"""The position of an `Inbox`: the data that a later run needs to continue."""

import json
from datetime import datetime
from typing import Any, Self

import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.inbox.handled import Pair, Snapshot, encoded
from smsapi_async.privacy import steady_repr
from smsapi_async.protocol.dates import aware


def checked_ids(value: object) -> tuple[tuple[str, datetime], ...]:
    """Check the pairs of a message id and a date for `Position.ids`, and convert the dates to UTC.

    Args:
        value: a tuple or list of pairs of a message id and an aware date. Each pair may be a tuple or a list.

    Raises:
        ValidationError: if the value is not a tuple or list of such pairs, or a date is naive.
    """
    hint = "pass pairs of an id and an aware datetime"
    if not isinstance(value, tuple | list):
        raise ValidationError("Position.ids", f"<{type(value).__name__}>", hint)
    pairs = []
    for pair in value:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise ValidationError("Position.ids", f"an item of the type <{type(pair).__name__}>", hint)
        pairs.append((pair[0], aware("Position.ids", pair[1])))
    return tuple(pairs)


def _until(value: object) -> datetime:
    return aware("Position.until", value)


def _since(value: object) -> datetime | None:
    return None if value is None else aware("Position.since", value)


@steady_repr
@attrs.frozen(eq=False, repr=False)
class Position:
    """The position of an `Inbox`: the data that a later run needs to continue.

    An `Inbox` creates positions and passes them to its `Checkpoint`. All dates of a position are aware. The
    constructor converts `until` and `since` to UTC.

    Attributes:
        until: the time up to which all incoming messages were handled. A message with an earlier creation
            date may not be handled yet, if the gateway stores it after `until`.
        ids: the message id and a date for each handled message that a later response may contain again. The
            date is the creation date of the message or, without a usable creation date, the end of the
            requested period. Each access builds the tuple.
        since: the earliest start of the period of the next request. Even with a longer overlap, a later run
            requests no messages before `since`, because the ids of older messages are no longer stored. None
            means that only the overlap limits the period.
        confirmed: whether a response of the gateway has shown that `until` is not in the future. If
            `confirmed` is false and `until` is after the time of the gateway, a later run begins earlier.

    Raises:
        ValidationError: if `until` or `since` is naive or not a `datetime`.
    """

    until: datetime = attrs.field(converter=_until)
    _ids: tuple[Pair, ...] | Snapshot = attrs.field(default=(), alias="ids")
    since: datetime | None = attrs.field(default=None, converter=_since)
    confirmed: bool = False

    @property
    def ids(self) -> tuple[Pair, ...]:
        """The ids of the handled messages that a later response may contain again, each with a date."""
        return self._ids.pairs() if isinstance(self._ids, Snapshot) else self._ids

    def __repr__(self) -> str:
        return (
            f"Position(until={self.until!r}, ids=<{len(self.ids)} ids>,"
            f" since={self.since!r}, confirmed={self.confirmed!r})"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Position) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def to_json(self) -> str:
        """Return the position as one line of JSON text, for a file or a database."""
        since = None if self.since is None else self.since.isoformat()
        dates = json.dumps({"until": self.until.isoformat(), "since": since, "confirmed": self.confirmed})
        ids = self._ids.text() if isinstance(self._ids, Snapshot) else encoded(self._ids)
        return f'{dates[:-1]}, "ids": [{ids}]}}'

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the position from a text that `to_json` returned, also with an earlier version.

        Raises:
            ValidationError: if the text is not the JSON text of a position.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            since = fields["since"]
            return cls(
                datetime.fromisoformat(fields["until"]),
                checked_ids([(id_, datetime.fromisoformat(date)) for id_, date in fields["ids"]]),
                None if since is None else datetime.fromisoformat(since),
                fields.get("confirmed") is True,
            )
        except ValidationError:
            raise
        except (ValueError, TypeError, LookupError):
            raise ValidationError("text", "an invalid text", "pass the result of to_json()") from None

    def _values(self) -> tuple[object, ...]:
        return self.until, self.ids, self.since, self.confirmed


def snapshot_of(position: Position) -> Snapshot | None:
    """Return the snapshot that contains the ids of a position, or None if a caller created the position."""
    ids = position._ids  # noqa: SLF001 - the function belongs to the class
    return ids if isinstance(ids, Snapshot) else None
