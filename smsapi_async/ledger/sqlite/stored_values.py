"""Conversion of messages and answers to table rows, and of table rows to messages and outcomes."""

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from smsapi_async.ledger.keys import derived_key, digest, stored_content
from smsapi_async.ledger.redacted_ids import StoredId
from smsapi_async.ledger.requests import ENDED, RequestAnswer
from smsapi_async.ledger.sqlite import statements
from smsapi_async.ledger.sqlite.statements import Row
from smsapi_async.ledger.stored_answers import (
    StoredAnswer,
    content_value,
    encoded,
    ids_column,
    ids_in,
    reason_column,
)
from smsapi_async.models import CONTENT_FIELDS, Message

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# A number has at most 15 digits, and a digest of a number has 22 characters.
_LONGEST_NUMBER = 15


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


def answer_row(request: int, answer: RequestAnswer, redacted: Sequence[StoredId] | None = None) -> Row:
    """Return the row of an answer for the statement that settles requests.

    Args:
        request: the number of the request.
        answer: the answer.
        redacted: the segment ids as a redacted ledger stores them; None if the ledger is not redacted.
    """
    ids, reason = ids_column(answer, redacted), reason_column(answer.reason)
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
        fields = {field.name: content_value(field, row[field.name]) for field in CONTENT_FIELDS}
        contents[row["id"]] = Content(row["digest"], {**fields, "text": ""} if redacted else fields)
    return contents


def answers_of(connection: sqlite3.Connection, rows: Iterable[sqlite3.Row]) -> dict[int, StoredAnswer]:
    """Return the answers to the requests of messages by the numbers of the requests.

    A request in flight has an answer here, too, which says that its outcome is unknown.
    """
    requests = sorted({row["request"] for row in rows})
    answers = {}
    for row in connection.execute(statements.ANSWERS, (encoded(requests),)):
        is_in_flight = row["state"] == "sending"
        texts, redacted = ids_in(row["segment_ids"] or "[]")
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


def stored_time(moment: datetime) -> int:
    """Return a time as the number of microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def time_in(column: int | None) -> datetime | None:
    """Return the time that `stored_time` converted; aware, in UTC."""
    return None if column is None else _EPOCH + column * _MICROSECOND
