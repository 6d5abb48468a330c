"""Ways into the counts of the hours by each name that a page filters by."""

from __future__ import annotations

from alembic import op

revision = "count_paths"
down_revision = "policies"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The table is small; the job that writes it waits so long."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in ("route", "model", "tenant"):
        op.execute(
            f"CREATE INDEX exchange_counts_{name}_idx ON exchange_counts ({name}, start)"
            " WHERE step = 3600"
        )
    op.execute(
        "CREATE INDEX exchange_counts_failed_idx ON exchange_counts (start)"
        " WHERE step = 3600 AND failed > 0"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in ("route", "model", "tenant"):
        op.execute(f"DROP INDEX exchange_counts_{name}_idx")
    op.execute("DROP INDEX exchange_counts_failed_idx")
