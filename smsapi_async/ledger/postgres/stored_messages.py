"""Conversion of messages to rows of the PostgreSQL ledger, and of rows to messages and outcomes."""

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from smsapi_async.ledger.delivery_rows import delivery_in
from smsapi_async.ledger.keys import (
    content_digest,
    derived_key,
    digest,
    parts_of,
    stored_content,
)
from smsapi_async.ledger.postgres import postgres_statements as sql
from smsapi_async.ledger.records import MessageState, Record, UnknownMessage
from smsapi_async.ledger.requests import ANOTHER_MESSAGE, ENDED, RequestAnswer
from smsapi_async.ledger.stored_answers import StoredAnswer, content_value, ids_in
from smsapi_async.models import CONTENT_FIELDS, Message, Receipt
from smsapi_async.outcomes import Accepted, Outcome, Rejected
from smsapi_async.postgres.transactions import Row, Transaction
from smsapi_async.protocol.addresses import checked_destination_address
from smsapi_async.tracking import Delivery

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A number has at most 15 digits, and a digest of a number has 22 characters.
_LONGEST_NUMBER = 15
_CONTENT_NAMES = [field.name for field in CONTENT_FIELDS]
# A text in Russian would need three times the space with escape sequences. The character NUL is always
# escaped. A lone surrogate cannot be stored.
_encode_content = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@attrs.frozen
class LedgerAccount:
    """The account of an open ledger.

    Attributes:
        id: the id of the account in the tables.
        redacted: whether the tables contain digests in place of the numbers and texts of this account.
    """

    id: int
    redacted: bool


LedgerWork = Callable[..., Awaitable[Any]]
"""The type of a method of a ledger that runs a function in a transaction.

The method takes a function of a `Transaction` and a `LedgerAccount`, and returns the result of the function.
"""


@attrs.define(eq=False)
class SoughtMessage:
    """One message of a call, with what identifies it in the tables.

    Attributes:
        given: the key that the caller passed.
        key: the key in its stored form: a redacted ledger has a digest in place of the number.
        message: the message; None for a look-up by the key alone.
        digest: the digest of the content; "" for a look-up by a key of the caller alone.
        number: the number in its stored form; "" for a look-up by a key of the caller alone.
        is_derived: whether the key is a derived key.
        row: the row of the recorded message with this key, or None.
    """

    given: str
    key: str
    message: Message | None
    digest: str
    number: str
    is_derived: bool
    row: Row | None = None

    @property
    def is_another(self) -> bool:
        """Whether the recorded message with this key is a different message. A key alone is not compared."""
        if self.row is None or self.message is None:
            return False
        return (self.row["number"], self.row["digest"]) != (self.number, self.digest)

    @property
    def refusal(self) -> Rejected:
        """The outcome of the message if the recorded message with this key is a different message."""
        assert self.message is not None  # noqa: S101 - a key alone is not compared
        return Rejected(message=self.message, reason=ANOTHER_MESSAGE, key=self.given)


def sought(key: str, message: Message | None, *, redacted: bool) -> SoughtMessage:
    """Return what identifies a message in the tables.

    Raises:
        ValidationError: if a field of the message has a wrong type, or the number is invalid.
    """
    parts = parts_of(key)
    if parts is None:
        if message is None:
            return SoughtMessage(key, key, None, "", "", is_derived=False)
        number = _stored_number(checked_destination_address(message.destination_address), redacted)
        return SoughtMessage(key, key, message, content_digest(message), number, is_derived=False)
    number = _stored_number(parts[1], redacted)
    stored = derived_key(parts[0], number) if redacted else key
    return SoughtMessage(key, stored, message, parts[0], number, is_derived=True)


def _stored_number(number: str, redacted: bool) -> str:
    return digest(number) if redacted and len(number) <= _LONGEST_NUMBER else number


def find(transaction: Transaction, account: LedgerAccount, wanted: Sequence[SoughtMessage]) -> None:
    """Look up messages by their keys, and set their rows."""
    keys = list(dict.fromkeys([each.key for each in wanted]))
    rows = {row["key"]: row for row in transaction.rows(sql.FIND, account.id, keys)} if keys else {}
    for each in wanted:
        each.row = rows.get(each.key)


def stored_content_of(message: Message, *, redacted: bool) -> str:
    """Return the content of a message as JSON text, with a digest of the text if redacted.

    The JSON text has no null: a field that is missing is None.

    Raises:
        ValidationError: if a field has a wrong type.
    """
    text, *others = stored_content(message)
    values = [digest(str(text)) if redacted else text, *others]
    named = zip(_CONTENT_NAMES, values, strict=True)
    return _encode_content({name: value for name, value in named if value is not None})


def content_fields(content: str) -> dict[str, Any]:
    """Return the fields of a content from JSON text.

    A role that may only enqueue messages can store any JSON. If the JSON is no content, the message has no
    text, so that a worker refuses this message and continues with the others.
    """
    try:
        values = json.loads(content)
        fields = {field.name: content_value(field, values.get(field.name)) for field in CONTENT_FIELDS}
        # The fields of a message must be hashable.
        hash(tuple(fields.values()))
    except (AttributeError, TypeError, ValueError, RecursionError):
        return {field.name: content_value(field, None) for field in CONTENT_FIELDS}
    return fields


def utc(moment: datetime | None) -> datetime | None:
    """Return a time of the server in UTC."""
    return None if moment is None else moment.astimezone(UTC)


def answers_of(transaction: Transaction, rows: Iterable[Row]) -> dict[int, StoredAnswer]:
    """Return the answers to the requests of messages by the ids of the requests.

    A request in flight has an answer here, too, which says that its outcome is unknown.
    """
    ids = sorted({row["request_id"] for row in rows} - {None})
    found = transaction.rows(sql.ANSWERS, ids) if ids else []
    return {row["id"]: _answer(row) for row in found}


def _answer(row: Row) -> StoredAnswer:
    is_in_flight = row["state"] == "sending"
    texts, redacted = ids_in(row["segment_ids"] or "[]")
    answer = RequestAnswer(
        state="unknown" if is_in_flight else row["state"],
        at=utc(row["answered_at"]) or _EPOCH,
        segment_ids=texts,
        reason=ENDED if is_in_flight else row["reason"] or "",
        code=row["code"],
    )
    return StoredAnswer(answer, redacted)


class StoredContents:
    """The contents of messages, which are read once for all messages.

    Args:
        transaction: an open transaction.
        rows: the rows of the messages.
    """

    def __init__(self, transaction: Transaction, rows: Sequence[Row]) -> None:
        ids = sorted({row["content_id"] for row in rows} - {None})
        found = transaction.rows(sql.CONTENTS, ids) if ids else []
        self._contents = {row["id"]: content_fields(row["content"]) for row in found}

    def fields(self, row: Row) -> dict[str, Any]:
        """Return the fields of the content of a message."""
        id_ = row["content_id"]
        # A message that was enqueued alone has its content in its own row.
        return content_fields(row["content"]) if id_ is None else self._contents[id_]


class StoredDetails:
    """The contents and answers of the messages of a page, which are read once for all messages.

    Args:
        transaction: an open transaction.
        rows: the rows of the messages.
        account: the account of the ledger.
    """

    def __init__(self, transaction: Transaction, rows: Sequence[Row], account: LedgerAccount) -> None:
        self._redacted = account.redacted
        self._contents = StoredContents(transaction, rows)
        self._answers = answers_of(transaction, rows)

    def message(self, row: Row) -> Message:
        """Return a message with its key. In a redacted ledger, number and text are empty."""
        fields = self._contents.fields(row)
        if self._redacted:
            return Message("", **{**fields, "text": ""}, key=row["key"])
        return Message(row["number"], **fields, key=row["key"])

    def outcome(self, row: Row, number: str = "") -> Outcome:
        """Return the outcome of a message.

        Args:
            row: the row of the message.
            number: the destination address, if the caller has passed the message.
        """
        message, stored = self.message(row), self._answers[row["request_id"]]
        return stored.outcome_of(row["place"], row["size"], message, message.key, number)

    def receipt(self, row: Row, number: str = "") -> Receipt:
        """Return the receipt of an accepted message."""
        outcome = self.outcome(row, number)
        assert isinstance(outcome, Accepted)  # noqa: S101 - the type checker needs this line
        return outcome.receipt

    def delivery(self, row: Row, delivery: Row | None, number: str = "") -> Delivery | None:
        """Return the delivery of a message.

        Args:
            row: the row of the message.
            delivery: the row with the columns of the delivery; None means that there is no delivery.
            number: the same as for `outcome`.
        """
        if delivery is None or delivery["phase"] is None:
            return None
        updated_at = utc(delivery["updated_at"]) or _EPOCH
        return delivery_in(self.receipt(row, number), delivery, updated_at)

    def unknown(self, row: Row) -> UnknownMessage:
        """Return an unknown message with what the vendor needs to find it."""
        message, answer = self.message(row), self._answers[row["request_id"]].answer
        return UnknownMessage(
            message=message,
            key=row["key"],
            request=row["request_id"],
            sent_at=utc(row["sent_at"]) or _EPOCH,
            reason=answer.reason,
            code=answer.code,
            segment_ids=answer.segment_ids,
        )

    def record(self, row: Row, delivery: Row | None, number: str = "") -> Record:
        """Return all that is known about a message; the parameters are those of `delivery`."""
        state: MessageState = row["state"]
        return Record(
            message=self.message(row),
            key=row["key"],
            state=state,
            sent_at=utc(row["sent_at"]),
            outcome=None if state in {"pending", "sending"} else self.outcome(row, number),
            delivery=self.delivery(row, delivery, number),
        )
