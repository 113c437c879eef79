"""The stored form of answers and contents, which does not depend on a database."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol, get_args

import attrs

from smsapi_async.ledger.redacted_ids import RedactedId, StoredId, redacted_ids, text_of
from smsapi_async.ledger.requests import RequestAnswer
from smsapi_async.models import Message
from smsapi_async.outcomes import Outcome
from smsapi_async.protocol.addresses import checked_destination_address
from smsapi_async.protocol.attribution import share_size
from smsapi_async.tracking import Delivery

# The JSON contains only ASCII, so that a lone surrogate in a segment id is stored as an escape sequence. A
# database cannot store the lone surrogate itself.
encoded = json.JSONEncoder(separators=(",", ":")).encode
"""Returns a value as compact JSON text that contains only ASCII."""


class NamedColumns(Protocol):
    """A row of a database, which returns the value of a column by its name."""

    def __getitem__(self, name: str, /) -> Any:  # noqa: ANN401 - a column can have any type
        """Return the value of a column."""


def ids_column(answer: RequestAnswer, redacted: Sequence[StoredId] | None = None) -> str | None:
    """Return the segment ids of an answer as JSON text; None if there are no ids.

    Args:
        answer: the answer.
        redacted: the segment ids as a redacted ledger stores them; None if the ledger is not redacted.
    """
    if redacted:
        # A list of pieces in place of a text is an id without its numbers.
        return encoded([each.pieces if isinstance(each, RedactedId) else each for each in redacted])
    return _encoded_ids(answer.segment_ids) if answer.segment_ids else None


def _encoded_ids(segment_ids: tuple[str, ...]) -> str:
    # Ids of ASCII letters, digits and hyphens need no escape, and joining them is three times as fast.
    joined = "".join(segment_ids)
    is_plain = joined.isascii() and joined.replace("-", "").isalnum()
    return '["' + '","'.join(segment_ids) + '"]' if is_plain else encoded(segment_ids)


def ids_in(column: str) -> tuple[tuple[str, ...], tuple[StoredId, ...]]:
    """Return the texts of stored ids, and the stored ids if at least one of them contains a placeholder."""
    values = json.loads(column)
    # Most columns contain no second bracket, so that no value can be a list.
    if column.find("[", 1) < 0 or all(isinstance(each, str) for each in values):
        return tuple(values), ()
    ids = tuple([each if isinstance(each, str) else RedactedId(tuple(each)) for each in values])
    return tuple(map(text_of, ids)), ids


def reason_column(reason: str) -> str | None:
    """Return a reason with escape sequences in place of lone surrogates; None for an empty reason."""
    return reason.encode("utf-8", "backslashreplace").decode() or None


@attrs.frozen
class StoredAnswer:
    """An answer as a ledger has stored it.

    Attributes:
        answer: the answer. In a redacted ledger, its segment ids contain placeholders in place of numbers.
        redacted_ids: the stored segment ids, if at least one of them contains a placeholder.
    """

    answer: RequestAnswer
    redacted_ids: tuple[StoredId, ...] = ()

    def share(self, place: int, size: int) -> slice | None:
        """Return which segment ids of the request belong to a message; None if this is not known.

        Args:
            place: the place of the message in its request.
            size: the number of messages of the request.
        """
        if self.answer.state != "accepted":
            return None
        each = share_size(size, self.answer.segment_ids)
        return slice(place * each, (place + 1) * each) if each else None

    def outcome_of(
        self, place: int, size: int, message: Message, key: str | None, number: str = ""
    ) -> Outcome:
        """Return the recorded outcome of a message.

        Args:
            place: the place of the message in its request.
            size: the number of messages of the request.
            message: the message for the outcome.
            key: the key for the outcome.
            number: the destination address of the message, if it is known. In a redacted ledger, the number
                replaces its placeholders in the segment ids of the message. The ids of a whole request keep
                their placeholders, so that they are equal in all outcomes of the request.
        """
        part = self.share(place, size)
        ids = None if part is None else self.answer.segment_ids[part]
        if part is not None and number and self.redacted_ids:
            known = checked_destination_address(number)
            ids = tuple([text_of(each, known) for each in self.redacted_ids[part]])
        return self.answer.outcome(message, key, ids, recorded=True)

    def has_delivery(self, delivery: Delivery, place: int, size: int) -> bool:
        """Return whether a delivery belongs to a recorded message.

        An equal message that was sent without this ledger has the same key, but other segment ids.

        Args:
            delivery: the delivery.
            place: the place of the message in its request.
            size: the number of messages of the request.
        """
        given = delivery.receipt.segment_ids
        part = self.share(place, size)
        if part is None:
            return self.answer.state == "accepted" and self.answer.segment_ids == given == ()
        if self.answer.segment_ids[part] == given:
            return True
        ids = self.redacted_ids[part]
        digests: set[str] = set().union(*(each.digests for each in ids if isinstance(each, RedactedId)))
        return bool(digests) and redacted_ids(given, digests) == ids


def content_value(field: "attrs.Attribute[Any]", column: Any) -> Any:  # noqa: ANN401 - a field can have any type
    """Return the value of a field of `Message.content` from its stored form."""
    if isinstance(field.default, bool):
        return bool(column)
    is_date = field.type is not None and datetime in get_args(field.type)
    return date_of(column) if is_date else column


def date_of(column: str | None) -> datetime | None:
    """Return the datetime that a ledger stores as ISO 8601 text; None if nothing is stored."""
    return None if column is None else datetime.fromisoformat(column)
