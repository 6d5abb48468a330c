"""What tables hold alerts: what is wrong, what became of it, who was told and who wants silence?"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from guardrails.exchange_log.tables import metadata, time_column

_MADE_ID = text("gen_random_uuid()")

alerts = Table(
    "alerts",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    Column("key", Text, nullable=False, comment="Fingerprint of what it is about"),
    Column("job", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("labels", JSONB, nullable=False),
    Column("summary", Text, nullable=False),
    Column("evidence", JSONB, nullable=False),
    time_column("started_at"),
    time_column("updated_at"),
    time_column("resolved_at", nullable=True),
    Column("acknowledged_by", Text),
    time_column("acknowledged_at", nullable=True),
    time_column("escalated_at", nullable=True),
    time_column("told_at", nullable=True),
    Column(
        "inhibited_by",
        Uuid,
        ForeignKey("alerts.id", ondelete="SET NULL"),
        comment="The alert that explains this one",
    ),
    CheckConstraint("severity IN ('warning', 'critical')", name="severity"),
    CheckConstraint("state IN ('firing', 'acknowledged', 'resolved')", name="state"),
    # One open alert for each thing that can be wrong.
    Index(
        "alerts_open_key", "key", unique=True, postgresql_where=text("state <> 'resolved'::text")
    ),
    Index(None, "started_at"),
)

alert_events = Table(
    "alert_events",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    Column("alert_id", Uuid, ForeignKey("alerts.id", ondelete="CASCADE"), nullable=False),
    time_column("at"),
    Column("kind", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Index(None, "alert_id", "at"),
)

alert_silences = Table(
    "alert_silences",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    Column("matchers", JSONB, nullable=False),
    time_column("starts_at"),
    time_column("ends_at"),
    Column("made_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    time_column("made_at", made=True),
)

alert_groups = Table(
    "alert_groups",
    metadata,
    Column("key", Text, primary_key=True, comment="What one notification tells together"),
    time_column("opened_at"),
    time_column("notified_at", nullable=True),
    Column("firing", ARRAY(Uuid), nullable=False, comment="Alerts last told as firing"),
    Column("resolved", ARRAY(Uuid), nullable=False, comment="Alerts last told as resolved"),
)

alert_notifications = Table(
    "alert_notifications",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=_MADE_ID),
    Column("message_id", Uuid, nullable=False, comment="The same for every channel"),
    Column("group_key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("alert_ids", ARRAY(Uuid), nullable=False),
    Column("channel", Text, nullable=False, comment="Its address without what is secret"),
    Column("subject", Text, nullable=False),
    Column("body_text", Text, nullable=False),
    Column("body_html", Text, nullable=False),
    time_column("made_at"),
    time_column("due_at"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    time_column("sent_at", nullable=True),
    time_column("given_up_at", nullable=True),
    Column("error", Text),
    UniqueConstraint("message_id", "channel"),
    CheckConstraint("kind IN ('change', 'repeat', 'escalation')", name="kind"),
    Index(
        "alert_notifications_due",
        "due_at",
        postgresql_where=text("sent_at IS NULL AND given_up_at IS NULL"),
    ),
    Index(None, "group_key", "made_at"),
)
