"""What tables keep the log in order? Search, counts, seals, holds and erasures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from guardrails.exchange_log.tables import EMBEDDING_SIZE, metadata, time_column

_MADE_ID = text("gen_random_uuid()")
_STEP = "Seconds: 60 or 3600"

exchange_texts = Table(
    "exchange_texts",
    metadata,
    Column("started_at", DateTime(timezone=True), primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("search", TSVECTOR, nullable=False),
    Index(None, "search", postgresql_using="gin"),
    postgresql_partition_by="RANGE (started_at)",
)


exchange_embeddings = Table(
    "exchange_embeddings",
    metadata,
    Column("started_at", DateTime(timezone=True), primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("embedding", HALFVEC(EMBEDDING_SIZE), nullable=False),
    Index(
        None,
        "embedding",
        postgresql_using="hnsw",
        postgresql_ops={"embedding": "halfvec_cosine_ops"},
    ),
    postgresql_partition_by="RANGE (started_at)",
)


def _counts_key(step: str = _STEP) -> tuple[Column[Any], ...]:
    return (
        Column("step", Integer, primary_key=True, autoincrement=False, comment=step),
        Column("start", DateTime(timezone=True), primary_key=True),
        *(
            Column(name, Text, primary_key=True)
            for name in ("route", "model", "tenant", "decision")
        ),
    )


def _sums() -> Iterator[Column[Any]]:
    for name in ("exchanges", "failed", "abandoned", "reached", "input_tokens", "output_tokens"):
        yield Column(name, BigInteger, nullable=False)


def _fired() -> tuple[Column[Any], ...]:
    return (
        Column("detector", Text, primary_key=True),
        Column("label", Text, primary_key=True),
        Column("shadow", Boolean, primary_key=True),
        Column("exchanges", BigInteger, nullable=False),
    )


exchange_counts = Table(
    "exchange_counts",
    metadata,
    *_counts_key(),
    *_sums(),
    *(
        Index(f"exchange_counts_{name}_idx", name, "start", postgresql_where=text("step = 3600"))
        for name in ("route", "model", "tenant")
    ),
    Index(
        "exchange_counts_failed_idx",
        "start",
        postgresql_where=text("step = 3600 AND failed > 0"),
    ),
)

label_counts = Table(
    "label_counts",
    metadata,
    *_counts_key("Seconds: 3600"),
    *_fired(),
    CheckConstraint("step = 3600", name="step"),
)

# The whole log by the hour: a line for each decision, where `exchange_counts` has one for each
# route, model and tenant besides.
exchange_hours = Table(
    "exchange_hours",
    metadata,
    Column("start", DateTime(timezone=True), primary_key=True),
    Column("decision", Text, primary_key=True),
    *_sums(),
)

label_hours = Table(
    "label_hours",
    metadata,
    Column("start", DateTime(timezone=True), primary_key=True),
    Column("decision", Text, primary_key=True),
    *_fired(),
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
    time_column("sealed_at"),
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
    time_column("since", nullable=True),
    time_column("until", nullable=True),
    Column("reason", Text, nullable=False),
    time_column("made_at", made=True),
    Column("made_by", Text, nullable=False),
    time_column("released_at", nullable=True),
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
    time_column("until"),
    time_column("requested_at"),
    Column("requested_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("erased", BigInteger, nullable=False, server_default="0"),
    Column("held", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("kind IN ('request', 'retention')", name="kind"),
)
