"""Policies on their way: drafts, and which one was put in force.

`policy_releases` only grows: the newest row of each part (enforce, shadow) is what holds.
"""

from __future__ import annotations

from alembic import op

revision = "policies"
down_revision = "embeddings"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        """
        CREATE TABLE policy_drafts (
            id uuid CONSTRAINT policy_drafts_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
            source text NOT NULL,
            made_by text NOT NULL,
            made_at timestamptz NOT NULL DEFAULT now(),
            changed_by text NOT NULL,
            changed_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute("COMMENT ON COLUMN policy_drafts.source IS 'YAML, valid or not yet'")
    op.execute(
        """
        CREATE TABLE policy_releases (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT policy_releases_pkey PRIMARY KEY,
            part text NOT NULL,
            policy_hash text
                CONSTRAINT policy_releases_policy_hash_fkey REFERENCES policies (hash),
            released_by text NOT NULL,
            reason text NOT NULL,
            released_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT policy_releases_part_check CHECK (part IN ('enforce', 'shadow'))
        )
        """
    )
    op.execute(
        "COMMENT ON COLUMN policy_releases.policy_hash IS"
        " 'NULL: what the proxies are configured with'"
    )
    op.execute("CREATE INDEX policy_releases_part_id_idx ON policy_releases (part, id)")


def downgrade() -> None:
    """Drop both; proxies go back to their files."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE policy_releases")
    op.execute("DROP TABLE policy_drafts")
