"""What tables hold a policy on its way? Drafts, and which one was put in force by whom."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Table,
    Text,
    Uuid,
    text,
)

from guardrails.exchange_log.tables import metadata, time_column

policy_drafts = Table(
    "policy_drafts",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("source", Text, nullable=False, comment="YAML, valid or not yet"),
    Column("made_by", Text, nullable=False),
    time_column("made_at", made=True),
    Column("changed_by", Text, nullable=False),
    time_column("changed_at", made=True),
)

policy_releases = Table(
    "policy_releases",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("part", Text, nullable=False),
    Column(
        "policy_hash",
        Text,
        ForeignKey("policies.hash"),
        comment="NULL: what the proxies are configured with",
    ),
    Column("released_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    time_column("released_at", made=True),
    CheckConstraint("part IN ('enforce', 'shadow')", name="part"),
    Index(None, "part", "id"),
)
