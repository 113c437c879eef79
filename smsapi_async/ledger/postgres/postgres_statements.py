"""All SQL statements of the PostgreSQL ledger. The module ``schema`` creates the tables."""

from typing import Final

MOST_MESSAGES: Final = 4096
"""The number of messages that a request can have."""

# A request whose sender has not ended its claim in time reads as unknown. The times are the server's.
_STATE: Final = (
    "CASE WHEN r.state = 'sending' AND r.claimed_until <= clock_timestamp() THEN 'unknown' ELSE r.state END"
)
_IS_UNKNOWN: Final = "(r.state = 'unknown' OR (r.state = 'sending' AND r.claimed_until <= clock_timestamp()))"

# Accounts.
FIND_ACCOUNT: Final = "SELECT id, redacted FROM smsapi.accounts WHERE name = %s"
ADD_ACCOUNT: Final = (
    "INSERT INTO smsapi.accounts (name, redacted) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING"
)
LOCK_ACCOUNTS: Final = "LOCK TABLE smsapi.accounts IN ACCESS EXCLUSIVE MODE"
# An account that contains messages with numbers and texts cannot be redacted.
DECIDE_REDACTED: Final = (
    "UPDATE smsapi.accounts a SET redacted ="
    " %s AND NOT EXISTS (SELECT 1 FROM smsapi.messages WHERE account_id = a.id)"
    " WHERE id = %s AND redacted IS NULL"
)

# Messages by their keys. A message that was enqueued alone has its content in its own row. While the message
# has no request, it is pending.
_OF_MESSAGE: Final = "m.id, m.key, m.number, m.content_id, m.content, m.request_id, m.place, m.position"
_MESSAGE: Final = (
    f"{_OF_MESSAGE}, coalesce(c.digest, m.digest) AS digest, coalesce({_STATE}, 'pending') AS state, r.token,"
    " coalesce(r.size, 1) AS size, r.sent_at, coalesce(r.not_before < 'infinity', true) AS is_queued"
)
_WITH_CONTENT: Final = "LEFT JOIN smsapi.contents c ON c.id = m.content_id"
_WITH: Final = f"JOIN smsapi.requests r ON r.id = m.request_id {_WITH_CONTENT}"
_OR_WITHOUT: Final = f"LEFT {_WITH}"
FIND: Final = (
    f"SELECT {_MESSAGE} FROM smsapi.messages m {_OR_WITHOUT}"  # noqa: S608
    " WHERE m.account_id = %s AND m.key = ANY(%s::text[])"
)
OTHER_TEXTS: Final = (
    "SELECT DISTINCT g.place FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS g (number, digest, place)"  # noqa: S608
    f" JOIN smsapi.messages m ON m.account_id = %s AND m.number = g.number {_WITH}"
    " WHERE m.request_id IS NOT NULL AND coalesce(c.digest, m.digest) <> g.digest"
    " AND m.key = 'sha256:' || coalesce(c.digest, m.digest) || ':' || m.number"
    " AND r.state IN ('sending', 'accepted', 'unknown')"
)
LAST_POSITION: Final = (
    "SELECT coalesce(max(position), 0) AS position FROM smsapi.messages WHERE account_id = %s"
)


def _insert(request_columns: str, request_values: str) -> str:
    """Return the statement that inserts requests with their messages and contents.

    Two callers that insert the same keys in opposite orders would wait for each other, so the order is that
    of the keys. A key that another caller has inserted is left out, and the result has the number of inserted
    messages: an error of PostgreSQL would write the key to the log of the server.
    """
    return (
        "WITH given AS (SELECT * FROM unnest(%(keys)s::text[], %(numbers)s::text[], %(digests)s::text[],"  # noqa: S608
        " %(requests)s::integer[], %(places)s::integer[], %(positions)s::bigint[]) WITH ORDINALITY"
        " AS g (key, number, digest, request, place, position, ordinal)),"
        " content AS (INSERT INTO smsapi.contents (digest, content)"
        " SELECT digest, content::json FROM unnest(%(content_digests)s::text[], %(contents)s::text[])"
        " AS c (digest, content) RETURNING id, digest),"
        " r AS MATERIALIZED (SELECT nextval('smsapi.requests_id_seq') AS id, g.* FROM"
        " unnest(%(sizes)s::integer[], %(tokens)s::text[]) WITH ORDINALITY AS g (size, token, ordinal)),"
        f" request AS (INSERT INTO smsapi.requests (id, account_id, size, {request_columns})"
        f" SELECT r.id, %(account)s, r.size, {request_values} FROM r),"
        " added AS (INSERT INTO smsapi.messages"
        " (account_id, request_id, content_id, position, place, key, number)"
        " SELECT %(account)s, r.id, content.id, coalesce(g.position, g.ordinal +"
        " (SELECT coalesce(max(position), 0) FROM smsapi.messages WHERE account_id = %(account)s)),"
        " g.place, g.key, g.number FROM given g JOIN content USING (digest) JOIN r ON r.ordinal = g.request"
        ' ORDER BY g.key COLLATE "C" ON CONFLICT DO NOTHING RETURNING 1)'
        " SELECT r.id, (SELECT count(*) FROM added) AS added FROM r ORDER BY r.ordinal"
    )


INSERT_CLAIMS: Final = _insert(
    "state, token, sent_at, claimed_until",
    "'sending', r.token, clock_timestamp(), clock_timestamp() + %(seconds)s * interval '1 second'",
)
INSERT_PENDING: Final = _insert("state", "'pending'").replace("%(tokens)s", "NULL")

# A message moves to another request only while its old request is locked. All callers lock requests in the
# order of their ids.
LOCK_PENDING: Final = (
    "SELECT id FROM smsapi.requests WHERE id = ANY(%s::bigint[]) AND state = 'pending' ORDER BY id FOR UPDATE"
)
LOCK: Final = "SELECT id FROM smsapi.requests WHERE id = ANY(%s::bigint[]) ORDER BY id FOR UPDATE"
MOVE: Final = (
    "UPDATE smsapi.messages m SET request_id = g.request_id, place = g.place"
    " FROM unnest(%s::text[], %s::bigint[], %s::integer[]) AS g (key, request_id, place)"
    " WHERE m.account_id = %s AND m.key = g.key"
)
DELETE_EMPTY: Final = (
    "DELETE FROM smsapi.requests r WHERE r.id = ANY(%s::bigint[])"
    " AND NOT EXISTS (SELECT 1 FROM smsapi.messages m WHERE m.request_id = r.id)"
)

# The ends of claims.
_ANSWERS: Final = (
    "unnest(%s::text[], %s::text[], %s::timestamptz[], %s::text[], %s::bigint[], %s::text[], %s::integer[])"
    " AS g (token, state, answered_at, reason, code, segment_ids, segment_count)"
)
SETTLE: Final = (
    "UPDATE smsapi.requests r SET state = g.state, answered_at = g.answered_at, reason = g.reason,"  # noqa: S608
    " code = g.code, segment_ids = g.segment_ids::json, segment_count = g.segment_count"
    f" FROM {_ANSWERS} WHERE r.account_id = %s AND r.token = g.token AND r.state IN ('sending', 'unknown')"
    " RETURNING r.token"
)
SETTLED: Final = (
    "SELECT r.token FROM smsapi.requests r JOIN unnest(%s::text[], %s::text[], %s::timestamptz[])"
    " AS g (token, state, answered_at) USING (token, state, answered_at) WHERE r.account_id = %s"
)
# The result needs the token that the row has no more. A delay moves a request back in the queue.
RELEASE: Final = (
    "WITH released AS (SELECT r.id, r.token, g.delay FROM smsapi.requests r"
    " JOIN unnest(%s::text[], %s::double precision[]) AS g (token, delay) ON g.token = r.token"
    " WHERE r.account_id = %s AND r.state = 'sending' AND r.claimed_until > clock_timestamp()"
    " ORDER BY r.id FOR UPDATE OF r)"
    " UPDATE smsapi.requests r SET state = 'pending', token = NULL, sent_at = NULL, claimed_until = NULL,"
    " not_before = CASE WHEN released.delay > 0 AND r.not_before < 'infinity'"
    " THEN clock_timestamp() + released.delay * interval '1 second' ELSE r.not_before END"
    " FROM released WHERE r.id = released.id RETURNING released.token"
)
END_CLAIMS: Final = (
    "UPDATE smsapi.requests SET claimed_until = clock_timestamp() WHERE account_id = %s"
    " AND token = ANY(%s::text[]) AND state = 'sending' AND claimed_until > clock_timestamp()"
)
IS_LIVE: Final = (
    "SELECT 1 AS found FROM smsapi.requests WHERE account_id = %s AND token = %s AND state = 'sending'"
    " AND claimed_until > clock_timestamp()"
)
FIND_CLAIMS: Final = (
    "SELECT token, id, size FROM smsapi.requests WHERE account_id = %s AND token = ANY(%s::text[])"
    " AND state IN ('sending', 'unknown') ORDER BY id FOR UPDATE"
)
NUMBERS_OF_REQUESTS: Final = (
    "SELECT request_id, number FROM smsapi.messages WHERE request_id = ANY(%s::bigint[])"
)
FIND_NUMBERS: Final = (
    "SELECT DISTINCT number FROM smsapi.messages WHERE account_id = %s AND number = ANY(%s::text[])"
    " AND request_id IS NOT NULL"
)

# What a person decides. The new request of a message has the place in the queue that the old one had.
NEW_REQUEST_IDS: Final = "SELECT nextval('smsapi.requests_id_seq') AS id FROM generate_series(1, %s)"
INSERT_RESOLVED: Final = (
    "INSERT INTO smsapi.requests (id, account_id, size, state, sent_at, answered_at, segment_ids,"
    " segment_count, priority, not_before)"
    " SELECT g.id, %s, 1, g.state, CASE WHEN g.state = 'pending' THEN NULL ELSE r.sent_at END,"
    " CASE WHEN g.state = 'pending' THEN NULL ELSE clock_timestamp() END, g.segment_ids::json,"
    " g.segment_count, r.priority, r.not_before"
    " FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::integer[])"
    " AS g (id, old_id, state, segment_ids, segment_count) JOIN smsapi.requests r ON r.id = g.old_id"
)
LOCK_UNKNOWN: Final = (
    f"SELECT id FROM smsapi.requests r WHERE account_id = %s AND {_IS_UNKNOWN} ORDER BY id FOR UPDATE"  # noqa: S608
)
LOCK_REJECTED: Final = (
    "SELECT id FROM smsapi.requests WHERE account_id = %s AND state = 'rejected' ORDER BY id FOR UPDATE"
)
LOCK_REJECTED_WITH: Final = (
    "SELECT id FROM smsapi.requests WHERE account_id = %s AND state = 'rejected' AND code = ANY(%s::bigint[])"
    " ORDER BY id FOR UPDATE"
)
COUNT_MESSAGES: Final = "SELECT count(*) AS count FROM smsapi.messages WHERE request_id = ANY(%s::bigint[])"
ACCEPT: Final = (
    "UPDATE smsapi.requests SET state = 'accepted', answered_at = clock_timestamp(), reason = NULL,"
    " code = NULL, segment_ids = NULL, segment_count = 0 WHERE id = ANY(%s::bigint[])"
)
MAKE_PENDING: Final = (
    "UPDATE smsapi.requests SET state = 'pending', token = NULL, sent_at = NULL, claimed_until = NULL,"
    " answered_at = NULL, reason = NULL, code = NULL, segment_ids = NULL, segment_count = 0"
    " WHERE id = ANY(%s::bigint[])"
)

# Pages of messages. First the requests are read, and then their messages: the planner cannot know how many
# messages a request has, and would sort all messages for each page.
_HAS_IDS: Final = "(r.segment_count >= r.size AND r.segment_count %% r.size = 0)"
_REQUEST: Final = f"r.id AS request_id, {_STATE} AS state, r.token, r.size, r.sent_at FROM smsapi.requests r"
REQUESTS: Final = (
    f"SELECT {_REQUEST} WHERE r.account_id = %s AND r.id >= %s AND r.state = ANY(%s::text[])"
    f" AND {_STATE} = ANY(%s::text[]) ORDER BY r.id LIMIT %s"
)
REQUESTS_TO_TRACK: Final = (
    f"SELECT {_REQUEST} WHERE r.account_id = %s AND r.id >= %s AND r.state = 'accepted' AND {_HAS_IDS}"
    " ORDER BY r.id LIMIT %s"
)
_DELIVERY: Final = "d.phase, d.is_final, d.updated_at, d.states"
_WITH_DELIVERY: Final = "LEFT JOIN smsapi.deliveries d ON d.message_id = m.id"
_OF_REQUESTS: Final = (
    "m.request_id = ANY(%s::bigint[]) AND (m.request_id, m.place) > (%s, %s)"
    " ORDER BY m.request_id, m.place LIMIT %s"
)
MESSAGES: Final = f"SELECT {_OF_MESSAGE} FROM smsapi.messages m WHERE {_OF_REQUESTS}"  # noqa: S608
MESSAGES_TO_TRACK: Final = (
    f"SELECT {_OF_MESSAGE}, {_DELIVERY} FROM smsapi.messages m {_WITH_DELIVERY}"  # noqa: S608
    f" WHERE d.is_final IS NOT TRUE AND {_OF_REQUESTS}"
)
# The messages of a page share few requests and contents, and these can be long.
ANSWERS: Final = (
    "SELECT id, state, answered_at, reason, code, segment_ids FROM smsapi.requests"
    " WHERE id = ANY(%s::bigint[])"
)
CONTENTS: Final = "SELECT id, digest, content FROM smsapi.contents WHERE id = ANY(%s::bigint[])"
DELIVERIES: Final = (
    "SELECT message_id, phase, is_final, updated_at, states FROM smsapi.deliveries"
    " WHERE message_id = ANY(%s::bigint[])"
)
PENDING_WITHOUT_REQUEST: Final = (
    f"SELECT {_MESSAGE} FROM smsapi.messages m {_OR_WITHOUT} WHERE m.account_id = %s"  # noqa: S608
    " AND m.request_id IS NULL ORDER BY m.priority DESC, m.not_before, m.reserved_id LIMIT %s"
)
LAST_MESSAGE: Final = "SELECT last_value AS id FROM smsapi.messages_id_seq"
PAGE_OF_REPORT: Final = (
    f"SELECT {_MESSAGE}, {_DELIVERY} FROM smsapi.messages m {_OR_WITHOUT} {_WITH_DELIVERY}"  # noqa: S608
    " WHERE m.account_id = %s AND m.id <= %s AND (m.position, m.id) > (%s, %s)"
    " ORDER BY m.position, m.id LIMIT %s"
)

# Summaries.
SUMMARY: Final = (
    f"SELECT {_STATE} AS state, count(*) AS count FROM smsapi.messages m"  # noqa: S608
    " JOIN smsapi.requests r ON r.id = m.request_id WHERE r.account_id = %(account)s GROUP BY 1"
    " UNION ALL SELECT 'pending', count(*) FROM smsapi.messages"
    " WHERE account_id = %(account)s AND request_id IS NULL"
)
SEGMENTS: Final = (
    "SELECT coalesce(sum(segment_count), 0) AS count FROM smsapi.requests"
    " WHERE account_id = %s AND state = 'accepted'"
)
DELIVERY_SUMMARY: Final = (
    "SELECT phase, failed_state, count(*) AS count FROM smsapi.deliveries WHERE account_id = %s"
    " AND phase IS NOT NULL GROUP BY phase, failed_state"
)
ACCEPTED_BY_IDS: Final = (
    f"SELECT {_HAS_IDS} AS has_ids, count(*) AS count FROM smsapi.messages m"  # noqa: S608
    " JOIN smsapi.requests r ON r.id = m.request_id"
    " WHERE r.account_id = %s AND r.state = 'accepted' GROUP BY 1"
)

# Deliveries. The row of a message names its request, because the table of messages has no index by id.
RECORD_DELIVERIES: Final = (
    "INSERT INTO smsapi.deliveries AS d (message_id, account_id, request_id, place, phase, is_final,"
    " failed_state, updated_at, states, followed_since, next_ask_at)"
    " SELECT g.message_id, %s, g.request_id, g.place, g.phase, g.is_final, g.failed_state, g.updated_at,"
    " g.states::json, g.updated_at, g.updated_at FROM unnest(%s::bigint[], %s::bigint[], %s::integer[],"
    " %s::text[], %s::boolean[], %s::bigint[], %s::timestamptz[], %s::text[])"
    " AS g (message_id, request_id, place, phase, is_final, failed_state, updated_at, states)"
    " ORDER BY g.message_id"
    " ON CONFLICT (message_id) DO UPDATE SET phase = excluded.phase, is_final = excluded.is_final,"
    " failed_state = excluded.failed_state, updated_at = excluded.updated_at, states = excluded.states"
)

# Following. A follower first makes a row for each message of the new requests. Messages whose ids contain a
# placeholder are due at once: then one page has all messages that are left out, and one warning counts them.
_MOST_NEW_REQUESTS: Final = 1000
# An id with a placeholder is a list in the list of the ids.
_HAS_PLACEHOLDER: Final = "r.segment_ids::text LIKE '[%%[%%'"
FOLLOW_NEW: Final = (
    "WITH new AS MATERIALIZED (SELECT id, size, segment_count, segment_ids, answered_at FROM smsapi.requests"  # noqa: S608
    " WHERE account_id = %(account)s AND state = 'accepted' AND NOT is_followed ORDER BY id"
    f" LIMIT {_MOST_NEW_REQUESTS} FOR UPDATE SKIP LOCKED),"
    " r AS MATERIALIZED (SELECT * FROM (SELECT *, sum(size) OVER (ORDER BY id) - size AS before FROM new) s"
    f" WHERE before < {MOST_MESSAGES}),"
    " followed AS (UPDATE smsapi.requests q SET is_followed = true FROM r WHERE q.id = r.id),"
    " added AS (INSERT INTO smsapi.deliveries"
    " (message_id, account_id, request_id, place, is_final, followed_since, next_ask_at)"
    " SELECT m.id, %(account)s, r.id, m.place, false, %(now)s,"
    f" CASE WHEN {_HAS_PLACEHOLDER} THEN %(now)s"
    " ELSE least(r.answered_at, %(now)s) + %(wait)s * interval '1 second' END"
    f" FROM r JOIN smsapi.messages m ON m.request_id = r.id WHERE {_HAS_IDS}"
    " ORDER BY m.id ON CONFLICT DO NOTHING RETURNING 1) SELECT count(*) AS count FROM added"
)
DUE: Final = (
    f"SELECT {_MESSAGE}, {_DELIVERY}, d.followed_since, d.next_ask_at FROM"  # noqa: S608
    " (SELECT * FROM smsapi.deliveries WHERE account_id = %s AND NOT is_final AND next_ask_at <= %s"
    " AND message_id <> ALL(%s::bigint[]) ORDER BY next_ask_at LIMIT %s) d"
    " JOIN smsapi.messages m ON m.request_id = d.request_id AND m.place = d.place"
    f" {_WITH} ORDER BY d.next_ask_at"
)
NEXT_DUE: Final = (
    "SELECT least((SELECT min(next_ask_at) FROM smsapi.deliveries WHERE account_id = %(account)s"
    " AND NOT is_final AND next_ask_at > %(now)s), (SELECT %(now)s::timestamptz FROM smsapi.requests"
    " WHERE account_id = %(account)s AND state = 'accepted' AND NOT is_followed LIMIT 1)) AS at"
)
STOP_FOLLOWING: Final = "UPDATE smsapi.deliveries SET next_ask_at = NULL WHERE message_id = ANY(%s::bigint[])"
# Both statements change no final delivery, which another follower may have recorded. Two followers lock the
# rows in the order of the ids.
LOCK_DELIVERIES: Final = (
    "SELECT 1 AS found FROM smsapi.deliveries WHERE message_id = ANY(%s::bigint[])"
    " ORDER BY message_id FOR UPDATE"
)
PLAN_DELIVERIES: Final = (
    "UPDATE smsapi.deliveries d SET next_ask_at = g.next_ask_at"
    " FROM unnest(%s::bigint[], %s::timestamptz[]) AS g (message_id, next_ask_at)"
    " WHERE d.message_id = g.message_id AND NOT d.is_final"
)
CHANGE_DELIVERIES: Final = (
    "UPDATE smsapi.deliveries d SET phase = g.phase, is_final = g.is_final, failed_state = g.failed_state,"
    " updated_at = g.updated_at, states = g.states::json, next_ask_at = g.next_ask_at"
    " FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::boolean[], %s::bigint[],"
    " %s::timestamptz[], %s::text[])"
    " AS g (message_id, next_ask_at, phase, is_final, failed_state, updated_at, states)"
    " WHERE d.message_id = g.message_id AND NOT d.is_final"
)

# Positions of inboxes.
LOAD_POSITION: Final = "SELECT position FROM smsapi.checkpoints WHERE account_id = %s AND name = %s"
SAVE_POSITION: Final = (
    "INSERT INTO smsapi.checkpoints (account_id, name, position) VALUES (%s, %s, %s)"
    " ON CONFLICT (account_id, name) DO UPDATE SET position = excluded.position"
)
POSITION_CHANGES: Final = (
    "SELECT change FROM smsapi.checkpoint_changes WHERE account_id = %s AND name = %s ORDER BY number"
)
LAST_POSITION_CHANGE: Final = (
    "SELECT number, change FROM smsapi.checkpoint_changes WHERE account_id = %s AND name = %s"
    " ORDER BY number DESC LIMIT 1"
)
ADD_POSITION_CHANGE: Final = (
    "INSERT INTO smsapi.checkpoint_changes (account_id, name, number, change) VALUES (%s, %s, %s, %s)"
    " ON CONFLICT (account_id, name, number) DO UPDATE SET change = excluded.change"
)
CLEAR_POSITION_CHANGES: Final = "DELETE FROM smsapi.checkpoint_changes WHERE account_id = %s AND name = %s"

# Roles. A role without a row, or whose lease has ended, is free.
ROLE_SECONDS: Final = (
    "SELECT extract(epoch FROM until - clock_timestamp())::double precision AS seconds FROM smsapi.roles"
    " WHERE account_id = %s AND name = %s AND holder <> %s"
)
TAKE_ROLE: Final = (
    "INSERT INTO smsapi.roles AS r (account_id, name, holder, until)"
    " VALUES (%s, %s, %s, clock_timestamp() + %s * interval '1 second')"
    " ON CONFLICT (account_id, name) DO UPDATE SET holder = excluded.holder, until = excluded.until"
    " WHERE r.until <= clock_timestamp() OR r.holder = excluded.holder RETURNING 1 AS taken"
)
RENEW_ROLE: Final = (
    "UPDATE smsapi.roles SET until = clock_timestamp() + %s * interval '1 second'"
    " WHERE account_id = %s AND name = %s AND holder = %s"
)
RELEASE_ROLE: Final = (
    "UPDATE smsapi.roles SET until = clock_timestamp() WHERE account_id = %s AND name = %s AND holder = %s"
)
