"""Removes the numbers of the recipients from segment ids before a redacted ledger stores the ids."""

import sqlite3

from smsapi_async.ledger.redacted_ids import StoredId, possible_digests, redacted_ids
from smsapi_async.ledger.sqlite import statements
from smsapi_async.ledger.stored_answers import encoded


def ids_to_store(
    connection: sqlite3.Connection, request: int, segment_ids: tuple[str, ...]
) -> tuple[StoredId, ...]:
    """Return the segment ids of a request without the numbers of its messages.

    Args:
        connection: the connection to the file of a redacted ledger.
        request: the number of the request.
        segment_ids: all segment ids of the response.
    """
    if not segment_ids:
        return ()
    rows = connection.execute(statements.NUMBERS_OF_REQUEST, {"request": request}).fetchall()
    (size,) = connection.execute(statements.SIZE_OF_REQUEST, (request,)).fetchone()
    if len(rows) < size:
        # A person has resolved a message of the request, and the answer came later. The message now belongs
        # to another request.
        possible = encoded(sorted(possible_digests(segment_ids)))
        rows += connection.execute(statements.FIND_STORED_NUMBERS, (possible,)).fetchall()
    return redacted_ids(segment_ids, {row[0] for row in rows})
