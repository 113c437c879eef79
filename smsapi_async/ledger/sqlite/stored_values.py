"""Conversion of messages and answers to table rows, and of table rows to messages and outcomes."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import attrs

from smsapi_async.ledger.keys import derived_key, digest, stored_content
from smsapi_async.ledger.redacted_ids import RedactedId, StoredId, text_of
from smsapi_async.ledger.requests import ENDED, RequestAnswer
from smsapi_async.ledger.sqlite import statements
from smsapi_async.ledger.sqlite.statements import PLACES, Row
from smsapi_async.models import CONTENT_FIELDS, Message
from smsapi_async.outcomes import Outcome
from smsapi_async.protocol.addresses import checked_destination_address
from smsapi_async.protocol.attribution import share_size

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# A number has at most 15 digits, and a digest of a number has 22 characters.
_LONGEST_NUMBER = 15
# The JSON contains only ASCII, so that a lone surrogate in a segment id is stored as an escape sequence.
# SQLite cannot store the lone surrogate itself.
encoded = json.JSONEncoder(separators=(",", ":")).encode
"""Returns a value as compact JSON text that contains only ASCII."""


def stored_number(number: str, redacted: bool) -> int | str:
    """Return the column ``number``: the number as an integer, or in a redacted ledger its digest.

    Args:
        number: a number without ``+``, or the digest of a number.
        redacted: whether the ledger is redacted.
    """
    if len(number) > _LONGEST_NUMBER:
        return number
    return digest(number) if redacted else int(number)


def content_row(content_id: int, content_digest: str, message: Message, redacted: bool) -> Row:
    """Return the row of a message for the table ``contents``, with a digest of the text if redacted.

    Raises:
        ValidationError: if a field has a wrong type.
        UnicodeEncodeError: if a text contains a lone surrogate, which SQLite cannot store.
    """
    text, *others = stored_content(message)
    return (content_id, content_digest, digest(str(text)) if redacted else text, *others)


def _encoded_ids(segment_ids: tuple[str, ...]) -> str:
    # Ids of ASCII letters, digits and hyphens need no escape, and joining them is three times as fast.
    joined = "".join(segment_ids)
    is_plain = joined.isascii() and joined.replace("-", "").isalnum()
    return '["' + '","'.join(segment_ids) + '"]' if is_plain else encoded(segment_ids)


def _encoded_redacted_ids(segment_ids: Sequence[StoredId]) -> str:
    # A list of pieces in place of a text is an id without its numbers.
    return encoded([each.pieces if isinstance(each, RedactedId) else each for each in segment_ids])


def _ids_in(column: str) -> tuple[tuple[str, ...], tuple[StoredId, ...]]:
    """Return the texts of stored ids, and the stored ids if at least one of them contains a placeholder."""
    values = json.loads(column)
    # Most columns contain no second bracket, so that no value can be a list.
    if column.find("[", 1) < 0 or all(isinstance(each, str) for each in values):
        return tuple(values), ()
    ids = tuple([each if isinstance(each, str) else RedactedId(tuple(each)) for each in values])
    return tuple(map(text_of, ids)), ids


def answer_row(request: int, answer: RequestAnswer, redacted: Sequence[StoredId] | None = None) -> Row:
    """Return the row of an answer for the statement that settles requests.

    Args:
        request: the number of the request.
        answer: the answer.
        redacted: the segment ids as a redacted ledger stores them; None if the ledger is not redacted.
    """
    ids = _encoded_ids(answer.segment_ids) if answer.segment_ids else None
    if redacted:
        ids = _encoded_redacted_ids(redacted)
    reason = answer.reason.encode("utf-8", "backslashreplace").decode() or None
    count = len(answer.segment_ids)
    return request, answer.state, stored_time(answer.at), reason, answer.code, ids, count


@attrs.frozen
class Content:
    """The content of messages.

    Attributes:
        digest: the digest of the content.
        fields: the fields of a `Message`, without number and key.
    """

    digest: str
    fields: dict[str, Any]


def contents_of(
    connection: sqlite3.Connection, rows: Iterable[sqlite3.Row], redacted: bool
) -> dict[int, Content]:
    """Return the contents of messages by the ids of the contents. In a redacted ledger, texts are empty."""
    ids = sorted({row["content_id"] for row in rows})
    contents = {}
    for row in connection.execute(statements.CONTENTS, (encoded(ids),)):
        fields = {field.name: _content_value(field, row[field.name]) for field in CONTENT_FIELDS}
        contents[row["id"]] = Content(row["digest"], {**fields, "text": ""} if redacted else fields)
    return contents


@attrs.frozen
class StoredAnswer:
    """An answer as a ledger has stored it.

    Attributes:
        answer: the answer. In a redacted ledger, its segment ids contain placeholders in place of numbers.
        redacted_ids: the stored segment ids, if at least one of them contains a placeholder.
    """

    answer: RequestAnswer
    redacted_ids: tuple[StoredId, ...] = ()

    def share(self, row: sqlite3.Row) -> slice | None:
        """Return which segment ids of the request belong to a message; None if this is not known."""
        if self.answer.state != "accepted":
            return None
        each = share_size(row["size"], self.answer.segment_ids)
        place = row["id"] % PLACES
        return slice(place * each, (place + 1) * each) if each else None


def answers_of(connection: sqlite3.Connection, rows: Iterable[sqlite3.Row]) -> dict[int, StoredAnswer]:
    """Return the answers to the requests of messages by the numbers of the requests.

    A request in flight has an answer here, too, which says that its outcome is unknown.
    """
    requests = sorted({row["request"] for row in rows})
    answers = {}
    for row in connection.execute(statements.ANSWERS, (encoded(requests),)):
        is_in_flight = row["state"] == "sending"
        texts, redacted = _ids_in(row["segment_ids"] or "[]")
        answer = RequestAnswer(
            state="unknown" if is_in_flight else row["state"],
            at=time_in(row["answered_at"]) or _EPOCH,
            segment_ids=texts,
            reason=ENDED if is_in_flight else row["reason"] or "",
            code=row["code"],
        )
        answers[row["id"]] = StoredAnswer(answer, redacted)
    return answers


def key_in(row: sqlite3.Row, content: Content) -> str:
    """Return the key of a message from its row."""
    return row["key"] or derived_key(content.digest, str(row["number"]))


def message_in(row: sqlite3.Row, content: Content, redacted: bool) -> Message:
    """Return a message with its key from a row. In a redacted ledger, number and text are empty."""
    number = "" if redacted else str(row["number"])
    return Message(number, **content.fields, key=key_in(row, content))


def outcome_in(
    row: sqlite3.Row, stored: StoredAnswer, message: Message, key: str | None, number: str = ""
) -> Outcome:
    """Return the recorded outcome of a message.

    Args:
        row: the row of the message.
        stored: the answer to the request of the message.
        message: the message for the outcome.
        key: the key for the outcome.
        number: the destination address of the message, if it is known. In a redacted ledger, the number
            replaces its placeholders in the segment ids of the message. The ids of a whole request keep
            their placeholders, so that they are equal in all outcomes of the request.
    """
    place = stored.share(row)
    ids = None if place is None else stored.answer.segment_ids[place]
    if place is not None and number and stored.redacted_ids:
        known = checked_destination_address(number)
        ids = tuple([text_of(each, known) for each in stored.redacted_ids[place]])
    return stored.answer.outcome(message, key, ids, recorded=True)


def _content_value(field: "attrs.Attribute[Any]", column: Any) -> Any:  # noqa: ANN401 - a field can have any type
    if isinstance(field.default, bool):
        return bool(column)
    is_date = field.type is not None and datetime in get_args(field.type)
    return date_of(column) if is_date else column


def stored_time(moment: datetime) -> int:
    """Return a time as the number of microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def time_in(column: int | None) -> datetime | None:
    """Return the time that `stored_time` converted; aware, in UTC."""
    return None if column is None else _EPOCH + column * _MICROSECOND


def date_of(column: str | None) -> datetime | None:
    """Return the datetime that a ledger stores as ISO 8601 text; None if nothing is stored."""
    return None if column is None else datetime.fromisoformat(column)
