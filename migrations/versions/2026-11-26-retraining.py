"""Retraining: the models that were trained, and the runs that trained them.

A version is registered once, and only its stage changes; of a model, one version is the champion.
A run has an idempotency key, so that an alert that fires twice trains once.
"""

from __future__ import annotations

from alembic import op

revision = "retraining"
down_revision = "people"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        """
        CREATE TABLE model_versions (
            id uuid CONSTRAINT model_versions_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
            model text NOT NULL,
            version text NOT NULL,
            kind text NOT NULL CONSTRAINT model_versions_kind_check
                CHECK (kind IN ('language_model', 'detector')),
            stage text NOT NULL CONSTRAINT model_versions_stage_check
                CHECK (stage IN ('registered', 'canary', 'champion', 'retired', 'refused')),
            weights_uri text NOT NULL,
            weights_sha256 text NOT NULL,
            template_hash text,
            dataset_sha256 text,
            parent uuid CONSTRAINT model_versions_parent_fkey REFERENCES model_versions (id),
            evaluation jsonb NOT NULL,
            lineage jsonb NOT NULL,
            registered_at timestamptz NOT NULL
        )
        """
    )
    op.execute(
        "CREATE UNIQUE INDEX model_versions_model_version_key ON model_versions (model, version)"
    )
    op.execute(
        "CREATE UNIQUE INDEX model_versions_champion_key ON model_versions (model)"
        " WHERE stage = 'champion'"
    )
    op.execute(
        """
        CREATE TABLE retraining_runs (
            id uuid CONSTRAINT retraining_runs_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
            idempotency_key text NOT NULL
                CONSTRAINT retraining_runs_idempotency_key_key UNIQUE,
            kind text NOT NULL CONSTRAINT retraining_runs_kind_check
                CHECK (kind IN ('language_model', 'detector')),
            model text NOT NULL,
            alert_id uuid,
            reason text NOT NULL,
            opened_by text NOT NULL,
            parameters jsonb NOT NULL,
            state text NOT NULL CONSTRAINT retraining_runs_state_check
                CHECK (state IN (
                    'waiting', 'approved', 'running', 'succeeded', 'failed', 'refused')),
            steps jsonb NOT NULL,
            dataset_sha256 text,
            model_version_id uuid CONSTRAINT retraining_runs_model_version_id_fkey
                REFERENCES model_versions (id),
            approver text,
            decided_at timestamptz,
            decision_reason text,
            created_at timestamptz NOT NULL,
            finished_at timestamptz,
            outcome text
        )
        """
    )
    op.execute("CREATE INDEX retraining_runs_created_at_idx ON retraining_runs (created_at)")
    for column, words in (
        ("model_versions.model", "The name that applications ask for"),
        ("model_versions.template_hash", "The prompt template of its training rows"),
        ("retraining_runs.parameters", "The plan of the run, budget and all"),
        ("retraining_runs.steps", "By name: when, how often, what came out"),
        ("retraining_runs.outcome", "One sentence: what came of it"),
    ):
        op.execute(f"COMMENT ON COLUMN {column} IS '{words}'")


def downgrade() -> None:
    """Drop both; what was trained stays on disk, and nothing says any more how."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE retraining_runs")
    op.execute("DROP TABLE model_versions")
