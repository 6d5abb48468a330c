"""What tables hold rollouts: which version serves which share, and how it came to that?"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from guardrails.exchange_log.tables import metadata, time_column

_ROLLOUT = "rollouts.id"

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    Column("model", Text, nullable=False),
    Column("champion", Text, nullable=False, comment="model@version"),
    Column("candidate", Text, nullable=False, comment="model@version"),
    Column("state", Text, nullable=False),
    Column("share", Double, nullable=False, comment="Of conversations, that the candidate gets"),
    Column("step", Integer, nullable=False, comment="Which of the plan's, from 0"),
    Column("plan", JSONB, nullable=False),
    Column("evidence", JSONB, nullable=False, comment="What the test has seen so far"),
    time_column("started_at"),
    time_column("updated_at"),
    Column("reason", Text, comment="Why its state is what it is"),
    Column("started_by", Text, nullable=False),
    CheckConstraint("state IN ('running', 'paused', 'promoted', 'rolled_back')", name="state"),
    CheckConstraint("share >= 0 AND share <= 1", name="share"),
    CheckConstraint("champion <> candidate", name="versions"),
    Index(
        "rollouts_open_model_idx",
        "model",
        unique=True,
        postgresql_where=text("state IN ('running', 'paused')"),
    ),
    Index(None, "model", "started_at"),
)

rollout_events = Table(
    "rollout_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("rollout_id", Uuid, ForeignKey(_ROLLOUT, ondelete="CASCADE"), nullable=False),
    time_column("at"),
    Column("kind", Text, nullable=False),
    Column("share", Double, nullable=False, comment="From here on"),
    Column("detail", JSONB, nullable=False, comment="Who, why, and the figures that led to it"),
    CheckConstraint(
        "kind IN ('started', 'step', 'paused', 'resumed', 'promoted', 'rolled_back')", name="kind"
    ),
    Index(None, "rollout_id", "at"),
)

rollout_conversations = Table(
    "rollout_conversations",
    metadata,
    Column("rollout_id", Uuid, ForeignKey(_ROLLOUT, ondelete="CASCADE"), primary_key=True),
    Column("conversation", BigInteger, primary_key=True, autoincrement=False),
    comment="Those that the test has counted: each one once",
)
