"""What tables hold what is said of the service? Weekly reports, bias audits, drift reports."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Integer,
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

weekly_reports = Table(
    "weekly_reports",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    Column("week_start", Date, nullable=False, comment="A Monday, in UTC"),
    Column("frozen", JSONB, nullable=False, comment="All that the report says"),
    Column("html", LargeBinary, nullable=False),
    Column("pdf", LargeBinary, nullable=False),
    Column("sha256", Text, nullable=False, comment="Of the frozen document"),
    time_column("made_at", made=True),
    time_column("mailed_at", nullable=True),
    UniqueConstraint("week_start"),
)

bias_audits = Table(
    "bias_audits",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    time_column("window_start"),
    time_column("window_end"),
    Column("model", Text, nullable=False),
    Column("axis", Text, nullable=False, comment="Which terms were swapped, as `gender`"),
    Column("pairs", Integer, nullable=False, comment="Pairs of which both were answered"),
    Column("failed", Integer, nullable=False, comment="Pairs of which one was not"),
    Column("status", Text, nullable=False),
    Column("result", JSONB, nullable=False, comment="Figures, with effect sizes"),
    time_column("made_at", made=True),
    UniqueConstraint("window_start", "window_end", "model", "axis"),
)

bias_audit_pairs = Table(
    "bias_audit_pairs",
    metadata,
    Column(
        "audit_id",
        Uuid,
        ForeignKey("bias_audits.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("source_id", Uuid, comment="The exchange whose prompt was asked; NULL: a set one"),
    Column("first_term", Text, nullable=False),
    Column("second_term", Text, nullable=False),
    Column("first_id", Text, comment="The exchange that asked with the first term"),
    Column("second_id", Text),
    Column("measures", JSONB, nullable=False, comment="Of both answers, never their text"),
)

drift_reports = Table(
    "drift_reports",
    metadata,
    Column("job", Text, primary_key=True),
    Column("window_start", DateTime(timezone=True), primary_key=True),
    Column("window_end", DateTime(timezone=True), primary_key=True),
    Column("html", LargeBinary, nullable=False, comment="Evidently's whole report, gzipped"),
    Column("bytes", BigInteger, nullable=False, comment="Before it was packed"),
    Column("seconds", Double, nullable=False),
    time_column("made_at", made=True),
)
