"""The tables of a SQLite ledger, version 1."""

from datetime import datetime
from types import NoneType
from typing import Any, get_args

import attrs
from sqlalchemy import CheckConstraint, Column, ForeignKey, Integer, MetaData, Table, Text

from smsapi_async.models import CONTENT_FIELDS

VERSION = 1
"""The version of the tables of a ledger, which the file stores in ``PRAGMA user_version``."""

APPLICATION_ID = 0x534D5341
"""The number that distinguishes a ledger from other SQLite files.

The file of a ledger stores `APPLICATION_ID` in ``PRAGMA application_id``.
"""

metadata = MetaData()


def _content_column(field: "attrs.Attribute[Any]") -> "Column[Any]":
    """Return the column for a field of `Message.content`.

    If you add a content field to `Message`, increase `VERSION`: the new column changes the tables.
    """
    kinds = get_args(field.type) or (field.type,)
    is_text = str in kinds or datetime in kinds
    return Column(field.name, Text if is_text else Integer, nullable=NoneType in kinds)


# The messages of one bulk have the same content and the same outcome. Many messages therefore refer to one
# row of the table `contents` and to one row of the table `answers`.
contents = Table(
    "contents",
    metadata,
    Column("id", Integer, primary_key=True),
    *map(_content_column, CONTENT_FIELDS),
)

answers = Table(
    "answers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("accepted_at", Text),
    Column("reason", Text),
    Column("code", Integer),
    Column("unattributed_ids", Text),
)

messages = Table(
    "messages",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("destination_address", Text, nullable=False),
    Column("content_id", Integer, ForeignKey("contents.id"), nullable=False),
    Column("answer_id", Integer, ForeignKey("answers.id")),
    Column("segment_ids", Text),
    CheckConstraint(
        "state IN ('pending', 'sending', 'accepted', 'rejected', 'unknown')", name="state_is_known"
    ),
)

# The table `deliveries` has one row for each accepted message with a recorded delivery. Each new delivery of
# a message overwrites its row, so the table contains only the last delivery of each message.
deliveries = Table(
    "deliveries",
    metadata,
    Column("message_id", Integer, ForeignKey("messages.id"), primary_key=True, autoincrement=False),
    Column("phase", Text, nullable=False),
    Column("is_final", Integer, nullable=False),
    Column("failed_state", Integer),
    Column("updated_at", Text, nullable=False),
    Column("states", Text, nullable=False),
    CheckConstraint("phase IN ('pending', 'delivered', 'failed', 'unknown')", name="phase_is_known"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", Text, nullable=False),
)

properties = Table("properties", metadata, Column("redacted", Integer, nullable=False))
