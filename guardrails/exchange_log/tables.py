"""What tables are there? All of them, of every room; `migrations/` creates them.

Columns of `exchanges` follow OpenTelemetry's `gen_ai.*` names, with underscores for dots.
"""

from __future__ import annotations

from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Double,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Unicode,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

EMBEDDING_SIZE = 384

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

_NOW = text("now()")
_MADE_ID = text("gen_random_uuid()")


def time_column(name: str, *, nullable: bool = False, made: bool = False) -> Column[object]:
    """A moment with its zone; `made` is when the row was."""
    return Column(
        name, DateTime(timezone=True), nullable=nullable, server_default=_NOW if made else None
    )


exchanges = Table(
    "exchanges",
    metadata,
    Column("id", Uuid, primary_key=True, comment="UUIDv7"),
    Column("started_at", DateTime(timezone=True), primary_key=True),
    time_column("recorded_at", made=True),
    Column("protocol", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("key_id", Text),
    Column("stream", Boolean, nullable=False),
    Column("gen_ai_operation_name", Text, nullable=False),
    Column("gen_ai_request_model", Text, nullable=False),
    Column("gen_ai_response_model", Text),
    Column("gen_ai_usage_input_tokens", BigInteger),
    Column("gen_ai_usage_output_tokens", BigInteger),
    Column("gen_ai_response_finish_reasons", ARRAY(Text)),
    Column("decision", Text, nullable=False, comment="allow, flag, redact or block"),
    Column("failure_code", Text),
    Column("failure_message", Text),
    Column("failure_status", Integer),
    Column("abandoned", Boolean, nullable=False),
    Column("policy_version", Text, nullable=False, comment="name@version"),
    Column("template_hash", Text),
    Column("upstream", Text),
    Column("upstream_model", Text, comment="model@version"),
    Column("attempts", Integer, nullable=False),
    Column("duration_seconds", Double, comment="`total` of seconds, or their sum"),
    Column("seconds", JSONB, nullable=False),
    Column("request", JSONB, nullable=False),
    Column("prompt", JSONB),
    Column("completion", JSONB),
    Column("answer", JSONB),
    Column("inputs", JSONB, nullable=False),
    Column("outputs", JSONB, nullable=False),
    Column("passages", JSONB, nullable=False),
    Column("citations", JSONB, nullable=False),
    Column("checks", JSONB, nullable=False),
    Column("reasons", JSONB, nullable=False),
    Column("uncovered", JSONB, nullable=False),
    Column("bytes", Integer, nullable=False, comment="Size of the record as JSON"),
    Column("language", Text, comment="Of the user's last text: ISO 639-1, or und"),
    Column("groups", ARRAY(Text), comment="Groups of people that the user's last text names"),
    Column("conversation", BigInteger, comment="Its keyed hash, during a rollout"),
    Column("assigned_model", Text, comment="What the rollout drew for it"),
    Column("source_id", Uuid, comment="The exchange whose prompt an audit asks again in this one"),
    Column(
        "xact",
        BigInteger,
        nullable=False,
        server_default=text("(pg_current_xact_id()::text)::bigint"),
        comment="The transaction that wrote it",
    ),
    Column(
        "salt",
        Uuid,
        nullable=False,
        server_default=_MADE_ID,
        comment="Keeps text_digest from being guessed; erased with it",
    ),
    time_column("erased_at", nullable=True),
    Column("erasure", Uuid, comment="Which erasure took its texts"),
    Column("text_digest", LargeBinary, comment="What the erased texts hashed to"),
    Index(None, "started_at", "id"),
    Index(None, "decision", "started_at", "id"),
    Index(None, "route", "started_at", "id"),
    Index(None, "tenant", "started_at", "id"),
    Index(
        "exchanges_model_started_at_id_idx",
        text('"left"(gen_ai_request_model, 200)'),
        "started_at",
        "id",
    ),
    Index(None, "xact"),
    Index(
        "exchanges_end_user_idx",
        text("exchange_end_user(request)"),
        postgresql_where=text("exchange_end_user(request) IS NOT NULL"),
    ),
    postgresql_partition_by="RANGE (started_at)",
)

rejected_records = Table(
    "rejected_records",
    metadata,
    Column("sha256", LargeBinary, primary_key=True),
    time_column("rejected_at", made=True),
    Column("error", Text, nullable=False),
    Column("record", LargeBinary, nullable=False, comment="The line that Postgres refused"),
)

log_spools = Table(
    "log_spools",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("position", BigInteger, nullable=False, comment="Number of the last record written"),
    Column(
        "lost",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="Records that were damaged in their segments",
    ),
    time_column("updated_at", made=True),
)

policies = Table(
    "policies",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False, comment="The YAML as it was read"),
    time_column("first_seen", made=True),
)

templates = Table(
    "templates",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False),
    time_column("first_seen", made=True),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False, comment="HMAC-SHA256 of the whole token"),
    Column("name", Text, nullable=False),
    Column("tenant", Text, nullable=False, server_default="default"),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("routes", ARRAY(Text), comment="NULL: all"),
    time_column("created_at", made=True),
    time_column("expires_at", nullable=True),
    time_column("revoked_at", nullable=True),
)

documents = Table(
    "documents",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    Column("collection", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    time_column("created_at", made=True),
    UniqueConstraint("collection", "source"),
)

passages = Table(
    "passages",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    Column("document_id", Uuid, ForeignKey("documents.id", ondelete="CASCADE"), nullable=False),
    Column("collection", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("start_offset", Integer, nullable=False),
    Column("end_offset", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("embedding", Vector(EMBEDDING_SIZE), nullable=False),
    Column("search", TSVECTOR, Computed("to_tsvector('english', text)", persisted=True)),
    UniqueConstraint("document_id", "number"),
    Index(None, "collection"),
    Index(
        None,
        "embedding",
        postgresql_using="hnsw",
        postgresql_ops={"embedding": "vector_cosine_ops"},
    ),
    Index(None, "search", postgresql_using="gin"),
)

monitor_runs = Table(
    "monitor_runs",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    Column("job", Text, nullable=False),
    time_column("window_start"),
    time_column("window_end"),
    Column("status", Text, nullable=False),
    time_column("started_at", made=True),
    time_column("finished_at", nullable=True),
    Column("result", JSONB),
    Column("error", Text),
    UniqueConstraint("job", "window_start", "window_end"),
    CheckConstraint("status IN ('OK', 'DRIFT', 'NO_DATA', 'FAILED')", name="status"),
)

drift_references = Table(
    "drift_references",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    Column("job", Text, nullable=False),
    Column(
        "versions",
        Text,
        nullable=False,
        comment="The model, template and policy versions that it was taken under",
    ),
    time_column("window_start"),
    time_column("window_end"),
    Column("n", BigInteger, nullable=False),
    time_column("frozen_at", made=True),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("job", "versions"),
)

drift_states = Table(
    "drift_states",
    metadata,
    Column("job", Text, primary_key=True),
    Column("window_end", DateTime(timezone=True), primary_key=True),
    Column(
        "reference_id",
        Uuid,
        ForeignKey("drift_references.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("body", LargeBinary, nullable=False),
)

# As APScheduler 3.11 makes it; made by us, because two schedulers that start on an empty database
# both try to, and one of them fails.
apscheduler_jobs = Table(
    "apscheduler_jobs",
    metadata,
    Column("id", Unicode(191), primary_key=True),
    Column("next_run_time", Float(25)),
    Column("job_state", LargeBinary, nullable=False),
    Index("ix_apscheduler_jobs_next_run_time", "next_run_time"),
)
