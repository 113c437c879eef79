"""The SQL statements of the queue of a PostgreSQL ledger."""

from typing import Final

# A request with a `not_before` of infinity is the rest of a stopped batch: workers do not send it. The index
# of the queue does not contain such requests, so their number does not make a poll slower.
_QUEUED: Final = "account_id = %(account)s AND state = 'pending' AND not_before < 'infinity'"
_LEASE: Final = (
    "sent_at = clock_timestamp(), claimed_until = clock_timestamp() + %(seconds)s * interval '1 second'"
)

_WITHOUT_REQUEST: Final = "FROM smsapi.messages WHERE account_id = %(account)s AND request_id IS NULL"


def _add_requests(condition: str) -> str:
    """Return the statement that makes a request for each message without a request.

    A caller that enqueues one message inserts only the message: this is a third of the work. The content
    stays in the row of the message. The request gets the id that was reserved for it, so that the order of
    the queue is the order of the calls.

    Args:
        condition: which of these messages get a request, their order, and how they are locked.
    """
    return (
        "WITH chosen AS MATERIALIZED (SELECT account_id, key, reserved_id, priority, not_before"  # noqa: S608
        f" {_WITHOUT_REQUEST} {condition}),"
        " request AS (INSERT INTO smsapi.requests (id, account_id, state, size, priority, not_before)"
        " SELECT reserved_id, account_id, 'pending', 1, priority, not_before FROM chosen)"
        " UPDATE smsapi.messages m SET request_id = c.reserved_id FROM chosen c"
        " WHERE m.account_id = c.account_id AND m.key = c.key"
    )


# The order of the queue. The first `count` messages without a request are enough: a claim takes no more.
ADD_REQUESTS_DUE: Final = _add_requests(
    "AND not_before <= statement_timestamp() ORDER BY priority DESC, not_before, reserved_id LIMIT %(count)s"
    " FOR UPDATE SKIP LOCKED"
)
ADD_REQUESTS_TO_ALL: Final = _add_requests("ORDER BY key FOR UPDATE")
# All callers lock messages in the order of their keys, and before requests. A caller of `smsapi.enqueue`
# waits for a message that was changed, but not for a message that is only locked.
LOCK_WITHOUT_REQUEST: Final = (
    f"SELECT key {_WITHOUT_REQUEST} AND key = ANY(%(keys)s::text[]) ORDER BY key FOR UPDATE"
)
LOCK_ALL_WITHOUT_REQUEST: Final = (
    f"SELECT count(*) AS count FROM (SELECT 1 {_WITHOUT_REQUEST} ORDER BY key FOR UPDATE) m"  # noqa: S608
)
CLAIM_DUE: Final = (
    "WITH due AS MATERIALIZED (SELECT id, size, priority, not_before FROM smsapi.requests"  # noqa: S608
    f" WHERE {_QUEUED} AND not_before <= statement_timestamp()"
    " ORDER BY priority DESC, not_before, id LIMIT %(count)s FOR UPDATE SKIP LOCKED),"
    " numbered AS (SELECT id, row_number() OVER queue AS place, sum(size) OVER queue AS total FROM due"
    " WINDOW queue AS (ORDER BY priority DESC, not_before, id)),"
    " claimed AS (UPDATE smsapi.requests r SET state = 'sending', token = (%(tokens)s::text[])[n.place],"
    f" {_LEASE} FROM numbered n WHERE r.id = n.id"
    " AND (n.total <= %(room)s OR (n.place = 1 AND %(is_alone)s))"
    " RETURNING r.id, r.token, r.size, n.place)"
    " SELECT d.due, c.id, c.token, c.size FROM (SELECT count(*) AS due FROM due) d"
    " LEFT JOIN claimed c ON true ORDER BY c.place"
)
# If a connection is lost in a commit, the server may still work on the commit. A repeated claim would not see
# its rows, and would give their tokens to other requests. The lock makes the repeat wait for the end of the
# commit. Without a token, the parameter is NULL, and nothing is locked.
_LOCK: Final = "pg_advisory_xact_lock(hashtextextended('smsapi-async claim ' || %s::text, 0))"
LOCK_CLAIM: Final = f"SELECT {_LOCK} AS locked"
# The commit of an earlier attempt may have succeeded. No message of these requests was sent.
CLAIM_AGAIN: Final = (
    f"UPDATE smsapi.requests SET {_LEASE} WHERE account_id = %(account)s"  # noqa: S608
    " AND token = ANY(%(tokens)s::text[]) AND state = 'sending' RETURNING id, token, size"
)
MESSAGES_OF: Final = (
    "SELECT id, key, number, content_id, content, request_id, place FROM smsapi.messages"
    " WHERE request_id = ANY(%s::bigint[]) ORDER BY request_id, place"
)
# Messages that moved to another request leave gaps.
RENUMBER: Final = (
    "UPDATE smsapi.messages m SET place = g.place FROM unnest(%s::bigint[], %s::integer[]) AS g (id, place)"
    " WHERE m.account_id = %s AND m.request_id = ANY(%s::bigint[]) AND m.id = g.id"
)
RESIZE: Final = (
    "UPDATE smsapi.requests r SET size = g.size FROM unnest(%s::bigint[], %s::integer[]) AS g (id, size)"
    " WHERE r.id = g.id"
)
# A message in the queue stays in the queue if it moves to another request.
INHERIT_PLACE: Final = (
    "UPDATE smsapi.requests r SET priority = g.priority, not_before = g.not_before FROM"
    " (SELECT p.new_id, max(coalesce(o.priority, m.priority)) AS priority,"
    " min(coalesce(o.not_before, m.not_before)) AS not_before"
    " FROM unnest(%s::bigint[], %s::text[]) AS p (new_id, key)"
    " JOIN smsapi.messages m ON m.account_id = %s AND m.key = p.key"
    " LEFT JOIN smsapi.requests o ON o.id = m.request_id GROUP BY p.new_id) g WHERE r.id = g.new_id"
)

# The pause of an account, and its number of successive unknown requests.
_PAUSE: Final = "paused_at, pause_reason, pause_code"
READ_ACCOUNT: Final = f"SELECT {_PAUSE}, unknown_in_a_row FROM smsapi.accounts WHERE id = %s"  # noqa: S608
# The order makes the planner use the index. Without it, the planner would read the whole table if its
# statistics say that many messages have no request.
READ_ACCOUNT_AND_LOCK_CLAIM: Final = (
    f"SELECT {_PAUSE}, unknown_in_a_row, {_LOCK} AS locked,"  # noqa: S608
    " (SELECT true FROM smsapi.messages m WHERE m.account_id = a.id AND m.request_id IS NULL"
    " ORDER BY m.priority DESC, m.not_before, m.reserved_id LIMIT 1) AS lacks_requests"
    " FROM smsapi.accounts a WHERE id = %s"
)
LOCK_ACCOUNT: Final = f"{READ_ACCOUNT} FOR UPDATE"
PAUSE: Final = (
    "UPDATE smsapi.accounts SET paused_at = clock_timestamp(), pause_reason = %s, pause_code = %s"
    " WHERE id = %s AND paused_at IS NULL"
)
RESUME: Final = (
    "UPDATE smsapi.accounts SET paused_at = NULL, pause_reason = NULL, pause_code = NULL,"
    " unknown_in_a_row = 0 WHERE id = %s"
)
FORGET_REFUSAL: Final = (
    "UPDATE smsapi.sessions SET refused_at = NULL, refused_code = NULL, refused_reason = NULL"
    " WHERE account_id = %s"
)
COUNT_UNKNOWN: Final = "UPDATE smsapi.accounts SET unknown_in_a_row = %s WHERE id = %s"
# A row that is not changed is not locked, so the answers of several workers do not wait for each other.
NONE_UNKNOWN: Final = "UPDATE smsapi.accounts SET unknown_in_a_row = 0 WHERE id = %s AND unknown_in_a_row > 0"
# The claim of a killed worker is ignored after a minute. The requests of batches have no place in the queue:
# their answers do not change the number of successive unknown requests, so workers do not wait for them.
IN_FLIGHT: Final = (
    "SELECT count(*) AS count FROM smsapi.requests WHERE account_id = %s AND state = 'sending'"
    " AND not_before < 'infinity' AND claimed_until > clock_timestamp()"
    " AND sent_at > clock_timestamp() - interval '1 minute'"
)
QUEUED: Final = (
    "SELECT count(*) AS requests, coalesce(sum(size), 0) AS messages FROM"  # noqa: S608
    f" (SELECT size FROM smsapi.requests WHERE {_QUEUED} UNION ALL SELECT 1"
    f" {_WITHOUT_REQUEST} AND not_before < 'infinity' LIMIT %(limit)s) q"
)
FENCE: Final = (
    "WITH fenced AS (UPDATE smsapi.requests SET state = 'unknown', answered_at = clock_timestamp(),"
    " sent_at = coalesce(sent_at, clock_timestamp()), claimed_until = NULL, reason = %s"
    " WHERE account_id = %s AND state IN ('pending', 'sending') RETURNING id)"
    " SELECT count(*) AS count FROM smsapi.messages m JOIN fenced ON fenced.id = m.request_id"
)
