"""What a person decides about messages of a SQLite ledger: unknown messages, and rejected messages.

All functions of this module are synchronous and run in the thread of the ledger.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from smsapi_async.ledger.records import Resolution, checked_sent
from smsapi_async.ledger.redacted_ids import StoredId, redacted_ids
from smsapi_async.ledger.requests import RequestAnswer
from smsapi_async.ledger.sqlite import statements
from smsapi_async.ledger.sqlite.database import Database
from smsapi_async.ledger.sqlite.request_records import Changes, RequestRecords
from smsapi_async.ledger.sqlite.statements import REQUEST_BITS, Row, settle_many
from smsapi_async.ledger.sqlite.stored_values import answer_row, stored_time
from smsapi_async.ledger.stored_answers import encoded


class Resolutions:
    """Settles unknown messages, and makes rejected messages pending.

    Args:
        database: the open database.
        requests: the requests of the same database.
    """

    def __init__(self, database: Database, requests: RequestRecords) -> None:
        self._database = database
        self._requests = requests

    def resolve(self, given: Sequence[Resolution]) -> int:
        """Record what a person found out about unknown messages. Each becomes a request of its own.

        Returns:
            The number of keys without an unknown message.
        """
        by_key = {each.key: each for each in given}
        now = datetime.now(UTC)
        changes = Changes()
        answers: list[Row] = []
        with self._database.writing() as connection:
            self._requests.bury(connection)
            found = self._requests.find_keys(connection, list(by_key))
            unknown = {key: row for key, row in found.items() if row["state"] == "unknown"}
            for key, row in unknown.items():
                resolution = by_key[key]
                state, sent_at = ("unknown", row["sent_at"]) if resolution.sent else ("pending", None)
                request = self._requests.new_request(changes, state, 1, sent_at=sent_at)
                changes.moves.append((row["id"], request << REQUEST_BITS))
                if resolution.sent:
                    answer = RequestAnswer(state="accepted", at=now, segment_ids=resolution.segment_ids)
                    ids: tuple[StoredId, ...] | None = None
                    if self._database.redacted:
                        ids = redacted_ids(resolution.segment_ids, {row["number"]})
                    answers.append(answer_row(request, answer, ids))
            self._requests.write(connection, changes)
            settle_many(connection, answers)
        return len(by_key) - len(unknown)

    def resolve_all(self, *, sent: bool) -> int:
        """Record that all unknown messages were sent, or that none of them was sent.

        Raises:
            ValidationError: if `sent` is not a `bool`. Nothing is recorded.
        """
        checked_sent(sent)
        with self._database.writing() as connection:
            self._requests.bury(connection)
            count: int = connection.execute(statements.COUNT, ("unknown",)).fetchone()[0]
            if sent:
                connection.execute(statements.ACCEPT_UNKNOWN, (stored_time(datetime.now(UTC)),))
            else:
                connection.execute(statements.MAKE_PENDING, ("unknown",))
        return count

    def retry_rejected(self, codes: Sequence[int] | None) -> int:
        """Make rejected messages pending; return the number of these messages.

        Args:
            codes: only messages that were rejected with one of these codes; None means all.
        """
        state = ("rejected",)
        with self._database.writing() as connection:
            if codes is None:
                count: int = connection.execute(statements.COUNT, state).fetchone()[0]
                connection.execute(statements.MAKE_PENDING, state)
            else:
                given = (*state, encoded(codes))
                count = connection.execute(statements.COUNT + statements.OF_CODES, given).fetchone()[0]
                connection.execute(statements.MAKE_PENDING + statements.OF_CODES, given)
        return count
