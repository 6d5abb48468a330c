"""Drift: what is compared with, and how much evidence has come together.

`drift_references` are frozen: a row is written once and never changed. `drift_states` holds one row
for each job and window, a function of the row before it and of the window's data; so a window that
is run again writes the same row, and counts nothing twice.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        """
        CREATE TABLE drift_references (
            id uuid CONSTRAINT drift_references_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
            job text NOT NULL,
            versions text NOT NULL,
            window_start timestamptz NOT NULL,
            window_end timestamptz NOT NULL,
            n bigint NOT NULL,
            frozen_at timestamptz NOT NULL DEFAULT now(),
            body bytea NOT NULL,
            CONSTRAINT drift_references_job_versions_key UNIQUE (job, versions)
        )
        """
    )
    op.execute(
        "COMMENT ON COLUMN drift_references.versions IS"
        " 'The model, template and policy versions that it was taken under'"
    )
    op.execute(
        """
        CREATE TABLE drift_states (
            job text NOT NULL,
            window_end timestamptz NOT NULL,
            reference_id uuid NOT NULL
                CONSTRAINT drift_states_reference_id_fkey
                REFERENCES drift_references (id) ON DELETE CASCADE,
            body bytea NOT NULL,
            CONSTRAINT drift_states_pkey PRIMARY KEY (job, window_end)
        )
        """
    )


def downgrade() -> None:
    """Drop both; references are then frozen anew, and evidence is gathered from nothing."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE drift_states")
    op.execute("DROP TABLE drift_references")
