"""The tables of a SQLite ledger, version 1."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Integer, MetaData, Table, Text

VERSION = 1
"""Kept as ``PRAGMA user_version``."""

APPLICATION_ID = 0x534D5341
"""Kept as ``PRAGMA application_id``: tells a ledger from any other SQLite file."""

metadata = MetaData()

# Messages of one bulk share their text, and the answer to it: both are kept once.
contents = Table(
    "contents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("text", Text, nullable=False),
    Column("source_address", Text),
    Column("send_date", Text),
    Column("validity", Integer),
    Column("by_time_zone", Integer, nullable=False),
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
