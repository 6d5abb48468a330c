"""Alerts: what is wrong, what became of it, who was told, and who wants silence.

At most one open alert for each key. A notification is written in the same transaction as the change
that it tells, one row for each channel, and marked when the channel took it; so none is lost with a
process, and two monitors do not tell the same thing twice.
"""

from __future__ import annotations

from alembic import op

revision = "alerts"
down_revision = "rollouts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        """
        CREATE TABLE alerts (
            id uuid CONSTRAINT alerts_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
            key text NOT NULL,
            job text NOT NULL,
            severity text NOT NULL
                CONSTRAINT alerts_severity_check CHECK (severity IN ('warning', 'critical')),
            state text NOT NULL CONSTRAINT alerts_state_check
                CHECK (state IN ('firing', 'acknowledged', 'resolved')),
            labels jsonb NOT NULL,
            summary text NOT NULL,
            evidence jsonb NOT NULL,
            started_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            resolved_at timestamptz,
            acknowledged_by text,
            acknowledged_at timestamptz,
            escalated_at timestamptz,
            inhibited_by uuid CONSTRAINT alerts_inhibited_by_fkey
                REFERENCES alerts (id) ON DELETE SET NULL
        )
        """
    )
    op.execute("CREATE UNIQUE INDEX alerts_open_key ON alerts (key) WHERE state <> 'resolved'")
    op.execute("CREATE INDEX alerts_started_at_idx ON alerts (started_at)")
    op.execute("COMMENT ON COLUMN alerts.key IS 'Fingerprint of what it is about'")
    op.execute("COMMENT ON COLUMN alerts.inhibited_by IS 'The alert that explains this one'")
    op.execute(
        """
        CREATE TABLE alert_events (
            id uuid CONSTRAINT alert_events_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
            alert_id uuid NOT NULL CONSTRAINT alert_events_alert_id_fkey
                REFERENCES alerts (id) ON DELETE CASCADE,
            at timestamptz NOT NULL,
            kind text NOT NULL,
            who text NOT NULL,
            detail jsonb NOT NULL DEFAULT '{}'
        )
        """
    )
    op.execute("CREATE INDEX alert_events_alert_id_at_idx ON alert_events (alert_id, at)")
    op.execute(
        """
        CREATE TABLE alert_silences (
            id uuid CONSTRAINT alert_silences_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
            matchers jsonb NOT NULL,
            starts_at timestamptz NOT NULL,
            ends_at timestamptz NOT NULL,
            made_by text NOT NULL,
            reason text NOT NULL,
            made_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute(
        """
        CREATE TABLE alert_groups (
            key text CONSTRAINT alert_groups_pkey PRIMARY KEY,
            opened_at timestamptz NOT NULL,
            notified_at timestamptz,
            firing uuid[] NOT NULL,
            resolved uuid[] NOT NULL
        )
        """
    )
    op.execute("COMMENT ON COLUMN alert_groups.key IS 'What one notification tells together'")
    op.execute("COMMENT ON COLUMN alert_groups.firing IS 'Alerts last told as firing'")
    op.execute("COMMENT ON COLUMN alert_groups.resolved IS 'Alerts last told as resolved'")
    op.execute(
        """
        CREATE TABLE alert_notifications (
            id uuid CONSTRAINT alert_notifications_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
            message_id uuid NOT NULL,
            group_key text NOT NULL,
            kind text NOT NULL CONSTRAINT alert_notifications_kind_check
                CHECK (kind IN ('change', 'repeat', 'escalation')),
            alert_ids uuid[] NOT NULL,
            channel text NOT NULL,
            subject text NOT NULL,
            body_text text NOT NULL,
            body_html text NOT NULL,
            made_at timestamptz NOT NULL,
            due_at timestamptz NOT NULL,
            attempts integer NOT NULL DEFAULT 0,
            sent_at timestamptz,
            given_up_at timestamptz,
            error text,
            CONSTRAINT alert_notifications_message_id_channel_key UNIQUE (message_id, channel)
        )
        """
    )
    op.execute(
        "CREATE INDEX alert_notifications_due ON alert_notifications (due_at)"
        " WHERE sent_at IS NULL AND given_up_at IS NULL"
    )
    op.execute(
        "CREATE INDEX alert_notifications_group_key_made_at_idx"
        " ON alert_notifications (group_key, made_at)"
    )
    op.execute("COMMENT ON COLUMN alert_notifications.message_id IS 'The same for every channel'")
    op.execute(
        "COMMENT ON COLUMN alert_notifications.channel IS 'Its address without what is secret'"
    )


def downgrade() -> None:
    """Drop all five. Alerts are raised anew from the runs; their history is gone."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in (
        "alert_notifications",
        "alert_groups",
        "alert_silences",
        "alert_events",
        "alerts",
    ):
        op.execute(f"DROP TABLE {table}")
