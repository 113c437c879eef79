"""Requests in a SQLite ledger: claims, answers and releases. One transaction serves all calls that wait.

All functions of this module are synchronous and run in the thread of the ledger.
"""

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from smsapi_async.errors import LedgerError
from smsapi_async.ledger.keys import (
    are_derived,
    common_digest,
    content_digest,
    derived_key,
    digests_in,
    numbers_in,
    parts_of,
)
from smsapi_async.ledger.requests import ANOTHER_MESSAGE, UNRECORDED, Claimed, InFlight, RequestAnswer
from smsapi_async.ledger.sqlite import statements
from smsapi_async.ledger.sqlite.database import Database
from smsapi_async.ledger.sqlite.statements import (
    PLACES,
    REQUEST_BITS,
    Row,
    insert_flat,
    insert_many,
    settle_many,
)
from smsapi_async.ledger.sqlite.stored_ids import ids_to_store
from smsapi_async.ledger.sqlite.stored_values import (
    answer_row,
    answers_of,
    content_row,
    stored_number,
    stored_time,
)
from smsapi_async.ledger.stored_answers import StoredAnswer, encoded
from smsapi_async.models import Message
from smsapi_async.outcomes import Rejected
from smsapi_async.protocol.addresses import checked_destination_address

_logger = logging.getLogger("smsapi_async")
_CONTENTS_REMEMBERED = 1024
_KEYS_AT_ONCE = 900
# From this number of messages on, one statement of its own for a run is faster than a part of another.
_LONG_RUN = 32
_MESSAGE_COLUMNS = 5

Keyed = tuple[str, Message]
NOTHING = Message("", "")
"""The message for a look-up by the key alone."""


@attrs.frozen(eq=False)
class ClaimOrder:
    """The messages of one call of `Ledger.claim`.

    Attributes:
        token: the token of the claim.
        messages: pairs of a key and a message.
        positions: the position of each message in the report; empty means after all other messages.
    """

    token: str
    messages: Sequence[Keyed]
    positions: Sequence[int]


@attrs.define(eq=False)
class Candidate:
    """One message of an order, with what identifies it in the tables.

    Attributes:
        given: the key that the caller passed.
        key: the key in its stored form: a redacted ledger has a digest in place of the number.
        message: the message.
        digest: the digest of the content.
        number: the column ``number``.
        is_derived: whether the key is a derived key.
        content_id: the id of the content; 0 if the ledger does not contain the content.
        row: the row of the recorded message with this key, or None.
    """

    given: str
    key: str
    message: Message
    digest: str
    number: int | str
    is_derived: bool
    content_id: int = 0
    row: sqlite3.Row | None = None

    @property
    def is_another(self) -> bool:
        """Whether the recorded message with this key is a different message. A key alone is not compared."""
        if self.row is None or self.message is NOTHING:
            return False
        return (self.row["number"], self.row["content_id"]) != (self.number, self.content_id)

    @property
    def refusal(self) -> Rejected:
        """The outcome of the message if the recorded message with this key is a different message."""
        return Rejected(message=self.message, reason=ANOTHER_MESSAGE, key=self.given)


@attrs.define(eq=False)
class Changes:
    """The rows that a transaction writes. All values of all rows of ``contents`` stand in one list."""

    contents: list[object] = attrs.field(factory=list)
    content_ids: dict[str, int] = attrs.field(factory=dict)
    requests: list[Row] = attrs.field(factory=list)
    messages: list[Row] = attrs.field(factory=list)
    moves: list[tuple[int, int]] = attrs.field(factory=list)


class RequestRecords:
    """The requests of a ledger and their messages.

    Args:
        database: the open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # The ids of contents by their digests. The cache saves a query for each claim of a common content.
        self._content_ids: dict[str, int] = {}
        # The requests whose senders are at work, by their tokens. In one file, only this object writes, so a
        # request in flight that is not here has lost its sender.
        self._live: dict[str, int] = {}
        self._dead: set[int] = set()
        with database.reading() as connection:
            last = connection.execute(statements.LAST_IDS).fetchone()
        self._last_content: int
        self._last_request: int
        self._last_position: int
        self._last_content, self._last_request, self._last_position = last

    def is_live(self, token: str | None) -> bool:
        """Return whether the sender that made a claim is still at work."""
        return token in self._live

    def run_together(
        self,
        answers: Sequence[tuple[str, RequestAnswer]],
        releases: Sequence[str],
        orders: Sequence[ClaimOrder],
    ) -> list[list[Claimed]]:
        """Record answers, releases and claims in one transaction, in this order.

        Returns:
            The result of each claim.
        """
        changes = Changes()
        taken: dict[str, str] = {}
        results: list[list[Claimed]] = []
        live: dict[str, int] = {}
        with self._database.writing() as connection:
            self.bury(connection)
            self._settle(connection, answers)
            self._release(connection, releases)
            digests = [self._digest_of_run(order) for order in orders]
            self._load_contents(connection, [digest for digest in digests if digest is not None])
            for order, digest in zip(orders, digests, strict=True):
                result = None if digest is None else self._claim_run(connection, order, digest, changes, live)
                results.append(result or self._claim(connection, order, changes, taken, live))
            self.write(connection, changes)
        self.forget([token for token, _ in answers], is_recorded=True)
        self.forget(releases, is_recorded=True)
        self._live |= live
        self.remember(changes)
        return results

    def forget(self, tokens: Iterable[str], *, is_recorded: bool) -> None:
        """Note that the senders of some claims have ended.

        Args:
            tokens: the tokens of the claims.
            is_recorded: whether the answers or the releases of the claims are stored. If not, nobody will
                store them any more, and the messages become unknown.
        """
        for token in tokens:
            request = self._live.pop(token, None)
            if request is not None and not is_recorded:
                self._dead.add(request)

    def bury(self, connection: sqlite3.Connection) -> None:
        """Give the state unknown to the requests whose senders ended without a record."""
        if self._dead:
            now = _now()
            rows = [(request, "unknown", now, UNRECORDED, None, None, 0) for request in self._dead]
            settle_many(connection, rows)
            self._dead.clear()

    def find(self, connection: sqlite3.Connection, keyed: Sequence[Keyed]) -> list[Candidate]:
        """Look up messages by their keys."""
        candidates = [self._candidate(key, message) for key, message in keyed]
        self._load_contents(connection, [each.digest for each in candidates])
        for each in candidates:
            each.content_id = self._content_ids.get(each.digest, 0)
        self._find_derived(connection, [each for each in candidates if each.is_derived and each.content_id])
        self._find_keyed(connection, [each for each in candidates if not each.is_derived])
        return candidates

    def find_keys(self, connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, sqlite3.Row]:
        """Return the rows of the messages with the given keys. Unknown keys are left out."""
        found = self.find(connection, [(key, NOTHING) for key in keys])
        return {each.given: each.row for each in found if each.row is not None}

    def add_pending(self, keyed: Sequence[Keyed], positions: Sequence[int]) -> None:
        """Insert messages with new keys as pending messages."""
        changes = Changes()
        given = self._positions(len(keyed), positions)
        with self._database.writing() as connection:
            self.bury(connection)
            values = self._pending_values(connection, keyed, given, changes)
            insert_flat(connection, statements.INSERT_CONTENTS, statements.CONTENT_COLUMNS, changes.contents)
            insert_many(connection, statements.INSERT_REQUESTS, changes.requests)
            insert_flat(connection, statements.INSERT_MESSAGES, _MESSAGE_COLUMNS, values)
        self.remember(changes)

    def _pending_values(
        self,
        connection: sqlite3.Connection,
        keyed: Sequence[Keyed],
        positions: Sequence[int],
        changes: Changes,
    ) -> list[object]:
        """Return the values of the new rows of the table ``messages``, all in one list."""
        values: list[object] = []
        place, request = PLACES, 0
        for columns in self._unrecorded(connection, keyed, positions, changes):
            if place == PLACES:
                place, request = 0, self.new_request(changes, "pending", PLACES)
            values.append(request << REQUEST_BITS | place)
            values += columns
            place += 1
        return values

    def _unrecorded(
        self,
        connection: sqlite3.Connection,
        keyed: Sequence[Keyed],
        positions: Sequence[int],
        changes: Changes,
    ) -> Iterator[Row]:
        """Yield number, content_id, position and key of each message that is not in the ledger."""
        keys = [key for key, _ in keyed]
        to_find: Iterable[int] = range(len(keys))
        if are_derived(keys) and not self._database.redacted:
            # Messages with new contents are not in the ledger, and need no look-up and no candidate.
            digests = digests_in(keys)
            self._load_contents(connection, digests)
            new = {digest: at for at, digest in enumerate(digests) if digest not in self._content_ids}
            # In the order of their digests, many contents touch each page of the index of digests once.
            for digest in sorted(new):
                self._new_content(changes, digest, keyed[new[digest]][1])
            seen = set()
            for at, number in enumerate(numbers_in(keys)):
                if digests[at] in new and keys[at] not in seen:
                    seen.add(keys[at])
                    yield int(number), changes.content_ids[digests[at]], positions[at], None
            to_find = [at for at, digest in enumerate(digests) if digest not in new]
        found = {
            each.key: (each, at)
            for each, at in zip(self.find(connection, [keyed[at] for at in to_find]), to_find, strict=True)
        }
        for candidate, at in found.values():
            if candidate.row is None:
                yield self._columns(changes, candidate, positions[at])

    def first_position(self, keyed: Keyed) -> int:
        """Return the recorded position of a message, or the position after all messages if it is new."""
        with self._database.reading() as connection:
            (candidate,) = self.find(connection, [keyed])
        return self._last_position + 1 if candidate.row is None else int(candidate.row["position"])

    def new_request(
        self,
        changes: Changes,
        state: str,
        size: int,
        *,
        token: str | None = None,
        sent_at: int | None = None,
    ) -> int:
        """Add a request to the changes, and return its number."""
        self._last_request += 1
        changes.requests.append((self._last_request, state, token, size, sent_at))
        return self._last_request

    def _new_claim(self, changes: Changes, token: str, size: int) -> int:
        return self.new_request(changes, "sending", size, token=token, sent_at=_now())

    def write(self, connection: sqlite3.Connection, changes: Changes) -> None:
        """Write all changes."""
        insert_flat(connection, statements.INSERT_CONTENTS, statements.CONTENT_COLUMNS, changes.contents)
        insert_many(connection, statements.INSERT_REQUESTS, changes.requests)
        insert_many(connection, statements.INSERT_MESSAGES, changes.messages)
        if changes.moves:
            connection.execute(statements.MOVE_MESSAGES, (encoded(changes.moves),))
            left = sorted({old >> REQUEST_BITS for old, _ in changes.moves})
            connection.execute(statements.DELETE_EMPTY, (encoded(left),))

    def remember(self, changes: Changes) -> None:
        """Remember the ids of new contents, after the changes were committed."""
        self._content_ids.update(changes.content_ids)
        if len(self._content_ids) > _CONTENTS_REMEMBERED:
            self._content_ids.clear()

    def _settle(self, connection: sqlite3.Connection, answers: Sequence[tuple[str, RequestAnswer]]) -> None:
        requests: dict[int, Row] = {}
        redacted = self._database.redacted
        for token, answer in answers:
            request = self._request_of(connection, token)
            if request is not None:
                ids = ids_to_store(connection, request, answer.segment_ids) if redacted else None
                requests.setdefault(request, answer_row(request, answer, ids))
        changed = settle_many(connection, list(requests.values()))
        if changed != len(answers):
            _logger.warning(
                "ledger: %d of %d answers came too late and changed nothing",
                len(answers) - changed,
                len(answers),
            )

    def _release(self, connection: sqlite3.Connection, tokens: Sequence[str]) -> None:
        if not tokens:
            return
        requests = [self._live[token] for token in tokens if token in self._live]
        changed = connection.execute(statements.RELEASE, (encoded(requests),)).rowcount
        if changed != len(tokens):
            _logger.warning(
                "ledger: %d of %d releases came too late and changed nothing",
                len(tokens) - changed,
                len(tokens),
            )

    def _request_of(self, connection: sqlite3.Connection, token: str) -> int | None:
        request = self._live.get(token)
        if request is None:
            # An answer may arrive after its claim became unknown, for example because a person closed and
            # opened the ledger meanwhile.
            row = connection.execute(statements.FIND_TOKEN, (token,)).fetchone()
            return None if row is None else int(row[0])
        return request

    def _digest_of_run(self, order: ClaimOrder) -> str | None:
        """Return the digest of the content if the messages have one content and derived keys, else None.

        Such an order is a *run*: most messages of a large batch are in runs, and none of them is in the
        ledger yet.
        """
        keys = [key for key, _ in order.messages]
        if not keys or self._database.redacted or not order.positions:
            return None
        if len(set(keys)) < len(keys):
            raise LedgerError("a message cannot be claimed, because it occurs twice in one claim")
        return common_digest(keys)

    def _claim_run(
        self,
        connection: sqlite3.Connection,
        order: ClaimOrder,
        digest: str,
        changes: Changes,
        live: dict[str, int],
    ) -> list[Claimed] | None:
        """Claim the messages of a run. Return None, and change nothing, if the ledger has one of them."""
        numbers = numbers_in([key for key, _ in order.messages])
        as_json = f"[{','.join(numbers)}]"
        content_id = self._content_ids.get(digest)
        is_new = content_id is None
        if content_id is None:
            content_id = self._new_content(changes, digest, order.messages[0][1])
        positions = order.positions
        first = (self._last_request + 1) << REQUEST_BITS
        is_long = len(numbers) >= _LONG_RUN and list(range(positions[0], positions[-1] + 1)) == positions
        if is_long:
            try:
                connection.execute(statements.INSERT_RUN, (first, content_id, positions[0], as_json))
            except sqlite3.IntegrityError:
                return None
        elif not is_new and connection.execute(statements.FIND_NUMBERS, (as_json, content_id)).fetchone():
            return None
        else:
            changes.messages += [
                (first + place, int(number), content_id, position, None)
                for place, (number, position) in enumerate(zip(numbers, positions, strict=True))
            ]
        self._positions(len(numbers), positions)
        live[order.token] = self._new_claim(changes, order.token, len(numbers))
        return [None] * len(numbers)

    def _claim(
        self,
        connection: sqlite3.Connection,
        order: ClaimOrder,
        changes: Changes,
        taken: dict[str, str],
        live: dict[str, int],
    ) -> list[Claimed]:
        results: list[Claimed] = []
        to_send: list[tuple[Candidate, int]] = []
        candidates = self.find(connection, order.messages)
        positions = self._positions(len(candidates), order.positions)
        answers = answers_of(connection, [each.row for each in candidates if each.row is not None])
        for candidate, position in zip(candidates, positions, strict=True):
            if taken.get(candidate.key) == order.token:
                raise LedgerError("a message cannot be claimed, because it occurs twice in one claim")
            result = self._known(candidate, taken, answers)
            results.append(result)
            if result is None:
                taken[candidate.key] = order.token
                to_send.append((candidate, position))
        if len(to_send) > PLACES:
            raise LedgerError(f"a request can have at most {PLACES} messages")
        if to_send:
            request = self._new_claim(changes, order.token, len(to_send))
            live[order.token] = request
            for place, (candidate, position) in enumerate(to_send):
                if candidate.row is None:
                    changes.messages.append(
                        (request << REQUEST_BITS | place, *self._columns(changes, candidate, position))
                    )
                else:
                    changes.moves.append((candidate.row["id"], request << REQUEST_BITS | place))
        return results

    def _known(
        self, candidate: Candidate, taken: dict[str, str], answers: Mapping[int, StoredAnswer]
    ) -> Claimed:
        """Return the outcome of a message, or who sends it; None if it is new or pending."""
        row = candidate.row
        if candidate.is_another:
            return candidate.refusal
        if candidate.key in taken:
            return InFlight(taken[candidate.key])
        if row is None or row["state"] == "pending":
            return None
        if row["state"] == "sending" and self.is_live(row["token"]):
            return InFlight(row["token"])
        message = candidate.message
        place, number = row["id"] % PLACES, message.destination_address
        return answers[row["request"]].outcome_of(place, row["size"], message, candidate.given, number)

    def _columns(self, changes: Changes, candidate: Candidate, position: int) -> Row:
        """Return number, content_id, position and key of a new message."""
        content_id = candidate.content_id or self._new_content(changes, candidate.digest, candidate.message)
        return candidate.number, content_id, position, None if candidate.is_derived else candidate.key

    def _new_content(self, changes: Changes, digest: str, message: Message) -> int:
        known = changes.content_ids.get(digest)
        if known is not None:
            return known
        self._last_content += 1
        changes.content_ids[digest] = self._last_content
        changes.contents += content_row(self._last_content, digest, message, self._database.redacted)
        return self._last_content

    def _positions(self, count: int, given: Sequence[int]) -> Sequence[int]:
        positions = given or range(self._last_position + 1, self._last_position + 1 + count)
        if positions:
            self._last_position = max(self._last_position, *positions)
        return positions

    def _candidate(self, key: str, message: Message) -> Candidate:
        redacted = self._database.redacted
        parts = parts_of(key)
        if parts is None:
            number: int | str = ""
            if message is not NOTHING:
                number = stored_number(checked_destination_address(message.destination_address), redacted)
            return Candidate(key, key, message, content_digest(message), number, is_derived=False)
        digest, number = parts[0], stored_number(parts[1], redacted)
        stored = derived_key(digest, str(number)) if redacted else key
        return Candidate(key, stored, message, digest, number, is_derived=True)

    def _load_contents(self, connection: sqlite3.Connection, digests: Iterable[str]) -> None:
        """Look up the ids of contents, unless they are remembered."""
        missing = sorted({digest for digest in digests if digest not in self._content_ids})
        if missing:
            rows = connection.execute(statements.FIND_CONTENTS, (encoded(missing),)).fetchall()
            self._content_ids.update(map(tuple, rows))

    def _find_derived(self, connection: sqlite3.Connection, candidates: Sequence[Candidate]) -> None:
        if candidates:
            pairs = encoded([(each.number, each.content_id) for each in candidates])
            for row in connection.execute(statements.FIND_DERIVED, (pairs,)):
                candidates[row["place"]].row = row

    def _find_keyed(self, connection: sqlite3.Connection, candidates: Sequence[Candidate]) -> None:
        found: dict[str, sqlite3.Row] = {}
        keys: list[Any] = sorted({each.key for each in candidates})
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            part = keys[start : start + _KEYS_AT_ONCE]
            for row in connection.execute(statements.find_by_keys(len(part)), part):
                found[row["key"]] = row
        for each in candidates:
            each.row = found.get(each.key)


def _now() -> int:
    return stored_time(datetime.now(UTC))
