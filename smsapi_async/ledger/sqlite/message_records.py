"""The states of the messages in a SQLite ledger. Each public method uses one transaction.

All functions of this module are synchronous and run in a worker thread.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from sqlalchemy import Connection, RowMapping, func, select, update
from sqlalchemy.exc import IntegrityError

from smsapi_async.errors import LedgerError
from smsapi_async.ledger.sqlite.checkpoint_records import CheckpointRecords
from smsapi_async.ledger.sqlite.database import Database
from smsapi_async.ledger.sqlite.delivery_records import DeliveryRecords
from smsapi_async.ledger.sqlite.message_rows import (
    AnswerRow,
    ContentRow,
    RecordedAnswer,
    answer_row,
    content_row,
    encoded_ids,
    is_same,
    message_of,
    number_column,
    outcome_of,
    segment_ids_column,
    state_of,
)
from smsapi_async.ledger.sqlite.schema import answers, messages
from smsapi_async.ledger.sqlite.statements import (
    answers_of,
    contents_of,
    execute_many,
    insert,
    rows_of,
    select_messages,
)
from smsapi_async.ledger.summaries import Summary
from smsapi_async.models import CONTENT_FIELDS, Message
from smsapi_async.outcomes import Outcome, Rejected

ANOTHER_MESSAGE = "this ledger already has a different message with the same key"
"""The reason of `Rejected` for a message that differs from the recorded message with the same key."""

ENDED = "the process ended before the outcome was recorded"
"""The reason of `Unknown` for a message that an earlier process left in flight."""

_CONTENTS_REMEMBERED = 256

# The statements that run most often are plain SQL for `executemany` of the SQLite driver. The same statements
# built by SQLAlchemy would take twice as long.
_INSERT = "INSERT INTO messages (key, destination_address, content_id, state) VALUES (?, ?, ?, ?)"
_CLAIM_PENDING = "UPDATE messages SET state = 'sending' WHERE key = ? AND state = 'pending'"
_SETTLE = (
    "UPDATE messages SET state = ?, answer_id = ?, segment_ids = ?"
    " WHERE key = ? AND state IN ('sending', 'unknown')"
)
_RELEASE = "UPDATE messages SET state = 'pending' WHERE key = ? AND state = 'sending'"
_CONTENT_COLUMNS = [field.name for field in CONTENT_FIELDS]
_INSERT_CONTENT = (
    f"INSERT INTO contents ({', '.join(_CONTENT_COLUMNS)})"  # noqa: S608 - only field names
    f" VALUES ({', '.join('?' * len(_CONTENT_COLUMNS))})"
)
_INSERT_ANSWER = "INSERT INTO answers (accepted_at, reason, code, unattributed_ids) VALUES (?, ?, ?, ?)"

_Keyed = Sequence[tuple[str, Message]]


class MessageRecords:
    """The states and outcomes of the messages in a database.

    Args:
        database: the open database that contains the messages.

    Attributes:
        deliveries: the deliveries of accepted messages.
        checkpoints: the positions of inboxes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.deliveries = DeliveryRecords(database)
        self.checkpoints = CheckpointRecords(database)
        # `_content_ids` caches the row ids of the table `contents`, so that equal contents share one row. The
        # cache is only an optimization: the table may contain the same content twice.
        self._content_ids: dict[ContentRow, int] = {}

    def recover(self) -> None:
        """Set the messages that an earlier process left in flight to the state unknown."""
        left = messages.c.state == "sending"
        with self._database.writing() as connection:
            if connection.scalar(select(messages.c.id).where(left).limit(1)) is None:
                return
            answer_id = insert(connection, _INSERT_ANSWER, (None, ENDED, None, None))
            connection.execute(update(messages).where(left).values(state="unknown", answer_id=answer_id))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Return a context manager for one transaction that contains several method calls of this object."""
        try:
            with self._database.together():
                yield
        except BaseException:
            # The rollback may have removed rows whose ids are in the cache `_content_ids`.
            self._content_ids.clear()
            raise

    def claim(self, given: _Keyed) -> dict[str, Outcome | None]:
        """Set new and pending messages to the state ``sending``. See `Ledger.claim` for the return value."""
        # Usually all keys are new, so we first insert all messages without a query. The insert fails if a key
        # exists already, for example when a batch runs again, or if a value cannot be stored. For a value
        # that cannot be stored, `_claim_known` raises the same error again. If the ledger has a different
        # message with the same key, `_claim_known` rejects the new message without storing its values.
        with suppress(IntegrityError, UnicodeEncodeError, OverflowError):
            return self._claim_new(given)
        return self._claim_known(given)

    def _claim_new(self, given: _Keyed) -> dict[str, Outcome | None]:
        """Insert messages with the state ``sending``. All keys must be new.

        The unique constraint of the column ``key`` detects existing keys, so no query is needed.

        Raises:
            IntegrityError: if at least one key exists already. The ledger is unchanged.
            UnicodeEncodeError: if a text contains a lone surrogate. The ledger is unchanged.
            OverflowError: if a number is too large for SQLite. The ledger is unchanged.
        """
        added: dict[ContentRow, int] = {}
        with self._database.writing() as connection:
            self._insert_messages(connection, given, "sending", added)
        self._remember(added)
        return dict.fromkeys([key for key, _ in given])

    def _claim_known(self, given: _Keyed) -> dict[str, Outcome | None]:
        result: dict[str, Outcome | None] = dict.fromkeys(key for key, _ in given)
        added: dict[ContentRow, int] = {}
        with self._database.writing() as connection:
            known = rows_of(connection, [key for key, _ in given])
            if any(row["state"] == "sending" for row in known.values()):
                raise LedgerError("a message cannot be claimed, because it is already in flight")
            fresh = [keyed for keyed in given if keyed[0] not in known]
            self._insert_messages(connection, fresh, "sending", added)
            result |= self._known_outcomes(connection, known, dict(given))
            pending = [(key,) for key in known if result[key] is None]
            execute_many(connection, _CLAIM_PENDING, pending)
        self._remember(added)
        return result

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Record the outcomes of messages that are in flight or unknown."""
        answer_ids: dict[AnswerRow, int] = {}
        rows = []
        with self._database.writing() as connection:
            for outcome in outcomes:
                answer = answer_row(outcome)
                answer_id = answer_ids.get(answer)
                if answer_id is None:
                    answer_id = answer_ids[answer] = insert(connection, _INSERT_ANSWER, answer)
                rows.append((state_of(outcome), answer_id, segment_ids_column(outcome), outcome.key))
            changed = execute_many(connection, _SETTLE, rows)
        if changed != len(rows):
            raise LedgerError(
                f"{len(rows) - changed} of {len(rows)} outcomes were not recorded, because their messages are"
                " neither in flight nor unknown"
            )

    def release(self, keys: Sequence[str]) -> None:
        """Make messages in flight pending again."""
        with self._database.writing() as connection:
            changed = execute_many(connection, _RELEASE, [(key,) for key in keys])
        if changed != len(keys):
            raise LedgerError(
                f"{len(keys) - changed} of {len(keys)} messages cannot be released, because they are not in"
                " flight"
            )

    def record_pending(self, given: _Keyed) -> None:
        """Insert the messages with new keys as pending messages."""
        added: dict[ContentRow, int] = {}
        with self._database.writing() as connection:
            known = rows_of(connection, [key for key, _ in given])
            fresh = [keyed for keyed in given if keyed[0] not in known]
            self._insert_messages(connection, fresh, "pending", added)
        self._remember(added)

    def resolve(self, key: str, *, sent: bool, segment_ids: Sequence[str]) -> None:
        """Record by hand whether an unknown message was sent."""
        if segment_ids and not sent:
            raise LedgerError("a message that was not sent has no segment ids; omit `segment_ids`")
        unknown = (messages.c.key == key) & (messages.c.state == "unknown")
        with self._database.writing() as connection:
            answer_id = None
            if sent:
                accepted_at = datetime.now(UTC).isoformat()
                answer_id = insert(connection, _INSERT_ANSWER, (accepted_at, None, None, None))
            changed = connection.execute(
                update(messages)
                .where(unknown)
                .values(
                    state="accepted" if sent else "pending",
                    answer_id=answer_id,
                    segment_ids=encoded_ids(segment_ids) if sent else None,
                )
            )
            if changed.rowcount != 1:
                # The error text must not contain the key: the key may be a phone number.
                raise LedgerError("there is no unknown message with that key")

    def retry_rejected(self) -> int:
        """Make every rejected message pending; return the number of these messages."""
        rejected = messages.c.state == "rejected"
        with self._database.writing() as connection:
            changed = connection.execute(
                update(messages).where(rejected).values(state="pending", answer_id=None)
            )
        return changed.rowcount

    def summary(self) -> Summary:
        """Return the number of messages in each state."""
        length = func.coalesce(func.json_array_length(messages.c.segment_ids), 0)
        counts = select(messages.c.state, func.count(), func.sum(length)).group_by(messages.c.state)
        shared = select(func.sum(func.json_array_length(answers.c.unattributed_ids)))
        with self._database.reading() as connection:
            rows = connection.execute(counts).all()
            segments = connection.scalar(shared) or 0
        segments += sum(length for _, _, length in rows)
        return Summary(**{state: count for state, count, _ in rows}, segments=segments)

    def outcomes_after(self, last: int, states: tuple[str, ...], limit: int) -> tuple[int, list[Outcome]]:
        """Return one page of the recorded outcomes.

        Args:
            last: the id of the last row of the previous page; 0 for the first page.
            states: the states of the outcomes to return.
            limit: the maximum number of outcomes on the page.

        Returns:
            The id of the last row of this page, and the outcomes of this page.
        """
        with self._database.reading() as connection:
            rows = select_messages(connection, states, last, limit)
            contents_by_id = contents_of(connection, rows)
            answers_by_id = answers_of(connection, rows)
        outcomes = [_outcome(row, self._message(row, contents_by_id), answers_by_id) for row in rows]
        return (rows[-1]["id"] if rows else last), outcomes

    def pending(self, limit: int) -> list[tuple[str, Message | None]]:
        """Return the first pending messages with their keys; in a redacted ledger, each message is None."""
        with self._database.reading() as connection:
            rows = select_messages(connection, ("pending",), 0, limit)
            contents_by_id = contents_of(connection, rows)
        if self._database.redacted:
            return [(row["key"], None) for row in rows]
        return [(row["key"], self._message(row, contents_by_id)) for row in rows]

    def _message(self, row: RowMapping, contents_by_id: Mapping[int, RowMapping]) -> Message:
        content = contents_by_id[row["content_id"]]
        return message_of(row["key"], row["destination_address"], content, self._database.redacted)

    def _insert_messages(
        self, connection: Connection, given: _Keyed, state: str, added: dict[ContentRow, int]
    ) -> None:
        redacted = self._database.redacted
        rows = []
        last: tuple[object, ...] | None = None
        for key, message in given:
            content = message.content()
            if content != last:
                last, content_id = content, self._content_id(connection, message, added)
            rows.append((key, number_column(message, redacted), content_id, state))
        execute_many(connection, _INSERT, rows)

    def _known_outcomes(
        self, connection: Connection, known: Mapping[str, RowMapping], given: Mapping[str, Message]
    ) -> dict[str, Outcome | None]:
        """Return the result of `claim` for each key that already exists in the ledger.

        None means that the message is pending, so the caller must send the message now.
        """
        if not known:
            return {}
        contents_by_id = contents_of(connection, known.values())
        answers_by_id = answers_of(connection, known.values())
        result: dict[str, Outcome | None] = {}
        for key, row in known.items():
            message = given[key]
            if not is_same(message, row, contents_by_id[row["content_id"]], self._database.redacted):
                result[key] = Rejected(message=message, reason=ANOTHER_MESSAGE, key=key)
            else:
                result[key] = None if row["state"] == "pending" else _outcome(row, message, answers_by_id)
        return result

    def _content_id(self, connection: Connection, message: Message, added: dict[ContentRow, int]) -> int:
        row = content_row(message, self._database.redacted)
        content_id = self._content_ids.get(row) or added.get(row)
        if content_id is None:
            content_id = added[row] = insert(connection, _INSERT_CONTENT, row)
        return content_id

    def _remember(self, added: dict[ContentRow, int]) -> None:
        if len(self._content_ids) + len(added) > _CONTENTS_REMEMBERED:
            self._content_ids.clear()
        if len(added) <= _CONTENTS_REMEMBERED:
            self._content_ids.update(added)


def _outcome(row: RowMapping, message: Message, answers_by_id: Mapping[int, RecordedAnswer]) -> Outcome:
    answer = answers_by_id[row["answer_id"]]
    return outcome_of(row["state"], row["key"], message, answer, row["segment_ids"])
