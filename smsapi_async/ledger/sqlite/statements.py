"""All SQL statements of the SQLite ledger, with its tables, and how rows are passed to a statement.

Each call of the `sqlite3` module gives up the interpreter lock and must get it back, for which it waits while
the event loop computes. The statements therefore take many rows in one call.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from types import NoneType
from typing import Any, Final, get_args

import attrs

from smsapi_async.models import CONTENT_FIELDS

VERSION: Final = 2
"""The version of the tables of a ledger, which the file stores in ``PRAGMA user_version``."""

APPLICATION_ID: Final = 0x534D5341
"""The number that distinguishes a ledger from other SQLite files (``PRAGMA application_id``)."""

REQUEST_BITS: Final = 12
"""The id of a message is the number of its request, followed by this number of bits for its place in it.

The messages of a request are then neighbours in the table, so that they need no index for their request.
"""

PLACES: Final = 1 << REQUEST_BITS
"""The number of messages that a request can have."""


def _content_column(field: "attrs.Attribute[Any]") -> str:
    """Return the column for a field of `Message.content`.

    If you add a content field to `Message`, increase `VERSION`: the new column changes the tables.
    """
    kinds = get_args(field.type) or (field.type,)
    kind = "TEXT" if str in kinds or datetime in kinds else "INTEGER"
    return f"{field.name} {kind}" + ("" if NoneType in kinds else " NOT NULL")


_CONTENT: Final = ", ".join(field.name for field in CONTENT_FIELDS)

# The digest finds the row of a content, so that equal contents have one row. Times are microseconds since
# 1970. A message of the caller's own key and the same message without a key are two messages, so each kind
# of key has its index. `inode` and `generation` recognise a copy of the file: see the module ``identity``.
SCHEMA: Final = f"""
CREATE TABLE properties (
    ledger_id TEXT NOT NULL, redacted INTEGER NOT NULL, in_use INTEGER NOT NULL, generation INTEGER NOT NULL,
    inode INTEGER NOT NULL, has_mark INTEGER NOT NULL
);
CREATE TABLE contents (
    id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, {", ".join(map(_content_column, CONTENT_FIELDS))}
);
CREATE TABLE requests (
    id INTEGER PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('pending', 'sending', 'accepted', 'rejected', 'unknown')),
    token TEXT, size INTEGER NOT NULL, sent_at INTEGER, answered_at INTEGER, reason TEXT, code INTEGER,
    segment_ids TEXT, segment_count INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE messages (
    id INTEGER PRIMARY KEY, number NOT NULL, content_id INTEGER NOT NULL REFERENCES contents (id),
    position INTEGER NOT NULL, key TEXT
);
CREATE UNIQUE INDEX messages_derived ON messages (number, content_id) WHERE key IS NULL;
CREATE UNIQUE INDEX messages_key ON messages (key) WHERE key IS NOT NULL;
CREATE TABLE deliveries (
    message_id INTEGER PRIMARY KEY REFERENCES messages (id), phase TEXT NOT NULL, is_final INTEGER NOT NULL,
    failed_state INTEGER, updated_at TEXT NOT NULL, states TEXT NOT NULL
);
CREATE TABLE checkpoints (name TEXT PRIMARY KEY, position TEXT NOT NULL);
CREATE TABLE checkpoint_changes (
    name TEXT NOT NULL, number INTEGER NOT NULL, change TEXT NOT NULL, PRIMARY KEY (name, number)
) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""

# The properties of the file.
INSERT_PROPERTIES: Final = "INSERT INTO properties VALUES (?, ?, 0, 0, ?, ?)"
PROPERTIES: Final = "SELECT ledger_id, redacted, in_use, generation, inode, has_mark FROM properties"
BEGIN_USE: Final = (
    "UPDATE properties SET in_use = 1, generation = generation + 1, ledger_id = ?, inode = ?, has_mark = ?"
    " RETURNING generation"
)
GENERATION: Final = "SELECT generation FROM properties"
# With this setting, SQLite does not compare the size of a file with the size that its first page contains.
READ_SHORT_FILE: Final = "PRAGMA writable_schema = ON"
NEXT_GENERATION: Final = "UPDATE properties SET generation = generation + 1 RETURNING generation"
END_USE: Final = "UPDATE properties SET in_use = 0"
LAST_IDS: Final = (
    "SELECT (SELECT coalesce(max(id), 0) FROM contents), (SELECT coalesce(max(id), 0) FROM requests),"
    " (SELECT coalesce(max(position), 0) FROM messages)"
)
RECOVER: Final = "UPDATE requests SET state = 'unknown', reason = ? WHERE state = 'sending'"

# Messages by their keys.
_MESSAGE: Final = (
    "m.id, m.number, m.content_id, m.position, m.key, r.id AS request, r.state, r.token, r.size, r.sent_at"
)
_WITH_REQUEST: Final = f"JOIN requests r ON r.id = m.id >> {REQUEST_BITS}"
FIND_CONTENTS: Final = "SELECT c.digest, c.id FROM json_each(?) j CROSS JOIN contents c ON c.digest = j.value"
FIND_DERIVED: Final = (
    f"SELECT j.key AS place, {_MESSAGE} FROM json_each(?) j CROSS JOIN messages m"  # noqa: S608
    " ON m.number = json_extract(j.value, '$[0]') AND m.content_id = json_extract(j.value, '$[1]')"
    f" AND m.key IS NULL {_WITH_REQUEST}"
)
OTHER_TEXTS: Final = (
    "SELECT DISTINCT j.key AS place FROM json_each(?) j CROSS JOIN messages m"  # noqa: S608
    " ON m.number = json_extract(j.value, '$[0]') AND m.key IS NULL"
    f" AND m.content_id IS NOT json_extract(j.value, '$[1]') {_WITH_REQUEST}"
    " WHERE r.state IN ('sending', 'accepted', 'unknown')"
)


def find_by_keys(count: int) -> str:
    """Return the statement that finds messages by the keys of the caller."""
    places = ", ".join("?" * count)
    return f"SELECT {_MESSAGE} FROM messages m {_WITH_REQUEST} WHERE m.key IN ({places})"  # noqa: S608


# Claims, and their ends.
CONTENT_COLUMNS: Final = 2 + len(CONTENT_FIELDS)
INSERT_CONTENTS: Final = f"INSERT INTO contents (id, digest, {_CONTENT}) VALUES"
INSERT_REQUESTS: Final = "INSERT INTO requests (id, state, token, size, sent_at) VALUES"
FIND_NUMBERS: Final = (
    f"SELECT j.key AS place, {_MESSAGE} FROM json_each(?) j CROSS JOIN messages m"  # noqa: S608
    f" ON m.number = j.value AND m.content_id = ? AND m.key IS NULL {_WITH_REQUEST}"
)
# Messages of one content that follow each other: the ids and the positions count up with the place.
INSERT_RUN: Final = (
    "INSERT INTO messages (id, number, content_id, position)"
    " SELECT ? + key, value, ?, ? + key FROM json_each(?)"
)
INSERT_MESSAGES: Final = "INSERT INTO messages (id, number, content_id, position, key) VALUES"
MOVE_MESSAGES: Final = (
    "UPDATE messages SET id = json_extract(j.value, '$[1]') FROM json_each(?) j"
    " WHERE messages.id = json_extract(j.value, '$[0]')"
)
DELETE_EMPTY: Final = (
    "DELETE FROM requests WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608
    " AND NOT EXISTS (SELECT 1 FROM messages"
    f" WHERE messages.id BETWEEN requests.id << {REQUEST_BITS}"
    f" AND (requests.id << {REQUEST_BITS}) + {PLACES - 1})"
)
SETTLE_HEAD: Final = (
    "WITH given (id, state, answered_at, reason, code, segment_ids, segment_count) AS (VALUES"
)
SETTLE_TAIL: Final = (
    ") UPDATE requests SET state = given.state, answered_at = given.answered_at, reason = given.reason,"
    " code = given.code, segment_ids = given.segment_ids, segment_count = given.segment_count FROM given"
    " WHERE requests.id = given.id AND requests.state IN ('sending', 'unknown')"
)
RELEASE: Final = (
    "UPDATE requests SET state = 'pending', token = NULL, sent_at = NULL"
    " WHERE id IN (SELECT value FROM json_each(?)) AND state = 'sending'"
)
NUMBERS_OF_REQUEST: Final = (
    f"SELECT number FROM messages WHERE id BETWEEN :request << {REQUEST_BITS}"  # noqa: S608
    f" AND (:request << {REQUEST_BITS}) + {PLACES - 1}"
)
SIZE_OF_REQUEST: Final = "SELECT size FROM requests WHERE id = ?"
FIND_STORED_NUMBERS: Final = (
    "SELECT DISTINCT number FROM messages WHERE number IN (SELECT value FROM json_each(?))"
)
FIND_TOKEN: Final = "SELECT id FROM requests WHERE token = ?"  # noqa: S105 - no secret

# What a person decides.
ACCEPT_UNKNOWN: Final = (
    "UPDATE requests SET state = 'accepted', answered_at = ?, reason = NULL, code = NULL, segment_ids = NULL,"
    " segment_count = 0 WHERE state = 'unknown'"
)
MAKE_PENDING: Final = (
    "UPDATE requests SET state = 'pending', token = NULL, sent_at = NULL, answered_at = NULL, reason = NULL,"
    " code = NULL, segment_ids = NULL, segment_count = 0 WHERE state = ?"
)
COUNT: Final = f"SELECT count(*) FROM messages m {_WITH_REQUEST} WHERE r.state = ?"  # noqa: S608
# The end of `COUNT` or of `MAKE_PENDING`: only messages with these codes.
OF_CODES: Final = " AND code IN (SELECT value FROM json_each(?))"

# Pages of messages.
_FROM: Final = f"FROM messages m {_WITH_REQUEST}"
# Whether the segment ids of the request can be divided among its messages.
_HAS_IDS: Final = "(r.segment_count >= r.size AND r.segment_count % r.size = 0)"
# The messages of a page share few requests and contents, and these can be long.
ANSWERS: Final = (
    "SELECT id, state, answered_at, reason, code, segment_ids FROM requests"
    " WHERE id IN (SELECT value FROM json_each(?))"
)
CONTENTS: Final = f"SELECT id, digest, {_CONTENT} FROM contents WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608
_DELIVERY: Final = "d.phase, d.is_final, d.updated_at, d.states"
_WITH_DELIVERY: Final = "LEFT JOIN deliveries d ON d.message_id = m.id"
PAGE: Final = (
    f"SELECT {_MESSAGE} {_FROM} WHERE m.id > ? AND r.state IN (SELECT value FROM json_each(?))"  # noqa: S608
    " ORDER BY m.id LIMIT ?"
)
DELIVERIES: Final = (
    "SELECT d.message_id, d.phase, d.is_final, d.updated_at, d.states FROM json_each(?) j"
    " CROSS JOIN deliveries d ON d.message_id = j.value"
)
PAGE_TO_TRACK: Final = (
    f"SELECT {_MESSAGE}, {_DELIVERY} {_FROM} {_WITH_DELIVERY} WHERE m.id > ?"
    f" AND r.state = 'accepted' AND {_HAS_IDS} AND coalesce(d.is_final, 0) = 0 ORDER BY m.id LIMIT ?"
)
# The report sorts once, and then reads page by page: a sort for each page would be slow, and one long read
# transaction would let the write-ahead log grow.
BEGIN_REPORT: Final = (
    "CREATE TEMP TABLE {0} (place INTEGER PRIMARY KEY, key TEXT, number, content_id INTEGER NOT NULL)"
)
FILL_REPORT: Final = (
    "INSERT INTO temp.{0} (key, number, content_id)"
    " SELECT key, number, content_id FROM messages ORDER BY position, id"
)
_REPORT_ROWS: Final = (
    f"SELECT t.place AS place, {_MESSAGE}, {_DELIVERY} FROM temp.{{0}} t CROSS JOIN messages m ON {{1}}"  # noqa: S608
    f" {_WITH_REQUEST} {_WITH_DELIVERY}"
    " WHERE t.place > :last AND t.place <= :end AND {2}"
)
_REPORT_DERIVED: Final = _REPORT_ROWS.format(
    "{0}", "m.number = t.number AND m.content_id = t.content_id AND m.key IS NULL", "t.key IS NULL"
)
_REPORT_KEYED: Final = _REPORT_ROWS.format("{0}", "m.key = t.key", "t.key IS NOT NULL")
PAGE_OF_REPORT: Final = f"{_REPORT_DERIVED} UNION ALL {_REPORT_KEYED} ORDER BY place"
END_REPORT: Final = "DROP TABLE temp.{0}"

# Summaries.
SUMMARY: Final = f"SELECT r.state, count(*) FROM messages m {_WITH_REQUEST} GROUP BY r.state"  # noqa: S608
SEGMENTS: Final = "SELECT coalesce(sum(segment_count), 0) FROM requests WHERE state = 'accepted'"
DELIVERY_SUMMARY: Final = "SELECT phase, failed_state, count(*) FROM deliveries GROUP BY phase, failed_state"
ACCEPTED_BY_IDS: Final = (
    f"SELECT {_HAS_IDS}, count(*)"  # noqa: S608
    f" FROM messages m {_WITH_REQUEST} WHERE r.state = 'accepted' GROUP BY 1"
)

# Deliveries.
RECORD_DELIVERIES: Final = (
    "INSERT OR REPLACE INTO deliveries (message_id, phase, is_final, failed_state, updated_at, states) VALUES"
)

# Positions of inboxes.
LOAD_POSITION: Final = "SELECT position FROM checkpoints WHERE name = ?"
SAVE_POSITION: Final = (
    "INSERT INTO checkpoints (name, position) VALUES (?, ?)"
    " ON CONFLICT (name) DO UPDATE SET position = excluded.position"
)
POSITION_CHANGES: Final = "SELECT change FROM checkpoint_changes WHERE name = ? ORDER BY number"
LAST_POSITION_CHANGE: Final = (
    "SELECT number, change FROM checkpoint_changes WHERE name = ? ORDER BY number DESC LIMIT 1"
)
ADD_POSITION_CHANGE: Final = (
    "INSERT OR REPLACE INTO checkpoint_changes (name, number, change) VALUES (?, ?, ?)"
)
CLEAR_POSITION_CHANGES: Final = "DELETE FROM checkpoint_changes WHERE name = ?"

# The number of rows of one call. SQLite before version 3.32 allows at most 999 parameters in a statement
# (SQLite, "Limits"), and a row has up to 9. Few different sizes keep the statements in the cache of
# `sqlite3`.
_LARGE_BLOCK, _SMALL_BLOCK = 100, 16

Row = tuple[Any, ...]


def insert_many(connection: sqlite3.Connection, statement: str, rows: Sequence[Row]) -> None:
    """Insert rows into a table.

    Args:
        connection: the connection to the file of the ledger.
        statement: the statement up to and with the word VALUES.
        rows: the rows to insert.
    """
    if rows:
        insert_flat(connection, statement, len(rows[0]), _flat(rows))


def insert_flat(
    connection: sqlite3.Connection, statement: str, columns: int, values: Sequence[object]
) -> None:
    """Insert rows into a table. All values of all rows stand in one sequence.

    A tuple for each of many thousand rows would make the garbage collector slow.
    """
    for start, rows in _blocks(len(values) // columns):
        part = values[start * columns : (start + rows) * columns]
        connection.execute(f"{statement} {_places(rows, columns)}", part)


def settle_many(connection: sqlite3.Connection, rows: Sequence[Row]) -> int:
    """Store the answers of requests, and return how many requests took an answer."""
    before = connection.total_changes
    for start, count in _blocks(len(rows)):
        block = rows[start : start + count]
        statement = f"{SETTLE_HEAD} {_places(count, len(block[0]))} {SETTLE_TAIL}"
        connection.execute(statement, _flat(block))
    return connection.total_changes - before


def _blocks(count: int) -> Iterator[tuple[int, int]]:
    """Return the first row and the number of rows of each block."""
    start = 0
    while start < count:
        left = count - start
        size = _LARGE_BLOCK if left >= _LARGE_BLOCK else min(left, _SMALL_BLOCK)
        yield start, size
        start += size


def _flat(block: Sequence[Row]) -> list[object]:
    return [value for row in block for value in row]


@lru_cache(maxsize=64)
def _places(rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return ", ".join([row] * rows)
