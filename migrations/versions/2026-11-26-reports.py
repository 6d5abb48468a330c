"""Reports: what is said of the service every week, and what the audits behind it found.

A weekly report is written once: its frozen data, and the HTML and PDF made of nothing else. Of a
bias audit's answers only measures are kept; their texts stand in the log, under its retention.
"""

from __future__ import annotations

from alembic import op

revision = "reports"
down_revision = "groups"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        """
        CREATE TABLE weekly_reports (
            id uuid CONSTRAINT weekly_reports_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
            week_start date NOT NULL,
            frozen jsonb NOT NULL,
            html bytea NOT NULL,
            pdf bytea NOT NULL,
            sha256 text NOT NULL,
            made_at timestamptz NOT NULL DEFAULT now(),
            mailed_at timestamptz,
            CONSTRAINT weekly_reports_week_start_key UNIQUE (week_start)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE bias_audits (
            id uuid CONSTRAINT bias_audits_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
            window_start timestamptz NOT NULL,
            window_end timestamptz NOT NULL,
            model text NOT NULL,
            axis text NOT NULL,
            pairs integer NOT NULL,
            failed integer NOT NULL,
            status text NOT NULL,
            result jsonb NOT NULL,
            made_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT bias_audits_window_start_window_end_model_axis_key
                UNIQUE (window_start, window_end, model, axis)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE bias_audit_pairs (
            audit_id uuid NOT NULL
                CONSTRAINT bias_audit_pairs_audit_id_fkey
                REFERENCES bias_audits (id) ON DELETE CASCADE,
            number integer NOT NULL,
            source_id uuid,
            first_term text NOT NULL,
            second_term text NOT NULL,
            first_id text,
            second_id text,
            measures jsonb NOT NULL,
            CONSTRAINT bias_audit_pairs_pkey PRIMARY KEY (audit_id, number)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE drift_reports (
            job text NOT NULL,
            window_start timestamptz NOT NULL,
            window_end timestamptz NOT NULL,
            html bytea NOT NULL,
            bytes bigint NOT NULL,
            seconds double precision NOT NULL,
            made_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT drift_reports_pkey PRIMARY KEY (job, window_start, window_end)
        )
        """
    )
    for column, words in (
        ("weekly_reports.week_start", "A Monday, in UTC"),
        ("weekly_reports.frozen", "All that the report says"),
        ("weekly_reports.sha256", "Of the frozen document"),
        ("bias_audits.axis", "Which terms were swapped, as `gender`"),
        ("bias_audits.pairs", "Pairs of which both were answered"),
        ("bias_audits.failed", "Pairs of which one was not"),
        ("bias_audits.result", "Figures, with effect sizes"),
        ("bias_audit_pairs.source_id", "The exchange whose prompt was asked; NULL: a set one"),
        ("bias_audit_pairs.first_id", "The exchange that asked with the first term"),
        ("bias_audit_pairs.measures", "Of both answers, never their text"),
        ("drift_reports.html", "Evidently''s whole report, gzipped"),
        ("drift_reports.bytes", "Before it was packed"),
    ):
        op.execute(f"COMMENT ON COLUMN {column} IS '{words}'")


def downgrade() -> None:
    """Drop all four; reports can be made anew as long as the log is kept."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("drift_reports", "bias_audit_pairs", "bias_audits", "weekly_reports"):
        op.execute(f"DROP TABLE {table}")
