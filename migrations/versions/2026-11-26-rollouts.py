"""Rollouts: which version of a model serves which share of conversations, and how it came to that.

The latest rollout of a model says who serves it. At most one is open for each model. An event is
written in the same transaction as the change that it tells, so what served at any time can be read
from them. `rollout_conversations` lasts as long as its rollout is open.
"""

from __future__ import annotations

from alembic import op

revision = "rollouts"
down_revision = "retraining"
branch_labels = None
depends_on = None

COMMENTS = {
    "rollouts.champion": "model@version",
    "rollouts.candidate": "model@version",
    "rollouts.share": "Of conversations, that the candidate gets",
    "rollouts.step": "Which of the plan's, from 0",
    "rollouts.evidence": "What the test has seen so far",
    "rollouts.reason": "Why its state is what it is",
    "rollout_events.share": "From here on",
    "rollout_events.detail": "Who, why, and the figures that led to it",
}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        """
        CREATE TABLE rollouts (
            id uuid CONSTRAINT rollouts_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
            model text NOT NULL,
            champion text NOT NULL,
            candidate text NOT NULL,
            state text NOT NULL CONSTRAINT rollouts_state_check
                CHECK (state IN ('running', 'paused', 'promoted', 'rolled_back')),
            share double precision NOT NULL
                CONSTRAINT rollouts_share_check CHECK (share >= 0 AND share <= 1),
            step integer NOT NULL,
            plan jsonb NOT NULL,
            evidence jsonb NOT NULL,
            started_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            reason text,
            started_by text NOT NULL,
            CONSTRAINT rollouts_versions_check CHECK (champion <> candidate)
        )
        """
    )
    op.execute(
        "CREATE UNIQUE INDEX rollouts_open_model_idx ON rollouts (model)"
        " WHERE state IN ('running', 'paused')"
    )
    op.execute("CREATE INDEX rollouts_model_started_at_idx ON rollouts (model, started_at)")
    op.execute(
        """
        CREATE TABLE rollout_events (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT rollout_events_pkey PRIMARY KEY,
            rollout_id uuid NOT NULL CONSTRAINT rollout_events_rollout_id_fkey
                REFERENCES rollouts (id) ON DELETE CASCADE,
            at timestamptz NOT NULL,
            kind text NOT NULL CONSTRAINT rollout_events_kind_check CHECK (kind IN
                ('started', 'step', 'paused', 'resumed', 'promoted', 'rolled_back')),
            share double precision NOT NULL,
            detail jsonb NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX rollout_events_rollout_id_at_idx ON rollout_events (rollout_id, at)")
    op.execute(
        """
        CREATE TABLE rollout_conversations (
            rollout_id uuid NOT NULL CONSTRAINT rollout_conversations_rollout_id_fkey
                REFERENCES rollouts (id) ON DELETE CASCADE,
            conversation bigint NOT NULL,
            CONSTRAINT rollout_conversations_pkey PRIMARY KEY (rollout_id, conversation)
        )
        """
    )
    op.execute(
        "COMMENT ON TABLE rollout_conversations IS 'Those that the test has counted: each one once'"
    )
    for column, comment in COMMENTS.items():
        op.execute(f"COMMENT ON COLUMN {column} IS '{comment.replace(chr(39), chr(39) * 2)}'")


def downgrade() -> None:
    """Drop all three; proxies then go by the weights of their settings."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE rollout_conversations")
    op.execute("DROP TABLE rollout_events")
    op.execute("DROP TABLE rollouts")
