"""Vectors of the log's prompts, a partition a day as the log has, for similar exchanges."""

from __future__ import annotations

from alembic import op

revision = "embeddings"
down_revision = "alerts_told"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(
        """
        CREATE TABLE exchange_embeddings (
            started_at timestamptz NOT NULL,
            id uuid NOT NULL,
            embedding halfvec(384) NOT NULL,
            CONSTRAINT exchange_embeddings_pkey PRIMARY KEY (started_at, id)
        ) PARTITION BY RANGE (started_at)
        """
    )
    op.execute(
        "CREATE INDEX exchange_embeddings_embedding_idx"
        " ON exchange_embeddings USING hnsw (embedding halfvec_cosine_ops)"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TABLE exchange_embeddings")
    op.execute("DELETE FROM log_progress WHERE job = 'embeddings'")
