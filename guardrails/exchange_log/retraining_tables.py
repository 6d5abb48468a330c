"""What tables hold the models that were trained, and the runs that trained them?"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from guardrails.exchange_log.tables import metadata, time_column

_MADE_ID = text("gen_random_uuid()")

model_versions = Table(
    "model_versions",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    Column("model", Text, nullable=False, comment="The name that applications ask for"),
    Column("version", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("weights_uri", Text, nullable=False),
    Column("weights_sha256", Text, nullable=False),
    Column("template_hash", Text, comment="The prompt template of its training rows"),
    Column("dataset_sha256", Text),
    Column("parent", Uuid, ForeignKey("model_versions.id")),
    Column("evaluation", JSONB, nullable=False),
    Column("lineage", JSONB, nullable=False),
    time_column("registered_at"),
    Index(
        "model_versions_model_version_key",
        "model",
        "version",
        unique=True,
    ),
    Index(
        "model_versions_champion_key",
        "model",
        unique=True,
        postgresql_where=text("stage = 'champion'"),
    ),
    CheckConstraint("kind IN ('language_model', 'detector')", name="kind"),
    CheckConstraint(
        "stage IN ('registered', 'canary', 'champion', 'retired', 'refused')", name="stage"
    ),
)

retraining_runs = Table(
    "retraining_runs",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    Column("idempotency_key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("alert_id", Uuid),
    Column("reason", Text, nullable=False),
    Column("opened_by", Text, nullable=False),
    Column("parameters", JSONB, nullable=False, comment="The plan of the run, budget and all"),
    Column("state", Text, nullable=False),
    Column("steps", JSONB, nullable=False, comment="By name: when, how often, what came out"),
    Column("dataset_sha256", Text),
    Column("model_version_id", Uuid, ForeignKey("model_versions.id")),
    Column("approver", Text),
    time_column("decided_at", nullable=True),
    Column("decision_reason", Text),
    time_column("created_at"),
    time_column("finished_at", nullable=True),
    Column("outcome", Text, comment="One sentence: what came of it"),
    Index(None, "created_at"),
    CheckConstraint("kind IN ('language_model', 'detector')", name="kind"),
    CheckConstraint(
        "state IN ('waiting', 'approved', 'running', 'succeeded', 'failed', 'refused')",
        name="state",
    ),
)
