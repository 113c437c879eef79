"""Conversion of messages and outcomes to table rows, and of table rows to messages and outcomes."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, get_args

import attrs
from sqlalchemy import RowMapping

from smsapi_async.ledger.keys import Stored, stored_content
from smsapi_async.models import CONTENT_FIELDS, Message
from smsapi_async.outcomes import Accepted, Outcome, Rejected, Unknown

ContentRow = tuple[Stored, ...]
AnswerRow = tuple[str | None, str | None, int | None, str | None]

# The JSON contains only ASCII, so that a lone surrogate in a segment id is stored as an escape sequence.
# SQLite cannot store the lone surrogate itself.
_encode = json.JSONEncoder(separators=(",", ":")).encode


@attrs.frozen
class RecordedAnswer:
    """The part of an outcome that all messages of one request share."""

    accepted_at: datetime | None
    reason: str
    code: int | None
    unattributed_ids: tuple[str, ...] | None


def content_row(message: Message, redacted: bool) -> ContentRow:
    """Return the row of a message for the table ``contents``.

    Args:
        message: the message.
        redacted: whether the row contains a SHA-256 hash instead of the text.

    Raises:
        ValidationError: if a field has a wrong type.
    """
    text, *others = stored_content(message)
    return (_hashed(str(text)) if redacted else text, *others)


def number_column(message: Message, redacted: bool) -> str:
    """Return the destination address of a message, or the hash of the destination address."""
    number = message.destination_address
    return _hashed(number.removeprefix("+")) if redacted else number


def is_same(message: Message, row: RowMapping, content: RowMapping, redacted: bool) -> bool:
    """Return whether a message is equal to a recorded message in all fields that are sent.

    Args:
        message: the message.
        row: the row of the recorded message in the table ``messages``.
        content: the row of the table ``contents`` with the content of the recorded message.
        redacted: whether the rows contain hashes instead of destination addresses and texts.
    """
    try:
        number = number_column(message, redacted).removeprefix("+")
        given = content_row(message, redacted)
    except UnicodeEncodeError:
        # A text with a lone surrogate cannot be hashed, so a redacted ledger cannot contain this message.
        return False
    columns = tuple(content[field.name] for field in CONTENT_FIELDS)
    return number == row["destination_address"].removeprefix("+") and given == columns


def _hashed(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def state_of(outcome: Outcome) -> str:
    """Return the column ``state`` for an outcome: the name of the outcome's class in lower case."""
    return type(outcome).__name__.lower()


def answer_row(outcome: Outcome) -> AnswerRow:
    """Return the row of an outcome for the table ``answers``. Messages of one request can share the row."""
    if not isinstance(outcome, Accepted):
        return None, outcome.reason.encode("utf-8", "backslashreplace").decode(), outcome.code, None
    shared = _encode(outcome.segment_ids) if outcome.unattributed else None
    return _stored_moment(outcome.accepted_at), None, None, shared


@lru_cache(maxsize=64)
def _stored_moment(moment: datetime) -> str:
    # The messages of one request have the same acceptance time, so the cache already contains the result of
    # most conversions.
    return moment.astimezone(UTC).isoformat()


def segment_ids_column(outcome: Outcome) -> str | None:
    """Return the column ``segment_ids`` for an outcome: the segment ids of one message as JSON text.

    The column is None if the message was not accepted. The column is also None if only the segment ids of the
    whole request are known, but not those of each message.
    """
    if not isinstance(outcome, Accepted) or outcome.unattributed:
        return None
    return encoded_ids(outcome.segment_ids)


def encoded_ids(segment_ids: Sequence[str]) -> str:
    """Return segment ids as JSON text."""
    if len(segment_ids) == 1:
        (only,) = segment_ids
        # A segment id of ASCII letters, digits and hyphens needs no escape. The f-string returns the same
        # text as the JSON encoder, but several times as fast.
        if only.isascii() and only.replace("-", "").isalnum():
            return f'["{only}"]'
    return _encode(segment_ids)


def _decoded_ids(column: str | None) -> tuple[str, ...]:
    return tuple(json.loads(column)) if column is not None else ()


def answer_of(row: RowMapping) -> RecordedAnswer:
    """Decode a row of the table ``answers``: the part of an outcome that the messages of a request share."""
    shared = row["unattributed_ids"]
    return RecordedAnswer(
        accepted_at=date_of(row["accepted_at"]),
        reason=row["reason"] or "",
        code=row["code"],
        unattributed_ids=None if shared is None else _decoded_ids(shared),
    )


def message_of(key: str, number: str, content: RowMapping, redacted: bool) -> Message:
    """Return a message from its stored values.

    In a redacted ledger, the destination address and the text are empty, because only their hashes are
    stored.

    Args:
        key: the key of the message in the ledger.
        number: the column ``destination_address``.
        content: the row of the table ``contents`` with the content of the message.
        redacted: whether the ledger stores hashes instead of destination addresses and texts.
    """
    values = {field.name: _content_value(field, content[field.name]) for field in CONTENT_FIELDS}
    if redacted:
        number = values["text"] = ""
    return Message(number, **values, key=key)


def _content_value(field: "attrs.Attribute[Any]", column: Any) -> Any:  # noqa: ANN401 - a field can have any type
    if isinstance(field.default, bool):
        return bool(column)
    is_date = field.type is not None and datetime in get_args(field.type)
    return date_of(column) if is_date else column


def outcome_of(
    state: str, key: str, message: Message, answer: RecordedAnswer, segment_ids: str | None
) -> Outcome:
    """Return the recorded outcome of a message.

    Args:
        state: the column ``state``: accepted, rejected or unknown.
        key: the key of the message in the ledger.
        message: the message that the outcome belongs to.
        answer: the part of the outcome that the messages of one request share.
        segment_ids: the column ``segment_ids``; None if the ledger does not know which segment ids belong to
            the message.
    """
    if state == "accepted":
        assert answer.accepted_at is not None  # noqa: S101 - the type checker needs this line
        shared = answer.unattributed_ids
        return Accepted(
            message=message,
            segment_ids=_decoded_ids(segment_ids) if shared is None else shared,
            accepted_at=answer.accepted_at,
            unattributed=shared is not None,
            key=key,
            recorded=True,
        )
    kind = Rejected if state == "rejected" else Unknown
    return kind(message=message, reason=answer.reason, code=answer.code, key=key, recorded=True)


def date_of(column: str | None) -> datetime | None:
    """Return the datetime that a ledger stores as ISO 8601 text; None if nothing is stored."""
    return None if column is None else datetime.fromisoformat(column)
