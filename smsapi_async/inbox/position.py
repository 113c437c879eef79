"""How far incoming messages were seen: what a restart needs to know."""

import json
from datetime import datetime
from typing import Any, Self

import attrs

from smsapi_async.errors import ValidationError
from smsapi_async.protocol.dates import aware


def checked_ids(value: object) -> tuple[tuple[str, datetime], ...]:
    """Pairs as `Position.ids` has them; lists will do.

    Raises:
        ValidationError: the value is something else.
    """
    hint = "pass pairs of an id and an aware datetime"
    if not isinstance(value, tuple | list):
        raise ValidationError("Position.ids", f"<{type(value).__name__}>", hint)
    pairs = []
    for pair in value:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise ValidationError("Position.ids", f"a <{type(pair).__name__}> in it", hint)
        pairs.append((pair[0], aware("Position.ids", pair[1])))
    return tuple(pairs)


def _until(value: object) -> datetime:
    return aware("Position.until", value)


def _since(value: object) -> datetime | None:
    return None if value is None else aware("Position.since", value)


@attrs.frozen
class Position:
    """How far incoming messages were seen.

    Attributes:
        until: everything that was created up to here, and had been filed when it was asked for, was
            seen; aware, UTC.
        ids: the messages that were seen and may be answered again: the id of each, and its creation date
            or, where it has none of use, the end of the period that was asked for.
        since: where the next request begins, so that a stream with a longer overlap does not reach back
            to messages whose ids were forgotten; None means as far back as the overlap goes.
    """

    until: datetime = attrs.field(converter=_until)
    ids: tuple[tuple[str, datetime], ...] = attrs.field(default=(), repr=lambda ids: f"<{len(ids)} ids>")
    since: datetime | None = attrs.field(default=None, converter=_since)

    def to_json(self) -> str:
        """The position as a line of text, to be kept in a file or a database."""
        return json.dumps(
            {
                "until": self.until.isoformat(),
                "since": None if self.since is None else self.since.isoformat(),
                "ids": [[id_, date.isoformat()] for id_, date in self.ids],
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` gave.

        Raises:
            ValidationError: the text is something else.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            since = fields["since"]
            return cls(
                datetime.fromisoformat(fields["until"]),
                checked_ids([(id_, datetime.fromisoformat(date)) for id_, date in fields["ids"]]),
                None if since is None else datetime.fromisoformat(since),
            )
        except ValidationError:
            raise
        except (ValueError, TypeError, LookupError):
            raise ValidationError("text", "what is not a position", "pass what to_json() gave") from None
