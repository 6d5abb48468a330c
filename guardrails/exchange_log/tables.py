"""What tables are there? All of them, of every room; `migrations/` creates them.

Columns of `exchanges` follow OpenTelemetry's `gen_ai.*` names, with underscores for dots.
"""

from __future__ import annotations

from typing import Any

from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
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
_STEP = "Seconds: 60 or 3600"


def _time(name: str, *, nullable: bool = False, made: bool = False) -> Column[object]:
    return Column(
        name, DateTime(timezone=True), nullable=nullable, server_default=_NOW if made else None
    )


exchanges = Table(
    "exchanges",
    metadata,
    Column("id", Uuid, primary_key=True, comment="UUIDv7"),
    Column("started_at", DateTime(timezone=True), primary_key=True),
    _time("recorded_at", made=True),
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
    _time("erased_at", nullable=True),
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

exchange_texts = Table(
    "exchange_texts",
    metadata,
    Column("started_at", DateTime(timezone=True), primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("search", TSVECTOR, nullable=False),
    Index(None, "search", postgresql_using="gin"),
    postgresql_partition_by="RANGE (started_at)",
)


def _counts_key() -> tuple[Column[Any], ...]:
    return (
        Column("step", Integer, primary_key=True, autoincrement=False, comment=_STEP),
        Column("start", DateTime(timezone=True), primary_key=True),
        *(
            Column(name, Text, primary_key=True)
            for name in ("route", "model", "tenant", "decision")
        ),
    )


exchange_counts = Table(
    "exchange_counts",
    metadata,
    *_counts_key(),
    *(
        Column(name, BigInteger, nullable=False)
        for name in (
            "exchanges",
            "failed",
            "abandoned",
            "reached",
            "input_tokens",
            "output_tokens",
        )
    ),
)

label_counts = Table(
    "label_counts",
    metadata,
    *_counts_key(),
    Column("detector", Text, primary_key=True),
    Column("label", Text, primary_key=True),
    Column("shadow", Boolean, primary_key=True),
    Column("exchanges", BigInteger, nullable=False),
)

duration_counts = Table(
    "duration_counts",
    metadata,
    Column("step", Integer, primary_key=True, autoincrement=False, comment=_STEP),
    Column("start", DateTime(timezone=True), primary_key=True),
    Column(
        "bucket",
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="Whole part of 20 × ln(milliseconds)",
    ),
    Column("exchanges", BigInteger, nullable=False),
)

log_progress = Table(
    "log_progress",
    metadata,
    Column("job", Text, primary_key=True),
    Column(
        "xact",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="Rows of older transactions are done",
    ),
)

exchange_seals = Table(
    "exchange_seals",
    metadata,
    Column("day", Date, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("xact_from", BigInteger, nullable=False),
    Column("xact_to", BigInteger, nullable=False),
    Column("rows", Integer, nullable=False),
    Column(
        "leaves",
        LargeBinary,
        nullable=False,
        comment="24 bytes a row: its id and 8 of its digest",
    ),
    Column("digest", LargeBinary, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("keyed", Boolean, nullable=False),
    _time("sealed_at"),
    Column("note", Text),
    CheckConstraint("kind IN ('rows', 'erasure', 'dropped')", name="kind"),
)

holds = Table(
    "holds",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    Column("kind", Text, nullable=False),
    Column("tenant", Text),
    Column("end_user", Text, comment="exchange_end_user, or that of the pseudonym"),
    Column("exchange_id", Uuid),
    _time("since", nullable=True),
    _time("until", nullable=True),
    Column("reason", Text, nullable=False),
    _time("made_at", made=True),
    Column("made_by", Text, nullable=False),
    _time("released_at", nullable=True),
    CheckConstraint("kind IN ('legal', 'evidence')", name="kind"),
)

erasures = Table(
    "erasures",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    Column("kind", Text, nullable=False),
    Column("tenant", Text),
    Column("route", Text),
    Column("end_users", ARRAY(Text), comment="exchange_end_user of the name and its pseudonym"),
    _time("until"),
    _time("requested_at"),
    Column("requested_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("erased", BigInteger, nullable=False, server_default="0"),
    Column("held", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("kind IN ('request', 'retention')", name="kind"),
)

rejected_records = Table(
    "rejected_records",
    metadata,
    Column("sha256", LargeBinary, primary_key=True),
    _time("rejected_at", made=True),
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
    _time("updated_at", made=True),
)

policies = Table(
    "policies",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False, comment="The YAML as it was read"),
    _time("first_seen", made=True),
)

templates = Table(
    "templates",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False),
    _time("first_seen", made=True),
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
    _time("created_at", made=True),
    _time("expires_at", nullable=True),
    _time("revoked_at", nullable=True),
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
    _time("created_at", made=True),
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
    _time("window_start"),
    _time("window_end"),
    Column("status", Text, nullable=False),
    _time("started_at", made=True),
    _time("finished_at", nullable=True),
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
    _time("window_start"),
    _time("window_end"),
    Column("n", BigInteger, nullable=False),
    _time("frozen_at", made=True),
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
