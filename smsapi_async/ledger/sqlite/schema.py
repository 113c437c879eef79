"""The tables of a SQLite ledger, version 1."""

from datetime import datetime
from types import NoneType
from typing import Any, get_args

import attrs
from sqlalchemy import CheckConstraint, Column, ForeignKey, Integer, MetaData, Table, Text

from smsapi_async.models import CONTENT_FIELDS

VERSION = 1
"""Kept as ``PRAGMA user_version``."""

APPLICATION_ID = 0x534D5341
"""Kept as ``PRAGMA application_id``: tells a ledger from any other SQLite file."""

metadata = MetaData()


def _content_column(field: "attrs.Attribute[Any]") -> "Column[Any]":
    """The column of a field of `Message.content`; whoever adds such a field raises `VERSION`."""
    kinds = get_args(field.type) or (field.type,)
    is_text = str in kinds or datetime in kinds
    return Column(field.name, Text if is_text else Integer, nullable=NoneType in kinds)


# Messages of one bulk share their text, and the answer to it: both are kept once.
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

# Only of accepted messages. Written over at each change, so it holds the last word on each message alone.
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
