"""The text form of PostgreSQL arrays. psycopg writes arrays in Python code, which takes ten times as long."""

from collections.abc import Sequence
from datetime import datetime


def array_of(values: Sequence[object]) -> str:
    """Return values as the text of a PostgreSQL array. The statement must cast the text to its type.

    Args:
        values: texts, integers, booleans or datetimes, all of one type, and None for NULL.
    """
    if any(isinstance(value, str | datetime) for value in values):
        return _texts([str(value) if isinstance(value, datetime) else value for value in values])
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def _texts(values: Sequence[object]) -> str:
    words = [value for value in values if isinstance(value, str)]
    joined = "".join(words)
    if len(words) == len(values) and '"' not in joined and "\\" not in joined:
        return '{"' + '","'.join(words) + '"}'
    return "{" + ",".join(map(_quoted, values)) + "}"


def _quoted(value: object) -> str:
    if value is None:
        return "NULL"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
