"""What tables hold what people do? Reviews, users and their sessions, the audit log."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from guardrails.exchange_log.tables import metadata, time_column

_MADE_ID = text("gen_random_uuid()")
_NOTHING = text("'{}'::jsonb")

review_items = Table(
    "review_items",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    Column("exchange_id", Uuid, nullable=False),
    time_column("exchange_started_at"),
    Column("side", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column(
        "probability",
        Double,
        comment="Of being sampled, where chance decided; NULL where it did not",
    ),
    Column("stratum", Text, comment="blocked, flagged, near or plain"),
    time_column("window_start", nullable=True),
    time_column("window_end", nullable=True),
    time_column("sampled_at", made=True),
    Column("evidence", JSONB, nullable=False, server_default=_NOTHING),
    UniqueConstraint("exchange_id", "side", "why"),
    Index(None, "exchange_started_at"),
    CheckConstraint("side IN ('input', 'output')", name="side"),
    CheckConstraint("why IN ('random', 'uncertain', 'appeal', 'alert')", name="why"),
    CheckConstraint("probability > 0 AND probability <= 1", name="probability"),
)

review_labels = Table(
    "review_labels",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    Column("item_id", Uuid, ForeignKey("review_items.id", ondelete="CASCADE"), nullable=False),
    Column("reviewer", Text, nullable=False),
    Column("harmful", Boolean, comment="NULL: cannot tell"),
    Column("labels", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    Column("note", Text),
    time_column("made_at", made=True),
    UniqueConstraint("item_id", "reviewer"),
    Index(None, "reviewer", "made_at"),
)

review_leases = Table(
    "review_leases",
    metadata,
    Column("item_id", Uuid, ForeignKey("review_items.id", ondelete="CASCADE"), primary_key=True),
    Column("reviewer", Text, primary_key=True),
    time_column("until"),
)

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    Column("name", Text, nullable=False),
    Column("email", Text),
    Column("password_hash", Text, comment="Argon2id; NULL: no login by password"),
    Column("subject", Text, comment="OpenID Connect: issuer and sub"),
    Column("role", Text, nullable=False),
    Column("tenants", ARRAY(Text), comment="NULL: all"),
    time_column("created_at", made=True),
    time_column("disabled_at", nullable=True),
    UniqueConstraint("name"),
    UniqueConstraint("subject"),
    CheckConstraint("role IN ('viewer', 'reviewer', 'admin')", name="role"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", LargeBinary, primary_key=True, comment="SHA-256 of the cookie's token"),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    time_column("created_at", made=True),
    time_column("seen_at", made=True),
    time_column("expires_at"),
    Column("address", Text),
    Index(None, "user_id"),
)

login_failures = Table(
    "login_failures",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    time_column("at", made=True),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    Index(None, "name", "at"),
    Index(None, "address", "at"),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    time_column("at", made=True),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False, server_default=text("''::text")),
    Column("detail", JSONB, nullable=False, server_default=_NOTHING),
    Index(None, "at"),
    Index(None, "who", "at"),
    Index(None, "action", "at"),
)

saved_views = Table(
    "saved_views",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False, comment="Path and query of the page"),
    time_column("made_at", made=True),
    UniqueConstraint("owner", "name"),
)

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("id", Uuid, primary_key=True, comment="One for each process"),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False, comment="Host and process id"),
    time_column("started_at"),
    time_column("seen_at", made=True),
    Column("status", JSONB, nullable=False, server_default=_NOTHING),
)
