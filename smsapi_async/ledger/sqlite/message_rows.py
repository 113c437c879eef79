"""Messages and outcomes as they are kept in the tables, and back."""

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

# ASCII only: a gateway may answer with half a surrogate pair, which SQLite cannot store.
_encode = json.JSONEncoder(separators=(",", ":")).encode


@attrs.frozen
class RecordedAnswer:
    """What the messages of one request share of their outcome."""

    accepted_at: datetime | None
    reason: str
    code: int | None
    unattributed_ids: tuple[str, ...] | None


def content_row(message: Message, redacted: bool) -> ContentRow:
    """The content of a message as the columns of ``contents`` hold it; the text as a hash where `redacted`.

    Raises:
        ValidationError: a value is not of the type of its field.
    """
    text, *others = stored_content(message)
    return (_hashed(str(text)) if redacted else text, *others)


def number_column(message: Message, redacted: bool) -> str:
    """The number of a message, or its hash."""
    number = message.destination_address
    return _hashed(number.removeprefix("+")) if redacted else number


def is_same(message: Message, row: RowMapping, content: RowMapping, redacted: bool) -> bool:
    """Whether a message is the one of a row, in all that is sent."""
    try:
        number = number_column(message, redacted).removeprefix("+")
        given = content_row(message, redacted)
    except UnicodeEncodeError:
        # Only a message that cannot be hashed, and so is in no redacted ledger.
        return False
    columns = tuple(content[field.name] for field in CONTENT_FIELDS)
    return number == row["destination_address"].removeprefix("+") and given == columns


def _hashed(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def state_of(outcome: Outcome) -> str:
    """The state of a message with that outcome."""
    return type(outcome).__name__.lower()


def answer_row(outcome: Outcome) -> AnswerRow:
    """What an outcome shares with others of its request."""
    if not isinstance(outcome, Accepted):
        return None, outcome.reason.encode("utf-8", "backslashreplace").decode(), outcome.code, None
    shared = _encode(outcome.segment_ids) if outcome.unattributed else None
    return _stored_moment(outcome.accepted_at), None, None, shared


@lru_cache(maxsize=64)
def _stored_moment(moment: datetime) -> str:
    # The messages of one request share it.
    return moment.astimezone(UTC).isoformat()


def segment_ids_column(outcome: Outcome) -> str | None:
    """The ids of one message; None where it has none of its own."""
    if not isinstance(outcome, Accepted) or outcome.unattributed:
        return None
    return encoded_ids(outcome.segment_ids)


def encoded_ids(segment_ids: Sequence[str]) -> str:
    """Ids as they are kept."""
    if len(segment_ids) == 1:
        (only,) = segment_ids
        # Nothing to escape in it: several times as fast as the encoder, and the same characters.
        if only.isascii() and only.replace("-", "").isalnum():
            return f'["{only}"]'
    return _encode(segment_ids)


def _decoded_ids(column: str | None) -> tuple[str, ...]:
    return tuple(json.loads(column)) if column is not None else ()


def answer_of(row: RowMapping) -> RecordedAnswer:
    """An answer, from its row."""
    shared = row["unattributed_ids"]
    return RecordedAnswer(
        accepted_at=_date_of(row["accepted_at"]),
        reason=row["reason"] or "",
        code=row["code"],
        unattributed_ids=None if shared is None else _decoded_ids(shared),
    )


def message_of(key: str, number: str, content: RowMapping, redacted: bool) -> Message:
    """A message, from its row; without number and text where only their hashes are kept."""
    values = {field.name: _content_value(field, content[field.name]) for field in CONTENT_FIELDS}
    if redacted:
        number = values["text"] = ""
    return Message(number, **values, key=key)


def _content_value(field: "attrs.Attribute[Any]", column: Any) -> Any:  # noqa: ANN401 - of any field
    if isinstance(field.default, bool):
        return bool(column)
    is_date = field.type is not None and datetime in get_args(field.type)
    return _date_of(column) if is_date else column


def outcome_of(
    state: str, key: str, message: Message, answer: RecordedAnswer, segment_ids: str | None
) -> Outcome:
    """What the ledger knows of a message that has an outcome."""
    if state == "accepted":
        assert answer.accepted_at is not None  # noqa: S101 - for the type checker
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


def _date_of(column: str | None) -> datetime | None:
    return None if column is None else datetime.fromisoformat(column)
