"""Tests of the SQL statements of the SQLite ledger."""

import re

from smsapi_async.ledger.sqlite import statements


def test_no_placeholder_has_a_number() -> None:
    """The ledger causes no `DeprecationWarning` of `sqlite3` on Python 3.12.0 to 3.12.3.

    `sqlite3` of these versions takes a placeholder with a number, such as ``?1``, for a named placeholder,
    and warns about a sequence of values (CPython, gh-117995).
    """
    texts = [value for value in vars(statements).values() if isinstance(value, str)]
    assert len(texts) > 40
    assert [text for text in texts if re.search(r"\?[0-9]", text)] == []
